import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { CalendarYear, VoteBody } from "../../src/credential/statements.ts";
import { calendarAt } from "../../src/registry/calendar.ts";
import { cosigningRules } from "../../src/registry/cosigning.ts";
import { citiesInForce, isQuorumOf } from "../../src/registry/electorate.ts";
import { TestLedger } from "../support/ledger.ts";
import {
  type SignedStatement,
  type TestCity,
  type TestNetwork,
  candidateOf,
  createTestNetwork,
  fourCities,
  fourOf,
  sayAgency,
} from "../support/network.ts";
import {
  candidacyDigest,
  sayCandidacy,
  sayRenewal,
  sayService,
  sayVote,
} from "../support/statements.ts";
import { outcomeOf, reasonsOf, resultsOf } from "./support.ts";

const network = createTestNetwork(fourCities);
const founded = await TestLedger.founded(network);
const gateway = network.provider.gateway;
const [hangzhou, shenzhen, suzhou, tianjin] = fourOf(network);
const ningbo = candidateOf(network);
const candidacy = sayCandidacy(network, ningbo);
const asked = founded.fork();
await asked.append(gateway, [candidacy]);

function vote(
  city: TestCity,
  sub: string,
  body: VoteBody,
  of: TestNetwork = network,
): SignedStatement {
  return sayVote(of, city, { sub, body });
}
const admission = (city: TestCity, quorum = 4, faults = 1): SignedStatement =>
  vote(city, "ningbo", {
    on: "admission",
    candidacy: candidacyDigest(candidacy),
    quorum,
    faults,
  });
const exclusion = (city: TestCity, sub: string, quorum = 3, faults = 1): SignedStatement =>
  vote(city, sub, { on: "exclusion", quorum, faults });
const onQuorum = (city: TestCity, quorum: number, faults = 1): SignedStatement =>
  vote(city, network.idHex, { on: "quorum", quorum, faults });
const onRules = (city: TestCity, version: number, of: TestNetwork = network): SignedStatement =>
  vote(city, of.idHex, { on: "rules", version }, of);

/** Results and reasons of each record, carried in a batch of its own. */
async function outcomes(
  ledger: TestLedger,
  records: readonly SignedStatement[],
): Promise<readonly string[]> {
  const said: string[] = [];
  for (const record of records) {
    const included = await ledger.append(gateway, [record]);
    said.push(outcomeOf(included));
  }
  return said;
}

