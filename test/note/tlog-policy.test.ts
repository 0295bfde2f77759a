import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concatBytes, toBase64, toHex, u32be, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { evaluatePolicy, isWitnessed } from "../../src/note/evaluate-policy.ts";
import { formatNote, parseNote } from "../../src/note/note.ts";
import {
  formatTlogPolicy,
  parseTlogPolicy,
  type PolicyGroup,
  type TlogPolicy,
} from "../../src/note/tlog-policy.ts";
import {
  createVerifierKey,
  formatNoteKey,
  formatVerifierKey,
  isVerifiable,
  parseNoteKey,
} from "../../src/note/verifier-key.ts";
import {
  cities,
  cosignedNote,
  createTestSigner,
  logKey,
  origin,
  verifyEd25519 as verify,
} from "./support.ts";

/** The text of a key of a type that we do not verify. */
function foreignKey(name: string, type: number, publicKey: Uint8Array): string {
  const hashed =
    type === 2 ? publicKey : concatBytes(utf8(`${name}\n`), Uint8Array.of(type), publicKey);
  const body = toBase64(concatBytes(Uint8Array.of(type), publicKey));
  return `${name}+${toHex(sha256(hashed).subarray(0, 4))}+${body}`;
}
const ecdsaSpki = new Uint8Array(
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
    format: "der",
    type: "spki",
  }),
);
const ecdsa = foreignKey("log.example", 2, ecdsaSpki);
const mlDsa = foreignKey("witness.example", 6, new Uint8Array(1312).fill(9));
const log = formatVerifierKey(logKey);
const [w0, w1, w2, w3] = cities.map(({ key }) => formatVerifierKey(key)) as [
  string,
  string,
  string,
  string,
];
const otherLog = formatVerifierKey(
  createVerifierKey({ name: "other", type: 1, publicKey: createTestSigner(99).publicKey }),
);
const parse = (...lines: readonly string[]): TlogPolicy =>
  parseTlogPolicy(utf8(`${lines.join("\n")}\n`));
const four = [`witness a ${w0}`, `witness b ${w1}`, `witness c ${w2}`, `witness d ${w3}`];

