import type { Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { cityOf } from "../../base/ids.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { openLeaf } from "../../record/leaf.ts";
import { cosigningRules } from "../../registry/cosigning.ts";
import type { TermFact } from "../../registry/state.ts";
import type { SealedBatch } from "../ports.ts";
import { readHead } from "./checkpoints.ts";
import type { Inclusion } from "./judge-batch.ts";
import type { PendingTerm } from "./pending-term.ts";
import type { LedgerReplica } from "./replica.ts";
import {
  chooseStart,
  type ProvableTree,
  type StartEvidence,
  type StartQuestion,
} from "./term-start.ts";
import { trustOf } from "./trust.ts";

/** A vote on a sequencer, as far as the start of its term depends on it. */
export interface SequencerVote {
  readonly city: string;
  /** The highest checkpoint that the city's witness has cosigned, as a log signed it. */
  readonly checkpoint: Uint8Array;
}

/** A term that this gateway is to open. */
export interface TermToOpen {
  readonly term: bigint;
  readonly votes: readonly SequencerVote[];
  /** Batches of the own chain that are not final, in its order: they come before the votes. */
  readonly own: Iterable<SealedBatch>;
}

/** What became of a term that this gateway was ready to open. */
export interface OwnTermOpened {
  readonly term: bigint;
  readonly start: bigint;
  /**
   * The appointment once it stands here. Rejects with VOTES_MISSING when no batch of the own chain opened
   * the term in time, and with SHUTTING_DOWN.
   */
  readonly opened: Promise<TermFact>;
}

/** How long the leaves up to the highest checkpoint may take to come. */
const gatherMs = 60_000;

/**
 * Waits until the replica has what the votes' checkpoints cover, and works out where the term begins.
 * Throws LEDGER_BEHIND when it does not come in time, VOTES_MISSING while the votes do not give a start,
 * and what reading a checkpoint throws.
 */
export async function gatherStart(
  { votes }: TermToOpen,
  parts: {
    readonly replica: LedgerReplica;
    readonly verifier: Verifier;
    readonly scheduler: Scheduler;
  },
): Promise<{ readonly start: bigint; readonly evidence?: StartEvidence }> {
  const { replica, verifier, scheduler } = parts;
  const question = questionOf(votes, { replica, verifier });
  const highest = question.votes.reduce((size, vote) => (vote.size > size ? vote.size : size), 0n);
  await reach(replica, highest, scheduler);
  const foreign = votes.find(({ checkpoint }) => replica.compare(checkpoint).stands !== true);
  if (foreign !== undefined) {
    throw new CausewayError("LEDGER_FORK", `the checkpoint of ${foreign.city} is of another tree`, {
      fields: { city: foreign.city },
    });
  }
  const chosen = chooseStart(question, () => treeOf(replica));
  if (chosen === undefined) {
    throw new CausewayError("VOTES_MISSING", "the votes do not say where the term begins");
  }
  const { size, evidence } = chosen;
  return { start: size, ...(evidence === undefined ? {} : { evidence }) };
}

function questionOf(
  votes: readonly SequencerVote[],
  { replica, verifier }: { readonly replica: LedgerReplica; readonly verifier: Verifier },
): StartQuestion {
  const { state } = replica.trust();
  const trust = trustOf(replica.network, replica.state());
  const heads = votes.map(({ city, checkpoint }) => {
    const { term, size, root } = readHead(trust, checkpoint, verifier);
    return { city, term, size, root };
  });
  const newest = heads.reduce((term, head) => (head.term > term ? head.term : term), 0n);
  const fact = state.terms.find(({ term }) => term === newest);
  assertInvariant(fact !== undefined, "a head was read under the log key of its term");
  const from = replica.final()?.size ?? 0n;
  const to = heads.reduce((size, head) => (head.size > size ? head.size : size), from);
  return {
    votes: heads,
    rules: cosigningRules(state, { from, to }),
    sequencerCity: cityOf(fact.gateway),
  };
}

function treeOf(replica: LedgerReplica): ProvableTree {
  return {
    rootAt: (size) => replica.rootAt(size),
    leafHash: (index) => replica.reader.readHash(0, index),
    inclusionProof: (index, size) => replica.inclusionProof(index, size),
    consistencyProof: (size1, size2) => replica.consistencyProof(size1, size2),
  };
}

/** Resolves once there are `size` leaves here. */
async function reach(replica: LedgerReplica, size: bigint, scheduler: Scheduler): Promise<void> {
  if (replica.state().size >= size) return;
  await new Promise<void>((resolve, reject) => {
    const stop = replica.onChange(() => {
      if (replica.state().size < size) return;
      cancel();
      stop();
      resolve();
    });
    const cancel = scheduler.after(gatherMs, () => {
      stop();
      const fields = { size: String(size) };
      const text = "no other member has sent what the votes' checkpoints cover";
      reject(new CausewayError("LEDGER_BEHIND", text, { fields }));
    });
  });
}

/**
 * A term on its way: the own batches in order, one at a time, until the one with the votes is in. Then
 * everything is stored, and this gateway is the sequencer.
 */
export class OwnTerm {
  readonly evidence: StartEvidence | undefined;
  readonly opened: Promise<TermFact>;
  readonly #pending: PendingTerm;
  readonly #replica: LedgerReplica;
  readonly #gateway: string;
  #resolve: (fact: TermFact) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #work: Promise<unknown> = Promise.resolve();
  #isOver = false;

  constructor(
    pending: PendingTerm,
    options: {
      readonly replica: LedgerReplica;
      readonly gateway: string;
      readonly evidence: StartEvidence | undefined;
    },
  ) {
    this.#pending = pending;
    this.evidence = options.evidence;
    this.#replica = options.replica;
    this.#gateway = options.gateway;
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.opened.catch(() => undefined);
  }

  get start(): bigint {
    return this.#pending.start;
  }

  /** Nothing of it is stored any more. */
  abandon(error: CausewayError): void {
    this.#isOver = true;
    this.#reject(error);
  }

  /**
   * The next batch of the own chain. What comes before it in the chain may still be on its way, so that a
   * gap is no refusal. Rejects with LEDGER_UNAVAILABLE for another gateway's batch, and when it is over.
   */
  submit(batch: SealedBatch): Promise<Inclusion> {
    const run = this.#work.then(() => this.#submit(batch));
    this.#work = run.catch(() => undefined);
    return run;
  }

  async #submit(batch: SealedBatch): Promise<Inclusion> {
    const pending = this.#pending;
    if (this.#isOver || openLeaf(batch.leaf).header.gateway !== this.#gateway) {
      throw new CausewayError("LEDGER_UNAVAILABLE", `term ${pending.term} is not open yet`);
    }
    const inclusion = await pending.include(batch);
    if (inclusion.kind === "rejected") {
      if (inclusion.reason !== "CHAIN_GAP") return inclusion;
      throw new CausewayError("LEDGER_UNAVAILABLE", "an earlier batch of the chain is missing");
    }
    const { opened } = pending;
    if (opened !== undefined && !this.#isOver) {
      this.#isOver = true;
      await this.#replica.openTerm(pending);
      this.#resolve(opened);
    }
    return inclusion;
  }
}
