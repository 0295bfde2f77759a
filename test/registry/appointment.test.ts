import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Signer } from "../../src/crypto/ports.ts";
import { judgeAppointment } from "../../src/registry/appointment.ts";
import type { Ballot } from "../../src/registry/rule.ts";
import { isVerifiedFor, verifyBatch } from "../../src/registry/verify-batch.ts";
import { TestLedger } from "../support/ledger.ts";
import {
  type SignedStatement,
  type TestCity,
  createTestNetwork,
  fourCities,
  fourOf,
} from "../support/network.ts";
import {
  type AppointedTerm,
  sayAppointment,
  sayRenewal,
  sayService,
  signedHead,
} from "../support/statements.ts";
import { reasonsOf, resultsOf } from "./support.ts";

const network = createTestNetwork(fourCities);
const [hangzhou, shenzhen, suzhou, tianjin] = fourOf(network);
const old = network.provider.gateway;
const next = network.consumer.gateway;
const log = network.signer("log 1");
const appointed: AppointedTerm = { gateway: next, term: 1, log };

/** Founding, two leaves of the old sequencer, one of the appointed gateway: four leaves. */
const ledger = await TestLedger.founded(network);
await ledger.appendEvidence(old);
await ledger.appendEvidence(next);
await ledger.appendEvidence(old);

/** The vote of a city whose witness has cosigned the tree of `size` leaves in a term. */
function ballot(
  city: TestCity,
  size: bigint,
  {
    of = ledger,
    on = appointed,
    head = {},
    root = of.rootAt(size),
  }: {
    readonly of?: TestLedger;
    readonly on?: AppointedTerm;
    readonly head?: { readonly term?: bigint; readonly log?: Signer };
    readonly root?: Uint8Array | undefined;
  } = {},
): SignedStatement {
  assert.ok(root !== undefined);
  return sayAppointment(network, city, on, signedHead(network, { size, root }, head));
}

const forged = new Uint8Array(32).fill(7);

/** What every record of one batch of the appointed gateway does, or why it is void. */
async function outcome(
  records: readonly SignedStatement[],
  { of = ledger, carrier = next } = {},
): Promise<readonly string[]> {
  const included = await of.fork().append(carrier, records);
  return included.effects.effects.map(({ position }) => {
    const voided = included.voids.find((one) => one.position === position);
    return voided?.reason ?? `${included.effects.effects[position]?.results.length} results`;
  });
}
const all = (count: number, reason: string): readonly string[] => Array<string>(count).fill(reason);

