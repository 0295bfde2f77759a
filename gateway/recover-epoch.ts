/** The second step of a recovery: the new epoch begins with the statement of the agency's authority. */
import { create } from "@bufbuild/protobuf";
import { equalBytes, toHex } from "../src/base/bytes.ts";
import { CausewayError } from "../src/base/errors.ts";
import { agencyOf } from "../src/base/ids.ts";
import { statementAgeMaxMs } from "../src/base/limits.ts";
import { missingSigners } from "../src/credential/signers.ts";
import { openStatement, verifyStatement } from "../src/credential/statement.ts";
import type { EpochBody } from "../src/credential/statements.ts";
import { createNodeVerifier } from "../src/crypto/node.ts";
import { thumbprint } from "../src/crypto/thumbprint.ts";
import { RecordSchema } from "../src/gen/causeway/record/v1/record_pb.ts";
import { openJournal } from "../src/ledger/journal/sealer.ts";
import { inspectJournal, type InspectedJournal } from "../src/ledger/journal/sqlite-inspect.ts";
import { lockJournal } from "../src/ledger/journal/sqlite-open.ts";
import { encodeRecord } from "../src/record/record.ts";
import { keyOfThumbprint, rawKey } from "../src/registry/keys.ts";
import type { ChainTip } from "../src/registry/state.ts";
import {
  failure,
  isFinal,
  type Recovery,
  type RecoverOptions,
  type RecoverOverrides,
  withLedger,
} from "./recover-session.ts";
import { systemRandom } from "./runtime.ts";

export interface SealedEpoch {
  readonly epoch: bigint;
  /** Leaf hash of its first batch. */
  readonly leafHash: Uint8Array;
}

/**
 * Begins the new epoch in a journal that was written again: the statement is the first record of its first
 * batch. Done before with the same statement, it changes nothing.
 *
 * @throws CausewayError `STATEMENT_INVALID` when the statement names another gateway, network or end of the
 * chain; `STALE` when it is older than a statement may be; `STATEMENT_SIGNER_MISSING`; `LEDGER_BEHIND` while the end of the chain is not final here;
 * `JOURNAL_ROLLED_BACK` when the journal was not written again; and what `recoverJournal` throws.
 */
export function sealEpoch(
  jws: readonly string[],
  options: RecoverOptions,
  overrides: RecoverOverrides = {},
): Promise<SealedEpoch> {
  return withLedger(options, overrides, async (recovery) => {
    const body = await readEpoch(jws, recovery);
    const record = encodeRecord(
      create(RecordSchema, { body: { case: "statement", value: { jws: [...jws] } } }),
    );
    const lock = lockJournal(recovery.path);
    const old = inspectJournal(recovery.path, {
      identity: recovery.owner,
      verifier: createNodeVerifier(),
    });
    const { owner, replica } = recovery;
    const tip = replica.state().chains.get(owner.gateway);
    try {
      const begun = begunEpoch(old, { tip, record });
      if (begun !== undefined) return begun;
      assertAwaits(old, { tip, epoch: BigInt(body.epoch) });
    } finally {
      old.close();
      lock.close();
    }
    return seal(record, BigInt(body.epoch), recovery);
  });
}

/** The epoch when it begins with exactly this statement already. */
function begunEpoch(
  old: InspectedJournal,
  { tip, record }: { readonly tip: ChainTip | undefined; readonly record: Uint8Array },
): SealedEpoch | undefined {
  if (old.kind === "unusable" || tip === undefined || !old.holds(tip)) return undefined;
  for (const batch of old.after(tip)) {
    const [first] = batch.records;
    if (first === undefined || !equalBytes(first, record) || old.tip === undefined)
      return undefined;
    return { epoch: old.tip.epoch, leafHash: old.tip.leafHash };
  }
  return undefined;
}

