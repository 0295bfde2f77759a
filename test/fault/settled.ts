/** What has to hold of the ledger once everything that was recorded is final. */
import assert from "node:assert/strict";
import { toHex } from "../../src/base/bytes.ts";
import type { GetStatusResponse } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { eventually } from "../support/admin-client.ts";
import type { Answer } from "../support/agency-client.ts";
import { type Attempt, matchAttempts } from "./attempts.ts";
import type { FinalLedger } from "./final-ledger.ts";
import type { FaultNetwork, GatewayProcess } from "./processes.ts";

/** After kills, what waits is dialled, followed and submitted again with delays that have grown. */
const settleMs = 60_000;

/** Waits until everything durable is final and every attempt is closed on both sides. */
export async function settled(
  network: FaultNetwork,
  ledger: FinalLedger,
): Promise<readonly Attempt[]> {
  let attempts: readonly Attempt[] = [];
  let finalSize = 0n;
  await eventually(
    "all is final",
    async () => {
      const all = await Promise.all(network.gateways.map(({ admin }) => admin.status()));
      const waiting = all.filter(({ journalNotFinal }) => journalNotFinal !== 0n);
      assert.deepEqual(waiting.length === 0 ? [] : all.map(describeStatus), []);
      finalSize = all.reduce(
        (most, status) => (status.finalSize > most ? status.finalSize : most),
        0n,
      );
      return true;
    },
    settleMs,
  );
  await eventually(
    "every attempt is closed",
    async () => {
      await ledger.update();
      // What is final at one gateway may not be yet where the ledger is read.
      if (ledger.size < finalSize) return false;
      attempts = matchAttempts(ledger.records);
      return !attempts.some(({ provider, consumer }) => [provider, consumer].includes("open"));
    },
    settleMs,
  );
  return attempts;
}

function describeStatus(status: GetStatusResponse): string {
  const { gateway, journalNotFinal, includedSize, finalSize, notReady } = status;
  return `${gateway}: ${journalNotFinal} not final, ${finalSize} of ${includedSize}, ${notReady.join(" ")}`;
}

/** How many batches each gateway has sealed: what `settled` waits for afterwards holds them, and maybe more. */
export function sealedCounts(gateways: readonly GatewayProcess[]): Promise<readonly number[]> {
  return Promise.all(
    gateways.map(async ({ admin }) => Number((await admin.status()).journalSealed)),
  );
}

/** Every batch that was durable stands on the ledger. */
export function assertOnLedger(
  durable: readonly { readonly leafHash: Uint8Array }[],
  ledger: FinalLedger,
): void {
  for (const { leafHash } of durable) assert.ok(ledger.has(leafHash), toHex(leafHash));
}

export function handleOf({ trailers }: Answer<unknown>): string {
  return String(trailers.get("causeway-receipt")[0]);
}

/** An answer is whole and acknowledged, or it is an error and nothing of it was given. */
export function assertHandedOver(answer: Answer<unknown>, attempts: readonly Attempt[]): void {
  if (answer.code !== 0) {
    assert.equal(answer.message, undefined);
    assert.ok(answer.code === 14 || answer.code === 15, `${answer.code} ${answer.details}`);
    return;
  }
  assert.ok(answer.message !== undefined);
  const handle = handleOf(answer);
  const acknowledged = attempts.filter(({ receipt }) => receipt === handle);
  assert.deepEqual(
    acknowledged.map(({ consumer }) => consumer),
    ["match"],
  );
}
