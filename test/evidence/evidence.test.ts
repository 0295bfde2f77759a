import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { collectEvidence, type CollectOptions } from "../../src/evidence/collect.ts";
import {
  type EvidencePackage,
  formatEvidence,
  parseEvidence,
  type ProvenEvidence,
} from "../../src/evidence/package.ts";
import { type EvidenceVerification, verifyEvidence } from "../../src/evidence/verify.ts";
import { AuditLedger, iterate, type TestRecord, writeMethod } from "../audit/audit-ledger.ts";

let audit: AuditLedger;
let receipt: TestRecord;
let evidence: EvidencePackage;

function collect(
  target: CollectOptions["target"],
  more: Partial<CollectOptions> = {},
): Promise<EvidencePackage> {
  const { network, entries } = audit;
  const readEntries = () => iterate(entries);
  return collectEvidence({
    readEntries,
    networkId: network.id,
    verifier: network.verifier,
    target,
    ...more,
  });
}

function verify(
  one: EvidencePackage | string,
  networkId = audit.network.id,
): Promise<EvidenceVerification> {
  const text = typeof one === "string" ? one : formatEvidence(one);
  return verifyEvidence({ text, networkId, verifier: audit.network.verifier });
}

function failure({ valid, steps }: EvidenceVerification): string {
  assert.equal(valid, false);
  const last = steps.at(-1);
  assert.equal(last?.outcome, "failed");
  return `${last?.name} ${last?.reason}`;
}

before(async () => {
  audit = await AuditLedger.create("evidence");
  const read = await audit.read();
  receipt = read.receipt;
  evidence = await collect({ index: receipt.index, position: 0 });
});

describe("an evidence package", () => {
  test("of a receipt verifies with the network id alone, and says what it shows", async () => {
    const result = await verify(evidence);
    assert.deepEqual(
      result.steps.map(({ name, outcome }) => `${name} ${outcome}`),
      [
        "format verified",
        "founding verified",
        "changes absent",
        "checkpoint verified",
        "statements verified",
        "record verified",
        "opened absent",
        "call verified",
        "decision verified",
        "acknowledgement verified",
        "openings absent",
      ],
    );
    assert.equal(result.facts?.address, `${receipt.index}/0`);
    assert.equal(result.facts?.kind, "receipt");
    assert.deepEqual(result.facts?.cities, ["hangzhou", "shenzhen"]);
  });

  test("verifies in the portable verifier too", async () => {
    const options = { text: formatEvidence(evidence), networkId: audit.network.id };
    const result = await verifyEvidence({ ...options, verifier: createNobleVerifier() });
    assert.equal(result.valid, true);
  });

  test("is the same by address and by handle", async () => {
    const { leafHash } = receipt.batch;
    assert.deepEqual(await collect({ leafHash, position: 0 }), evidence);
  });

  test("reads back from its text", () => {
    assert.deepEqual(parseEvidence(formatEvidence(evidence)), evidence);
  });

  test("of a write comes with the record that it follows", async () => {
    const write = audit.call({ method: writeMethod });
    const opened = audit.opened(write);
    await audit.seal(audit.provider, [opened]);
    const written = await audit.seal(audit.provider, [audit.receipt(write, opened)]);
    const collected = await collect({ index: written.index, position: 0 });
    const result = await verify(collected);
    assert.equal(result.valid, true);
    assert.equal(result.steps[6]?.outcome, "verified");
    const { opened: _, ...without } = collected;
    assert.equal(failure(await verify(without)), "opened EVIDENCE_INVALID");
    assert.equal(
      failure(await verify({ ...collected, opened: evidence.record })),
      "opened EVIDENCE_INVALID",
    );
  });

  test("of a refusal verifies", async () => {
    const denied = audit.call({ purpose: "statistics" });
    const refusal = await audit.seal(audit.provider, [audit.refusal(denied)]);
    const result = await verify(await collect({ index: refusal.index, position: 0 }));
    assert.equal(result.valid, true);
    assert.equal(result.facts?.kind, "refusal");
  });

  test("of another network is refused", async () => {
    assert.equal(failure(await verify(evidence, new Uint8Array(32))), "format NETWORK_UNKNOWN");
    const renamed = { ...evidence, network: "00".repeat(32) };
    assert.equal(failure(await verify(renamed, new Uint8Array(32))), "founding NETWORK_UNKNOWN");
  });

  test("is refused for a record that is not final", async () => {
    await assert.rejects(collect({ index: 10_000n, position: 0 }), { code: "RECORD_UNKNOWN" });
  });

  test("with an opening of what was committed to is verified, and with any other refused", async () => {
    const salt = new Uint8Array(32).fill(3);
    const value = utf8("value");
    assert.notEqual(commit({ label: "response", salt, value }).length, 0);
    const forged = { ...evidence, openings: [{ label: "response", salt, value }] };
    assert.equal(failure(await verify(forged)), "openings COMMITMENT_MISMATCH");
  });
});

