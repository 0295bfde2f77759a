/** What a failed re-check names, and that an honest one is never convicted for it. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import type { AttemptRecord } from "../../src/audit/attempt.ts";
import { FinalSizes } from "../../src/audit/final-sizes.ts";
import { Rechecks } from "../../src/audit/rechecks.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { FactSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord, recordHash } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import type { SignedStatement } from "../support/network.ts";
import { divisions, sayCity, sayOfAgency, sayRevocation } from "../support/statements.ts";
import { AuditLedger, type TestCall, writeMethod } from "./audit-ledger.ts";
import { newEpoch } from "./new-epoch.ts";

let base: AuditLedger;

before(async () => {
  base = await AuditLedger.create("rechecks");
});

type FactName = NonNullable<MessageInitShape<typeof FactSchema>["name"]>;

function at(index: bigint, position = 0): FactName {
  return { case: "address", value: { index, position } };
}

function of(record: Uint8Array): FactName {
  return { case: "record", value: { hash: recordHash(record) } };
}

interface Write {
  readonly call: TestCall;
  readonly opened: Uint8Array;
}

async function open(audit: AuditLedger): Promise<Write> {
  const call = audit.call({ method: writeMethod });
  const opened = audit.opened(call);
  await audit.seal(audit.provider, [opened]);
  return { call, opened };
}

interface Named {
  readonly reason: ReasonCode;
  readonly fact: FactName;
  readonly outcome?: "revoked" | "stale";
  readonly seenSize?: bigint;
}

/** The provider closes what it has opened, for what it names; the consumer answers unless its chain is stopped. */
async function revoke(
  audit: AuditLedger,
  { call, opened }: Write,
  { reason, fact: name, outcome = "revoked", seenSize = audit.ledger.size }: Named,
): Promise<() => Promise<unknown>> {
  const recheck = { reason, seenSize, fact: create(FactSchema, { name }) };
  const { decision } = call;
  const closed = audit.closed(call, opened, { outcome, reason, decision, recheck });
  const refusal = await audit.seal(audit.provider, [closed], { seenSize });
  return () => audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
}

/** The codes of all findings once everything young is old. */
async function findings(audit: AuditLedger): Promise<readonly string[]> {
  audit.ledger.nowMs += 3_600_000;
  await audit.seal(audit.provider, [statusRecord()]);
  await audit.seal(audit.provider, [statusRecord()]);
  return (await audit.replay()).findings.map(({ code }) => code);
}

/** A proof against the consumer's chain. */
async function contradiction(audit: AuditLedger): Promise<Uint8Array> {
  const other = audit.ledger.seal(audit.consumer, [statusRecord(1)], { kind: "evidence" });
  const { batch } = await audit.seal(audit.consumer, [statusRecord(2)]);
  const value = {
    proof: {
      case: "headers" as const,
      value: { firstLeaf: other.leaf, secondLeaf: batch.leaf },
    },
  };
  return encodeRecord(create(RecordSchema, { body: { case: "equivocationReported", value } }));
}

describe("a failed re-check that names what froze a chain", () => {
  async function frozen(): Promise<{
    readonly audit: AuditLedger;
    readonly write: Write;
    readonly proof: Uint8Array;
    readonly index: bigint;
  }> {
    const audit = base.fork();
    const write = await open(audit);
    const proof = await contradiction(audit);
    const { index } = await audit.govern(audit.provider, [proof]);
    return { audit, write, proof, index };
  }

  for (const by of ["address", "record"] as const) {
    it(`by its ${by} stands`, async () => {
      const { audit, write, proof, index } = await frozen();
      const fact = by === "address" ? at(index) : of(proof);
      const seenSize = by === "address" ? audit.ledger.size : index;
      const answer = await revoke(audit, write, { reason: "CHAIN_FROZEN", fact, seenSize });
      await newEpoch(audit);
      await answer();
      assert.deepEqual(await findings(audit), ["EQUIVOCATION"]);
    });
  }

  it("stands when another proof was included before it", async () => {
    const { audit, write, index } = await frozen();
    const again = await contradictionOf(audit);
    const answer = await revoke(audit, write, {
      reason: "CHAIN_FROZEN",
      fact: of(again),
      seenSize: index,
    });
    await audit.govern(audit.provider, [again]);
    await newEpoch(audit);
    await answer();
    const codes = await findings(audit);
    assert.ok(!codes.includes("RECHECK_UNFOUNDED"), codes.join());
  });

  it("is unfounded when a new epoch was seen behind it", async () => {
    const { audit, write, index } = await frozen();
    await newEpoch(audit);
    const answer = await revoke(audit, write, { reason: "CHAIN_FROZEN", fact: at(index) });
    await answer();
    assert.deepEqual(await findings(audit), ["EQUIVOCATION", "RECHECK_UNFOUNDED"]);
  });

  it("stands when the new epoch behind it was not seen", async () => {
    const { audit, write, index } = await frozen();
    const epoch = await newEpoch(audit);
    const named = { reason: "CHAIN_FROZEN", fact: at(index), seenSize: epoch } as const;
    await (await revoke(audit, write, named))();
    assert.deepEqual(await findings(audit), ["EQUIVOCATION"]);
  });

  it("is unfounded when nothing has frozen a chain of the call", async () => {
    const audit = base.fork();
    const write = await open(audit);
    const fact = at(audit.grant.index);
    await (await revoke(audit, write, { reason: "CHAIN_FROZEN", fact }))();
    assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
  });
});

