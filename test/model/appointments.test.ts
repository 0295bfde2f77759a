import assert from "node:assert/strict";
import test from "node:test";
import type { Row, Vote } from "../simulation/history.ts";
import { walk } from "./appointment-walk.ts";
import { Appointments, honest, liar, type PassesOver } from "./appointments.ts";

const walks = 10 * Number(process.env["CAUSEWAY_MODEL_RUNS"] ?? 60);
/** Of a rule that is wrong the first walk that breaks comes within so many. */
const searched = 2000;

test("whatever four cities go through, one of them lying, there is one final history and a next term opens", () => {
  for (let seed = 0; seed < walks; seed++) {
    const options = { passesOver: "terms that are left out", isLiarAppointed: false } as const;
    assert.equal(walk(seed, options), undefined, `seed ${seed}`);
  }
});

test("whatever four cities go through that appoint the liar too, there is one final history", () => {
  for (let seed = 0; seed < walks; seed++) {
    const options = { passesOver: "terms that are left out", isLiarAppointed: true } as const;
    assert.equal(walk(seed, options), undefined, `seed ${seed}`);
  }
});

test("where votes pass over nothing a term may come that none can follow", () => {
  const seeds = Array.from({ length: searched }, (_, seed) => seed);
  const options = { passesOver: "nothing", isLiarAppointed: false } as const;
  assert.ok(seeds.some((seed) => /^no term opens/.test(walk(seed, options) ?? "")));
});

/**
 * The first sequencer shows two histories, of which one becomes final; one city has cosigned more of that. The next term
 * begins where two of three agree, and leaves the surplus out. Nobody has cosigned in it when the liar is
 * appointed again: with the votes of those who do not hear that anything became final.
 */
function forgetful(passesOver: PassesOver): void {
  const cities = new Appointments(liar, passesOver);
  const [founded] = cities.rows as [Row];
  const [first, other] = [cities.append(founded), cities.append(founded, 1)];
  const surplus = cities.append(first);
  for (const [city, row] of [
    [0, first],
    [1, first],
    [1, surplus],
    [2, other],
  ] as const) {
    cities.follow(city, row);
    cities.cosign(city, row);
  }
  assert.ok(cities.final.includes(first));
  const second = cities.appoint(0);
  const opened = cities.open(
    second,
    honest.map((city) => cities.vote(city, second) as Vote),
  );
  assert.equal(opened?.before, first);
  for (const city of honest) cities.follow(city, opened);
  const third = cities.appoint(liar);
  const votes = [1, 2].map((city) => cities.vote(city, third) as Vote);
  const wrong = cities.openAt(founded, third, [...votes, cities.lie(third, founded)]);
  if (wrong === undefined) return cities.recover();
  for (const city of [1, 2]) {
    cities.follow(city, wrong);
    cities.cosign(city, wrong);
  }
}

test("where votes pass over a checkpoint of a term that is known, smaller ones that are final are lost", () => {
  assert.throws(() => forgetful("checkpoints that are left out"), /^Error: two final histories/);
  forgetful("terms that are left out");
});
