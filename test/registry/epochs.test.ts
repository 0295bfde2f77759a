import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { EpochBody } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { equivocationKind } from "../../src/registry/equivocation.ts";
import { isVerifiedFor, verifyBatch } from "../../src/registry/verify-batch.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import {
  createTestNetwork,
  type SignedStatement,
  type TestAgency,
  type TestGateway,
} from "../support/network.ts";
import { sayCity, sayOfAgency, signedHead } from "../support/statements.ts";
import { outcomeOf, reasonsOf, resultsOf } from "./support.ts";

const network = createTestNetwork();
const { gateway } = network.provider;
const other = network.consumer.gateway;
const base = await TestLedger.founded(network);
await base.appendEvidence(gateway);
const tip = base.state.chains.get(gateway.id);
assert.ok(tip);

const epoch = (
  body: Partial<EpochBody> = {},
  { agency = network.provider, by }: { readonly agency?: TestAgency; readonly by?: Signer } = {},
): SignedStatement =>
  sayOfAgency(
    network,
    "epoch",
    agency,
    {
      sub: gateway.id,
      body: {
        epoch: 3,
        last: { epoch: 0, seq: 1, leaf: toHex(tip.leafHash) },
        reason: "disk-lost",
        lost_from: 1,
        lost_to: 2,
        ...body,
      },
    },
    by,
  );

const opening = { epoch: 3n, seq: 0n };

describe("a later epoch", () => {
  test("begins with the authority's statement that names the chain's last leaf", async () => {
    const ledger = base.fork();
    const opened = await ledger.append(gateway, [epoch().record, epochless()], opening);
    assert.deepEqual(resultsOf(opened)[0], `EPOCH_OPENED ${gateway.id}`);
    const { epoch: number, seq } = ledger.state.chains.get(gateway.id) ?? {};
    assert.deepEqual([number, seq], [3n, 0n]);
    await ledger.appendEvidence(gateway);
    assert.deepEqual(ledger.state.chains.get(gateway.id)?.seq, 1n);
  });

  const rejections: readonly (readonly [string, () => CreatedBatch, ReasonCode])[] = [
    ["without a statement", () => seal([epochless()]), "CHAIN_GAP"],
    [
      "of evidence",
      () => base.seal(gateway, [statusRecord()], { kind: "evidence", ...opening }),
      "CHAIN_GAP",
    ],
    ["that begins with a report", () => seal([reported(held.leaf, held.leaf)]), "CHAIN_GAP"],
    ["whose statement stands second", () => seal([epochless(), epoch().record]), "CHAIN_GAP"],
    ["of another number than stated", () => seal([epoch({ epoch: 4 }).record]), "CHAIN_GAP"],
    [
      "after another leaf than the newest",
      () => seal([epoch({ last: { epoch: 0, seq: 0, leaf: toHex(tip.leafHash) } }).record]),
      "CHAIN_GAP",
    ],
    [
      "after another leaf at that place",
      () => seal([epoch({ last: { epoch: 0, seq: 1, leaf: "ab".repeat(32) } }).record]),
      "CHAIN_GAP",
    ],
    [
      "with another seq than 0",
      () => base.seal(gateway, [epoch().record], { epoch: 3n, seq: 1n }),
      "CHAIN_GAP",
    ],
    [
      "that does not name the newest leaf before it",
      () => base.seal(gateway, [epoch().record], { ...opening, prev: new Uint8Array(32) }),
      "CHAIN_FORK",
    ],
    [
      "stated by an administrator",
      () => seal([epoch({}, { by: network.provider.administrator }).record]),
      "SIGNER_NOT_ALLOWED",
    ],
    [
      "stated by another agency",
      () => seal([epoch({}, { agency: network.consumer }).record]),
      "SIGNER_NOT_ALLOWED",
    ],
    [
      "under a statement with a wrong signature",
      () => {
        const forger = {
          ...network.consumer.authority,
          publicKey: network.provider.authority.publicKey,
        };
        return seal([epoch({}, { by: forger }).record]);
      },
      "TOKEN_SIGNATURE_INVALID",
    ],
  ];
  const seal = (records: readonly Uint8Array[]): CreatedBatch =>
    base.seal(gateway, records, opening);
  for (const [what, batch, reason] of rejections) {
    test(`${what} is rejected ${reason}`, async () => {
      assert.deepEqual(await base.judge(batch()), { kind: "rejected", reason });
    });
  }

  test("is rejected with the reason for which its statement is void", async () => {
    const ledger = base.fork();
    const statement = epoch();
    await ledger.append(gateway, [statement.record], opening);
    const newest = ledger.state.chains.get(gateway.id);
    assert.ok(newest);
    const drained = ledger.fork();
    await drained.append(other, [
      sayOfAgency(network, "suspension", network.provider, {
        sub: gateway.id,
        body: { what: "gateway", reason: "inquiry" },
      }),
    ]);
    const last = { epoch: 3, seq: 0, leaf: toHex(newest.leafHash) };
    const again = drained.seal(gateway, [epoch({ epoch: 4, last }).record], { epoch: 4n, seq: 0n });
    assert.deepEqual(await drained.judge(again), { kind: "rejected", reason: "MEMBER_NOT_ACTIVE" });
    assert.equal((await ledger.judge(again)).kind, "rejected");
  });

  test("is opened by no statement that stands elsewhere", async () => {
    const ledger = base.fork();
    for (const carrier of [gateway, other]) {
      const included = await ledger.append(carrier, [epoch()]);
      assert.deepEqual(reasonsOf(included), ["CHAIN_GAP"]);
    }
  });
});

