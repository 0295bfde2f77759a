/** What a recovery works with: the stopped gateway's folder, its keys, and the ledger at its present. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock, RandomBytes, Scheduler } from "../src/base/clock.ts";
import { createNodeVerifier } from "../src/crypto/node.ts";
import type { LedgerReplica } from "../src/ledger/embedded/replica.ts";
import type { SealWorkerData } from "../src/ledger/journal/seal-message.ts";
import type { SealWorker } from "../src/ledger/journal/sealer.ts";
import type { JournalIdentity } from "../src/ledger/journal/store.ts";
import type { ChainTip } from "../src/registry/state.ts";
import type { GatewayConfig } from "./config.ts";
import { createLedgerPart, type LedgerPart } from "./ledger-part.ts";
import { boundBatchKeys } from "./peers.ts";
import { reachPresent } from "./recover-ledger.ts";
import { systemClock, systemScheduler } from "./runtime.ts";
import { type LocalIdentity, openIdentity } from "./self.ts";

/** File of the journal in a data folder. */
export const journalFile: string = "journal.sqlite";

/** What a test puts in the place of the process's own. */
export interface RecoverOverrides {
  readonly clock?: Clock;
  readonly scheduler?: Scheduler;
  readonly random?: RandomBytes;
  readonly createSealWorker?: (data: SealWorkerData) => SealWorker;
  readonly rename?: (from: string, to: string) => void;
}

export interface RecoverOptions {
  readonly config: GatewayConfig;
  /** How long the ledger has to be reached. */
  readonly waitMs: number;
}

/** What every step of a recovery works with. */
export interface Recovery {
  readonly config: GatewayConfig;
  readonly identity: LocalIdentity;
  readonly owner: JournalIdentity;
  readonly path: string;
  readonly part: LedgerPart;
  readonly replica: LedgerReplica;
  /** It sequences the newest term: what it holds is the ledger, and nobody is asked. */
  readonly isSequencer: boolean;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly waitMs: number;
  readonly overrides: RecoverOverrides;
}

/** Whether the chain has no batch, or its last one is final here. */
export function isFinal(tip: ChainTip | undefined, replica: LedgerReplica): boolean {
  return tip === undefined || tip.index < (replica.final()?.size ?? 0n);
}

/** Rejects with the first failure that it is told of. */
export function failure(): {
  readonly failed: Promise<never>;
  readonly reject: (error: unknown) => void;
} {
  let reject!: (error: unknown) => void;
  const failed = new Promise<never>((_, onReject) => {
    reject = onReject;
  });
  failed.catch(() => undefined);
  return { failed, reject };
}

/** Runs with the replica of the gateway's folder at the ledger's present. */
export async function withLedger<T>(
  { config, waitMs }: RecoverOptions,
  overrides: RecoverOverrides,
  run: (recovery: Recovery) => Promise<T>,
): Promise<T> {
  const { clock = systemClock, scheduler = systemScheduler } = overrides;
  const sinceMs = clock.nowMs();
  // The witness stays with the gateway: nothing is cosigned here.
  const identity = { ...(await openIdentity(config)), city: undefined };
  mkdirSync(config.data, { recursive: true, mode: 0o700 });
  const { failed, reject } = failure();
  const part = await createLedgerPart({
    config,
    identity,
    verifier: createNodeVerifier(),
    clock,
    scheduler,
    stores: undefined,
    report: () => undefined,
    onFatal: reject,
  });
  const work = async (): Promise<T> => {
    const { replica } = part.node;
    // What the sequencer holds is the present; it sequences nothing here.
    const isSequencer = replica.state().terms.at(-1)?.gateway === config.gateway;
    if (!isSequencer) {
      part.node.start();
      await reachPresent(replica, { clock, scheduler, sinceMs, waitMs });
    }
    const owner: JournalIdentity = {
      gateway: config.gateway,
      network: identity.network.id,
      batchKey: identity.keys.batch.publicKey,
      otherBatchKeys: boundBatchKeys(replica.state(), config.gateway),
    };
    const path = join(config.data, journalFile);
    const local = { config, identity, owner, path, part, replica, isSequencer };
    return run({ ...local, clock, scheduler, waitMs, overrides });
  };
  try {
    return await Promise.race([work(), failed]);
  } finally {
    await part.close();
  }
}
