/**
 * What a gateway keeps of others until the ledger bears it out: their records that came in-band, the
 * receipts that it released and the acknowledgements that it sent.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import { acknowledgementsKeptMax } from "../src/base/limits.ts";
import { defaultBounds } from "../src/credential/statements.ts";
import { type HeldLeaf, HeldLeaves } from "../src/exchange/held-leaves.ts";
import type { ExchangePorts } from "../src/exchange/ports.ts";
import { JoinedCalls } from "../src/exchange/joined-calls.ts";
import { MissingReceipts } from "../src/exchange/missing-receipts.ts";
import { SentAcknowledgements } from "../src/exchange/sent-acknowledgements.ts";
import { UnacknowledgedReceipts } from "../src/exchange/unacknowledged.ts";
import { restoreUnanswered, unansweredState } from "../src/exchange/unanswered-receipts.ts";
import { openHeld } from "../src/ledger/held/held.ts";
import type { Journal } from "../src/ledger/journal/journal.ts";
import type { JournalBatch, JournalReader } from "../src/ledger/journal/store.ts";
import type { Replica } from "../src/ledger/ports.ts";
import type { LedgerReader } from "../src/ledger/store/store.ts";
import { createCedarEngine } from "../src/policy/cedar-engine.ts";
import type { OpeningsPorts } from "./admin/openings.ts";
import type { GatewayConfig } from "./config.ts";
import { createAdminOpenings } from "./evidence-openings.ts";
import { startStatusRecords, statusEveryS } from "./evidence-status.ts";
import { HeldForks } from "./held-forks.ts";
import type { OpeningsStore } from "./openings.ts";
import { version as gatewayRelease } from "./status.ts";

/** How far the journal's state may be behind in what a start looks at again. */
const saveEveryMs = 10_000;

export interface HeldEvidence {
  readonly held: MissingReceipts;
  readonly sent: SentAcknowledgements;
  readonly unacknowledged: UnacknowledgedReceipts;
  readonly joined: JoinedCalls;
  /** For an administrator. */
  readonly admin: Pick<OpeningsPorts, "turn" | "openings" | "onOpenings">;
  /** A held leaf of this chain that contradicts the final one at its place. */
  forkedLeaf(gateway: string): Uint8Array | undefined;
  /** Goes on with what an earlier start began, and seals a status now and then. */
  start(openAttempts: () => number): void;
  /** Reads the journal no more and seals no more status; what comes in-band is held until `close`. */
  stop(): void;
  close(): Promise<void>;
}

export interface HeldEvidenceOptions {
  readonly config: Pick<GatewayConfig, "data" | "status_every_s">;
  readonly journal: Journal;
  readonly ports: Pick<ExchangePorts, "clock" | "defer" | "random" | "scheduler" | "sealer"> & {
    readonly replica: Replica & { readonly reader: Pick<LedgerReader, "atPlace"> };
    readonly openings: OpeningsStore;
  };
  readonly logger: Logger;
  onFatal(error: unknown): void;
}

export async function createHeldEvidence(options: HeldEvidenceOptions): Promise<HeldEvidence> {
  const { config, logger, ports } = options;
  const { replica, sealer, clock, random, scheduler } = ports;
  const { reader: journal } = options.journal;
  const onFailure = (error: unknown): void =>
    logger.warn({ event: "report failed", err: error }, "what is to be recorded is not yet");
  const turn = (): Promise<void> => new Promise((resolve) => ports.defer(resolve));
  const bounds = (): typeof defaultBounds => replica.view().network?.bounds ?? defaultBounds;
  const forget = (leafHash: Uint8Array): void => held.forget(leafHash);
  const forks = new HeldForks({ replica, journal, forget });
  const onForked = (leaf: HeldLeaf): void => forks.add(leaf);
  const leaves = new HeldLeaves({
    leafAt: (place) => replica.reader.atPlace(place),
    inclusionBoundMs: () => bounds().inclusion_bound_s * 1000,
  });
  const store = await openHeld({
    path: join(config.data, "held.sqlite"),
    scheduler,
    onFailed: (error) => options.onFatal(error),
  });
  const held: MissingReceipts = new MissingReceipts({
    leaves,
    store,
    sealer,
    clock,
    hasState: (key) => journal.state(key) !== undefined,
    onForked,
    onFailure,
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
    defer: (work) => ports.defer(work),
    unansweredMax: () => bounds().unacknowledged_receipts,
    onForked,
  });
  let saveAtMs = Infinity;
  restoreUnanswered({ journal, replica, turn }, unacknowledged).then(() => {
    saveAtMs = clock.nowMs();
  }, onFailure);
  const saveUnanswered = (): void => {
    if (clock.nowMs() < saveAtMs) return;
    saveAtMs = clock.nowMs() + saveEveryMs;
    const change = unansweredState(journal, unacknowledged);
    if (change !== undefined) options.journal.saveStates([change]);
  };
  const stopIncluded = replica.onIncluded((batch) => {
    leaves.onIncluded(batch);
    unacknowledged.onIncluded(batch);
  });
  const stopFinal = replica.onFinal((final) => {
    leaves.onFinal(final);
    forks.settle();
    held.onFinal();
    sent.final(final.size);
    unacknowledged.onFinal();
    saveUnanswered();
  });
  const openings = createAdminOpenings({ ...ports.openings, journal, sealer, clock, random });
  let stopStatus: (() => void) | undefined;
  const start = (openAttempts: () => number): void => {
    openings.catchUp().catch(onFailure);
    const { name, version } = createCedarEngine();
    stopStatus = startStatusRecords({
      sealer,
      clock,
      scheduler,
      everyS: config.status_every_s ?? statusEveryS,
      gatewayVersion: gatewayRelease,
      engineVersion: `${name}-${version}`,
      runtimeVersion: `node-${process.versions.node}`,
      openAttempts,
      batchesNotFinal: () => journal.batchCount() - journal.finalCount(),
      onFailure,
    });
  };
  const stop = (): void => {
    stopStatus?.();
    stopIncluded();
    stopFinal();
    unacknowledged.close();
  };
  return {
    held,
    sent,
    unacknowledged,
    joined: new JoinedCalls(),
    admin: {
      turn,
      openings,
      onOpenings: (event) => logger.warn({ ...event }, event.event),
    },
    forkedLeaf: (gateway) => forks.leafOf(gateway),
    start,
    stop,
    close: async () => {
      stop();
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
