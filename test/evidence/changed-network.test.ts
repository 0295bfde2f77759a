/** Packages of a network whose cities, keys, quorum and sequencer are no longer those of its founding. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { formatKey } from "../../src/credential/key-text.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { collectEvidence } from "../../src/evidence/collect.ts";
import {
  type EvidencePackage,
  formatEvidence,
  parseEvidence,
  type ProvenEvidence,
} from "../../src/evidence/package.ts";
import { type EvidenceVerification, verifyEvidence } from "../../src/evidence/verify.ts";
import { type AuditLedger, iterate, type TestRecord } from "../audit/audit-ledger.ts";
import { admit, type ChangedLedger, changedLedger, fourCities } from "../audit/changing-ledger.ts";
import { statusRecord } from "../support/ledger.ts";
import { createTestAgency, sayAgency, sayGateway } from "../support/network.ts";

let changed: ChangedLedger;
let receipt: TestRecord;
let evidence: EvidencePackage;

function collect(audit: AuditLedger, index: bigint): Promise<EvidencePackage> {
  return collectEvidence({
    readEntries: () => iterate(audit.entries),
    networkId: audit.network.id,
    verifier: audit.network.verifier,
    target: { index, position: 0 },
  });
}

function verify(one: EvidencePackage): Promise<EvidenceVerification> {
  const { id: networkId, verifier } = changed.audit.network;
  return verifyEvidence({ text: formatEvidence(one), networkId, verifier });
}

function failure({ valid, steps }: EvidenceVerification): string {
  assert.equal(valid, false);
  const last = steps.at(-1);
  assert.equal(last?.outcome, "failed");
  return `${last?.name} ${last?.reason}`;
}

before(async () => {
  changed = await changedLedger("changed evidence");
  ({ receipt } = await changed.audit.read());
  evidence = await collect(changed.audit, receipt.index);
});

describe("an evidence package of a changed network", () => {
  test("verifies with the network id alone and says how the cities changed", async () => {
    const result = await verify(evidence);
    assert.equal(result.steps.at(-1)?.reason, undefined);
    assert.equal(result.valid, true);
    const step = result.steps.find(({ name }) => name === "changes");
    assert.equal(step?.outcome, "verified");
    // Candidacy, three votes, four votes, rotation, witness, three votes on the sequencer.
    assert.equal(step.detail, "13 statements of cities, final by 5 checkpoints of their own");
    assert.deepEqual(result.facts?.cities, ["hangzhou", "jinan", "nanchang", "shenzhen"]);
    assert.ok(result.notShown.some((text) => text.includes("later change of the cities")));
  });

  test("verifies in the portable verifier too", async () => {
    const options = { text: formatEvidence(evidence), networkId: changed.audit.network.id };
    assert.equal(
      (await verifyEvidence({ ...options, verifier: createNobleVerifier() })).valid,
      true,
    );
  });

  test("reads back from its text", () => {
    assert.deepEqual(parseEvidence(formatEvidence(evidence)), evidence);
  });

  test("of a record from before the changes verifies under the cities of now", async () => {
    const result = await verify(await collect(changed.audit, 6n));
    assert.equal(result.valid, true);
    assert.equal(result.facts?.kind, "acknowledgement");
  });

  test("without its changes is not under a checkpoint that the founding cities made", async () => {
    const { changes: _, ...without } = evidence;
    assert.equal(failure(await verify(without)), "checkpoint CHECKPOINT_INVALID");
  });
});

test("a package that hides a new key is believed as far as a quorum of the others cosigned, and says so", async () => {
  const changes = (evidence.changes as Changes).toSpliced(3, 1);
  const result = await verify({ ...evidence, changes });
  assert.equal(result.valid, true);
  assert.deepEqual(result.facts?.cities, ["hangzhou", "jinan", "nanchang"]);
  assert.ok(result.notShown.some((text) => text.includes("was left out")));
});

describe("a record under keys that the founding did not know", () => {
  test("of an agency that an admitted city admitted verifies from the founding on", async () => {
    const audit = await fourCities("new agency");
    const candidate = await admit(audit);
    const agency = createTestAgency(audit.network, "nanchang/tax");
    const { gateway } = agency;
    await audit.govern(audit.provider, [sayAgency(audit.network, candidate, agency)]);
    await audit.govern(audit.provider, [sayGateway(audit.network, agency, gateway)]);
    const { index } = await audit.seal(gateway, [statusRecord()]);
    const one = await collect(audit, index);
    const { id: networkId, verifier } = audit.network;
    const result = await verifyEvidence({ text: formatEvidence(one), networkId, verifier });
    assert.equal(result.valid, true, result.steps.at(-1)?.detail);
    assert.equal(result.facts?.gateway, gateway.id);
    const { changes: _, ...without } = one;
    const foreign = await verifyEvidence({ text: formatEvidence(without), networkId, verifier });
    assert.equal(failure(foreign), "statements TOKEN_KEY_UNKNOWN");
  });

  test("of a gateway whose batch key was replaced verifies on both sides of the change", async () => {
    const audit = await fourCities("new batch key");
    const { network, consumer } = audit;
    const before = await audit.seal(consumer, [statusRecord()]);
    const batch = network.signer("another batch key");
    const renewed = {
      ...consumer,
      batch,
      body: { ...consumer.body, batch: formatKey(batch.publicKey) },
    };
    await audit.govern(audit.provider, [sayGateway(network, network.consumer, renewed)]);
    const after = await audit.seal(renewed, [statusRecord(1)]);
    const { id: networkId, verifier } = network;
    for (const { index } of [before, after]) {
      const text = formatEvidence(await collect(audit, index));
      const result = await verifyEvidence({ text, networkId, verifier });
      assert.equal(result.valid, true, result.steps.at(-1)?.detail);
    }
    assert.deepEqual((await audit.replay()).findings, []);
  });
});

type Changes = readonly (readonly ProvenEvidence[])[];

const lies: readonly (readonly [string, string, (changes: Changes) => Changes])[] = [
  [
    "without one vote of an admission",
    "changes TOKEN_KEY_UNKNOWN",
    (c) => c.with(0, without(c[0], 1)),
  ],
  ["without a candidacy", "changes MEMBER_UNKNOWN", (c) => c.with(0, without(c[0], 0))],
  ["without an admission", "changes TOKEN_KEY_UNKNOWN", (c) => c.slice(1)],
  ["without a rotation", "changes TOKEN_KEY_UNKNOWN", (c) => c.toSpliced(2, 1)],
  [
    "without one vote on a sequencer",
    "changes VOTES_MISSING",
    (c) => c.with(-1, without(c.at(-1), 0)),
  ],
  ["without an appointment", "checkpoint CHECKPOINT_INVALID", (c) => c.slice(0, -1)],
  [
    "with changes in another order",
    "changes EVIDENCE_INVALID",
    (c) => c.with(0, swapped(c[0] as readonly ProvenEvidence[])),
  ],
  [
    "with a change that the checkpoint before covers already",
    "changes EVIDENCE_INVALID",
    (c) => [c[0]?.slice(0, -1) ?? [], c[0]?.slice(-1) ?? [], ...c.slice(1)],
  ],
  [
    "with a change under another checkpoint",
    "changes EVIDENCE_INVALID",
    (c) => [[...(c[0] as ProvenEvidence[]), ...(c[1] as ProvenEvidence[])], ...c.slice(2)],
  ],
];

function without(list: readonly ProvenEvidence[] | undefined, at: number): ProvenEvidence[] {
  return (list as readonly ProvenEvidence[]).toSpliced(at, 1);
}

/** The last two in the other order. */
function swapped(list: readonly ProvenEvidence[]): ProvenEvidence[] {
  return [...list.slice(0, -2), ...list.slice(-2).toReversed()];
}

describe("a package of a changed network", () => {
  for (const [name, reason, lie] of lies) {
    test(`${name} is refused ${reason}`, async () => {
      const changes = lie(evidence.changes as Changes);
      assert.equal(failure(await verify({ ...evidence, changes })), reason);
    });
  }

  test("with a changed bit in any part of a change is refused", async () => {
    const changes = evidence.changes as Changes;
    for (const [i, list] of changes.entries()) {
      for (const [j, proven] of list.entries()) {
        for (const part of ["record", "leaf", "proof"] as const) {
          const flipped = proven[part].slice();
          const at = Math.floor(flipped.length / 2);
          flipped[at] = (flipped[at] as number) ^ 4;
          const lie = changes.with(i, list.with(j, { ...proven, [part]: flipped }));
          assert.equal(
            (await verify({ ...evidence, changes: lie })).valid,
            false,
            `${i} ${j} ${part}`,
          );
        }
      }
    }
  });
});
