/** The slow ledger: whether a batch gets an index, and what its records do. From DESIGN.md section 3 and RECORDS.md. */
import { agencyOf } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { judge } from "./meaning.ts";
import { openTerm, type TermVote } from "./terms.ts";
import { factsOf, type History, type Leaf, type Sight, speaking, tipOf } from "./facts.ts";
import { activeAgency, bindKeys, digestOf, generalFaults, type Said } from "./rules.ts";

/** Two signed leaves that are shown as one gateway's for one place. */
export interface Report {
  readonly gateway: string;
  /** Batch key of both, and the place for which both are. */
  readonly key: string;
  readonly epoch: number;
  readonly seq: number;
  /** Two different headers of this gateway at one place, each signed by a key that is its own. */
  readonly proves: boolean;
}

export type ModelRecord =
  | { readonly kind: "said"; readonly said: Said; readonly vote?: TermVote }
  | { readonly kind: "report"; readonly report: Report };

export interface ModelBatch extends Leaf {
  readonly prev: string;
  /** Whether the root that the header names is that of this ledger at its size. */
  readonly seesThisTree: boolean;
  /** None for a batch of evidence. */
  readonly records: readonly ModelRecord[];
  /** Size before a leaf of each term-opening vote's tree. */
  readonly networkId: string;
  readonly skewS: number;
}

/** Each of the reasons is true; which one is told is not said anywhere. */
export type Outcome = "applied" | ReadonlySet<ReasonCode>;

export type Judgement =
  | { readonly kind: "rejected"; readonly reasons: ReadonlySet<ReasonCode> }
  | { readonly kind: "included"; readonly outcomes: readonly Outcome[] };

/** Offers a batch as the next; a history that refuses it is as it was. */
export function offer(history: History, batch: ModelBatch): Judgement {
  const index = history.leaves.length;
  const reasons = structureFaults(history, batch, index);
  const isKnown = !reasons.has("GATEWAY_UNKNOWN") && !reasons.has("KEY_UNKNOWN");
  if (isKnown && batch.epoch > (tipOf(history, batch.gateway)?.epoch ?? 0)) {
    const first = judgeFirst(history, batch, index);
    if (first !== "applied") for (const reason of first) reasons.add(reason);
  }
  if (reasons.size > 0) return { kind: "rejected", reasons };
  const outcomes = batch.records.map((_, position) =>
    meaningOf(history, batch, { index, position }),
  );
  const settled = settleVotes(history, batch, index, outcomes);
  const { records: _, prev: __, ...leaf } = batch;
  history.leaves.push(leaf);
  return { kind: "included", outcomes: settled };
}

function structureFaults(history: History, batch: ModelBatch, index: number): Set<ReasonCode> {
  const reasons = new Set<ReasonCode>();
  const known = factsOf(history, "gateway", batch.gateway);
  if (known.length === 0) return new Set(["GATEWAY_UNKNOWN"]);
  if (!known.some(({ body }) => digestOf(body["batch"] as string) === batch.key)) {
    return new Set(["KEY_UNKNOWN"]);
  }
  const tip = tipOf(history, batch.gateway);
  for (const reason of chainFaults(history, batch, tip)) reasons.add(reason);
  if (batch.seenSize > index || !batch.seesThisTree) reasons.add("SEEN_INVALID");
  if (tip !== undefined && (batch.seenSize < tip.seenSize || batch.sealedAtMs < tip.sealedAtMs)) {
    reasons.add("SEEN_DECREASING");
  }
  return reasons;
}

function chainFaults(
  history: History,
  batch: ModelBatch,
  tip: Leaf | undefined,
): readonly ReasonCode[] {
  const { gateway, epoch, seq } = batch;
  const isEnded = isBeyondEnd(history, batch);
  const ended: readonly ReasonCode[] = isEnded ? ["CHAIN_ENDED"] : [];
  if (tip === undefined) {
    const isFirst = epoch === 0 && seq === 0 && batch.prev === "00".repeat(32);
    return isFirst ? ended : [...ended, "CHAIN_GAP", "CHAIN_FORK"];
  }
  if (batch.hash === tip.hash) return ["BATCH_KNOWN"];
  const isFrozen = history.frozen.some((one) => one.gateway === gateway && one.epoch === tip.epoch);
  if (epoch > tip.epoch) {
    return seq === 0 && batch.prev === tip.hash ? ended : [...ended, "CHAIN_GAP", "CHAIN_FORK"];
  }
  const frozen: readonly ReasonCode[] = isFrozen ? ["CHAIN_FROZEN"] : [];
  const follows = epoch === tip.epoch && seq === tip.seq + 1 && batch.prev === tip.hash;
  return [...ended, ...frozen, ...(follows ? [] : (["CHAIN_GAP", "CHAIN_FORK"] as const))];
}

/** Whether nothing of a key's chain is taken at this place any more. */
function isBeyondEnd(
  history: History,
  { gateway, key, epoch, seq }: Pick<Leaf, "gateway" | "key" | "epoch" | "seq">,
): boolean {
  return history.endings.some(
    (ending) =>
      ending.gateway === gateway &&
      ending.keys.some((one) => digestOf(one) === key) &&
      (epoch > ending.epoch || (epoch === ending.epoch && seq > ending.seq)),
  );
}