describe("a policy", () => {
  test("names logs, witnesses, groups and the quorum, between white space and comments", () => {
    const policy = parse(
      "# our network",
      "\t # indented, with a CJK comment 城市",
      "",
      " \t ",
      `\tlog  ${log}\thttps://log.example/ `,
      ...four.slice(0, 3),
      `witness 大连 ${w3} https://witness.example/`,
      "group two 2 a b",
      "group either any c 大连",
      "group both all two either",
      "quorum both",
    );
    assert.deepEqual(policy.logs, [{ key: logKey, url: "https://log.example/" }]);
    assert.deepEqual(
      policy.witnesses.map(({ name, url }) => [name, url]),
      [
        ["a", undefined],
        ["b", undefined],
        ["c", undefined],
        ["大连", "https://witness.example/"],
      ],
    );
    assert.deepEqual(policy.groups, [
      { name: "two", threshold: 2, members: ["a", "b"] },
      { name: "either", threshold: 1, members: ["c", "大连"] },
      { name: "both", threshold: 2, members: ["two", "either"] },
    ]);
    assert.equal(policy.quorum, "both");
  });
  test("may ask for no witness and name no log", () => {
    assert.deepEqual(parse("quorum none"), {
      logs: [],
      witnesses: [],
      groups: [],
      quorum: undefined,
    });
  });
  test("reads the keys of types that we do not verify", () => {
    const policy = parse(`log ${ecdsa}`, `witness pq ${mlDsa}`, "quorum pq");
    assert.equal(policy.logs[0]?.key.type, 2);
    assert.equal(policy.witnesses[0]?.key.type, 6);
    assert.equal(isVerifiable(parseNoteKey(mlDsa)), false);
    assert.equal(formatNoteKey(parseNoteKey(ecdsa)), ecdsa);
    assert.equal(formatNoteKey(parseNoteKey(mlDsa)), mlDsa);
  });
  test("holds 32 logs, witnesses and groups and more", () => {
    const keys = (type: 1 | 4): string[] =>
      Array.from({ length: 40 }, (_, i) =>
        formatVerifierKey(
          createVerifierKey({ name: `k${i}`, type, publicKey: new Uint8Array(32).fill(i + 1) }),
        ),
      );
    const policy = parse(
      ...keys(1).map((key) => `log ${key}`),
      ...keys(4).map((key, i) => `witness w${i} ${key}`),
      ...Array.from(
        { length: 40 },
        (_, i) => `group g${i} any ${i === 0 ? "" : `g${i - 1} `}w${i}`,
      ),
      "quorum g39",
    );
    assert.deepEqual(
      [policy.logs.length, policy.witnesses.length, policy.groups.length],
      [40, 40, 40],
    );
    assert.equal(isWitnessed(policy, new Set(["w0"])), true);
  });
  test("with more than 256 witnesses is TOO_LARGE", () => {
    const lines = Array.from({ length: 257 }, (_, i) => {
      const publicKey = concatBytes(new Uint8Array(28).fill(1), u32be(i));
      return `witness w${i} ${formatVerifierKey(createVerifierKey({ name: "w", type: 4, publicKey }))}`;
    });
    assert.throws(() => parse(...lines, "quorum w0"), { code: "TOO_LARGE" });
  });
  test("that is not UTF-8 is read one name for each string of octets", () => {
    const bytes = (name: number): Uint8Array =>
      concatBytes(utf8(`witness `), Uint8Array.of(name), utf8(` `));
    const file = concatBytes(
      bytes(0xe9),
      utf8(`${w0}\n`),
      bytes(0xea),
      utf8(`${w1}\nquorum `),
      Uint8Array.of(0xe9, 0x0a),
    );
    const policy = parseTlogPolicy(file);
    assert.deepEqual(
      policy.witnesses.map(({ name }) => name),
      ["é", "ê"],
    );
    assert.equal(policy.quorum, "é");
  });
  test("printed and parsed is the same", () => {
    fc.assert(
      fc.property(anyPolicy(), (policy) => {
        assert.deepEqual(parseTlogPolicy(formatTlogPolicy(policy)), policy);
      }),
    );
  });
  test("that cannot be parsed cannot be printed", () => {
    const policy = parse(...four, "quorum a");
    assert.throws(() => formatTlogPolicy({ ...policy, quorum: "e" }), RangeError);
    assert.throws(
      () => formatTlogPolicy({ ...policy, groups: [{ name: "g", threshold: 2, members: ["a"] }] }),
      RangeError,
    );
  });
});

