import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { cosignersBetween, cosigningRules } from "../../src/registry/cosigning.ts";
import { TestLedger } from "../support/ledger.ts";
import {
  type SignedStatement,
  type TestCity,
  createTestAgency,
  candidateOf,
  createTestNetwork,
  fourCities,
  fourOf,
  sayAgency,
} from "../support/network.ts";
import {
  candidacyDigest,
  type CityKeys,
  sayCandidacy,
  sayRenewal,
  sayVote,
  sayWitness,
} from "../support/statements.ts";
import { outcomesBy, reasonsOf, resultsOf } from "./support.ts";

const network = createTestNetwork(fourCities);
const founded = await TestLedger.founded(network);
const gateway = network.provider.gateway;
const [hangzhou, shenzhen, suzhou, tianjin] = fourOf(network);
const renewed: CityKeys = { authority: shenzhen.next, next: network.signer("shenzhen third") };
const rotation = (): SignedStatement => sayRenewal(network, shenzhen, "rotation", renewed);
const recovery = (): SignedStatement => sayRenewal(network, shenzhen, "recovery", renewed);

const ningbo = candidateOf(network);

const outcome = outcomesBy(gateway);

/** A statement of shenzhen under the authority key `by`. */
const saying = (by: Signer, label: string): SignedStatement =>
  sayAgency(
    network,
    { ...shenzhen, authority: by },
    createTestAgency(network, `shenzhen/${label}`),
  );

describe("a rotation", () => {
  test("takes the key that was committed to, with the signatures of both", async () => {
    const ledger = founded.fork();
    const included = await ledger.append(gateway, [rotation()]);
    assert.deepEqual(resultsOf(included), ["CITY_ROTATED shenzhen"]);
    const facts = ledger.state.cities.get("shenzhen") ?? [];
    assert.deepEqual(
      facts.map(({ standing: { since, until } }) => [since, until]),
      [
        [0n, { index: 1n, position: 0 }],
        [1n, undefined],
      ],
    );
    const { city } = facts[1] as (typeof facts)[number];
    assert.equal(city.authority, formatKey(shenzhen.next.publicKey));
    assert.equal(city.next, toHex(sha256(renewed.next.publicKey)));
    assert.equal(city.witness, formatKey(shenzhen.witness.publicKey));
  });

  const refused: readonly (readonly [string, SignedStatement, string])[] = [
    [
      "to a key that was not committed to",
      sayRenewal(network, shenzhen, "rotation", { ...renewed, authority: network.signer("x") }),
      "KEY_NOT_COMMITTED",
    ],
    [
      "that commits to the key itself",
      sayRenewal(network, shenzhen, "rotation", { ...renewed, next: renewed.authority }),
      "KEY_BOUND",
    ],
    [
      "that commits to a key of another city",
      sayRenewal(network, shenzhen, "rotation", { ...renewed, next: suzhou.authority }),
      "KEY_BOUND",
    ],
    [
      "without the key in force",
      sayRenewal(network, shenzhen, "rotation", renewed, [renewed.authority]),
      "STATEMENT_SIGNER_MISSING",
    ],
    [
      "without the new key",
      sayRenewal(network, shenzhen, "rotation", renewed, [shenzhen.authority]),
      "STATEMENT_SIGNER_MISSING",
    ],
    [
      "with another city's key",
      sayRenewal(network, shenzhen, "rotation", renewed, [suzhou.authority, renewed.authority]),
      "SIGNER_NOT_ALLOWED",
    ],
  ];
  for (const [what, record, reason] of refused) {
    test(`${what} is void ${reason}`, async () => {
      assert.equal(await outcome(founded, record), reason);
    });
  }

  test("leaves the old key its voice until it is seen, and gives the new one its voice from then on", async () => {
    const ledger = founded.fork();
    await ledger.append(gateway, [rotation()]);
    const oldKey = saying(shenzhen.authority, "a");
    const newKey = saying(shenzhen.next, "b");
    assert.equal(await outcome(ledger, oldKey, 1n), "AGENCY_ADMITTED shenzhen/a");
    assert.equal(await outcome(ledger, newKey, 1n), "SIGNER_NOT_ALLOWED");
    assert.equal(await outcome(ledger, oldKey, 2n), "SIGNER_NOT_ALLOWED");
    assert.equal(await outcome(ledger, newKey, 2n), "AGENCY_ADMITTED shenzhen/b");
  });

  test("may be followed by another one before it is seen, each from the newest key", async () => {
    const ledger = founded.fork();
    await ledger.append(gateway, [rotation()]);
    const again = { authority: renewed.next, next: network.signer("shenzhen fourth") };
    const record = sayRenewal(network, shenzhen, "rotation", again);
    assert.equal(await outcome(ledger, record, 1n), "CITY_ROTATED shenzhen");
    assert.equal(await outcome(ledger, rotation(), 1n), "KEY_NOT_COMMITTED");
  });
});