describe("an admission", () => {
  test("takes a quorum of votes, and changes cities and quorum at once", async () => {
    const ledger = asked.fork();
    assert.deepEqual(await outcomes(ledger, [admission(hangzhou), admission(suzhou)]), [
      "VOTED ningbo",
      "VOTED ningbo",
    ]);
    assert.deepEqual(await outcomes(ledger, [admission(tianjin)]), [
      `VOTED ningbo,CITY_ADMITTED ningbo,QUORUM_CHANGED ${network.idHex}`,
    ]);
    assert.deepEqual(citiesInForce(ledger.state), [
      "hangzhou",
      "ningbo",
      "shenzhen",
      "suzhou",
      "tianjin",
    ]);
    assert.deepEqual(ledger.state.quorums.at(-1), { since: 4n, quorum: 4, faults: 1 });
    assert.equal(ledger.state.votes.size, 0);
    assert.equal(ledger.state.candidacies.size, 0);
    assert.deepEqual(await outcomes(ledger, [admission(shenzhen)]), ["ALREADY_TAKEN"]);
  });

  test("asks the old and the new quorum for the sizes that change them", async () => {
    const ledger = asked.fork();
    await outcomes(
      ledger,
      [hangzhou, shenzhen, suzhou].map((city) => admission(city)),
    );
    const names = ["hangzhou", "shenzhen", "suzhou", "tianjin"];
    const before = { cities: names, quorum: 3, faults: 1 };
    const after = { cities: ["hangzhou", "ningbo", ...names.slice(1)], quorum: 4, faults: 1 };
    const rules = (from: bigint, to: bigint): unknown => cosigningRules(ledger.state, { from, to });
    assert.deepEqual(rules(3n, 4n), [before]);
    assert.deepEqual(rules(4n, 5n), [before, after]);
    assert.deepEqual(rules(5n, 5n), [after]);
  });

  test("lets the city speak once it is seen", async () => {
    const ledger = asked.fork();
    await outcomes(
      ledger,
      [hangzhou, shenzhen, suzhou].map((city) => admission(city)),
    );
    const enrolled = sayAgency(network, ningbo, ningbo.agency);
    const unseen = await ledger.fork().append(gateway, [enrolled], { seenSize: 4n });
    assert.deepEqual(reasonsOf(unseen), ["MEMBER_NOT_ACTIVE"]);
    assert.deepEqual(reasonsOf(await ledger.append(gateway, [enrolled])), []);
  });

  test("counts votes whatever their carriers had seen, also in one batch", async () => {
    const ledger = asked.fork();
    const included = await ledger.append(
      gateway,
      [hangzhou, shenzhen, suzhou].map((city) => admission(city)),
    );
    assert.equal(resultsOf(included).filter((one) => one.startsWith("CITY_ADMITTED")).length, 1);
    const apart = asked.fork();
    const seenSize = apart.size;
    await apart.append(gateway, [admission(hangzhou)], { seenSize });
    await apart.append(network.consumer.gateway, [admission(shenzhen)], { seenSize });
    const last = await apart.append(suzhou.agency.gateway, [admission(suzhou)], { seenSize });
    assert.deepEqual(resultsOf(last).slice(0, 2), ["VOTED ningbo", "CITY_ADMITTED ningbo"]);
  });

  test("does not count two votes of one city, nor votes for other terms", async () => {
    const ledger = asked.fork();
    const said = await outcomes(ledger, [
      admission(hangzhou),
      admission(hangzhou),
      admission(shenzhen, 5),
      admission(suzhou),
    ]);
    assert.deepEqual(said, Array<string>(4).fill("VOTED ningbo"));
    // The newest vote of a city is its vote.
    assert.match((await outcomes(ledger, [admission(shenzhen)])).join(), /CITY_ADMITTED/);
  });

  test("keeps the vote of a city whose key was rotated", async () => {
    const ledger = asked.fork();
    const renewed = { authority: hangzhou.next, next: network.signer("hangzhou third") };
    await outcomes(ledger, [
      admission(hangzhou),
      sayRenewal(network, hangzhou, "rotation", renewed),
      admission({ ...hangzhou, authority: hangzhou.next }),
      admission(shenzhen),
    ]);
    assert.match((await outcomes(ledger, [admission(suzhou)])).join(), /CITY_ADMITTED/);
  });

  for (const [what, record, reason] of [
    ["of a quorum above the cities", admission(hangzhou, 6), "QUORUM_INVALID"],
    ["of a quorum that two halves reach", admission(hangzhou, 3), "QUORUM_INVALID"],
    ["of more liars than the quorum bears", admission(hangzhou, 4, 3), "QUORUM_INVALID"],
    [
      "of nobody's candidacy",
      vote(hangzhou, "ningbo", {
        on: "admission",
        candidacy: "ab".repeat(32),
        quorum: 4,
        faults: 1,
      }),
      "MEMBER_UNKNOWN",
    ],
    [
      "of another city's candidacy",
      vote(hangzhou, "wuhan", {
        on: "admission",
        candidacy: candidacyDigest(candidacy),
        quorum: 4,
        faults: 1,
      }),
      "MEMBER_UNKNOWN",
    ],
    ["by a city that is none", admission(ningbo), "TOKEN_KEY_UNKNOWN"],
    [
      "under another city's key",
      admission({ ...hangzhou, authority: suzhou.authority }),
      "SIGNER_NOT_ALLOWED",
    ],
  ] as const) {
    test(`${what} is void ${reason}`, async () => {
      assert.deepEqual(await outcomes(asked.fork(), [record]), [reason]);
    });
  }

  test("by a header that has not seen the candidacy is void MEMBER_UNKNOWN", async () => {
    const included = await asked.fork().append(gateway, [admission(hangzhou)], { seenSize: 1n });
    assert.deepEqual(reasonsOf(included), ["MEMBER_UNKNOWN"]);
  });
});

