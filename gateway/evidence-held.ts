/**
 * What a gateway keeps of others until the ledger bears it out: their records that came in-band, the
 * receipts that it released and the acknowledgements that it sent.
 */
import { join } from "node:path";
import type { Clock, Scheduler } from "../src/base/clock.ts";
import { acknowledgementsKeptMax } from "../src/base/limits.ts";
import { defaultBounds } from "../src/credential/statements.ts";
import { type HeldLeaf, HeldLeaves } from "../src/exchange/held-leaves.ts";
import { JoinedCalls } from "../src/exchange/joined-calls.ts";
import { MissingReceipts } from "../src/exchange/missing-receipts.ts";
import { SentAcknowledgements } from "../src/exchange/sent-acknowledgements.ts";
import { UnacknowledgedReceipts } from "../src/exchange/unacknowledged.ts";
import { restoreUnanswered, unansweredState } from "../src/exchange/unanswered-receipts.ts";
import { openHeld } from "../src/ledger/held/held.ts";
import type { Journal } from "../src/ledger/journal/journal.ts";
import type { JournalBatch, JournalReader } from "../src/ledger/journal/store.ts";
import type { Replica, Sealer } from "../src/ledger/ports.ts";
import type { LedgerReader } from "../src/ledger/store/store.ts";

/** How far the journal's state may be behind in what a start looks at again. */
const saveEveryMs = 10_000;

export interface HeldEvidence {
  readonly held: MissingReceipts;
  readonly sent: SentAcknowledgements;
  readonly unacknowledged: UnacknowledgedReceipts;
  readonly joined: JoinedCalls;
  /** A held leaf of this chain that contradicts the final one at its place. */
  forkedLeaf(gateway: string): Uint8Array | undefined;
  close(): Promise<void>;
}

export interface HeldEvidenceOptions {
  /** Data folder of the gateway. */
  readonly folder: string;
  readonly replica: Replica & { readonly reader: Pick<LedgerReader, "atPlace"> };
  readonly journal: Journal;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  defer(work: () => void): void;
  /** A report could not be sealed; it is tried again with the next final size. */
  onFailure(error: unknown): void;
  onFatal(error: unknown): void;
}

export async function createHeldEvidence(options: HeldEvidenceOptions): Promise<HeldEvidence> {
  const { replica, sealer, clock, scheduler } = options;
  const { reader: journal } = options.journal;
  const bounds = (): typeof defaultBounds => replica.view().network?.bounds ?? defaultBounds;
  const forks = new Map<string, Uint8Array>();
  const onForked = ({ place, leaf }: HeldLeaf): void => {
    forks.set(place.gateway, leaf);
  };
  const leaves = new HeldLeaves({
    leafAt: (place) => replica.reader.atPlace(place),
    inclusionBoundMs: () => bounds().inclusion_bound_s * 1000,
  });
  const store = await openHeld({
    path: join(options.folder, "held.sqlite"),
    scheduler,
    onFailed: (error) => options.onFatal(error),
  });
  const held = new MissingReceipts({
    leaves,
    store,
    sealer,
    clock,
    hasState: (key) => journal.state(key) !== undefined,
    onForked,
    onFailure: (error) => options.onFailure(error),
  });
  await held.load();
  const sent = new SentAcknowledgements({ replica });
  sent.load(newestNotFinal(journal), (leafHash) => {
    const index = replica.indexOfLeaf(leafHash);
    const included = index === undefined ? undefined : replica.batch(index);
    return leaves.gatewayOf(leafHash) ?? included?.header.gateway;
  });
  const unacknowledged = new UnacknowledgedReceipts({
    clock,
    replica,
    leaves,
    defer: (work) => options.defer(work),
    unansweredMax: () => bounds().unacknowledged_receipts,
    onForked,
  });
  const turn = (): Promise<void> => new Promise((resolve) => options.defer(resolve));
  let saveAtMs = Infinity;
  restoreUnanswered({ journal, replica, turn }, unacknowledged).then(() => {
    saveAtMs = clock.nowMs();
  }, options.onFailure);
  const saveUnanswered = (): void => {
    if (clock.nowMs() < saveAtMs) return;
    saveAtMs = clock.nowMs() + saveEveryMs;
    const change = unansweredState(journal, unacknowledged.oldest);
    if (change !== undefined) options.journal.saveStates([change]);
  };
  const stopIncluded = replica.onIncluded((batch) => {
    leaves.onIncluded(batch);
    unacknowledged.onIncluded(batch);
  });
  const stopFinal = replica.onFinal((final) => {
    leaves.onFinal(final);
    held.onFinal();
    sent.final(final.size);
    unacknowledged.onFinal();
    saveUnanswered();
  });
  return {
    held,
    sent,
    unacknowledged,
    joined: new JoinedCalls(),
    forkedLeaf: (gateway) => forks.get(gateway),
    close: async () => {
      stopIncluded();
      stopFinal();
      await store.close();
    },
  };
}

/** Of the own batches that are not final the newest, in their order. */
function newestNotFinal(journal: JournalReader): readonly JournalBatch[] {
  const finalCount = journal.finalCount();
  return journal
    .newest({ countMax: acknowledgementsKeptMax })
    .filter(({ number }) => number >= finalCount)
    .toReversed();
}
