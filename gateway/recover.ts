/**
 * Recovery of a gateway whose journal was lost, damaged or set back, or whose chain is frozen; the
 * gateway itself is stopped meanwhile.
 *
 * First `recoverJournal`: the replica is brought to the present, what the old journal holds above the ledger's
 * tip of the chain is submitted, every peer is asked for the newest header that it holds, and the journal is
 * written again from the ledger. Then the agency's authority signs an `epoch` statement, and `sealEpoch` begins
 * the new epoch with it. A death at any step leaves a gateway that seals nothing; doing it again goes on.
 */
import { toHex } from "../src/base/bytes.ts";
import { agencyOf } from "../src/base/ids.ts";
import type { EpochBody } from "../src/credential/statements.ts";
import { createNodeVerifier } from "../src/crypto/node.ts";
import { inspectJournal, type InspectedJournal } from "../src/ledger/journal/sqlite-inspect.ts";
import { lockJournal } from "../src/ledger/journal/sqlite-open.ts";
import { rebuildJournal } from "../src/ledger/journal/sqlite-rebuild.ts";
import type { ChainTip } from "../src/registry/state.ts";
import { ownChain, pause } from "./recover-ledger.ts";
import { askPeers, type PeerAnswer } from "./recover-peers.ts";
import {
  isFinal,
  type Recovery,
  type RecoverOptions,
  type RecoverOverrides,
  withLedger,
} from "./recover-session.ts";
import { systemRandom } from "./runtime.ts";

/** The journal after a recovery. */
export interface RecoveredJournal {
  /** `whole`: it holds everything that the ledger and the peers show, and nothing was changed. */
  readonly kind: "whole" | "rebuilt";
  /** The chain's newest batch on the ledger; absent when it has none. */
  readonly tip: ChainTip | undefined;
  readonly isFinal: boolean;
  /** Where the old journal was moved to. */
  readonly replaced: string | undefined;
  /** Batches of the old journal that were brought to the ledger now. */
  readonly submitted: number;
  readonly peers: readonly PeerAnswer[];
  /** What the statement of the new epoch has to say; absent when none is needed. */
  readonly epoch: EpochBody | undefined;
  /** Nothing is sealed before a new epoch has begun. */
  readonly awaits: boolean;
}

/**
 * Writes the journal again from the ledger, unless it is whole.
 *
 * @throws CausewayError `STORE_LOCKED` or `JOURNAL_LOCKED` while the gateway runs; `LEDGER_UNAVAILABLE` when no
 * member shows the present ledger; `STORAGE_FAILED`.
 */
export function recoverJournal(
  options: RecoverOptions,
  overrides: RecoverOverrides = {},
): Promise<RecoveredJournal> {
  return withLedger(options, overrides, async (recovery) => {
    const lock = lockJournal(recovery.path);
    try {
      return await recoverLocked(recovery);
    } finally {
      lock.close();
    }
  });
}

async function recoverLocked(recovery: Recovery): Promise<RecoveredJournal> {
  const { replica, owner, path, overrides } = recovery;
  const { gateway } = owner;
  const verifier = createNodeVerifier();
  const old = inspectJournal(path, { identity: owner, verifier });
  try {
    const submitted = await submitRest(old, recovery);
    const peers = await peersOf(recovery);
    const tip = replica.state().chains.get(gateway);
    const told = { tip, isFinal: isFinal(tip, replica), submitted, peers };
    const kept = keptJournal(old, { tip, peers, isFrozen: isFrozen(recovery) });
    if (kept === "whole") {
      return { kind: "whole", ...told, replaced: undefined, epoch: undefined, awaits: false };
    }
    const next = nextEpoch(old, { tip, peers });
    const awaits = next > 0n;
    const epoch = tip === undefined ? undefined : epochAfter(tip, next, recovery);
    if (kept === "awaiting")
      return { kind: "rebuilt", ...told, replaced: undefined, epoch, awaits };
    old.close();
    const { replaced } = rebuildJournal({
      path,
      identity: owner,
      verifier,
      batches: ownChain(replica, gateway),
      awaitedEpoch: awaits ? next : undefined,
      ...(overrides.rename === undefined ? {} : { rename: overrides.rename }),
    });
    return { kind: "rebuilt", ...told, replaced, epoch, awaits };
  } finally {
    old.close();
  }
}

