/**
 * Four cities, of which the last may lie, and the terms of their sequencers, with everything left out but what
 * these rest on: ledgers as trees of leaves, what witnesses promise and cosign, votes, openings, and what is
 * final. What is decided is decided by the real rules.
 */
import { equalBytes } from "../../src/base/bytes.ts";
import {
  chooseStart,
  type ChosenStart,
  type StartEvidence,
} from "../../src/ledger/embedded/term-start.ts";
import { votedHead } from "../../src/ledger/embedded/witness-terms.ts";
import type { PromisedHead } from "../../src/ledger/embedded/witness-types.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { foundedFacts } from "../simulation/facts.ts";
import { appendTo, createBatch, type Row, type Rows, type Vote } from "../simulation/history.ts";
import { allRules } from "../simulation/mutants.ts";
import { type LogKey, type Note, Notes, promisedHead } from "../simulation/notes.ts";
import { isRight, type Ledger, provable, questionOf, settledIn } from "../simulation/opening.ts";

/** What a vote leaves out of the checkpoints that its city has cosigned. */
export type PassesOver = "terms that are left out" | "checkpoints that are left out" | "nothing";

const quorum = 3;
/** The cities that keep to the rules. */
export const honest: readonly number[] = [0, 1, 2];
export const liar = 3;
const noLeaf = new Uint8Array(32);

/** A city's replica, and what its witness has stored. */
interface City {
  row: Row;
  final: Row;
  promisedTerm: number;
  readonly promises: Map<string, PromisedHead>;
}

/** What was seen broken. */
export class Broken extends Error {}

export class Appointments {
  /** Every history that somebody has signed, the founded one first. */
  readonly rows: Row[] = [];
  /** Log keys by term. */
  readonly keys: LogKey[] = [];
  /** Votes of honest cities; one that was asked again may have made two. */
  readonly votes: Vote[] = [];
  readonly final: Row[] = [];
  readonly #passesOver: PassesOver;
  readonly #notes = new Notes();
  readonly #heads = new Map<number, Row>();
  readonly #cities: readonly City[];
  readonly #cosigned = new Map<Row, Set<number>>();
  readonly #evidence = new Map<Row, StartEvidence>();
  #openings = 0;

  /** Founded, with a city's gateway as the first sequencer; every city has cosigned that. */
  constructor(sequencer: number, passesOver: PassesOver) {
    this.#passesOver = passesOver;
    const key = this.appoint(sequencer);
    const batch = createBatch(0, batchBy(9, [{ kind: "founding" }]));
    const row = appendTo(undefined, batch, { first: new Map(), areVotesChecked: true }) as Row;
    const cities = [...honest, liar];
    const facts = foundedFacts(row.facts, { cities, quorum, faults: 1, key });
    const founded = this.#keep({ ...row, facts });
    this.final.push(founded);
    const promises = [["0", promisedHead(this.#headOf(founded))]] as const;
    this.#cities = honest.map(() => ({
      row: founded,
      final: founded,
      promisedTerm: 0,
      promises: new Map(promises),
    }));
  }

  /** The end of a city's ledger. */
  rowAt(city: number): Row {
    return this.#at(city).row;
  }

  /** The next term's log key; only votes make it a term. */
  appoint(city: number): LogKey {
    const key = this.#notes.makeKey(this.keys.length, city);
    this.keys.push(key);
    return key;
  }

  /** Another leaf behind a history, by the sequencer of its newest term. Two of other kinds are two histories. */
  append(row: Row, kind = 0): Row {
    const id = 1000 + 2 * row.index + kind;
    const next = this.#keep(behind(row, createBatch(id, batchBy(id))));
    const sequencer = gatewayOf(row);
    if (sequencer !== liar && this.rowAt(sequencer) === row) this.#at(sequencer).row = next;
    return next;
  }

  /** A later leaf of the same term, or another term that leaves out nothing that the city knows to be final. */
  follow(city: number, shown: Row): void {
    const one = this.#at(city);
    const begin = termOf(shown) === termOf(one.row) ? one.row : one.final;
    if (termOf(shown) >= termOf(one.row) && begins(begin, shown)) one.row = shown;
  }

