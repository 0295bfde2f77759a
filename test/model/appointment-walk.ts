/** Four cities go through whatever may happen, in any order: every message may come at any time or never. */
import type { LogKey } from "../simulation/notes.ts";
import { Random } from "../simulation/random.ts";
import type { Row } from "../simulation/history.ts";
import {
  ancestor,
  Appointments,
  Broken,
  gatewayOf,
  honest,
  liar,
  type PassesOver,
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
    for (let steps = random.between(10, 80); steps > 0; steps--) walker.step();
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

  step(): void {
    const draw = this.#random.int(20);
    if (draw < 3) this.#append();
    else if (draw < 7) this.#follow();
    else if (draw < 12) this.#cosign();
    else if (draw < 13)
      this.cities.learn(this.#anHonestCity(), this.#random.pick(this.cities.final));
    else if (draw < 17) this.#vote();
    else this.#open();
  }

  /** A sequencer's next leaf; the liar's may stand anywhere in its term. */
  #append(): void {
    const city = this.#anyCity();
    const all = city === liar ? this.cities.rows : [this.cities.rowAt(city)];
    const rows = all.filter((row) => gatewayOf(row) === city);
    if (rows.length === 0) return;
    this.cities.append(this.#random.pick(rows), city === liar ? this.#random.int(2) : 0);
  }

  #follow(): void {
    const row = this.#aRow();
    for (const city of this.#someCities()) this.cities.follow(city, row);
  }

  #cosign(): void {
    const back = this.#random.chance(0.3) ? this.#random.int(3) : 0;
    for (const city of this.#someCities()) {
      const row = this.cities.rowAt(city);
      this.cities.cosign(city, ancestor(row, row.index - back) ?? row);
    }
  }

  #vote(): void {
    const { keys } = this.cities;
    const isNew = keys.length < 2 || this.#random.chance(0.2);
    if (isNew && keys.length < termsMax) {
      this.cities.appoint(this.#isLiarAppointed ? this.#anyCity() : this.#anHonestCity());
    }
    const key = this.#random.chance(0.6) ? (keys.at(-1) as LogKey) : this.#random.pick(keys);
    for (const city of this.#someCities()) this.cities.vote(city, key);
  }

  #open(): void {
    const { keys, votes: cast } = this.cities;
    const key = this.#random.pick(keys);
    if (key.term === 0) return;
    const votes = honest.flatMap((city) => {
      const own = cast.filter((vote) => vote.city === city && vote.key === key);
      return own.length === 0 || this.#random.chance(0.15) ? [] : [this.#random.pick(own)];
    });
    if (this.#random.chance(0.7)) votes.push(this.cities.lie(key, this.#aRow()));
    if (votes.length === 0) return;
    if (key.city !== liar) {
      this.cities.open(key, votes);
      return;
    }
    const right = this.#random.chance(0.5) ? this.cities.startOf(votes) : undefined;
    this.cities.openAt(right ?? this.#aRow(), key, votes);
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