/** Whether the journal can stay: whole, or written again before from the same chain. */
function keptJournal(
  old: InspectedJournal,
  ledger: {
    readonly tip: ChainTip | undefined;
    readonly peers: readonly PeerAnswer[];
    readonly isFrozen: boolean;
  },
): "whole" | "awaiting" | undefined {
  if (old.kind === "unusable") return undefined;
  const { tip, peers, isFrozen: frozen } = ledger;
  if (tip !== undefined && !old.holds(tip)) return undefined;
  const isLater = (old.tip?.epoch ?? 0n) > (tip?.epoch ?? 0n);
  if (old.awaitedEpoch !== undefined) {
    return tip !== undefined && old.tip?.seq === tip.seq && !isLater ? "awaiting" : undefined;
  }
  if (frozen && !isLater) return undefined;
  return peers.every(({ shown }) => shown === undefined || old.holds(shown)) ? "whole" : undefined;
}

function isFrozen({ replica, owner }: Recovery): boolean {
  return replica.state().chainStops.get(owner.gateway)?.frozen !== undefined;
}

/**
 * Above every epoch that the ledger, a peer or the old journal has shown: what was signed for a place of the
 * chain, submitted or not, is never signed again. 0 when nobody has shown anything of the chain.
 */
function nextEpoch(
  old: InspectedJournal,
  { tip, peers }: { readonly tip: ChainTip | undefined; readonly peers: readonly PeerAnswer[] },
): bigint {
  const { tip: sealed, awaitedEpoch } = old.kind === "usable" ? old : {};
  const known = [tip, sealed, ...peers.map(({ shown }) => shown)];
  const epochs = known.flatMap((place) => (place === undefined ? [] : [place.epoch + 1n]));
  return [awaitedEpoch ?? 0n, ...epochs].reduce((most, epoch) => (epoch > most ? epoch : most));
}

function epochAfter(tip: ChainTip, epoch: bigint, { clock }: Pick<Recovery, "clock">): EpochBody {
  return {
    epoch: Number(epoch),
    last: { epoch: Number(tip.epoch), seq: Number(tip.seq), leaf: toHex(tip.leafHash) },
    reason: "journal-lost",
    lost_from: Math.floor(Number(tip.sealedAt) / 1000),
    lost_to: Math.floor(clock.nowMs() / 1000),
  };
}

/** Peers whose newest header stands above what the ledger has of the chain. */
export function peersAbove(recovered: RecoveredJournal): readonly PeerAnswer[] {
  const { epoch = 0n, seq = -1n } = recovered.tip ?? {};
  return recovered.peers.filter(({ shown }) => {
    return (
      shown !== undefined && (shown.epoch > epoch || (shown.epoch === epoch && shown.seq > seq))
    );
  });
}

/** What the old journal has sealed and the ledger has not taken yet is no loss. */
async function submitRest(old: InspectedJournal, recovery: Recovery): Promise<number> {
  const { replica, owner, part, clock, scheduler, waitMs, isSequencer } = recovery;
  const tip = replica.state().chains.get(owner.gateway);
  const isUsable = old.kind === "usable" && old.awaitedEpoch === undefined;
  if (!isUsable || tip === undefined || !old.holds(tip) || isSequencer) return 0;
  let submitted = 0;
  for (const batch of old.after(tip)) {
    const result = await part.node.engine.submit(batch);
    if (result.kind === "rejected") break;
    submitted += 1;
    const endMs = clock.monotonicMs() + waitMs;
    while (replica.state().size <= result.index && clock.monotonicMs() < endMs) {
      await pause(scheduler, 50);
    }
  }
  return submitted;
}

function peersOf(recovery: Recovery): Promise<readonly PeerAnswer[]> {
  const { config, identity, replica, clock, scheduler, overrides } = recovery;
  const random = overrides.random ?? systemRandom;
  const self = {
    gateway: config.gateway,
    agency: agencyOf(config.gateway),
    boot: random(16),
    startedAtMs: clock.nowMs(),
    network: identity.network.id,
  };
  const verifier = createNodeVerifier();
  return askPeers({ self, keys: identity.keys, replica, verifier, clock, scheduler });
}