describe("votes of a quorum", () => {
  test("in one batch of the gateway open its term at the highest checkpoint", async () => {
    const fork = ledger.fork();
    const votes = [ballot(hangzhou, 3n), ballot(shenzhen, 4n), ballot(suzhou, 2n)];
    const included = await fork.append(next, votes);
    assert.deepEqual(resultsOf(included), [
      `VOTED ${next.id}`,
      `VOTED ${next.id}`,
      `VOTED ${next.id}`,
      `SEQUENCER_APPOINTED ${next.id}`,
    ]);
    assert.deepEqual(fork.state.terms.at(-1), {
      term: 1n,
      gateway: next.id,
      address: next.body.endpoints.peer,
      tls: next.body.tls[0],
      logKey: log.publicKey,
      start: 4n,
      since: 4n,
    });
  });

  test("open it after leaves of the same gateway that were not indexed before", async () => {
    const fork = ledger.fork();
    await fork.appendEvidence(next);
    await fork.append(
      next,
      [hangzhou, shenzhen, suzhou].map((city) => ballot(city, 4n)),
    );
    const { start, since } = fork.state.terms.at(-1) ?? {};
    assert.deepEqual([start, since], [4n, 5n]);
  });

  test("are void TERM_INVALID when another gateway's leaf came before them", async () => {
    const fork = ledger.fork();
    await fork.appendEvidence(old);
    const votes = [hangzhou, shenzhen, suzhou].map((city) => ballot(city, 4n));
    assert.deepEqual(await outcome(votes, { of: fork }), all(3, "TERM_INVALID"));
  });

  test("stand beside other records, and are void without touching them", async () => {
    const service = sayService(network);
    const two = [ballot(hangzhou, 4n), service, ballot(shenzhen, 4n)];
    assert.deepEqual(await outcome(two), ["VOTES_MISSING", "1 results", "VOTES_MISSING"]);
    const three = [...two, ballot(suzhou, 4n)];
    assert.deepEqual(await outcome(three), ["1 results", "1 results", "1 results", "2 results"]);
  });

  test("that were void may be carried again", async () => {
    const fork = ledger.fork();
    const votes = [hangzhou, shenzhen, suzhou].map((city) => ballot(city, 4n));
    const few = await fork.append(next, votes.slice(0, 2));
    assert.deepEqual(reasonsOf(few), ["VOTES_MISSING", "VOTES_MISSING"]);
    assert.deepEqual(reasonsOf(await fork.append(next, votes)), []);
  });

  test("count the checkpoint of the highest term alone for the start", async () => {
    const fork = ledger.fork();
    await fork.append(
      next,
      [hangzhou, shenzhen, suzhou].map((city) => ballot(city, 4n)),
    );
    const again: AppointedTerm = { gateway: old, term: 2, log: network.signer("log 2") };
    const on = { of: fork, on: again, head: { term: 1n, log } };
    const votes = [
      ballot(hangzhou, 5n, on),
      ballot(shenzhen, 5n, on),
      // Cosigned under the first term, and dropped by the second: it need not stand any more.
      ballot(suzhou, 9n, { of: fork, on: again, root: forged }),
    ];
    assert.deepEqual(await outcome(votes, { of: fork, carrier: old }), [
      "1 results",
      "1 results",
      "2 results",
    ]);
  });

  test("of a city whose key was rotated count with the new one", async () => {
    const fork = ledger.fork();
    const renewed = { authority: suzhou.next, next: network.signer("suzhou third") };
    await fork.append(next, [sayRenewal(network, suzhou, "rotation", renewed)]);
    const votes = [hangzhou, shenzhen, { ...suzhou, authority: suzhou.next }];
    const said = votes.map((city) => ballot(city, 4n));
    assert.deepEqual(await outcome(said, { of: fork }), ["1 results", "1 results", "2 results"]);
  });
});

const three = (change: Parameters<typeof ballot>[2]): readonly SignedStatement[] =>
  [hangzhou, shenzhen, suzhou].map((city) => ballot(city, 4n, change));
const refusals: readonly (readonly [string, readonly SignedStatement[], string])[] = [
  ["of too few cities", [ballot(hangzhou, 4n), ballot(shenzhen, 4n)], "VOTES_MISSING"],
  [
    "of one city twice",
    [ballot(hangzhou, 4n), ballot(hangzhou, 3n), ballot(shenzhen, 4n)],
    "VOTES_MISSING",
  ],
  [
    "for different log keys",
    [
      ...three({}).slice(0, 2),
      ballot(suzhou, 4n, { on: { ...appointed, log: network.signer("other log") } }),
    ],
    "VOTES_MISSING",
  ],
  [
    "with the log key of an earlier term",
    three({ on: { ...appointed, log: network.log } }),
    "KEY_BOUND",
  ],
  [
    "with a key that is a witness's",
    three({ on: { ...appointed, log: suzhou.witness } }),
    "KEY_BOUND",
  ],
  [
    "with the TLS key of another gateway",
    three({
      on: { ...appointed, gateway: { ...next, body: { ...next.body, tls: old.body.tls } } },
    }),
    "KEY_BOUND",
  ],
  [
    "with checkpoints that another key signed",
    three({ head: { log: network.signer("forger") } }),
    "NOTE_SIGNER_UNKNOWN",
  ],
  [
    "with checkpoints of a term that nobody opened",
    three({ head: { term: 5n } }),
    "NOTE_SIGNER_UNKNOWN",
  ],
];
describe("votes are void", () => {
  for (const [what, votes, reason] of refusals) {
    test(`${reason} ${what}`, async () => {
      assert.deepEqual(await outcome(votes), all(votes.length, reason));
    });
  }

  test("VOTES_MISSING in another gateway's batch", async () => {
    assert.deepEqual(await outcome(three({}), { carrier: old }), all(3, "VOTES_MISSING"));
  });

  test("TERM_INVALID for a term that is not above the newest", async () => {
    const fork = ledger.fork();
    await fork.append(next, three({}));
    const again = { ...appointed, log: network.signer("log again") };
    assert.deepEqual(await outcome(three({ on: again }), { of: fork }), all(3, "TERM_INVALID"));
  });

  test("without the log key's signature STATEMENT_SIGNER_MISSING", async () => {
    const { claims, body } = ballot(hangzhou, 4n);
    const unsigned = network.say("vote", { ...claims, body: body as never }, [hangzhou.authority]);
    assert.deepEqual(await outcome([unsigned]), ["STATEMENT_SIGNER_MISSING"]);
  });
});