/** The same two leaves the other way round: another record of the same fact. */
async function contradictionOf(audit: AuditLedger): Promise<Uint8Array> {
  const tip = audit.ledger.batches.findLast(({ header }) => header.gateway === audit.consumer.id);
  assert.ok(tip !== undefined);
  const { epoch, seq, prev } = tip.header;
  const place = { kind: "evidence", epoch, seq, prev } as const;
  const other = audit.ledger.seal(audit.consumer, [statusRecord(3)], place);
  const value = {
    proof: {
      case: "headers" as const,
      value: { firstLeaf: tip.leaf, secondLeaf: other.leaf },
    },
  };
  return encodeRecord(create(RecordSchema, { body: { case: "equivocationReported", value } }));
}

describe("a failed re-check that names what suspended", () => {
  type Suspends = (audit: AuditLedger) => SignedStatement;
  const subjects: readonly (readonly [string, ReasonCode, Suspends])[] = [
    [
      "the consumer's gateway",
      "MEMBER_NOT_ACTIVE",
      ({ network, consumer }) =>
        sayOfAgency(network, "suspension", network.consumer, {
          sub: consumer.id,
          body: { what: "gateway", reason: "under-inquiry" },
        }),
    ],
    [
      "the service",
      "SERVICE_UNKNOWN",
      ({ network }) =>
        sayOfAgency(network, "suspension", network.provider, {
          sub: divisions(network),
          body: { what: "service", reason: "under-inquiry" },
        }),
    ],
    [
      "the consumer's agency",
      "MEMBER_NOT_ACTIVE",
      ({ network }) => {
        const { consumer, cities } = network;
        const city = cities.find(({ id }) => consumer.id.startsWith(`${id}/`));
        assert.ok(city !== undefined);
        return sayCity(network, "suspension", city, {
          sub: consumer.id,
          body: { what: "agency", reason: "under-inquiry" },
        });
      },
    ],
  ];

  for (const [name, reason, suspends] of subjects) {
    it(`${name} stands, by its address and by its record`, async () => {
      const audit = base.fork();
      const writes = [await open(audit), await open(audit)] as const;
      const early = audit.ledger.size;
      const suspension = suspends(audit);
      const { index } = await audit.govern(audit.provider, [suspension]);
      const byRecord = { reason, fact: of(suspension.record), seenSize: early };
      await (await revoke(audit, writes[0], byRecord))();
      await (await revoke(audit, writes[1], { reason, fact: at(index) }))();
      assert.deepEqual(await findings(audit), []);
    });

    it(`${name} is unfounded when it names a fact that stands`, async () => {
      const audit = base.fork();
      const write = await open(audit);
      await (await revoke(audit, write, { reason, fact: at(1n) }))();
      assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
    });
  }

  it("is unfounded when it is of somebody else", async () => {
    const audit = base.fork();
    const write = await open(audit);
    const published = audit.ledger.batches[1]?.records[0] as Uint8Array;
    const named = { reason: "MEMBER_NOT_ACTIVE", fact: of(published) } as const;
    await (await revoke(audit, write, named))();
    assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
  });
});

describe("a failed re-check that names a revocation", () => {
  it("stands when another one of the same grant was included before it", async () => {
    const audit = base.fork();
    const write = await open(audit);
    const [first, second] = [0, 1].map(() => sayRevocation(audit.network, audit.grantSaid));
    assert.ok(first !== undefined && second !== undefined);
    const fact = of(second.record);
    await (await revoke(audit, write, { reason: "GRANT_REVOKED", fact }))();
    await audit.govern(audit.consumer, [first]);
    await audit.govern(audit.provider, [second]);
    assert.deepEqual(await findings(audit), []);
  });

  it("is unfounded when it is of another grant, or of none", async () => {
    for (const hash of [sha256(utf8("nobody's")), undefined]) {
      const audit = base.fork();
      const write = await open(audit);
      const fact: FactName =
        hash === undefined ? at(audit.grant.index) : { case: "record", value: { hash } };
      await (await revoke(audit, write, { reason: "GRANT_REVOKED", fact }))();
      assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
    }
  });
});

