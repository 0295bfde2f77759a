/** Four cities go through whatever may happen, in any order: every message may come at any time or never. */
import { equalBytes } from "../../src/base/bytes.ts";
import type { LogKey } from "../simulation/notes.ts";
import { Random } from "../simulation/random.ts";
import type { Row, Vote } from "../simulation/history.ts";
import {
  ancestor,
  Appointments,
  Broken,
  gatewayOf,
  honest,
  liar,
  type PassesOver,
  termOf,
} from "./appointments.ts";

const termsMax = 6;

/** What a seed makes happen; returns what was seen broken. */
export function walk(
  seed: number,
  options: {
    readonly passesOver: PassesOver;
    /** Also after the first term. Then no further one is owed: the liar may open its own twice. */
    readonly isLiarAppointed: boolean;
  },
): string | undefined {
  const random = new Random(seed);
  const walker = new Walker(random, options);
  try {
    for (let steps = random.between(5, 40); steps > 0; steps--) {
      if (random.chance(0.2)) walker.appoint();
      else walker.step();
    }
    if (!options.isLiarAppointed) walker.cities.recover();
    return undefined;
  } catch (error) {
    if (error instanceof Broken) return error.message;
    throw error;
  }
}

class Walker {
  readonly cities: Appointments;
  readonly #random: Random;
  readonly #isLiarAppointed: boolean;

  constructor(random: Random, options: Parameters<typeof walk>[1]) {
    this.#random = random;
    this.#isLiarAppointed = options.isLiarAppointed;
    this.cities = new Appointments(this.#anyCity(), options.passesOver);
  }

  /** Something that may happen at any time. */
  step(): void {
    const { keys, final } = this.cities;
    const draw = this.#random.int(16);
    if (draw < 4) this.#append();
    else if (draw < 8) this.#follow(this.#aRow());
    else if (draw < 12) this.#cosign();
    else if (draw < 13) this.cities.learn(this.#anHonestCity(), this.#random.pick(final));
    else if (draw < 15) this.#vote(this.#random.pick(keys));
    else this.#open(this.#random.pick(keys));
  }

  /** A gateway is appointed, as far as that goes. */
  appoint(): void {
    const { keys } = this.cities;
    if (keys.length > termsMax) return;
    const key = this.cities.appoint(this.#isLiarAppointed ? this.#anyCity() : this.#anHonestCity());
    this.#vote(key);
    this.#vote(key);
    const opened = this.#open(key);
    if (opened === undefined || this.#random.chance(0.3)) return;
    this.#follow(opened);
    this.#cosign();
  }

  /** A sequencer's next leaf; the liar's may stand anywhere in its term. */
  #append(): void {
    const city = this.#anyCity();
    const all = city === liar ? this.cities.rows : [this.cities.rowAt(city)];
    const rows = all.filter((row) => gatewayOf(row) === city);
    if (rows.length === 0) return;
    this.cities.append(this.#random.pick(rows), city === liar ? this.#random.int(2) : 0);
  }

  #follow(row: Row): void {
    for (const city of this.#someCities()) this.cities.follow(city, row);
  }

  #cosign(): void {
    const back = this.#random.chance(0.3) ? this.#random.int(3) : 0;
    for (const city of this.#someCities()) {
      const row = this.cities.rowAt(city);
      this.cities.cosign(city, ancestor(row, row.index - back) ?? row);
    }
  }

  #vote(key: LogKey): void {
    for (const city of this.#someCities()) this.cities.vote(city, key);
  }

  #open(key: LogKey): Row | undefined {
    if (key.term === 0) return undefined;
    const votes = honest.flatMap((city) => {
      const own = this.cities.votes.filter((vote) => vote.city === city && vote.key === key);
      return own.length === 0 || this.#random.chance(0.1) ? [] : [this.#random.pick(own)];
    });
    if (this.#random.chance(0.7)) votes.push(this.cities.lie(key, this.#aLie(votes)));
    if (votes.length === 0) return undefined;
    if (key.city !== liar) return this.cities.open(key, votes);
    const right = this.#random.chance(0.4) ? this.cities.startOf(votes) : undefined;
    return this.cities.openAt(right ?? this.#random.pick(this.cities.rows), key, votes);
  }

  /** Any history that somebody has signed; one that contradicts what another city names where there is one. */
  #aLie(votes: readonly Vote[]): Row {
    const { rows } = this.cities;
    const named = votes.flatMap(({ highest }) => highest ?? []);
    const other = rows.filter((row) =>
      named.some(({ key, size, root }) => {
        const at = key.term === termOf(row) ? ancestor(row, size - 1) : undefined;
        return at !== undefined && !equalBytes(at.root, root);
      }),
    );
    return this.#random.pick(other.length > 0 && this.#random.chance(0.5) ? other : rows);
  }

  /** The liar as often as all the others. */
  #anyCity(): number {
    return this.#random.chance(0.5) ? liar : this.#anHonestCity();
  }

  #anHonestCity(): number {
    return this.#random.pick(honest);
  }

  #someCities(): readonly number[] {
    if (this.#random.chance(0.5)) return [this.#anHonestCity()];
    return honest.filter(() => this.#random.chance(0.8));
  }

  /** New ones more often than those that are long known. */
  #aRow(): Row {
    const { rows } = this.cities;
    return this.#random.pick(this.#random.chance(0.6) ? rows.slice(-3) : rows);
  }
}
