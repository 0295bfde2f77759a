import { equalBytes } from "../../base/bytes.ts";
import type { Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { cityOf } from "../../base/ids.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { openLeaf } from "../../record/leaf.ts";
import { cosigningRules } from "../../registry/cosigning.ts";
import type { TermFact } from "../../registry/state.ts";
import type { SealedBatch } from "../ports.ts";
import { type Branch, readBranch } from "./branch.ts";
import { readHead } from "./checkpoints.ts";
import type { Inclusion } from "./judge-batch.ts";
import type { PendingTerm } from "./pending-term.ts";
import type { LedgerClient } from "./ports.ts";
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
  /** What it names (`votedHead`), as a log signed it. */
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
const gatherMs = 20_000;

/** Where a term begins, and how this gateway comes to have what stands below. */
export interface GatheredStart {
  readonly start: bigint;
  /** From this index on `lead` stands in the place of what is here; the start itself while nothing differs. */
  readonly base: bigint;
  /** Batches from `base` up to the start. */
  readonly lead: readonly SealedBatch[];
  /** Why it may lie below the highest checkpoint. */
  readonly evidence?: StartEvidence | undefined;
}

/**
 * Waits until the replica has what the votes' checkpoints cover, asks the other members for what stands
 * on no tree here, and works out where the term begins. Rejects with LEDGER_BEHIND when a checkpoint's
 * tree is nowhere to be had, VOTES_MISSING while the votes give no start, and as reading a checkpoint does.
 */
export async function gatherStart(
  { votes }: Pick<TermToOpen, "votes">,
  parts: {
    readonly replica: LedgerReplica;
    readonly verifier: Verifier;
    readonly scheduler: Scheduler;
    readonly peers: { sources(): readonly { readonly client: LedgerClient }[] };
  },
): Promise<GatheredStart> {
  const { replica, verifier, scheduler } = parts;
  const { question, highest } = questionOf(votes, { replica, verifier });
  await reach(replica, highest.size, scheduler);
  const foreign = question.votes.filter(({ size, root }) => {
    const own = replica.rootAt(size);
    return own === undefined || !equalBytes(own, root);
  });
  const branches = new Map<string, Branch>();
  // Checkpoints of earlier terms matter only where those of the highest one contradict each other.
  if (foreign.some(({ term }) => term === highest.term)) {
    for (const vote of foreign) branches.set(vote.city, await findBranch(vote, parts));
  }
  const treeOf = (city: string): ProvableTree => branches.get(city)?.tree ?? ownTree(replica);
  const chosen = chooseStart(question, treeOf);
  if (chosen === undefined) {
    throw new CausewayError("VOTES_MISSING", "the votes do not say where the term begins");
  }
  const { size: start, holder, evidence } = chosen;
  const branch = branches.get(holder);
  if (branch === undefined || branch.from >= start) {
    return { start, base: start, lead: [], evidence };
  }
  const lead = branch.batches.slice(0, Number(start - branch.from));
  return { start, base: branch.from, lead, evidence };
}

/** The tree of a vote's checkpoint, from whichever member has it. */
async function findBranch(
  vote: { readonly city: string; readonly size: bigint; readonly root: Uint8Array },
  parts: Parameters<typeof gatherStart>[1],
): Promise<Branch> {
  const causes: unknown[] = [];
  for (const { client } of parts.peers.sources()) {
    try {
      return await readBranch(client, vote, parts);
    } catch (error) {
      if (!(error instanceof CausewayError) || error.code === "STORAGE_FAILED") throw error;
      causes.push(error);
    }
  }
  throw new CausewayError("LEDGER_BEHIND", `no member has the tree of ${vote.city}'s checkpoint`, {
    cause: causes.at(-1),
    fields: { city: vote.city, size: String(vote.size) },
  });
}

function questionOf(
  votes: readonly SequencerVote[],
  { replica, verifier }: { readonly replica: LedgerReplica; readonly verifier: Verifier },
): {
  readonly question: StartQuestion;
  readonly highest: { readonly term: bigint; readonly size: bigint };
} {
  const { state } = replica.trust();
  const trust = trustOf(replica.network, replica.state());
  const heads = votes.map(({ city, checkpoint }) => {
    const { term, size, root } = readHead(trust, checkpoint, verifier);
    return { city, term, size, root };
  });
  const term = heads.reduce((newest, head) => (head.term > newest ? head.term : newest), 0n);
  const newest = heads.filter((head) => head.term === term);
  const size = newest.reduce((most, head) => (head.size > most ? head.size : most), 0n);
  const fact = state.terms.find((one) => one.term === term);
  assertInvariant(fact !== undefined, "a head was read under the log key of its term");
  const from = replica.final()?.size ?? 0n;
  const to = size > from ? size : from;
  const question = {
    votes: heads,
    rules: cosigningRules(state, { from, to }),
    sequencerCity: cityOf(fact.gateway),
  };
  return { question, highest: { term, size } };
}

function ownTree(replica: LedgerReplica): ProvableTree {
  return {
    rootAt: (size) => replica.rootAt(size),
    leafHash: (index) => replica.reader.readHash(0, index),
    inclusionProof: (index, size) => replica.inclusionProof(index, size),
    consistencyProof: (size1, size2) => replica.consistencyProof(size1, size2),
  };
}

/** Resolves once there are `size` leaves here, or when nobody has sent them for long. */
async function reach(replica: LedgerReplica, size: bigint, scheduler: Scheduler): Promise<void> {
  if (replica.state().size >= size) return;
  await new Promise<void>((resolve) => {
    const finish = (): void => {
      cancel();
      stop();
      resolve();
    };
    const stop = replica.onChange(() => {
      if (replica.state().size >= size) finish();
    });
    const cancel = scheduler.after(gatherMs, finish);
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
