/** Revocations that were submitted here, from when they act. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { LocalTakings } from "../../gateway/admin/local-takings.ts";
import { type StatementPorts, submitStatement } from "../../gateway/admin/submit-statement.ts";
import { systemScheduler } from "../../gateway/runtime.ts";
import type { QueuedRecord } from "../../src/ledger/ports.ts";
import { recordHash } from "../../src/record/record.ts";
import { AuditLedger } from "../audit/audit-ledger.ts";
import { sayRevocation } from "../support/statements.ts";

let audit: AuditLedger;

before(async () => {
  audit = await AuditLedger.create("takings");
});

/** A gateway whose newest final checkpoint has this size, and whose journal seals nothing by itself. */
function gateway(finalSize: bigint): {
  readonly queued: QueuedRecord[];
  readonly takings: LocalTakings;
  submit(jws: readonly string[]): void;
} {
  const { ledger, network, provider } = audit;
  const clock = { nowMs: () => ledger.nowMs, monotonicMs: () => ledger.nowMs };
  const replica = {
    state: () => ledger.state,
    final: () => ({ size: finalSize, root: new Uint8Array(32), timeMs: ledger.nowMs }),
    onIncluded: () => () => undefined,
  };
  const queued: QueuedRecord[] = [];
  const localTakings = new LocalTakings({
    agency: network.provider.id,
    clock,
    gateway: provider.id,
    replica: replica as never,
    journal: { unfinished: () => [] } as never,
  });
  const ports = {
    clock,
    scheduler: systemScheduler,
    verifier: network.verifier,
    replica,
    localTakings,
    sealer: {
      seal: (record: QueuedRecord) => {
        queued.push(record);
        return new Promise(() => undefined);
      },
    },
  };
  return {
    queued,
    takings: localTakings,
    submit: (jws) => void submitStatement(jws, 0, ports as unknown as StatementPorts),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function submitted(finalSize: bigint): Promise<{
  readonly taken: () => Uint8Array | undefined;
  /** The turn that closes its batch, at this seen size. */
  readonly close: (size: bigint) => void;
  readonly hash: Uint8Array;
}> {
  const revocation = sayRevocation(audit.network, audit.grantSaid);
  const local = gateway(finalSize);
  local.submit(revocation.jws);
  while (local.queued.length === 0) await turn();
  const [queued] = local.queued;
  assert.ok(queued !== undefined);
  const taken = (): Uint8Array | undefined => local.takings.get(audit.grantSaid.claims.jti);
  const close = (size: bigint): void => {
    const seen = { size, root: new Uint8Array(32) };
    assert.deepEqual(queued.recheck?.(seen, audit.ledger.nowMs), { kind: "stands" });
  };
  return { taken, close, hash: recordHash(queued.record) };
}

describe("a revocation that was submitted here", () => {
  it("acts from before it is queued, and is counted once", async () => {
    const { taken, close, hash } = await submitted(audit.ledger.size);
    assert.deepEqual(taken(), hash);
    close(audit.ledger.size);
    assert.deepEqual(taken(), hash);
  });

  it("of a grant that becomes final while it waits acts from its own batch on", async () => {
    const grantIndex = audit.grant.index;
    const { taken, close, hash } = await submitted(grantIndex);
    assert.equal(taken(), undefined);
    close(grantIndex + 1n);
    assert.deepEqual(taken(), hash);
  });

  it("that is void under what its header has seen takes nothing", async () => {
    const { taken, close } = await submitted(audit.grant.index);
    close(audit.grant.index);
    assert.equal(taken(), undefined);
  });
});