describe("a recovery", () => {
  test("needs the next key alone, and is refused any other", async () => {
    assert.equal(await outcome(founded, recovery()), "CITY_ROTATED shenzhen");
    const other = sayRenewal(network, shenzhen, "recovery", {
      ...renewed,
      authority: network.signer("thief"),
    });
    assert.equal(await outcome(founded, other), "KEY_NOT_COMMITTED");
    const both = sayRenewal(network, shenzhen, "recovery", renewed, [
      shenzhen.authority,
      renewed.authority,
    ]);
    assert.equal(await outcome(founded, both), "SIGNER_NOT_ALLOWED");
  });

  test("silences the stolen key from its leaf on, seen or not", async () => {
    const ledger = founded.fork();
    await ledger.append(gateway, [recovery()]);
    assert.equal(await outcome(ledger, saying(shenzhen.authority, "a"), 1n), "SIGNER_NOT_ALLOWED");
    assert.equal(await outcome(ledger, saying(shenzhen.next, "a"), 1n), "SIGNER_NOT_ALLOWED");
    assert.equal(
      await outcome(ledger, saying(shenzhen.next, "a"), 2n),
      "AGENCY_ADMITTED shenzhen/a",
    );
  });

  test("leaves the city's agencies and gateways active meanwhile", async () => {
    const ledger = founded.fork();
    await ledger.append(gateway, [recovery()]);
    const agency = sayAgency(network, suzhou, createTestAgency(network, "suzhou/x"));
    const included = await ledger.append(network.consumer.gateway, [agency], { seenSize: 1n });
    assert.deepEqual(reasonsOf(included), []);
  });

  test("of a city that is none is void MEMBER_UNKNOWN", async () => {
    const record = sayRenewal(network, ningbo, "recovery", renewed);
    assert.equal(await outcome(founded, record), "MEMBER_UNKNOWN");
  });
});

describe("a new witness key", () => {
  const witness = network.signer("shenzhen witness 2");

  test("speaks for its city from its leaf on", async () => {
    const ledger = founded.fork();
    const included = await ledger.append(gateway, [sayWitness(network, shenzhen, witness)]);
    assert.deepEqual(resultsOf(included), ["WITNESS_CHANGED shenzhen"]);
    const keyAt = (to: bigint): Uint8Array | undefined =>
      cosignersBetween(ledger.state, { from: 1n, to }).find(({ city }) => city === "shenzhen")?.key
        .publicKey;
    assert.deepEqual(keyAt(1n), shenzhen.witness.publicKey);
    assert.deepEqual(keyAt(2n), witness.publicKey);
  });

  test("is signed by the authority and by itself, and is bound to nothing else", async () => {
    const say = (key: Signer, by: readonly Signer[]): SignedStatement => {
      const { claims, body } = sayWitness(network, shenzhen, key);
      return network.say("city", { ...claims, body, jti: network.uuid() }, by);
    };
    assert.equal(await outcome(founded, say(witness, [witness])), "STATEMENT_SIGNER_MISSING");
    assert.equal(
      await outcome(founded, say(witness, [shenzhen.authority])),
      "STATEMENT_SIGNER_MISSING",
    );
    assert.equal(
      await outcome(founded, sayWitness(network, shenzhen, tianjin.witness)),
      "KEY_BOUND",
    );
  });

  test("of an unchanged key moves the witness to another address", async () => {
    const record = sayWitness(network, shenzhen, shenzhen.witness);
    assert.equal(await outcome(founded, record), "WITNESS_CHANGED shenzhen");
  });
});

describe("a candidacy", () => {
  test("binds no key before it is admitted", async () => {
    const ledger = founded.fork();
    const candidacy = sayCandidacy(network, ningbo);
    const { state } = await ledger.append(gateway, [candidacy]);
    assert.deepEqual([...state.candidacies.keys()], [candidacyDigest(candidacy)]);
    assert.deepEqual([...state.keys.keys()], [...founded.state.keys.keys()]);
    const taken = sayAgency(network, hangzhou, {
      ...createTestAgency(network, "hangzhou/x"),
      authority: ningbo.authority,
    });
    assert.deepEqual(reasonsOf(await ledger.append(gateway, [taken])), []);
    const admission = (city: TestCity): SignedStatement =>
      sayVote(network, city, {
        sub: "ningbo",
        body: { on: "admission", candidacy: candidacyDigest(candidacy), quorum: 4, faults: 1 },
      });
    const voted = await ledger.append(gateway, [hangzhou, shenzhen, suzhou].map(admission));
    assert.deepEqual(voted.voids, [{ position: 2, reason: "KEY_BOUND" }]);
  });

  test("of a member is void ALREADY_TAKEN", async () => {
    const again = { ...shenzhen, authority: renewed.authority, witness: network.signer("w") };
    assert.equal(await outcome(founded, sayCandidacy(network, again)), "ALREADY_TAKEN");
  });

  test("with a key of somebody else is void KEY_BOUND", async () => {
    const record = sayCandidacy(network, { ...ningbo, witness: suzhou.witness });
    assert.equal(await outcome(founded, record), "KEY_BOUND");
  });

  test("is signed by its authority and its witness and by nobody else", async () => {
    const { claims, body } = sayCandidacy(network, ningbo);
    for (const [by, reason] of [
      [[ningbo.authority], "STATEMENT_SIGNER_MISSING"],
      [[ningbo.authority, ningbo.witness, hangzhou.authority], "SIGNER_NOT_ALLOWED"],
    ] as const) {
      const record = network.say("city", { ...claims, body }, by);
      assert.equal(await outcome(founded, record), reason);
    }
  });
});

test("keys of a city that are changed twice in one batch leave one in force at every size", async () => {
  const ledger = founded.fork();
  await ledger.append(gateway, [
    rotation(),
    sayWitness(network, shenzhen, network.signer("shenzhen witness 3")),
  ]);
  for (const to of [1n, 2n]) {
    const [rule, ...others] = cosigningRules(ledger.state, { from: 1n, to });
    assert.deepEqual(others, []);
    assert.deepEqual(rule?.cities, ["hangzhou", "shenzhen", "suzhou", "tianjin"]);
  }
});