describe("a failed re-check that says the grant has expired", () => {
  it("is unfounded before its end, and stands from it on", async () => {
    for (const afterMs of [-1000, 0]) {
      const audit = base.fork();
      audit.ledger.nowMs = (audit.grantSaid.claims.exp as number) * 1000 - 5000;
      await audit.seal(audit.provider, [statusRecord()]);
      const write = await open(audit);
      audit.ledger.nowMs = (audit.grantSaid.claims.exp as number) * 1000 + afterMs;
      const fact = at(audit.grant.index);
      await (await revoke(audit, write, { reason: "GRANT_EXPIRED", fact }))();
      assert.deepEqual(await findings(audit), afterMs < 0 ? ["RECHECK_UNFOUNDED"] : []);
    }
  });
});

describe("a failed re-check that says the replica was too old", () => {
  /** Milliseconds from the first final time of what it has seen to its seal. */
  async function stale(afterMs: number, fact?: FactName): Promise<readonly string[]> {
    const audit = base.fork();
    const write = await open(audit);
    audit.ledger.nowMs += afterMs;
    const named = { reason: "STALE_REPLICA", outcome: "stale" } as const;
    await (await revoke(audit, write, { ...named, fact: fact ?? at(audit.grant.index) }))();
    return findings(audit);
  }

  it("stands from the time on at which it may have been, give or take the clocks", async () => {
    const { body } = base.ledger.state.services.get(base.serviceId)?.at(-1) ?? {};
    const skewMs = (base.ledger.state.network?.bounds.skew_s ?? 0) * 1000;
    const leastMs = (body?.max_staleness_s ?? 0) * 1000 - skewMs;
    assert.ok(skewMs > 0 && leastMs > skewMs);
    assert.deepEqual(await stale(leastMs), ["RECHECK_UNFOUNDED"]);
    assert.deepEqual(await stale(leastMs + 1), []);
  });

  it("is unfounded when it names something else than the grant", async () => {
    assert.deepEqual(await stale(3_600_000), []);
    assert.deepEqual(await stale(3_600_000, at(1n)), ["RECHECK_UNFOUNDED"]);
  });

  it("is not judged by a size whose time is not on the ledger", () => {
    assert.deepEqual(judged({ reason: "STALE_REPLICA", seenSize: 7n }), []);
  });
});

describe("a failed re-check that says the grant is not there", () => {
  it("is unfounded when the grant stands below what it has seen, also when it was taken away", async () => {
    for (const isTaken of [false, true]) {
      const audit = base.fork();
      const write = await open(audit);
      if (isTaken) await audit.revoke();
      const fact = at(audit.grant.index);
      await (await revoke(audit, write, { reason: "GRANT_MISSING", fact }))();
      assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
    }
  });

  it("stands when it has not seen the grant", () => {
    const { index } = base.grant;
    const reason = "GRANT_MISSING";
    assert.deepEqual(judged({ reason, seenSize: index }), []);
    assert.deepEqual(judged({ reason, seenSize: index + 1n }), ["RECHECK_UNFOUNDED"]);
  });
});

describe("a failed re-check for what no re-check looks at", () => {
  it("is unfounded", async () => {
    for (const reason of ["POLICY_DENIED", "QUOTA_EXHAUSTED", "INTERNAL"] as const) {
      const audit = base.fork();
      const write = await open(audit);
      await (await revoke(audit, write, { reason, fact: at(audit.grant.index) }))();
      assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
    }
  });

  it("is unfounded in a refusal of what was permitted", async () => {
    const audit = base.fork();
    const call = audit.call();
    const fact = create(FactSchema, { name: at(audit.grant.index) });
    const recheck = { reason: "POLICY_DENIED", seenSize: audit.ledger.size, fact } as const;
    const refusal = await audit.seal(audit.provider, [
      audit.refusal(call, { stage: "policy", reason: "POLICY_DENIED", recheck }),
    ]);
    await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
    assert.deepEqual(await findings(audit), ["RECHECK_UNFOUNDED"]);
  });
});

/** What is found of a re-check that names the grant, at the end of the ledger of the tests. */
function judged(said: {
  readonly reason: ReasonCode;
  readonly seenSize: bigint;
}): readonly string[] {
  const { reason, seenSize } = said;
  const { state, nowMs } = base.ledger;
  const codes: string[] = [];
  const rechecks = new Rechecks();
  const place = { index: state.size, position: 0, gateway: base.provider.id };
  const header = { seenSize, sealedAt: BigInt(nowMs) };
  rechecks.add({
    record: { place, header } as AttemptRecord,
    reason,
    fact: create(FactSchema, { name: at(base.grant.index) }),
    grantJti: base.grantSaid.claims.jti,
    service: base.serviceId,
    consumerGateway: base.consumer.id,
    maxStalenessMs: 30_000,
  });
  rechecks.finish({
    state,
    finals: new FinalSizes(),
    skewMs: 5_000,
    isOverdue: () => true,
    report: ({ code }) => codes.push(code),
  });
  return codes;
}
