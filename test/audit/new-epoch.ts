/** A chain that goes on in a new epoch. */
import assert from "node:assert/strict";
import { toHex } from "../../src/base/bytes.ts";
import type { TestGateway } from "../support/network.ts";
import { sayOfAgency } from "../support/statements.ts";
import type { AuditLedger } from "./audit-ledger.ts";

/** The agency of the consumer says where its gateway's chain goes on; returns the index of that. */
export async function newEpoch(
  audit: AuditLedger,
  gateway: TestGateway = audit.consumer,
): Promise<bigint> {
  const tip = audit.ledger.state.chains.get(gateway.id);
  assert.ok(tip !== undefined);
  const last = { epoch: Number(tip.epoch), seq: Number(tip.seq), leaf: toHex(tip.leafHash) };
  const body = { epoch: 1, last, reason: "disk-lost", lost_from: 1, lost_to: 2 };
  const epoch = sayOfAgency(audit.network, "epoch", audit.network.consumer, {
    sub: gateway.id,
    body,
  });
  const place = { epoch: 1n, seq: 0n, prev: tip.leafHash };
  return (await audit.govern(gateway, [epoch], [], place)).index;
}
