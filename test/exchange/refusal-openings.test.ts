/** Under which id the openings of a refusal are kept, and that its record tells it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { refusedValueBytesMax } from "../../src/base/limits.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { commitToRefused, refusalIds } from "../../src/exchange/refusal-openings.ts";

const seed = new Uint8Array(32).fill(7);
const nothing = new Uint8Array();

function committed(atMs: number, call: Uint8Array | undefined, method: Uint8Array | undefined) {
  const made = commitToRefused({ side: "provider", seed, atMs, call, method });
  const { callCommitment = nothing, methodCommitment = nothing, openings } = made;
  return { commitments: { callCommitment, methodCommitment }, openings };
}

const value = fc.option(fc.uint8Array({ maxLength: 50 }), { nil: undefined });
const unixMs = fc.integer({ min: 1_000_000, max: 2 ** 47 });

describe("the openings of a refusal", () => {
  it("are found by its commitments and the times of its batch, and open them", () => {
    fc.assert(
      fc.property(
        unixMs,
        fc.nat({ max: 100_000 }),
        fc.nat({ max: 999 }),
        value,
        value,
        (firstAtMs, sealedAfterMs, beforeMs, call, method) => {
          const { commitments, openings } = committed(firstAtMs - beforeMs, call, method);
          const times = {
            firstAt: BigInt(firstAtMs),
            sealedAt: BigInt(firstAtMs + sealedAfterMs),
          };
          const ids = refusalIds(commitments, times).map(toHex);
          if (openings === undefined)
            return assert.deepEqual([call, method], [undefined, undefined]);
          assert.ok(ids.includes(toHex(openings.xid)));
          for (const { label, salt, value: kept } of openings.items) {
            const stated = label === "call" ? "callCommitment" : "methodCommitment";
            assert.ok(label === "call" || label === "method");
            assert.deepEqual(commit({ label, salt, value: kept }), commitments[stated]);
          }
        },
      ),
    );
  });

  it("are looked for at a bounded number of ids, whatever a header says", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 47n }), unixMs, (firstAt, sealedAtMs) => {
        const { commitments } = committed(sealedAtMs, utf8("a token"), undefined);
        const ids = refusalIds(commitments, { firstAt, sealedAt: BigInt(sealedAtMs) });
        assert.ok(ids.length <= 121);
      }),
    );
  });

  it("hold no value above its bound, which is committed to all the same", () => {
    const large = new Uint8Array(refusedValueBytesMax + 1);
    const { commitments, openings } = committed(1_800_000_000_000, large, utf8("/a.b.C/D"));
    assert.equal(commitments.callCommitment.length, 32);
    assert.deepEqual(
      openings?.items.map(({ label }) => label),
      ["method"],
    );
    assert.equal(committed(1_800_000_000_000, large, undefined).openings, undefined);
  });

  it("are erased with the exchanges of their time: their id begins with it", () => {
    const { openings } = committed(1_800_000_000_999, utf8("a token"), undefined);
    const timeMs = Number.parseInt(toHex(openings?.xid as Uint8Array).slice(0, 12), 16);
    assert.equal(timeMs, 1_800_000_000_000);
    assert.equal(openings?.attempt, 0);
  });
});