const lies: readonly (readonly [string, string, (e: EvidencePackage) => EvidencePackage])[] = [
  ["without statements", "founding EVIDENCE_INVALID", (e) => ({ ...e, statements: [] })],
  [
    "without the provider's gateway",
    "record KEY_UNKNOWN",
    (e) => ({ ...e, statements: e.statements.filter(({ position }) => position !== 2) }),
  ],
  [
    "without an agency that signs for its gateway",
    "statements TOKEN_KEY_UNKNOWN",
    (e) => ({ ...e, statements: e.statements.filter(({ position }) => position !== 1) }),
  ],
  [
    "without the grant",
    "decision EVIDENCE_INVALID",
    (e) => ({ ...e, statements: e.statements.slice(0, -1) }),
  ],
  [
    "with statements in another order",
    "statements EVIDENCE_INVALID",
    (e) => ({
      ...e,
      statements: [...e.statements.slice(0, -2), ...e.statements.slice(-2).reverse()],
    }),
  ],
  [
    "whose acknowledgement is another record",
    "acknowledgement ACKNOWLEDGEMENT_INVALID",
    (e) => ({ ...e, acknowledgement: e.record }),
  ],
];

describe("a package", () => {
  for (const [name, reason, lie] of lies) {
    test(`${name} is refused ${reason}`, async () => {
      assert.equal(failure(await verify(lie(evidence))), reason);
    });
  }
});

const parts: readonly (keyof ProvenEvidence & ("record" | "leaf" | "proof"))[] = [
  "record",
  "leaf",
  "proof",
];

/** Every bit of short parts, and bits spread over long ones. */
function* flips(bytes: Uint8Array, bitsMax: number): Generator<Uint8Array> {
  const step = Math.max(1, Math.floor((bytes.length * 8) / bitsMax));
  for (let bit = 0; bit < bytes.length * 8; bit += step) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    yield flipped;
  }
}

describe("a single changed bit is refused", () => {
  const places: readonly (readonly [
    string,
    (e: EvidencePackage, p: ProvenEvidence) => EvidencePackage,
    (e: EvidencePackage) => ProvenEvidence,
  ])[] = [
    ["record", (e, record) => ({ ...e, record }), (e) => e.record],
    [
      "acknowledgement",
      (e, acknowledgement) => ({ ...e, acknowledgement }),
      (e) => e.acknowledgement as ProvenEvidence,
    ],
    [
      "founding document",
      (e, first) => ({ ...e, statements: [first, ...e.statements.slice(1)] }),
      (e) => e.statements[0] as ProvenEvidence,
    ],
    [
      "grant",
      (e, last) => ({ ...e, statements: [...e.statements.slice(0, -1), last] }),
      (e) => e.statements.at(-1) as ProvenEvidence,
    ],
  ];
  for (const [name, put, take] of places) {
    for (const part of parts) {
      test(`in the ${part} of the ${name}`, async () => {
        const proven = take(evidence);
        for (const flipped of flips(proven[part], 29)) {
          const result = await verify(put(evidence, { ...proven, [part]: flipped }));
          assert.equal(result.valid, false);
        }
      });
    }
    test(`in the path of the ${name}`, async () => {
      const proven = take(evidence);
      for (const [at, hash] of proven.path.entries()) {
        for (const flipped of flips(hash, 5)) {
          const path = proven.path.with(at, flipped);
          assert.equal((await verify(put(evidence, { ...proven, path }))).valid, false);
        }
      }
      const position = proven.position + 1;
      assert.equal((await verify(put(evidence, { ...proven, position }))).valid, false);
    });
  }

  test("in the text of the package, any character", async () => {
    const text = formatEvidence(evidence);
    for (let at = 0; at < text.length; at += Math.ceil(text.length / 61)) {
      const changed = String.fromCharCode(text.charCodeAt(at) ^ 1);
      assert.equal((await verify(text.slice(0, at) + changed + text.slice(at + 1))).valid, false);
    }
  });
});
