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
    const options = { passesOver: "what a settled term left", isLiarAppointed: false } as const;
    assert.equal(walk(seed, options), undefined, `seed ${seed}`);
  }
});

test("whatever four cities go through that appoint the liar too, there is one final history", () => {
  for (let seed = 0; seed < walks; seed++) {
    const options = { passesOver: "what a settled term left", isLiarAppointed: true } as const;
    assert.equal(walk(seed, options), undefined, `seed ${seed}`);
  }
});

test("where votes pass over nothing a term may come that none can follow", () => {
  const seeds = Array.from({ length: searched }, (_, seed) => seed);
  const options = { passesOver: "nothing", isLiarAppointed: false } as const;
  assert.ok(seeds.some((seed) => /^no term opens/.test(walk(seed, options) ?? "")));
});

/**
 * The first sequencer shows two histories, of which one becomes final. Appointed again it opens its term below, as
 * the votes do not let it. Everybody follows there, and the next term is voted on.
 */
function misled(passesOver: PassesOver): void {
  const cities = new Appointments(liar, passesOver);
  const [founded] = cities.rows as [Row];
  const [first, other] = [cities.append(founded), cities.append(founded, 1)];
  for (const city of [0, 1]) {
    cities.follow(city, first);
    cities.cosign(city, first);
  }
  assert.ok(cities.final.includes(first));
  const wrong = cities.appoint(liar);
  const votes = honest.map((city) => cities.vote(city, wrong) as Vote);
  const opened = cities.openAt(founded, wrong, [...votes, cities.lie(wrong, other)]);
  assert.ok(opened !== undefined, "the registry cannot tell that it is wrong");
  for (const city of honest) cities.follow(city, opened);
  cities.recover();
}

test("where votes pass over what a term left that was not rightly opened, final leaves are lost", () => {
  assert.throws(() => misled("what any later term left"), /^Error: two final histories/);
  misled("what a settled term left");
});