function assertAwaits(
  old: InspectedJournal,
  { tip, epoch }: { readonly tip: ChainTip | undefined; readonly epoch: bigint },
): void {
  const isReady =
    old.kind === "usable" &&
    old.awaitedEpoch !== undefined &&
    epoch >= old.awaitedEpoch &&
    tip !== undefined &&
    old.tip !== undefined &&
    equalBytes(old.tip.leafHash, tip.leafHash);
  if (isReady) return;
  throw new CausewayError(
    "JOURNAL_ROLLED_BACK",
    "the journal is not the chain that the ledger has: recover it without the statement first",
  );
}

async function readEpoch(jws: readonly string[], recovery: Recovery): Promise<EpochBody> {
  const { replica, owner, clock } = recovery;
  const opened = openStatement(jws);
  const { statement } = opened;
  const invalid = (why: string): CausewayError => new CausewayError("STATEMENT_INVALID", why);
  if (statement.name !== "epoch") throw invalid(`this is a ${statement.name} statement`);
  const { claims, body } = statement;
  if (claims.sub !== owner.gateway) throw invalid(`it is about ${claims.sub}`);
  if (claims.net !== toHex(owner.network)) throw invalid("it is of another network");
  // A batch that begins with it would be refused for ever.
  if (clock.nowMs() - claims.iat * 1000 > statementAgeMaxMs) {
    throw new CausewayError("STALE", "it was made too long ago: make it again, and have it signed");
  }
  const tip = replica.state().chains.get(owner.gateway);
  const { epoch, seq, leaf } = body.last;
  const isTip =
    tip !== undefined &&
    BigInt(epoch) === tip.epoch &&
    BigInt(seq) === tip.seq &&
    leaf === toHex(tip.leafHash);
  if (!isTip) throw invalid("it does not name the chain's last batch on the ledger");
  if (BigInt(body.epoch) <= tip.epoch) throw invalid(`the chain is in epoch ${tip.epoch} already`);
  const state = replica.state();
  const keyOf = (kid: string): Uint8Array | undefined => keyOfThumbprint(state, kid);
  const { signers } = await verifyStatement(opened, keyOf, createNodeVerifier());
  const authority = replica.view().agency(agencyOf(owner.gateway))?.body.authority;
  const kid = authority === undefined ? undefined : thumbprint(rawKey(authority));
  if (missingSigners(statement, signers, (signer) => signer === kid).length > 0) {
    throw new CausewayError("STATEMENT_SIGNER_MISSING", "the agency's authority has not signed it");
  }
  if (!isFinal(tip, replica)) throw notFinal(tip);
  return body;
}

/** The tip has to be final before a new epoch rests on it. */
export function notFinal(tip: ChainTip): CausewayError {
  return new CausewayError(
    "LEDGER_BEHIND",
    `the chain's last batch, at index ${tip.index}, is not final here yet`,
    { fields: { size: String(tip.index + 1n) } },
  );
}

async function seal(record: Uint8Array, epoch: bigint, recovery: Recovery): Promise<SealedEpoch> {
  const { replica, owner, path, clock, scheduler, identity, overrides } = recovery;
  const final = replica.final();
  if (final === undefined) throw new CausewayError("LEDGER_BEHIND", "nothing is final here yet");
  const { failed, reject } = failure();
  const journal = await openJournal({
    path,
    gateway: owner.gateway,
    network: owner.network,
    batchKeySeed: identity.keys.batch.seed,
    otherBatchKeys: owner.otherBatchKeys ?? [],
    epoch,
    boot: (overrides.random ?? systemRandom)(16),
    clock,
    scheduler,
    seen: () => final,
    queueBytesMax: recovery.part.bounds.sealing_queue_bytes,
    onFatal: reject,
    ...(overrides.createSealWorker === undefined
      ? {}
      : { createWorker: overrides.createSealWorker }),
  });
  const decidedAtMs = clock.nowMs();
  const sealing = journal.sealer.seal({ kind: "governance", record, decidedAtMs, states: [] });
  const sealed = await Promise.race([sealing, failed]);
  await journal.close();
  if (sealed === undefined) throw new CausewayError("INTERNAL", "a statement is never dropped");
  return { epoch, leafHash: sealed.leafHash };
}
