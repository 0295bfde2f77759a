import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { cosignatureMessage, formatCosignature } from "../../src/note/cosignature.ts";
import { formatNote, type NoteSignature, parseNote } from "../../src/note/note.ts";
import { evaluateQuorum, type QuorumCheckpoint } from "../../src/note/quorum.ts";
import { createVerifierKey, parseVerifierKey } from "../../src/note/verifier-key.ts";
import {
  cities,
  cosignedNote,
  createTestSigner,
  logKey,
  logSigner,
  origin,
  root,
  vectorNote,
  vectors,
  verifyEd25519 as verify,
} from "./support.ts";
import { utf8 } from "../../src/base/bytes.ts";

type Options = Parameters<typeof evaluateQuorum>[0];

/** Under one rule of all cities that cosign here, or under those of `options`. */
function evaluate(
  note: Uint8Array,
  { quorum = 3, ...options }: Partial<Options> & { readonly quorum?: number } = {},
): QuorumCheckpoint {
  const cosigners = options.cosigners ?? cities;
  const rules = [{ cities: cosigners.map(({ city }) => city), quorum }];
  return evaluateQuorum({
    note,
    logKey,
    cosigners,
    rules,
    skewMs: 5000,
    verify,
    ...options,
  });
}
/** A cosignature with any timestamp, also one that `cosignCheckpoint` does not make. */
function cosignatureAt(at: number, timestamp: bigint, text: string): NoteSignature {
  const { key, signer } = cities[at] ?? assert.fail();
  const signature = signer.sign(cosignatureMessage(timestamp, text));
  return {
    name: key.name,
    keyId: key.keyId,
    signature: formatCosignature({ timestamp, signature }),
  };
}
function withSignatures(note: Uint8Array, more: (text: string) => NoteSignature[]): Uint8Array {
  const { text, signatures } = parseNote(note);
  return formatNote({ text, signatures: [...signatures, ...more(text)] });
}

describe("a quorum", () => {
  test("of three cities gives checkpoint, cities and the middle time", () => {
    const quorum = evaluate(cosignedNote(9000, 4000, 6999));
    assert.equal(quorum.origin, origin);
    assert.equal(quorum.size, 7n);
    assert.equal(toHex(quorum.root), toHex(root));
    assert.deepEqual(quorum.cosigned, [
      { city: "beijing", timeMs: 4000 },
      { city: "chengdu", timeMs: 6000 },
      { city: "dalian", timeMs: 9000 },
    ]);
    assert.equal(quorum.timeMs, 6000);
  });
  test("takes the earlier of two times in the middle", () => {
    assert.equal(evaluate(cosignedNote(9000, 4000, 6000, 2000)).timeMs, 4000);
    assert.equal(evaluate(cosignedNote(9000, 4000), { quorum: 2 }).timeMs, 4000);
    assert.equal(evaluate(cosignedNote(9000), { quorum: 1 }).timeMs, 9000);
  });
  test("has the lower median of any times", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 2 ** 33 }), { minLength: 1, maxLength: 4 }),
        (seconds) => {
          const times = seconds.map((second) => second * 1000);
          const { timeMs } = evaluate(cosignedNote(...times), { quorum: times.length });
          const before = times.filter((time) => time < timeMs).length;
          const after = times.filter((time) => time > timeMs).length;
          assert.ok(times.includes(timeMs));
          assert.ok(before <= (times.length - 1) / 2 && after <= times.length / 2);
        },
      ),
      { numRuns: 30 },
    );
  });
  test("that one city is missing from is QUORUM_NOT_MET, with the numbers", () => {
    assert.throws(() => evaluate(cosignedNote(4000, 5000)), {
      code: "QUORUM_NOT_MET",
      fields: { cosigned: "2", quorum: "3" },
    });
    assert.throws(() => evaluate(cosignedNote()), {
      code: "QUORUM_NOT_MET",
      fields: { cosigned: "0", quorum: "3" },
    });
  });
  test("does not count a key that is not a city's", () => {
    const cosigners = cities.slice(1);
    assert.throws(() => evaluate(cosignedNote(1000, 2000, 3000), { cosigners }), {
      code: "QUORUM_NOT_MET",
    });
  });
  test("counts a city once, at its earliest time, in any order of the lines", () => {
    const note = cosignedNote(5000, 6000);
    for (const stamps of [
      [9n, 3n],
      [3n, 9n],
    ]) {
      const twice = withSignatures(note, (text) => stamps.map((s) => cosignatureAt(0, s, text)));
      assert.deepEqual(evaluate(twice, { quorum: 2 }).cosigned, [
        { city: "beijing", timeMs: 6000 },
        { city: "dalian", timeMs: 3000 },
      ]);
      assert.throws(() => evaluate(twice), { code: "QUORUM_NOT_MET" });
    }
  });
  test("counts a city with two keys once", () => {
    const cosigners = cities.map((one, i) => (i === 1 ? { ...one, city: "dalian" } : one));
    const note = cosignedNote(5000, 4000, 6000);
    assert.deepEqual(evaluate(note, { cosigners, quorum: 2 }).cosigned, [
      { city: "chengdu", timeMs: 6000 },
      { city: "dalian", timeMs: 4000 },
    ]);
    assert.throws(() => evaluate(note, { cosigners }), { code: "QUORUM_NOT_MET" });
  });
});

