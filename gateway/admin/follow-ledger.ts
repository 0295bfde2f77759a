/** The replica's growth for an administrator: what is included, and what becomes final. */
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type FollowLedgerRequest,
  type FollowLedgerResponse,
  FollowLedgerResponseSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { FinalCheckpoint, IncludedBatch, Replica } from "../../src/ledger/ports.ts";
import { kindOfBatch } from "../../src/record/batch.ts";

/** Sends everything from the place that the request names, then what comes, until the caller is gone. */
export async function sendLedger(
  call: ServerWritableStream<FollowLedgerRequest, FollowLedgerResponse>,
  replica: Replica,
): Promise<void> {
  const gone = new AbortController();
  const changed = new ChangeSignal();
  const leave = (): void => {
    gone.abort();
    changed.raise();
  };
  for (const event of ["cancelled", "close", "error"]) call.once(event, leave);
  const stops = [replica.onIncluded(() => changed.raise()), replica.onFinal(() => changed.raise())];
  let { fromIndex, fromFinalSize } = call.request;
  const send = async (event: FollowLedgerResponse["event"]): Promise<void> => {
    if (call.write(create(FollowLedgerResponseSchema, { event })) || gone.signal.aborted) return;
    await once(call, "drain", { signal: gone.signal }).catch((error: unknown) => {
      if (!gone.signal.aborted) throw error;
    });
  };
  /** Leaf hashes of what was sent and was not final then, by index. */
  const sent = new Map<bigint, Uint8Array>();
  try {
    while (!gone.signal.aborted) {
      const { size } = replica.state();
      const final = replica.final()?.size ?? 0n;
      const takenBack = firstTakenBack(sent, replica);
      if (takenBack !== undefined) {
        await send({ case: "takenBackFrom", value: takenBack });
        for (const index of sent.keys()) if (index >= takenBack) sent.delete(index);
        fromIndex = takenBack;
      } else if (fromFinalSize < final && nextFinal(replica, fromFinalSize).size <= fromIndex) {
        const next = nextFinal(replica, fromFinalSize);
        await send({ case: "final", value: finalMessage(next) });
        fromFinalSize = next.size;
        for (const index of sent.keys()) if (index < next.size) sent.delete(index);
      } else if (fromIndex < size) {
        const batch = replica.batch(fromIndex) as IncludedBatch;
        await send({ case: "batch", value: batchMessage(batch, replica) });
        if (fromIndex >= final) sent.set(fromIndex, batch.leafHash);
        fromIndex += 1n;
      } else {
        await changed.wait();
      }
    }
  } finally {
    for (const stop of stops) stop();
  }
}

/** The first index at which another leaf, or none, stands now: a change of term has taken it back. */
function firstTakenBack(
  sent: ReadonlyMap<bigint, Uint8Array>,
  replica: Replica,
): bigint | undefined {
  for (const [index, leafHash] of sent) if (replica.indexOfLeaf(leafHash) !== index) return index;
  return undefined;
}

/** Remembers a change that comes while nobody waits for one. */
class ChangeSignal {
  #raised = false;
  #wake: () => void = () => undefined;

  raise(): void {
    this.#raised = true;
    this.#wake();
  }

  async wait(): Promise<void> {
    if (!this.#raised) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#raised = false;
  }
}

function nextFinal(replica: Replica, finalSize: bigint): FinalCheckpoint {
  return replica.frozenNote(finalSize) as FinalCheckpoint;
}

type MessageOf<C extends "batch" | "final"> = Extract<
  FollowLedgerResponse["event"],
  { case: C }
>["value"];

function finalMessage({ size, root, timeMs }: FinalCheckpoint): MessageOf<"final"> {
  return { size, root, timeMs: BigInt(timeMs) } as MessageOf<"final">;
}

function batchMessage(batch: IncludedBatch, replica: Replica): MessageOf<"batch"> {
  const { index, leafHash, header, records } = batch;
  return {
    index,
    leafHash,
    gateway: header.gateway,
    kind: kindOfBatch(header),
    records: records.length,
    voids: voidCount(batch, replica),
    sealedAt: header.sealedAt,
  } as MessageOf<"batch">;
}

/** Governance records of a batch that had no effect. */
export function voidCount(
  { index, header, records }: IncludedBatch,
  replica: Pick<Replica, "voidReason">,
): number {
  if (kindOfBatch(header) !== "governance") return 0;
  return records.filter((_, position) => replica.voidReason(index, position) !== undefined).length;
}
