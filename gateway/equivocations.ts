/**
 * Two leaves that one gateway has signed for one place of its chain are reported on the ledger, once, by a
 * gateway whose store keeps the second one. What stands against a chain freezes it.
 */
import { create } from "@bufbuild/protobuf";
import { emptyBytes, equalBytes } from "../src/base/bytes.ts";
import type { Clock } from "../src/base/clock.ts";
import type { LeafPlace } from "../src/exchange/held-leaves.ts";
import { RecordSchema } from "../src/gen/causeway/record/v1/record_pb.ts";
import type { JournalReader } from "../src/ledger/journal/store.ts";
import type { QueuedRecord, Replica, Sealer } from "../src/ledger/ports.ts";
import type { LedgerReader } from "../src/ledger/store/store.ts";
import { openLeaf } from "../src/record/leaf.ts";
import { encodeRecord } from "../src/record/record.ts";

export interface EquivocationOptions {
  readonly replica: Pick<Replica, "state" | "final" | "onFinal" | "batch"> & {
    readonly reader: Pick<LedgerReader, "forkedLeaf" | "atPlace">;
  };
  readonly journal: Pick<JournalReader, "state">;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** A leaf of this gateway that came in-band and contradicts the final one at its place. */
  readonly heldFork: (gateway: string) => Uint8Array | undefined;
  /** A report could not be sealed; it is tried again with the next final size. */
  onFailure(error: unknown): void;
}

/** Key of the journal's state that says that a contradiction at this place was reported. */
export function reportedKey({ gateway, epoch, seq }: LeafPlace): string {
  return `reported/${gateway}/${epoch}/${seq}`;
}

interface Report {
  /** Key of the journal's state that says that it was made. */
  readonly key: string;
  readonly record: Uint8Array;
}

/** Reports what is kept already and what comes, after each new final size. Returns how to stop. */
export function reportEquivocations(options: EquivocationOptions): () => void {
  const { replica, sealer, clock } = options;
  const underWay = new Set<string>();
  // At heartbeats too: what came in-band may contradict what has long been final.
  const look = (size: bigint): void => {
    for (const { key, record } of dueReports(options, size)) {
      if (underWay.has(key)) continue;
      underWay.add(key);
      const states = [{ key, value: emptyBytes }];
      const decidedAtMs = clock.nowMs();
      const queued: QueuedRecord = { kind: "governance", record, decidedAtMs, states };
      sealer.seal(queued).catch((error: unknown) => {
        underWay.delete(key);
        options.onFailure(error);
      });
    }
  };
  const final = replica.final();
  if (final !== undefined) look(final.size);
  return replica.onFinal(({ size }) => look(size));
}

/** One for each chain that is not frozen in its present epoch, whose first contradicted place is final. */
function dueReports(
  { replica, journal, heldFork }: EquivocationOptions,
  finalSize: bigint,
): readonly Report[] {
  const { chains, chainStops } = replica.state();
  return [...chains.entries()].flatMap(([gateway, { epoch }]) => {
    if (chainStops.get(gateway)?.frozen !== undefined) return [];
    const second = replica.reader.forkedLeaf({ gateway, epoch, seq: 0n }) ?? heldFork(gateway);
    if (second === undefined) return [];
    const { header, leafHash } = openLeaf(second);
    const { seq } = header;
    // What contradicts an earlier epoch was outlived by the statement that opened this one.
    if (header.epoch !== epoch) return [];
    const stands = replica.reader.atPlace({ gateway, epoch, seq });
    if (stands === undefined || stands.index >= finalSize) return [];
    if (equalBytes(stands.leafHash, leafHash)) return [];
    const key = reportedKey({ gateway, epoch, seq });
    const first = replica.batch(stands.index);
    if (first === undefined || journal.state(key) !== undefined) return [];
    return [{ key, record: encodeReport(first.leaf, second) }];
  });
}

function encodeReport(firstLeaf: Uint8Array, secondLeaf: Uint8Array): Uint8Array {
  const proof = { case: "headers", value: { firstLeaf, secondLeaf } } as const;
  return encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
}