describe("where the cities or the quorum change", () => {
  const before = { cities: ["beijing", "chengdu", "dalian"], quorum: 2 };
  const after = { cities: ["chengdu", "dalian", "anshan"], quorum: 2 };
  /** Cosigned by these, each at a time of its own in seconds. */
  const by = (times: Readonly<Record<string, number>>): Uint8Array =>
    withSignatures(cosignedNote(), (text) =>
      Object.entries(times).map(([city, time]) => {
        const at = cities.findIndex((one) => one.city === city);
        return cosignatureAt(at, BigInt(time), text);
      }),
    );

  test("the old and the new quorum are both asked for", () => {
    const rules = [before, after];
    assert.throws(() => evaluate(by({ beijing: 1, chengdu: 2 }), { rules }), {
      code: "QUORUM_NOT_MET",
      fields: { cosigned: "1", quorum: "2" },
    });
    assert.throws(() => evaluate(by({ anshan: 1, dalian: 2 }), { rules }), {
      code: "QUORUM_NOT_MET",
    });
    assert.equal(evaluate(by({ beijing: 1, chengdu: 2, anshan: 3 }), { rules }).size, 7n);
    assert.equal(evaluate(by({ dalian: 1, chengdu: 2 }), { rules }).size, 7n);
  });
  test("the time is the lower median over all cities that count for some rule", () => {
    const note = by({ beijing: 8, chengdu: 2, dalian: 4, anshan: 6 });
    assert.equal(evaluate(note, { rules: [before, after] }).timeMs, 4000);
    assert.equal(evaluate(note, { rules: [after] }).timeMs, 4000);
    assert.equal(
      evaluate(by({ beijing: 1, chengdu: 6, dalian: 8 }), { rules: [after] }).timeMs,
      6000,
    );
  });
});

describe("times of cosignatures", () => {
  test("a timestamp of 0 does not count", () => {
    const note = withSignatures(cosignedNote(5000, 6000), (text) => [cosignatureAt(2, 0n, text)]);
    assert.throws(() => evaluate(note), {
      code: "QUORUM_NOT_MET",
      fields: { cosigned: "2", quorum: "3" },
    });
    assert.equal(evaluate(note, { quorum: 2 }).cosigned.length, 2);
  });
  test("a timestamp ahead by the skew counts, and one second further does not", () => {
    const note = cosignedNote(4000, 5000, 15_000);
    assert.equal(evaluate(note, { nowMs: 10_000 }).timeMs, 5000);
    assert.throws(() => evaluate(note, { nowMs: 9999 }), { code: "QUORUM_NOT_MET" });
    assert.deepEqual(
      evaluate(note, { nowMs: 9999, quorum: 2 }).cosigned.map(({ city }) => city),
      ["beijing", "dalian"],
    );
  });
  test("without a clock any time up to 2^53-1 ms counts, and no later one", () => {
    const latest = BigInt(Number.MAX_SAFE_INTEGER) / 1000n;
    const at = (timestamp: bigint): Uint8Array =>
      withSignatures(cosignedNote(5000, 6000), (text) => [cosignatureAt(2, timestamp, text)]);
    assert.equal(evaluate(at(latest)).cosigned[1]?.timeMs, Number(latest * 1000n));
    for (const timestamp of [latest + 1n, (1n << 63n) - 1n]) {
      assert.throws(() => evaluate(at(timestamp)), { code: "QUORUM_NOT_MET" });
    }
  });
});