describe("a checkpoint that does not stand on the tree", () => {
  const lie = ballot(suzhou, 4n, { root: forged });

  test("takes the vote of the lying sequencer's city away, and asks for all others", async () => {
    const withLiar = [ballot(hangzhou, 4n), ballot(shenzhen, 4n), lie];
    assert.deepEqual(await outcome(withLiar), all(3, "VOTES_MISSING"));
    const others = [ballot(shenzhen, 4n), ballot(tianjin, 4n), lie];
    assert.deepEqual(await outcome(others), ["1 results", "1 results", "2 results"]);
  });

  test("counts as going with the tree when it is larger, and must not be more than one of three", async () => {
    const larger = ballot(suzhou, 9n, { root: forged });
    const fine = [ballot(shenzhen, 4n), ballot(tianjin, 2n), larger];
    assert.deepEqual(await outcome(fine), ["1 results", "1 results", "2 results"]);
    const two = [ballot(shenzhen, 4n), ballot(tianjin, 3n, { root: forged }), lie];
    assert.deepEqual(await outcome(two), all(3, "TERM_INVALID"));
  });

  test("starts the term after the newest leaf of another gateway", async () => {
    const fork = ledger.fork();
    await fork.appendEvidence(next);
    await fork.append(next, [ballot(shenzhen, 4n), ballot(tianjin, 4n), lie]);
    assert.equal(fork.state.terms.at(-1)?.start, 4n);
  });
});

describe("judging an appointment", () => {
  const cast = (city: string, size: bigint, root = ledger.rootAt(size)): Ballot => ({
    city,
    choice: "same",
    gateway: next.id,
    term: 1n,
    address: "a:1",
    tls: "",
    tlsDigest: new Uint8Array(32),
    logKey: log.publicKey,
    checkpoint: { term: 0n, size, root: root ?? forged },
  });
  const judged = (ballots: readonly Ballot[]): unknown =>
    judgeAppointment(ledger.state, ballots, ledger.rootAt);

  test("names the city whose sequencer lied", () => {
    assert.deepEqual(judged(["shenzhen", "suzhou", "tianjin"].map((city) => cast(city, 4n))), {
      start: 4n,
    });
    const lied = [cast("shenzhen", 4n, forged), cast("suzhou", 4n), cast("tianjin", 4n)];
    assert.deepEqual(judged(lied), { start: 4n, liar: "hangzhou" });
  });

  test("counts no city that is no member", () => {
    const votes = ["shenzhen", "suzhou", "wuhan"].map((city) => cast(city, 4n));
    assert.equal(judged(votes), "VOTES_MISSING");
    assert.equal(judged([]), "VOTES_MISSING");
  });
});

test("votes verified before their checkpoint's term was known are verified again", async () => {
  const fork = ledger.fork();
  const again: AppointedTerm = { gateway: next, term: 2, log: network.signer("log 2") };
  const head = { term: 1n, log };
  const records = [ballot(hangzhou, 4n, { on: again, head })].map(({ record }) => record);
  const early = await verifyBatch(fork.state, fork.seal(old, records), network.verifier);
  assert.ok(early.kind === "verified");
  assert.deepEqual(early.facts, [{ kind: "void", reason: "NOTE_SIGNER_UNKNOWN", name: "vote" }]);
  await fork.append(next, three({}));
  assert.equal(isVerifiedFor(early, fork.state), false);
});