/** A governance record that is void wherever it stands. */
function epochless(): Uint8Array {
  return sayCity(network, "vote", network.cities[0] as (typeof network.cities)[number], {
    sub: network.idHex,
    body: { on: "rules", version: 1 },
  }).record;
}

function reported(first: Uint8Array, second: Uint8Array): Uint8Array {
  const proof = { case: "headers", value: { firstLeaf: first, secondLeaf: second } } as const;
  return encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
}

function reportedNotes(firstNote: Uint8Array, secondNote: Uint8Array): Uint8Array {
  const proof = { case: "checkpoints", value: { firstNote, secondNote } } as const;
  return encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
}

const place = { epoch: 0n, seq: 1n, kind: "evidence", prev: new Uint8Array(32) } as const;
const fork = (openAttempts: number, change = {}, of: TestGateway = gateway): CreatedBatch =>
  base.seal(of, [statusRecord(openAttempts)], { ...place, ...change });
const held = base.batches[1] as CreatedBatch;

async function outcome(record: Uint8Array, ledger = base): Promise<string> {
  const included = await ledger.fork().append(other, [record]);
  return outcomeOf(included);
}

describe("two leaves for one place", () => {
  for (const [what, second] of [
    ["of one process start", fork(7)],
    ["of two process starts", fork(7, { boot: new Uint8Array(16).fill(9) })],
  ] as const) {
    test(`${what} freeze the chain until a new epoch`, async () => {
      const ledger = base.fork();
      const included = await ledger.append(other, [reported(held.leaf, second.leaf)]);
      assert.deepEqual(resultsOf(included), [`CHAIN_FROZEN ${gateway.id}`]);
      const next = ledger.seal(gateway, [statusRecord()], { kind: "evidence" });
      assert.deepEqual(await ledger.judge(next), { kind: "rejected", reason: "CHAIN_FROZEN" });
      assert.deepEqual(await ledger.judge(held), { kind: "rejected", reason: "BATCH_KNOWN" });
      await ledger.append(gateway, [epoch()], opening);
      await ledger.appendEvidence(gateway);
      assert.equal(ledger.state.chainStops.size, 0);
      assert.equal(await outcome(reported(held.leaf, second.leaf), ledger), "ALREADY_TAKEN");
    });
  }

  test("are told apart by the process starts", () => {
    assert.equal(equivocationKind(held.header, fork(7).header), "equivocation");
    const restored = fork(7, { boot: new Uint8Array(16).fill(9) });
    assert.equal(equivocationKind(held.header, restored.header), "rollback");
  });

  test("freeze it also when neither is indexed, and once", async () => {
    const ledger = base.fork();
    const pair = reported(fork(1, { seq: 8n }).leaf, fork(2, { seq: 8n }).leaf);
    await ledger.append(other, [pair]);
    assert.deepEqual(ledger.state.chainStops.get(gateway.id), {
      endings: [],
      frozen: { index: 2n, position: 0 },
    });
    assert.equal(await outcome(reported(held.leaf, fork(7).leaf), ledger), "ALREADY_TAKEN");
  });

  const strange = network.signer("strange");
  for (const [what, record, reason] of [
    ["that are one", reported(held.leaf, held.leaf), "EQUIVOCATION_UNPROVED"],
    ["at two places", reported(held.leaf, fork(1, { seq: 2n }).leaf), "EQUIVOCATION_UNPROVED"],
    ["of two gateways", reported(held.leaf, fork(1, {}, other).leaf), "EQUIVOCATION_UNPROVED"],
    ["under an unknown key", reported(held.leaf, fork(1, { signer: strange }).leaf), "KEY_UNKNOWN"],
    [
      "of an unknown gateway",
      reported(
        fork(1, { gateway: "hangzhou/x/y" }).leaf,
        fork(2, { gateway: "hangzhou/x/y" }).leaf,
      ),
      "GATEWAY_UNKNOWN",
    ],
    [
      "of another network",
      reported(
        fork(1, { network: new Uint8Array(32) }).leaf,
        fork(2, { network: new Uint8Array(32) }).leaf,
      ),
      "NETWORK_UNKNOWN",
    ],
    [
      "with a wrong signature",
      reported(
        held.leaf,
        fork(7).leaf.map((byte, i) => (i === 20 ? byte ^ 1 : byte)),
      ),
      "SIGNATURE_INVALID",
    ],
    ["that are none", reported(new Uint8Array(80), new Uint8Array(81)), "MALFORMED"],
    [
      "of an epoch that is not open",
      reported(fork(1, { epoch: 9n }).leaf, fork(2, { epoch: 9n }).leaf),
      "CHAIN_GAP",
    ],
    [
      "of a chain that has no leaf yet",
      reported(fork(1, { seq: 0n }, other).leaf, fork(2, { seq: 0n }, other).leaf),
      "CHAIN_GAP",
    ],
  ] as const) {
    test(`${what} are void ${reason}`, async () => {
      const included = await base.fork().append(gateway, [record]);
      assert.equal(reasonsOf(included)[0], reason);
    });
  }

  test("under a key whose chain has ended prove nothing against the gateway", async () => {
    const ledger = base.fork();
    await ledger.append(other, [
      sayOfAgency(network, "suspension", network.provider, {
        sub: gateway.id,
        body: {
          what: "gateway",
          reason: "retired",
          last: { epoch: 0, seq: 1, leaf: toHex(tip.leafHash) },
        },
      }),
    ]);
    const pair = reported(fork(1, { seq: 8n }).leaf, fork(2, { seq: 8n }).leaf);
    assert.equal(await outcome(pair, ledger), "CHAIN_ENDED");
  });

  test("of a gateway that was not known are verified again when it is", async () => {
    const ledger = base.fork();
    const batch = ledger.seal(other, [
      reported(fork(1, { signer: strange }).leaf, fork(2, { signer: strange }).leaf),
    ]);
    const early = await verifyBatch(ledger.state, batch, network.verifier);
    assert.ok(early.kind === "verified");
    await ledger.appendEvidence(gateway);
    assert.equal(isVerifiedFor(early, ledger.state), false);
  });

  test("verified with more leaves than the registry has are verified again", async () => {
    const ledger = base.fork();
    await ledger.appendEvidence(gateway);
    const batch = ledger.seal(other, [reported(held.leaf, fork(7).leaf)]);
    const late = await verifyBatch(ledger.state, batch, network.verifier);
    assert.ok(late.kind === "verified");
    assert.equal(isVerifiedFor(late, base.state), false);
  });
});