describe("a policy is MALFORMED, and its line named, with", () => {
  const longer = log.replace("+", "x+");
  const rows: readonly (readonly [string, number, readonly string[]])[] = [
    ["no quorum", 1, [`log ${log}`]],
    ["two quorums", 3, [`witness a ${w0}`, "quorum a", "quorum a"]],
    ["a quorum of two names", 3, [`witness a ${w0}`, `witness b ${w1}`, "quorum a b"]],
    ["a quorum without a name", 1, ["quorum"]],
    ["a quorum that is defined below", 1, ["quorum a", `witness a ${w0}`]],
    ["a quorum that is not defined", 2, [`witness a ${w0}`, "quorum b"]],
    ["an unknown keyword", 1, ["witnesses a", "quorum none"]],
    ["a keyword in capitals", 1, ["Quorum none"]],
    ["a carriage return", 1, ["quorum none\r"]],
    ["a form feed", 1, ["quorum\fnone"]],
    ["DEL in a comment", 1, ["# \u007f", "quorum none"]],
    ["NUL in a comment", 1, ["# \0", "quorum none"]],
    ["a log without a key", 1, ["log", "quorum none"]],
    ["a log with two URLs", 1, [`log ${log} a b`, "quorum none"]],
    ["a log with another key id", 1, [`log ${longer}`, "quorum none"]],
    ["two logs with one key", 2, [`log ${log}`, `log ${log}`, "quorum none"]],
    ["a log with a cosigner's key", 1, [`log ${w0}`, "quorum none"]],
    ["a witness without a key", 1, ["witness a", "quorum none"]],
    ["a witness with two URLs", 1, [`witness a ${w0} x y`, "quorum a"]],
    ["a witness with a log's key", 1, [`witness a ${log}`, "quorum a"]],
    ["a witness with an ECDSA key", 1, [`witness a ${ecdsa}`, "quorum a"]],
    ["two witnesses with one key", 2, [`witness a ${w0}`, `witness b ${w0}`, "quorum a"]],
    ["two witnesses with one name", 2, [`witness a ${w0}`, `witness a ${w1}`, "quorum a"]],
    ["a witness named none", 1, [`witness none ${w0}`, "quorum none"]],
    ["a group named none", 2, [`witness a ${w0}`, "group none any a", "quorum none"]],
    ["a group named like a witness", 2, [`witness a ${w0}`, "group a any a", "quorum a"]],
    ["a group without members", 2, [`witness a ${w0}`, "group g any", "quorum a"]],
    ["a group without a threshold", 2, [`witness a ${w0}`, "group g", "quorum a"]],
    ["a member that is defined below", 1, ["group g any a", `witness a ${w0}`, "quorum g"]],
    ["a group that is its own member", 2, [`witness a ${w0}`, "group g 1 a g", "quorum g"]],
    ["none as a member", 2, [`witness a ${w0}`, "group g any a none", "quorum g"]],
    ["a member twice in a group", 2, [`witness a ${w0}`, "group g any a a", "quorum g"]],
    [
      "a member of two groups",
      3,
      [`witness a ${w0}`, "group g any a", "group h any a", "quorum g"],
    ],
    ["a threshold of 0", 2, [`witness a ${w0}`, "group g 0 a", "quorum g"]],
    ["a threshold above the members", 2, [`witness a ${w0}`, "group g 2 a", "quorum g"]],
    ["a threshold with a leading zero", 2, [`witness a ${w0}`, "group g 01 a", "quorum g"]],
    ["a negative threshold", 2, [`witness a ${w0}`, "group g -1 a", "quorum g"]],
    ["a threshold in hex", 2, [`witness a ${w0}`, "group g 0x1 a", "quorum g"]],
    [
      "a threshold of many digits",
      2,
      [`witness a ${w0}`, `group g ${"9".repeat(40)} a`, "quorum g"],
    ],
  ];
  for (const [what, line, lines] of rows) {
    test(what, () => {
      assert.throws(() => parse(...lines), {
        code: "MALFORMED",
        fields: { line: String(line) },
      });
    });
  }
  test("a last line that does not end", () => {
    assert.throws(() => parseTlogPolicy(utf8("quorum none")), { code: "MALFORMED" });
    assert.throws(() => parseTlogPolicy(new Uint8Array(0)), { code: "MALFORMED" });
  });
  test("an ML-DSA key of another length", () => {
    const key = foreignKey("w", 6, new Uint8Array(1311));
    assert.throws(() => parse(`witness a ${key}`, "quorum a"), { code: "MALFORMED" });
  });
  test("a key of type 0x05", () => {
    const key = foreignKey("w", 5, new Uint8Array(32));
    assert.throws(() => parse(`log ${key}`, "quorum none"), { code: "MALFORMED" });
  });
  test("more than a mebibyte is TOO_LARGE", () => {
    assert.throws(() => parseTlogPolicy(new Uint8Array(1024 * 1024 + 1).fill(0x0a)), {
      code: "TOO_LARGE",
    });
  });
});

