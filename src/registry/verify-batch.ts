/** What has to be verified before the fold, because signatures of statements are verified asynchronously. */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { boundKey } from "../credential/signers.ts";
import { type OpenedStatement, openStatement, verifyStatement } from "../credential/statement.ts";
import type { StatementName, VerifiedStatement } from "../credential/statements.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { EquivocationReported } from "../gen/causeway/record/v1/record_pb.ts";
import { type BatchBytes, kindOfBatch, type OpenedBatch, openBatch } from "../record/batch.ts";
import { keyDigest, verifyLeaf } from "../record/leaf.ts";
import type { LedgerRecord, RecordKind } from "../record/record.ts";
import { type Equivocation, verifyEquivocation } from "./equivocation.ts";
import { batchKeyOf, keyOfThumbprint, rawKey } from "./keys.ts";
import type { VotedCheckpoint } from "./rule.ts";
import type { RegistryState } from "./state.ts";
import { verifyVotedCheckpoint } from "./voted-checkpoint.ts";

/** A batch that gets no index: structure refuses it, and nothing changes. */
export interface Rejection {
  readonly kind: "rejected";
  readonly reason: ReasonCode;
}

/** A governance record: a statement with right signatures, a proof that holds, or why it can only be void. */
export type RecordFact =
  | {
      readonly kind: "statement";
      readonly said: VerifiedStatement;
      readonly recordHash: Uint8Array;
      /** Of a vote on a sequencer: the checkpoint that it names, which its log has signed. */
      readonly checkpoint?: VotedCheckpoint;
    }
  | { readonly kind: "equivocation"; readonly equivocation: Equivocation }
  | {
      readonly kind: "void";
      readonly reason: ReasonCode;
      /** Set for a statement that can be read and whose signatures or checkpoint are not right. */
      readonly name?: StatementName;
    };

/** A batch whose bytes agree with each other and whose signatures are right. Its place and its meaning are for `apply`. */
export interface VerifiedBatch extends OpenedBatch {
  readonly kind: "verified";
  readonly recordKind: RecordKind;
  readonly records: readonly LedgerRecord[];
  /** Raw key under which the leaf verified. */
  readonly batchKey: Uint8Array;
  /** One for each record of a governance batch; none for evidence. */
  readonly facts: readonly RecordFact[];
  /** Size of the registry whose keys were used. */
  readonly stateSize: bigint;
}

type OpenedFact =
  | { readonly kind: "opened"; readonly opened: OpenedStatement; readonly recordHash: Uint8Array }
  | { readonly kind: "reported"; readonly report: EquivocationReported }
  | Extract<RecordFact, { kind: "void" }>;

/**
 * Verifies everything about a batch that needs no place: canonical bytes, root over the bodies, the
 * leaf's signature under a key of its gateway, and the signatures of statements. Keys come from
 * `state`, the registry before the batch; for batch 0 from earlier positions of the batch itself.
 *
 * @returns a rejection with the reasons of `openBatch` and `verifyLeaf`, `NETWORK_UNKNOWN`,
 * `GATEWAY_UNKNOWN` or `KEY_UNKNOWN`; for batch 0 also `BATCH_INVALID`, or the reason for which its
 * first record cannot be read.
 */
export async function verifyBatch(
  state: RegistryState,
  batch: BatchBytes,
  verifier: Verifier,
): Promise<VerifiedBatch | Rejection> {
  try {
    const opened = openBatch(batch);
    const { header } = opened;
    if (!equalBytes(header.network, state.networkId)) return rejected("NETWORK_UNKNOWN");
    const batchKey =
      state.size === 0n ? findFoundingKey(opened) : findBatchKey(state, header.gateway, header.key);
    if (typeof batchKey === "string") return rejected(batchKey);
    verifyLeaf({ leaf: opened, publicKey: batchKey, verifier });
    const facts = await verifyFacts(state, openFacts(opened), verifier);
    const recordKind = kindOfBatch(header);
    const verified = {
      kind: "verified",
      recordKind,
      batchKey,
      facts,
      stateSize: state.size,
    } as const;
    // Added to what was opened, not spread: that would build the records, which evidence is verified without.
    return Object.assign(opened, verified);
  } catch (cause) {
    if (cause instanceof CausewayError) return rejected(cause.code);
    throw cause;
  }
}

// What a later state may know: a key, a gateway, the log of a term.
const unknownYet: ReadonlySet<ReasonCode> = new Set([
  "TOKEN_KEY_UNKNOWN",
  "GATEWAY_UNKNOWN",
  "KEY_UNKNOWN",
  "NOTE_SIGNER_UNKNOWN",
]);

/**
 * Whether `batch` may be applied to `state`. Keys are only ever added, so batches may be verified ahead
 * of the fold, unless a signer was not known: then the batch is verified again once its turn comes. What
 * was verified with the keys of more leaves than `state` has is verified again too: they may be others.
 */