describe("an exclusion", () => {
  const others = [hangzhou, suzhou, tianjin].map((city) => exclusion(city, "shenzhen"));

  test("takes a quorum of others, and what they had is no longer active", async () => {
    const ledger = founded.fork();
    const said = await outcomes(ledger, others);
    assert.deepEqual(said.slice(0, 2), ["VOTED shenzhen", "VOTED shenzhen"]);
    assert.equal(said[2], "VOTED shenzhen,CITY_EXCLUDED shenzhen");
    assert.deepEqual(citiesInForce(ledger.state), ["hangzhou", "suzhou", "tianjin"]);
    // Also under a header that has not seen the exclusion: a taking acts at its leaf.
    const carried = await ledger.append(network.consumer.gateway, [sayService(network)], {
      seenSize: 1n,
    });
    assert.deepEqual(reasonsOf(carried), ["MEMBER_NOT_ACTIVE"]);
    await ledger.appendEvidence(network.consumer.gateway);
    assert.deepEqual(await outcomes(ledger, [onRules(shenzhen, 2)]), ["MEMBER_NOT_ACTIVE"]);
  });

  test("is not the excluded city's to vote on", async () => {
    assert.deepEqual(await outcomes(founded.fork(), [exclusion(shenzhen, "shenzhen")]), [
      "SIGNER_NOT_ALLOWED",
    ]);
  });

  test("of a city that is none is void", async () => {
    const ledger = founded.fork();
    assert.deepEqual(await outcomes(ledger, [exclusion(hangzhou, "ningbo")]), ["MEMBER_UNKNOWN"]);
    await outcomes(ledger, others);
    assert.deepEqual(await outcomes(ledger, [exclusion(hangzhou, "shenzhen", 3, 1)]), [
      "ALREADY_TAKEN",
    ]);
  });

  test("cannot pass where the others are fewer than the quorum", async () => {
    const two = createTestNetwork();
    const ledger = await TestLedger.founded(two);
    const [first] = two.cities as readonly [TestCity];
    const record = vote(first, "shenzhen", { on: "exclusion", quorum: 1, faults: 0 }, two);
    const included = await ledger.append(two.provider.gateway, [record]);
    assert.deepEqual(reasonsOf(included), ["QUORUM_INVALID"]);
  });

  test("forgets what the city had voted", async () => {
    const ledger = founded.fork();
    await outcomes(ledger, [onRules(shenzhen, 2), onRules(hangzhou, 2), ...others]);
    const keys = [...ledger.state.votes.keys()];
    assert.deepEqual(keys, [`rules ${network.idHex} hangzhou`]);
  });

  test("ends with a new admission under other keys, and the witness of the old ones is another", async () => {
    const ledger = founded.fork();
    await outcomes(ledger, others);
    const again = {
      ...shenzhen,
      authority: network.signer("shenzhen again"),
      next: network.signer("shenzhen again next"),
      witness: network.signer("shenzhen again witness"),
    };
    const back = sayCandidacy(network, again);
    await outcomes(ledger, [back]);
    const body: VoteBody = {
      on: "admission",
      candidacy: candidacyDigest(back),
      quorum: 3,
      faults: 1,
    };
    await outcomes(
      ledger,
      [hangzhou, suzhou, tianjin].map((city) => vote(city, "shenzhen", body)),
    );
    assert.equal(citiesInForce(ledger.state).length, 4);
    assert.equal(cosigningRules(ledger.state, { from: 4n, to: 4n })[0]?.cities.length, 3);
    assert.deepEqual(await outcomes(ledger, [onRules(again, 2)]), [`VOTED ${network.idHex}`]);
  });
});