describe("a checkpoint under a policy", () => {
  const threeOfFour = parse(`log ${log}`, ...four, "group cities 3 a b c d", "quorum cities");
  test("is valid with its log's signature and a quorum of witnesses", () => {
    const { checkpoint, witnesses } = evaluatePolicy({
      policy: threeOfFour,
      note: cosignedNote(7000, 5000, 6000),
      verify,
    });
    assert.equal(checkpoint.size, 7n);
    assert.deepEqual(witnesses, [
      { name: "a", timeMs: 7000 },
      { name: "b", timeMs: 5000 },
      { name: "c", timeMs: 6000 },
    ]);
  });
  test("is QUORUM_NOT_MET with one witness too few", () => {
    const note = cosignedNote(7000, 5000);
    assert.throws(() => evaluatePolicy({ policy: threeOfFour, note, verify }), {
      code: "QUORUM_NOT_MET",
    });
  });
  test("counts no witness whose time is further ahead than the skew", () => {
    const note = cosignedNote(20_000, 5000, 6000);
    const policy = threeOfFour;
    assert.throws(() => evaluatePolicy({ policy, note, nowMs: 10_000, skewMs: 5000, verify }), {
      code: "QUORUM_NOT_MET",
    });
    evaluatePolicy({ policy, note, nowMs: 15_000, skewMs: 5000, verify });
  });
  test("of a log that the policy does not name is CHECKPOINT_INVALID", () => {
    const policy = parse(`log ${otherLog}`, ...four, "quorum none");
    assert.throws(() => evaluatePolicy({ policy, note: cosignedNote(5000), verify }), {
      code: "CHECKPOINT_INVALID",
    });
  });
  test("of an origin whose key is another is NOTE_SIGNER_UNKNOWN", () => {
    const wrong = createVerifierKey({
      name: origin,
      type: 1,
      publicKey: createTestSigner(99).publicKey,
    });
    const policy = parse(`log ${formatVerifierKey(wrong)}`, "quorum none");
    assert.throws(() => evaluatePolicy({ policy, note: cosignedNote(5000), verify }), {
      code: "NOTE_SIGNER_UNKNOWN",
    });
  });
  test("with a wrong signature of a known witness is SIGNATURE_INVALID, a quorum beside it or not", () => {
    const { text, signatures } = parseNote(cosignedNote(7000, 5000, 6000, 6000));
    const changed = signatures.map((signature, i) =>
      i === 4
        ? { ...signature, signature: signature.signature.map((byte) => byte ^ 1) }
        : signature,
    );
    const note = formatNote({ text, signatures: changed });
    assert.throws(() => evaluatePolicy({ policy: threeOfFour, note, verify }), {
      code: "SIGNATURE_INVALID",
    });
  });
  test("never counts a witness of type 0x06, and ignores its signature", () => {
    const { text, signatures } = parseNote(cosignedNote(7000));
    const pq = parseNoteKey(mlDsa);
    const more = { name: pq.name, keyId: pq.keyId, signature: new Uint8Array(2428) };
    const note = formatNote({ text, signatures: [...signatures, more] });
    const witnesses = [`log ${log}`, `witness a ${w0}`, `witness pq ${mlDsa}`];
    const either = parse(...witnesses, "group g any a pq", "quorum g");
    assert.deepEqual(
      evaluatePolicy({ policy: either, note, verify }).witnesses.map(({ name }) => name),
      ["a"],
    );
    const both = parse(...witnesses, "group g all a pq", "quorum g");
    assert.throws(() => evaluatePolicy({ policy: both, note, verify }), { code: "QUORUM_NOT_MET" });
  });
  test("is witnessed exactly when counting from the quorum down says so", () => {
    fc.assert(
      fc.property(anyPolicy(), fc.infiniteStream(fc.boolean()), (policy, chosen) => {
        const signed = new Set(
          policy.witnesses.map(({ name }) => name).filter(() => chosen.next().value),
        );
        const holds = (name: string): boolean => {
          const group = policy.groups.find((one) => one.name === name);
          if (group === undefined) return signed.has(name);
          return group.members.filter(holds).length >= group.threshold;
        };
        const expected = policy.quorum === undefined || holds(policy.quorum);
        assert.equal(isWitnessed(policy, signed), expected);
      }),
    );
  });
});

/** A policy with up to four witnesses and groups over what is not a member yet. */
function anyPolicy(): fc.Arbitrary<TlogPolicy> {
  const url = fc.constantFrom(undefined, "https://a.example/", "x");
  return fc
    .tuple(
      fc.boolean(),
      url,
      fc.integer({ min: 0, max: 4 }),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 4 }),
      fc.nat(),
    )
    .map(([hasLog, logUrl, count, grouping, pick]) => {
      const witnesses = cities.slice(0, count).map(({ key, city }) => ({ name: city, key }));
      const groups: PolicyGroup[] = [];
      const free = witnesses.map(({ name }) => name);
      for (const [i, [size, threshold]] of grouping.entries()) {
        if (free.length === 0) break;
        const members = free.splice(0, 1 + (size % free.length));
        groups.push({ name: `g${i}`, threshold: 1 + (threshold % members.length), members });
        free.push(`g${i}`);
      }
      const names = [
        undefined,
        ...witnesses.map(({ name }) => name),
        ...groups.map(({ name }) => name),
      ];
      const link = logUrl === undefined ? {} : { url: logUrl };
      return {
        logs: hasLog ? [{ key: logKey, ...link }] : [],
        witnesses,
        groups,
        quorum: names[pick % names.length],
      };
    });
}
