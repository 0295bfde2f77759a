/** `GatewayStatus`: what the ledger says of a gateway that runs, every hour. */
import { create } from "@bufbuild/protobuf";
import type { Clock, Scheduler } from "../src/base/clock.ts";
import { RecordSchema } from "../src/gen/causeway/record/v1/record_pb.ts";
import type { Sealer } from "../src/ledger/ports.ts";
import { encodeRecord } from "../src/record/record.ts";

/** Seconds between two status records, unless the configuration says otherwise. */
export const statusEveryS: number = 3600;
const firstMs = 60_000;

export interface StatusRecordOptions {
  readonly sealer: Sealer;
  readonly clock: Pick<Clock, "nowMs">;
  readonly scheduler: Scheduler;
  readonly everyS: number;
  readonly gatewayVersion: string;
  /** Name and version of what decides policies. */
  readonly engineVersion: string;
  readonly runtimeVersion: string;
  openAttempts(): number;
  batchesNotFinal(): number;
  /** A status could not be sealed; the next one comes at its time. */
  onFailure(error: unknown): void;
}

/** Seals one a minute after the start at the latest, then one each time. Returns how to stop. */
export function startStatusRecords(options: StatusRecordOptions): () => void {
  const { scheduler } = options;
  const everyMs = options.everyS * 1000;
  const work = (): void => {
    cancel = scheduler.after(everyMs, work);
    sealStatus(options).catch((error: unknown) => options.onFailure(error));
  };
  let cancel = scheduler.after(Math.min(firstMs, everyMs), work);
  return () => cancel();
}

async function sealStatus(options: StatusRecordOptions): Promise<void> {
  const { sealer, clock, gatewayVersion, engineVersion, runtimeVersion } = options;
  const value = {
    gatewayVersion,
    engineVersion,
    runtimeVersion,
    openAttempts: BigInt(options.openAttempts()),
    batchesNotFinal: BigInt(options.batchesNotFinal()),
  };
  await sealer.seal({
    kind: "evidence",
    record: encodeRecord(create(RecordSchema, { body: { case: "gatewayStatus", value } })),
    decidedAtMs: clock.nowMs(),
    states: [],
  });
}