describe("a quorum", () => {
  test("is changed by the quorum before it", async () => {
    const ledger = founded.fork();
    const said = await outcomes(
      ledger,
      [hangzhou, shenzhen, suzhou].map((city) => onQuorum(city, 4)),
    );
    assert.deepEqual(said.at(-1), `VOTED ${network.idHex},QUORUM_CHANGED ${network.idHex}`);
    const again = await outcomes(
      ledger,
      [hangzhou, shenzhen, suzhou].map((city) => onQuorum(city, 3)),
    );
    assert.deepEqual(again.at(-1), `VOTED ${network.idHex}`);
    assert.equal(ledger.state.quorums.length, 2);
  });

  test("that is in force already, or that cities do not bear, is void", async () => {
    assert.deepEqual(await outcomes(founded.fork(), [onQuorum(hangzhou, 3)]), ["ALREADY_TAKEN"]);
    assert.deepEqual(await outcomes(founded.fork(), [onQuorum(hangzhou, 5)]), ["QUORUM_INVALID"]);
    assert.deepEqual(await outcomes(founded.fork(), [onQuorum(hangzhou, 2, 0)]), [
      "QUORUM_INVALID",
    ]);
  });

  test("of n cities is one of which any two share more cities than may lie", () => {
    const small = fc.integer({ min: 0, max: 12 });
    fc.assert(
      fc.property(small, small, small, (cities, quorum, faults) => {
        const overlap = 2 * quorum - cities;
        assert.equal(isQuorumOf(cities, { quorum, faults }), quorum <= cities && overlap > faults);
      }),
    );
  });
});

describe("the rules", () => {
  const move = (of: TestNetwork = network): readonly SignedStatement[] =>
    fourOf(of)
      .slice(0, 3)
      .map((city) => onRules(city, 2, of));
  const year: CalendarYear = { year: 2027, off: ["2027-01-01"], on: [] };
  const onCalendar = (city: TestCity, published: CalendarYear = year): SignedStatement =>
    vote(city, network.idHex, { on: "calendar", year: published });

  test("move one version at a time, to one that this release knows", async () => {
    const ledger = founded.fork();
    assert.deepEqual(await outcomes(ledger, [onRules(hangzhou, 1)]), ["VERSION_WRONG"]);
    assert.deepEqual(await outcomes(ledger, [onRules(hangzhou, 3)]), ["NOT_SUPPORTED"]);
    const said = await outcomes(ledger, move());
    assert.equal(said.at(-1), `VOTED ${network.idHex},RULES_CHANGED ${network.idHex}`);
    assert.deepEqual(await outcomes(ledger, [onRules(hangzhou, 2)]), ["VERSION_WRONG"]);
  });

  test("judge each batch by what its header has seen, on both sides of the move", async () => {
    const ledger = founded.fork();
    await outcomes(ledger, move());
    const before = await ledger.append(gateway, [onCalendar(hangzhou)], { seenSize: 3n });
    assert.deepEqual(reasonsOf(before), ["NOT_SUPPORTED"]);
    const after = await ledger.append(gateway, [onCalendar(hangzhou)], { seenSize: 4n });
    assert.deepEqual(reasonsOf(after), []);
    const replayed = new TestLedger(network);
    for (const batch of ledger.batches) {
      assert.equal((await replayed.offer(batch)).kind, "applied");
    }
    assert.deepEqual(replayed.state.digest, ledger.state.digest);
  });

  test("publish a year that is missing, and replace one that has not begun", async () => {
    const ledger = founded.fork();
    await outcomes(ledger, move());
    const cities = [hangzhou, shenzhen, suzhou];
    const said = await outcomes(
      ledger,
      cities.map((city) => onCalendar(city)),
    );
    assert.equal(said.at(-1), `VOTED ${network.idHex},CALENDAR_CHANGED ${network.idHex}`);
    const size = ledger.size;
    const corrected = { ...year, off: ["2027-01-01", "2027-02-05"] };
    await outcomes(
      ledger,
      cities.map((city) => onCalendar(city, corrected)),
    );
    const offAt = (seen: bigint): unknown =>
      calendarAt(ledger.state, seen).years.map((one) => [one.year, one.off]);
    assert.deepEqual(offAt(4n), [[2026, ["2026-10-01"]]]);
    assert.deepEqual(offAt(size), [
      [2026, ["2026-10-01"]],
      [2027, ["2027-01-01"]],
    ]);
    assert.deepEqual(offAt(ledger.size), [
      [2026, ["2026-10-01"]],
      [2027, corrected.off],
    ]);
    const begun = { year: 2026, off: [], on: [] };
    assert.deepEqual(await outcomes(ledger, [onCalendar(hangzhou, begun)]), ["ALREADY_TAKEN"]);
    const missed = { year: 2025, off: [], on: [] };
    assert.deepEqual(await outcomes(ledger, [onCalendar(hangzhou, missed)]), [
      `VOTED ${network.idHex}`,
    ]);
  });
});
