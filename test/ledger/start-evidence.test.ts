import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { parseUtf8, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  formatStartEvidence,
  parseStartEvidence,
} from "../../src/ledger/embedded/start-evidence.ts";
import type { StartEvidence } from "../../src/ledger/embedded/term-start.ts";

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const proof = fc.array(hash, { maxLength: 5 });
const city = fc.constantFrom("hangzhou", "ningbo", "shenzhen", "wenzhou");
const evidence: fc.Arbitrary<StartEvidence> = fc.record({
  start: fc.bigInt(0n, (1n << 63n) - 1n),
  conflict: fc.record({ smaller: city, larger: city, root: hash, consistency: proof }),
  parts: fc.array(
    fc.record({ city, root: hash, consistency: proof, leafHash: hash, inclusion: proof }),
    { maxLength: 4 },
  ),
});

test("parse after print is identity", () => {
  fc.assert(
    fc.property(evidence, (one) => {
      const parsed = parseStartEvidence(formatStartEvidence(one));
      assert.deepEqual(formatStartEvidence(parsed), formatStartEvidence(one));
      assert.equal(parsed.start, one.start);
      assert.deepEqual(
        parsed.parts.map((part) => [part.city, part.consistency.length, part.inclusion.length]),
        one.parts.map((part) => [part.city, part.consistency.length, part.inclusion.length]),
      );
    }),
  );
});

test("what is not printed so is MALFORMED or TOO_LARGE, whatever its bytes", () => {
  fc.assert(
    fc.property(evidence, fc.nat(), fc.uint8Array({ maxLength: 3 }), (one, place, put) => {
      const bytes = formatStartEvidence(one);
      const at = place % bytes.length;
      const changed = Uint8Array.of(...bytes.slice(0, at), ...put, ...bytes.slice(at + 1));
      try {
        assert.deepEqual(formatStartEvidence(parseStartEvidence(changed)), changed);
      } catch (error) {
        assert.ok(error instanceof CausewayError && error.code === "MALFORMED", String(error));
      }
    }),
  );
  assert.throws(() => parseStartEvidence(new Uint8Array(1024 * 1024)), { code: "TOO_LARGE" });
});

test("the text is the documented one", () => {
  const zeros = new Uint8Array(32);
  const part = {
    city: "ningbo",
    root: zeros,
    consistency: [],
    leafHash: zeros,
    inclusion: [zeros],
  };
  const conflict = { smaller: "ningbo", larger: "wenzhou", root: zeros, consistency: [zeros] };
  const text = parseUtf8(formatStartEvidence({ start: 7n, conflict, parts: [part] }));
  const line = Buffer.alloc(32).toString("base64");
  assert.equal(
    text,
    `start 7\nconflict ningbo wenzhou\n${line}\n${line}\n\npart ningbo\n${line}\n${line}\ninclusion\n${line}\n`,
  );
  assert.equal(parseStartEvidence(utf8(text ?? "")).start, 7n);
});
