/** How a term was opened, as the own replica has it: what a witness judges before its first cosignature in it. */
import { parseBase64 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { cityOf } from "../../base/ids.ts";
import { openStatement } from "../../credential/statement.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { openRecord } from "../../record/record.ts";
import { cosigningRules } from "../../registry/cosigning.ts";
import type { RegistryState, TermFact } from "../../registry/state.ts";
import type { IncludedBatch, Replica } from "../ports.ts";
import { headOfNote, readHead } from "./checkpoints.ts";
import type { LedgerNetwork } from "./network.ts";
import type { PendingTerm } from "./pending-term.ts";
import { isStartDropped, type StartEvidence, type StartVote } from "./term-start.ts";
import { newestTerm, type Trust, trustOf } from "./trust.ts";
import { isRightlyOpened, restsOnRightTerms } from "./witness-terms.ts";
import type { SettledTerms, TermOpening } from "./witness-types.ts";

/** What is asked of the own replica, or of the leaves that are about to be its newest. */
export type OpeningSource = Pick<Replica, "state" | "final" | "rootAt" | "voidReason"> & {
  batch(index: bigint): Pick<IncludedBatch, "records"> | undefined;
  trust(): Trust;
};

/** The term of an origin's text, `undefined` when it ends with none. */
export function termOfOriginText(origin: string): bigint | undefined {
  const term = /\/(0|[1-9]\d{0,18})$/.exec(origin)?.[1];
  return term === undefined ? undefined : BigInt(term);
}

/**
 * The opening of a term that the replica knows, `undefined` for any other. The votes are those that the
 * registry counted; a city's vote that it did not count may still show that the sequencer before lied.
 */
export function openingOf(
  replica: OpeningSource,
  term: bigint,
  options: { readonly verifier: Verifier; readonly evidence?: StartEvidence | undefined },
): TermOpening | undefined {
  const state = replica.state();
  const fact = state.terms.find((one) => one.term === term);
  if (fact === undefined || term === 0n) return undefined;
  const { evidence } = options;
  const votes = readVotes(replica, fact, options.verifier);
  const [first] = votes;
  if (first === undefined) return undefined;
  const named = votes.reduce((highest, vote) => (vote.term > highest ? vote.term : highest), 0n);
  const sequencerCity = cityOfTerm(state, named);
  const counted = votes.filter(
    ({ city, isVoid }) => !isVoid || (evidence !== undefined && city === sequencerCity),
  );
  const finalSize = replica.final()?.size ?? 0n;
  const from = finalSize < fact.start ? finalSize : fact.start;
  return {
    term,
    start: fact.start,
    since: fact.since,
    question: {
      votes: counted,
      rules: cosigningRules(state, { from, to: fact.start === 0n ? 1n : fact.start }),
      sequencerCity,
    },
    tree: replica,
    evidence,
  };
}

/**
 * As `openingOf`; `undefined` also when an earlier term of which nothing is final, and on which this one
 * rests, was not opened rightly. Its sequencer may have signed, for nobody but itself, what a vote names of
 * that term: nothing of it counts.
 */
export function trustedOpeningOf(
  replica: OpeningSource,
  term: bigint,
  options: {
    readonly verifier: Verifier;
    readonly evidenceOf: (term: bigint) => StartEvidence | undefined;
  },
): TermOpening | undefined {
  const { verifier, evidenceOf } = options;
  const shown = (of: bigint): TermOpening | undefined =>
    openingOf(replica, of, { verifier, evidence: evidenceOf(of) });
  const opening = shown(term);
  if (opening === undefined) return undefined;
  const finalSize = replica.final()?.size ?? 0n;
  const earlier = replica
    .state()
    .terms.filter((fact) => fact.term > 0n && fact.term < term && fact.since >= finalSize);
  return restsOnRightTerms(opening, earlier, shown) ? opening : undefined;
}

/**
 * The replica's terms, if the newest is one that a witness would take part in, or its opening is final;
 * `undefined` in term 0, before which there was none.
 */
export function settledTerms(
  replica: OpeningSource,
  options: Parameters<typeof trustedOpeningOf>[2],
): SettledTerms | undefined {
  const trust = replica.trust();
  const { term, since } = newestTerm(trust);
  const final = replica.final();
  if (term === 0n || final === undefined) return undefined;
  if (since >= final.size) {
    const opening = trustedOpeningOf(replica, term, options);
    if (opening === undefined || !isRightlyOpened(opening)) return undefined;
  }
  const { size, root } = final;
  const note = headOfNote(final.note);
  const { term: finalTerm } = readHead(trust, note, options.verifier);
  return {
    terms: trust.state.terms.map((fact) => fact.term),
    final: { term: finalTerm, size, root, note },
  };
}

/**
 * The fold cannot tell a checkpoint that is not on its tree from a lie; whoever holds what the checkpoints
 * cover can. Throws TERM_INVALID when a term that has opened would drop what its votes keep.
 */
export function assertKeepsStart(
  own: Pick<Replica, "final" | "rootAt"> & { readonly network: LedgerNetwork },
  pending: PendingTerm,
  verifier: Verifier,
): void {
  const term = pending.opened?.term ?? 0n;
  const source: OpeningSource = {
    state: () => pending.state,
    final: () => own.final(),
    rootAt: (size) => pending.rootAt(size),
    voidReason: (index, position) => pending.voidReason(index, position),
    batch: (index) => pending.batch(index),
    trust: () => trustOf(own.network, pending.state),
  };
  const opening = openingOf(source, term, { verifier });
  if (opening === undefined || !isStartDropped(opening.question, own, source)) return;
  throw new CausewayError("TERM_INVALID", `term ${term} would drop what its votes keep`);
}

/** City of the gateway that was appointed for a term. */
export function cityOfTerm(state: RegistryState, term: bigint): string {
  const fact = state.terms.find((one) => one.term === term);
  return fact === undefined ? "" : cityOf(fact.gateway);
}

interface ReadVote extends StartVote {
  readonly isVoid: boolean;
}

function readVotes(
  replica: OpeningSource,
  fact: TermFact,
  verifier: Verifier,
): readonly ReadVote[] {
  const records = replica.batch(fact.since)?.records ?? [];
  return records.flatMap((bytes, position) => {
    const vote = readVote(bytes, fact);
    if (vote === undefined) return [];
    const head = readCheckpoint(replica.trust(), vote.checkpoint, verifier);
    if (head === undefined) return [];
    const isVoid = replica.voidReason(fact.since, position) !== undefined;
    return [{ city: vote.city, ...head, isVoid }];
  });
}

function readVote(
  bytes: Uint8Array,
  { gateway, term }: TermFact,
): { readonly city: string; readonly checkpoint: string } | undefined {
  const { body } = openRecord(bytes);
  if (body.case !== "statement") return undefined;
  const statement = orUndefined(() => openStatement(body.value.jws).statement);
  if (statement?.name !== "vote" || statement.body.on !== "sequencer") return undefined;
  const { claims, body: vote } = statement;
  if (claims.sub !== gateway || BigInt(vote.term) !== term) return undefined;
  return { city: claims.iss, checkpoint: vote.checkpoint };
}

function readCheckpoint(
  trust: Trust,
  text: string,
  verifier: Verifier,
): Pick<StartVote, "term" | "size" | "root"> | undefined {
  const note = parseBase64(text);
  if (note === undefined) return undefined;
  return orUndefined(() => {
    const { term, size, root } = readHead(trust, note, verifier);
    return { term, size, root };
  });
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}