export function isVerifiedFor(batch: VerifiedBatch, state: RegistryState): boolean {
  if (batch.stateSize === state.size) return true;
  if (batch.stateSize === 0n || batch.stateSize > state.size) return false;
  return batch.facts.every((fact) => fact.kind !== "void" || !unknownYet.has(fact.reason));
}

export function rejected(reason: ReasonCode): Rejection {
  return { kind: "rejected", reason };
}

function openFacts(opened: OpenedBatch): readonly OpenedFact[] {
  const { header, recordHashes } = opened;
  if (kindOfBatch(header) === "evidence") return [];
  return opened.records.map((record, i) => openFact(record, recordHashes[i] as Uint8Array));
}

function openFact({ body }: LedgerRecord, recordHash: Uint8Array): OpenedFact {
  if (body.case === "equivocationReported") return { kind: "reported", report: body.value };
  if (body.case !== "statement") return { kind: "void", reason: "NOT_SUPPORTED" };
  return voidOnFailure(() => ({
    kind: "opened",
    opened: openStatement(body.value.jws),
    recordHash,
  }));
}

function findBatchKey(
  state: RegistryState,
  gateway: string,
  digest: Uint8Array,
): Uint8Array | ReasonCode {
  if (!state.gateways.has(gateway)) return "GATEWAY_UNKNOWN";
  return batchKeyOf(state, gateway, digest) ?? "KEY_UNKNOWN";
}

/** The key of batch 0 stands in the gateway statement of the sequencer that the founding document names. */
function findFoundingKey(batch: OpenedBatch): Uint8Array | ReasonCode {
  const { gateway, key } = batch.header;
  const facts = openFacts(batch);
  const [first] = facts;
  if (first === undefined) return "BATCH_INVALID";
  if (first.kind === "void") return first.reason;
  if (first.kind === "reported") return "BATCH_INVALID";
  const founding = first.opened.statement;
  if (founding.name !== "network") return "BATCH_INVALID";
  if (founding.body.sequencer.gateway !== gateway) return "GATEWAY_UNKNOWN";
  for (const fact of facts) {
    if (fact.kind !== "opened" || fact.opened.statement.name !== "gateway") continue;
    const { claims, body } = fact.opened.statement;
    if (claims.sub !== gateway) continue;
    const batchKey = rawKey(body.batch);
    return equalBytes(keyDigest(batchKey), key) ? batchKey : "KEY_UNKNOWN";
  }
  return "GATEWAY_UNKNOWN";
}

async function verifyFacts(
  state: RegistryState,
  facts: readonly OpenedFact[],
  verifier: Verifier,
): Promise<readonly RecordFact[]> {
  return Promise.all(
    facts.map(async (fact, position): Promise<RecordFact> => {
      if (fact.kind === "void") return fact;
      if (fact.kind === "reported") return verifyReport(state, fact.report, verifier);
      const { opened, recordHash } = fact;
      // Only that the key is the signer's matters here: whether it has a say is for the rules.
      const keyOf = (kid: string): Uint8Array | undefined =>
        keyOfThumbprint(state, kid) ??
        (state.size === 0n ? keyAmong(facts.slice(0, position), kid) : undefined);
      try {
        const said = await verifyStatement(opened, keyOf, verifier);
        return { kind: "statement", said, recordHash, ...verifyVote(state, said, verifier) };
      } catch (cause) {
        return { ...voided(cause), name: opened.statement.name };
      }
    }),
  );
}

function verifyReport(
  state: RegistryState,
  report: EquivocationReported,
  verifier: Verifier,
): RecordFact {
  try {
    return { kind: "equivocation", equivocation: verifyEquivocation(state, report, verifier) };
  } catch (cause) {
    return voided(cause);
  }
}

function verifyVote(
  state: RegistryState,
  { statement: { name, body } }: VerifiedStatement,
  verifier: Verifier,
): { readonly checkpoint?: VotedCheckpoint } {
  if (name !== "vote" || body.on !== "sequencer") return {};
  return { checkpoint: verifyVotedCheckpoint(state, body.checkpoint, verifier) };
}

function keyAmong(facts: readonly OpenedFact[], kid: string): Uint8Array | undefined {
  for (const fact of facts) {
    const key = fact.kind === "opened" ? boundKey(fact.opened.statement, kid) : undefined;
    if (key !== undefined) return key;
  }
  return undefined;
}

function voidOnFailure(open: () => OpenedFact): OpenedFact {
  try {
    return open();
  } catch (cause) {
    return voided(cause);
  }
}

function voided(cause: unknown): Extract<RecordFact, { kind: "void" }> {
  if (cause instanceof CausewayError) return { kind: "void", reason: cause.code };
  throw cause;
}