describe("what no quorum mends", () => {
  test("a wrong cosignature of a known city is SIGNATURE_INVALID beside a full quorum", () => {
    const note = withSignatures(cosignedNote(1000, 2000, 3000), (text) => [
      cosignatureAt(3, 4n, `${text}more\n`),
    ]);
    assert.throws(() => evaluate(note), { code: "SIGNATURE_INVALID" });
  });
  test("a checkpoint that the log has not signed is NOTE_SIGNER_UNKNOWN", () => {
    const { text, signatures } = parseNote(cosignedNote(1000, 2000, 3000));
    const note = formatNote({ text, signatures: signatures.slice(1) });
    assert.throws(() => evaluate(note), { code: "NOTE_SIGNER_UNKNOWN" });
  });
  test("size 0 with another root than the empty tree's is CHECKPOINT_INVALID", () => {
    const at = (hash: Uint8Array): Uint8Array => {
      const text = `${origin}\n0\n${Buffer.from(hash).toString("base64")}\n`;
      const signature = logSigner.sign(utf8(text));
      return formatNote({
        text,
        signatures: [{ ...logKey, signature }, cosignatureAt(0, 5n, text)],
      });
    };
    assert.throws(() => evaluate(at(root), { quorum: 1 }), { code: "CHECKPOINT_INVALID" });
    assert.equal(evaluate(at(emptyRoot), { quorum: 1 }).size, 0n);
  });
  test("malformed bytes are NOTE_INVALID", () => {
    assert.throws(() => evaluate(utf8("hello\n")), { code: "NOTE_INVALID" });
  });
});

describe("trust that cannot be meant", () => {
  const note = cosignedNote(1000, 2000, 3000);
  const [first] = cities;
  assert.ok(first !== undefined);
  test("no rule, or a quorum of no city, is a RangeError", () => {
    assert.throws(() => evaluate(note, { rules: [] }), RangeError);
    for (const quorum of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => evaluate(note, { quorum }), RangeError);
    }
  });
  test("one key for two cities, or for log and city, is a RangeError", () => {
    const again = { city: "elsewhere", key: first.key };
    assert.throws(() => evaluate(note, { cosigners: [...cities, again] }), RangeError);
    const { publicKey } = logSigner;
    const key = createVerifierKey({ name: "causeway/test/log", type: 0x04, publicKey });
    assert.throws(
      () => evaluate(note, { cosigners: [...cities, { city: "log", key }] }),
      RangeError,
    );
  });
  test("a key of the wrong type is a TypeError", () => {
    const { publicKey } = createTestSigner(50);
    const key = createVerifierKey({ name: "x", type: 0x01, publicKey });
    assert.throws(() => evaluate(note, { cosigners: [{ city: "x", key }] }), TypeError);
    assert.throws(() => evaluate(note, { logKey: first.key }), TypeError);
  });
});

describe("the reference note", () => {
  const cosigner = { city: "shenzhen", key: parseVerifierKey(vectors.witnessVerifierKey) };
  const trusted = {
    logKey: parseVerifierKey(vectors.logVerifierKey),
    cosigners: [cosigner],
    quorum: 1,
  };
  test("has its quorum of one city at its time", () => {
    const quorum = evaluate(vectorNote, trusted);
    assert.equal(quorum.size, BigInt(vectors.size));
    assert.equal(toHex(quorum.root), vectors.root);
    assert.deepEqual(quorum.cosigned, [{ city: "shenzhen", timeMs: vectors.time * 1000 }]);
    assert.equal(quorum.timeMs, vectors.time * 1000);
  });
  test("is rejected with every single-bit change, for a reason of its own", () => {
    const codes = new Set<string>();
    for (let bit = 0; bit < vectorNote.length * 8; bit++) {
      const wrong = Uint8Array.from(vectorNote);
      wrong[bit >> 3] = (wrong[bit >> 3] as number) ^ (1 << (bit & 7));
      try {
        evaluate(wrong, trusted);
      } catch (error) {
        assert.ok(error instanceof CausewayError);
        codes.add(error.code);
        continue;
      }
      assert.fail(`bit ${bit} is not covered`);
    }
    assert.deepEqual([...codes].sort(), [
      "CHECKPOINT_INVALID",
      "NOTE_INVALID",
      "NOTE_SIGNER_UNKNOWN",
      "QUORUM_NOT_MET",
      "SIGNATURE_INVALID",
    ]);
  });
});