/** The first record of an epoch decides whether the batch gets an index at all. */
function judgeFirst(history: History, batch: ModelBatch, index: number): Outcome {
  const tip = tipOf(history, batch.gateway);
  const [first] = batch.records;
  const none = new Set<ReasonCode>(["CHAIN_GAP", "CHAIN_FORK", "CHAIN_FROZEN", "BATCH_INVALID"]);
  if (first === undefined) return none;
  const reasons = faultsOf(history, batch, { index, position: 0 });
  if (first.kind !== "said" || first.said.statement.name !== "epoch") {
    return new Set([...none, ...reasons]);
  }
  const { claims, body } = first.said.statement;
  const names =
    claims.sub === batch.gateway &&
    body.epoch === batch.epoch &&
    body.last.epoch === tip?.epoch &&
    body.last.seq === tip.seq &&
    body.last.leaf === tip.hash;
  if (!names) return new Set([...none, ...reasons]);
  return reasons.size === 0 ? "applied" : reasons;
}

function groundOf(batch: ModelBatch, place: { readonly index: number; readonly position: number }) {
  const sight: Sight = {
    seenSize: batch.seenSize,
    index: place.index,
    atS: Math.floor(batch.sealedAtMs / 1000),
  };
  const { sealedAtMs, skewS, networkId, gateway: carrier, epoch, seq } = batch;
  return { ...sight, place, sealedAtMs, skewS, networkId, carrier, epoch, seq };
}

/** Everything against a record where it stands, that of who carries it among it. */
function faultsOf(
  history: History,
  batch: ModelBatch,
  place: { readonly index: number; readonly position: number },
): Set<ReasonCode> {
  const reasons = new Set<ReasonCode>();
  const against = (...all: readonly ReasonCode[]): void => {
    for (const reason of all) reasons.add(reason);
  };
  carrierFaults(history, batch, place, against);
  const record = batch.records[place.position] as ModelRecord;
  if (record.kind === "report") reportFaults(history, record.report, against);
  else {
    const ground = groundOf(batch, place);
    generalFaults(history, record.said, ground, against);
    judge(history, record.said, ground, against);
  }
  return reasons;
}

/** A gateway that is suspended, expired or rotated out is draining: what it carries is void. */
function carrierFaults(
  history: History,
  batch: ModelBatch,
  place: { readonly index: number; readonly position: number },
  against: (...reasons: readonly ReasonCode[]) => void,
): void {
  const ground = groundOf(batch, place);
  const [fact] = speaking(history, "gateway", batch.gateway, ground);
  const isOwnKey = fact !== undefined && digestOf(fact.body["batch"] as string) === batch.key;
  const agency = activeAgency(history, agencyOf(batch.gateway), ground);
  if (!isOwnKey || agency.length === 0) against("MEMBER_NOT_ACTIVE");
}

function reportFaults(
  history: History,
  report: Report,
  against: (...reasons: readonly ReasonCode[]) => void,
): void {
  const { gateway, epoch, proves } = report;
  if (!proves) against("EQUIVOCATION_UNPROVED");
  // What no chain can hold any more stops none: a key that was stolen after its end freezes nothing.
  if (isBeyondEnd(history, report)) against("CHAIN_ENDED");
  const isFrozen = history.frozen.some((one) => one.gateway === gateway && one.epoch === epoch);
  if (isFrozen) against("ALREADY_TAKEN");
}

function meaningOf(
  history: History,
  batch: ModelBatch,
  place: { readonly index: number; readonly position: number },
): Outcome {
  const reasons = faultsOf(history, batch, place);
  if (reasons.size > 0) return reasons;
  const record = batch.records[place.position] as ModelRecord;
  if (record.kind === "report") {
    history.frozen.push(record.report);
    return "applied";
  }
  const { said, vote } = record;
  const ground = groundOf(batch, place);
  judge(history, said, ground, () => undefined)();
  if (vote === undefined) history.usedJti.push(said.statement.claims.jti);
  return "applied";
}

/** Votes on a sequencer count together, at the end of their batch, or not at all. */
function settleVotes(
  history: History,
  batch: ModelBatch,
  index: number,
  outcomes: readonly Outcome[],
): readonly Outcome[] {
  const standing = batch.records.flatMap((record, i) =>
    record.kind === "said" && record.vote !== undefined && outcomes[i] === "applied"
      ? [{ ...record.vote, said: record.said }]
      : [],
  );
  if (standing.length === 0) {
    // A key that is bound already is found in the single vote or in all of them together.
    const missing: readonly ReasonCode[] = ["VOTES_MISSING", "TERM_INVALID"];
    return outcomes.map((outcome, i) =>
      outcome !== "applied" && outcome.has("KEY_BOUND") && isBallot(batch, i)
        ? new Set([...outcome, ...missing])
        : outcome,
    );
  }
  const reasons = openTerm(history, standing, { index, carrier: batch.gateway });
  if (reasons.size === 0) {
    for (const { said } of standing) {
      history.usedJti.push(said.statement.claims.jti);
      bindKeys(history, said.statement);
    }
    return outcomes;
  }
  return outcomes.map((outcome, i) => {
    if (!isBallot(batch, i)) return outcome;
    return outcome === "applied" ? reasons : new Set([...outcome, ...reasons]);
  });
}

function isBallot(batch: ModelBatch, position: number): boolean {
  const record = batch.records[position] as ModelRecord;
  return record.kind === "said" && record.vote !== undefined;
}