describe("two trees of one size", () => {
  const root = new Uint8Array(32);
  const note = (fill: number, size = 5n, more = {}): Uint8Array =>
    signedHead(network, { size, root: root.map(() => fill) }, more);

  test("of one origin are on the ledger, and name the log", async () => {
    const said = `LOG_EQUIVOCATED causeway/${network.idHex}/0`;
    assert.equal(await outcome(reportedNotes(note(1), note(2))), said);
  });

  for (const [what, record, reason] of [
    ["that are one", reportedNotes(note(1), note(1)), "EQUIVOCATION_UNPROVED"],
    ["of two sizes", reportedNotes(note(1), note(2, 6n)), "EQUIVOCATION_UNPROVED"],
    [
      "of a term that nobody opened",
      reportedNotes(note(1), note(2, 5n, { term: 1n })),
      "NOTE_SIGNER_UNKNOWN",
    ],
    [
      "that another key signed",
      reportedNotes(note(1), note(2, 5n, { log: network.signer("x") })),
      "NOTE_SIGNER_UNKNOWN",
    ],
    ["that are no notes", reportedNotes(new Uint8Array(3), note(1)), "NOTE_INVALID"],
  ] as const) {
    test(`${what} are void ${reason}`, async () => {
      assert.equal(await outcome(record), reason);
    });
  }
});