  /** A head of the newest term is put before a city's witness. */
  cosign(city: number, row: Row): void {
    const one = this.#at(city);
    const term = termOf(row);
    if (term < one.promisedTerm || term !== termOf(one.row) || !begins(row, one.row)) return;
    if (row.index < one.final.index) return;
    const promise = one.promises.get(String(term));
    if (promise !== undefined && !begins(this.#rowOf(promise), row)) return;
    if (promise === undefined && !isRight(this.#ledgerOf(one), allRules)) return;
    one.promises.set(String(term), promisedHead(this.#headOf(row)));
    one.promisedTerm = term;
    const cosigners = this.#cosigned.get(row) ?? new Set();
    this.#cosigned.set(row, cosigners.add(city));
    // The liar cosigns whatever it is asked for.
    if (cosigners.size + 1 >= quorum) this.#makeFinal(row);
  }

  /** A city hears that this is final. */
  learn(city: number, row: Row): void {
    const one = this.#at(city);
    if (begins(row, one.row) && row.index > one.final.index) one.final = row;
  }

  /** A city votes, or makes its vote again; nothing when its witness promises no more. */
  vote(city: number, key: LogKey): Vote | undefined {
    const { promisedTerm, row } = this.#at(city);
    const isAgain = this.votes.some((vote) => vote.city === city && vote.key === key);
    const isLate = key.term < promisedTerm || (key.term === promisedTerm && !isAgain);
    if (isLate || key.term <= termOf(row)) return undefined;
    this.#at(city).promisedTerm = key.term;
    const highest = this.#highestOf(this.#at(city));
    const vote = { city, term: key.term, gateway: key.city, key, highest };
    this.votes.push(vote);
    return vote;
  }

  /** What the liar's vote names is any history that somebody has signed. */
  lie(key: LogKey, row: Row): Vote {
    const { term, city: gateway } = key;
    return { city: liar, term, gateway, key, highest: this.#headOf(row) };
  }

  /** As an honest gateway opens its term: at the start that the votes give, of those whose terms it knows. */
  open(key: LogKey, cast: readonly Vote[]): Row | undefined {
    const city = this.#at(key.city);
    const { terms } = city.row.facts;
    const isKnown = ({ highest }: Vote): boolean => terms.some((one) => one.key === highest?.key);
    const votes = cast.filter(isKnown);
    const start = this.startOf(votes);
    if (start === undefined || termOf(city.row) >= key.term || !begins(city.final, start)) {
      return undefined;
    }
    const opened = this.openAt(start, key, votes);
    if (opened !== undefined) city.row = opened;
    return opened;
  }

  /** The leaf with the votes behind a history, if the registry takes them there. */
  openAt(start: Row, key: LogKey, votes: readonly Vote[]): Row | undefined {
    const tip = start.facts.chains[key.city];
    const place = { seq: tip === undefined ? 0 : tip.seq + 1, prev: tip?.leafHash ?? noLeaf };
    const id = 10_000 + this.#openings++;
    const header = { ...batchBy(key.city, [{ kind: "votes", votes }]), ...place };
    const row = behind(start, createBatch(id, header));
    if (termOf(row) !== key.term) return undefined;
    const evidence = this.#choose(votes)?.evidence;
    if (evidence !== undefined) this.#evidence.set(row, evidence);
    return this.#keep(row);
  }

  /** Where the votes let their term begin. */
  startOf(votes: readonly Vote[]): Row | undefined {
    const chosen = this.#choose(votes);
    const holder = votes.find(({ city }) => `city${city}` === chosen?.holder);
    return chosen && holder && ancestor(this.#rowOfVote(holder), Number(chosen.size) - 1);
  }

  /**
   * All is well again, and the liar is silent: the others follow the newest term, and one of them opens the
   * next, in which something becomes final.
   */
  recover(): void {
    const ends = honest.map((city) => this.rowAt(city));
    const newest = ends.reduce((a, b) => (termOf(b) > termOf(a) ? b : a));
    for (const city of honest) {
      this.follow(city, newest);
      for (const row of this.final) this.learn(city, row);
    }
    if (honest.some((city) => this.#succeeds(city))) return;
    throw new Broken(`no term opens any more: ${this.#told()}`);
  }

  #succeeds(city: number): boolean {
    const key = this.appoint(city);
    const votes = honest.flatMap((voter) => this.vote(voter, key) ?? []);
    const opened = this.open(key, votes);
    if (opened === undefined) return false;
    for (const voter of honest) {
      this.follow(voter, opened);
      this.cosign(voter, opened);
    }
    return this.final.includes(opened);
  }

  #at(city: number): City {
    return this.#cities[city] as City;
  }

  #keep(row: Row): Row {
    if (this.rows.includes(row)) return row;
    this.rows.push(row);
    this.#heads.set(this.#headOf(row).headId, row);
    return row;
  }

  /** A history under the signature of its newest term's log. */
  #headOf(row: Row): Note {
    return this.#notes.sign(this.keys[termOf(row)] as LogKey, row.index + 1, row.root);
  }

  #rowOf({ note }: PromisedHead): Row {
    return this.#heads.get(this.#notes.read(note).headId) as Row;
  }

  #rowOfVote({ highest }: Vote): Row {
    return this.#heads.get((highest as Note).headId) as Row;
  }

  #makeFinal(row: Row): void {
    if (this.final.includes(row)) return;
    for (const other of this.final) {
      if (begins(row, other) || begins(other, row)) continue;
      throw new Broken(`two final histories: ${tell(row)} and ${tell(other)}`);
    }
    this.final.push(row);
  }

  #highestOf(city: City): Note | undefined {
    const { promises, promisedTerm, final } = city;
    const ledger = this.#ledgerOf(city);
    const settled = settledIn(ledger, promisedHead(this.#headOf(final)), allRules);
    const standing = [...promises].filter(([, head]) => begins(this.#rowOf(head), city.row));
    const isBlind = this.#passesOver === "checkpoints that are left out" && settled !== undefined;
    const stored = {
      promises: isBlind ? new Map(standing) : promises,
      promisedTerm: BigInt(promisedTerm),
      lost: undefined,
    };
    const named = votedHead(stored, this.#passesOver === "nothing" ? undefined : settled);
    return this.#notes.read((named ?? promisedHead(this.#headOf(final))).note);
  }

  /** What shows the start of a term is what its votes give. */
  #ledgerOf({ row, final }: City): Ledger {
    const rows = rowsOf(row);
    const get = (term: number): StartEvidence | undefined => {
      const fact = row.facts.terms.find((one) => one.term === term);
      return fact && this.#evidence.get(rows[fact.since] as Row);
    };
    return { rows, finalSize: final.index + 1, sim: { evidence: { get } } };
  }

  #choose(votes: readonly Vote[]): ChosenStart | undefined {
    const named = votes.map((vote) => this.#rowOfVote(vote));
    if (named.length === 0) return undefined;
    const newest = named.reduce((a, b) => (termOf(b) > termOf(a) ? b : a));
    const question = questionOf(newest.facts, votes, { from: 1, to: newest.index + 1 });
    return chooseStart(question, (name) => {
      const vote = votes.find(({ city }) => `city${city}` === name) as Vote;
      return provable(rowsOf(this.#rowOfVote(vote)));
    });
  }

  #told(): string {
    const told = this.#cities.map(({ row, promisedTerm, promises }) => {
      const heads = [...promises.values()].map(({ term, size }) => `${term}/${size}`);
      return `${tell(row)}, promised ${promisedTerm}, cosigned ${heads.join(" ")}`;
    });
    return told.join("; ");
  }
}

function batchBy(
  gateway: number,
  contents: Row["batch"]["contents"] = [],
): Parameters<typeof createBatch>[1] {
  const seen = { seenSize: 0, seenRoot: emptyRoot, sealedAtMs: 0 };
  return { gateway, epoch: 0, seq: 0, prev: noLeaf, ...seen, contents };
}

function behind(row: Row, batch: ReturnType<typeof createBatch>): Row {
  const next = appendTo(row, batch, { first: new Map(), areVotesChecked: true });
  if (typeof next === "string") throw new TypeError(next);
  return next;
}

export function termOf({ facts }: Row): number {
  return facts.terms.at(-1)?.term ?? 0;
}

/** City of the newest term's sequencer. */
export function gatewayOf({ facts }: Row): number {
  return facts.terms.at(-1)?.gateway ?? 0;
}

export function ancestor(row: Row, index: number): Row | undefined {
  let at: Row | undefined = row;
  while (at !== undefined && at.index > index) at = at.before;
  return at;
}

function begins(row: Row, longer: Row): boolean {
  const at = ancestor(longer, row.index);
  return at !== undefined && equalBytes(at.root, row.root);
}

const histories = new WeakMap<Row, Rows>();

function rowsOf(row: Row): Rows {
  const known = histories.get(row);
  if (known !== undefined) return known;
  const rows = [...(row.before === undefined ? [] : rowsOf(row.before)), row];
  histories.set(row, rows);
  return rows;
}

function tell({ facts, index }: Row): string {
  const terms = facts.terms.map(({ term, since }) => `${term}@${since}`);
  return `${index + 1} leaves with terms ${terms.join(" ")}`;
}
