import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cityOf } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import {
  type Attempt,
  checkGrant,
  type EarlyTaking,
  includedTakings,
} from "../../src/policy/grant-check.ts";
import type { GrantFact, Standing } from "../../src/registry/state.ts";
import {
  consumer,
  expires,
  grantFact,
  notBefore,
  plainAttempt,
  provider,
  type Registry,
  registry,
  standing,
  viewOf,
} from "./fixtures.ts";

const until = { index: 10n, position: 0 };
const record = new Uint8Array(32).fill(1);

function take(
  facts: Registry,
  list: "cities" | "agencies" | "gateways",
  id: string,
  more: Partial<Standing>,
): void {
  facts[list] = (facts[list] as { id: string; standing: Standing }[]).map((fact) =>
    fact.id === id ? { ...fact, standing: { ...fact.standing, ...more } } : fact,
  ) as never;
}

function grantWith(facts: Registry, more: Partial<GrantFact>): void {
  facts.grants = [grantFact(more)];
}

function detailWith(facts: Registry, more: Partial<GrantFact["detail"]>): void {
  facts.grants = [grantFact({ detail: { ...grantFact().detail, ...more } })];
}

type Row = readonly [
  claim: string,
  reason: ReasonCode | undefined,
  change: (facts: Registry) => void,
  attempt?: Partial<Attempt>,
];
const rows: readonly Row[] = [
  ["a covered call", undefined, () => {}],
  ["a call in the first second of the grant", undefined, () => {}, { evaluatedAtS: notBefore }],
  ["a call in the last second of the grant", undefined, () => {}, { evaluatedAtS: expires - 1 }],
  ["a call a second too early", "GRANT_NOT_YET", () => {}, { evaluatedAtS: notBefore - 1 }],
  ["a call at the end of the grant", "GRANT_EXPIRED", () => {}, { evaluatedAtS: expires }],
  [
    "an address where no grant stands",
    "GRANT_MISSING",
    () => {},
    { grant: { index: 6n, position: 1 } },
  ],
  [
    "a grant that is not final yet",
    "GRANT_MISSING",
    (facts) => {
      facts.seenSize = 6n;
    },
  ],
  [
    "a grant that is final since the last leaf",
    undefined,
    (facts) => {
      facts.seenSize = 7n;
    },
  ],
  [
    "a revoked grant",
    "GRANT_REVOKED",
    (facts) =>
      grantWith(facts, { standing: { ...grantFact().standing, until }, revocation: record }),
  ],
  [
    "a revoked grant that has expired too",
    "GRANT_REVOKED",
    (facts) =>
      grantWith(facts, { standing: { ...grantFact().standing, until }, revocation: record }),
    { evaluatedAtS: expires },
  ],
  [
    "the grant of another agency",
    "GRANT_OF_ANOTHER",
    (facts) => grantWith(facts, { consumer: "shenzhen/finance" }),
  ],
  [
    "the grant of an agency with a longer name",
    "GRANT_OF_ANOTHER",
    (facts) => grantWith(facts, { consumer: `${consumer}-2` }),
  ],
  [
    "a grant for another service",
    "GRANT_OF_ANOTHER",
    (facts) => detailWith(facts, { service: `${provider}/streets` }),
  ],
  [
    "a method outside of the grant",
    "METHOD_NOT_GRANTED",
    (facts) => detailWith(facts, { methods: ["/a.B/C"] }),
  ],
  ["a purpose outside of the grant", "PURPOSE_NOT_GRANTED", () => {}, { purpose: "statistics" }],
  [
    "a grant without a period",
    "NOT_SUPPORTED",
    (facts) => grantWith(facts, { standing: standing(6n) }),
  ],
  [
    "an unpublished service",
    "SERVICE_UNKNOWN",
    (facts) => {
      facts.service = undefined;
    },
  ],
  [
    "a method that the service lacks",
    "METHOD_UNKNOWN",
    () => {},
    { method: "/causeway.demo.v1.DivisionService/Drop" },
  ],
  [
    "an unknown gateway",
    "MEMBER_NOT_ACTIVE",
    (facts) => {
      facts.gateways = [];
    },
  ],
  [
    "a gateway that was taken away",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "gateways", `${consumer}/gw1`, { until }),
  ],
  [
    "a gateway whose statement has expired",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "gateways", `${consumer}/gw1`, { exp: plainAttempt.evaluatedAtS }),
  ],
  [
    "a consumer agency that was taken away",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "agencies", consumer, { until }),
  ],
  [
    "a consumer agency whose city was excluded",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "cities", cityOf(consumer), { until }),
  ],
  [
    "a provider agency whose city was excluded",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "cities", cityOf(provider), { until }),
  ],
  [
    "a consumer agency that is not valid yet",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "agencies", consumer, { nbf: plainAttempt.evaluatedAtS + 1 }),
  ],
  [
    "a provider agency that was taken away",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "agencies", provider, { until }),
  ],
  [
    "a provider agency that has expired",
    "MEMBER_NOT_ACTIVE",
    (facts) => take(facts, "agencies", provider, { exp: plainAttempt.evaluatedAtS }),
  ],
];
for (const [claim, reason, change, more] of rows) {
  test(`${claim} is ${reason === undefined ? "permitted" : `denied ${reason}`}`, () => {
    const facts = registry();
    change(facts);
    const check = checkGrant(viewOf(facts), { ...plainAttempt, ...more });
    assert.equal(check.reason, reason);
    assert.deepEqual(check.early, []);
  });
}

test("a revocation that is included and not final acts, and is named", () => {
  const facts = registry();
  const late = { index: facts.seenSize, position: 2 };
  grantWith(facts, { standing: { ...grantFact().standing, until: late }, revocation: record });
  const view = viewOf(facts);
  const early = includedTakings(view, plainAttempt);
  const check = checkGrant(view, plainAttempt, early);
  assert.equal(check.reason, "GRANT_REVOKED");
  assert.deepEqual(check.early, [{ taken: { index: 6n, position: 0 }, record }]);
});

test("a revocation that a decision did not know of does not act on it", () => {
  const facts = registry();
  const late = { index: facts.seenSize, position: 2 };
  grantWith(facts, { standing: { ...grantFact().standing, until: late }, revocation: record });
  assert.equal(checkGrant(viewOf(facts), plainAttempt).reason, undefined);
});

test("a final revocation is no early fact", () => {
  const facts = registry();
  grantWith(facts, { standing: { ...grantFact().standing, until }, revocation: record });
  assert.deepEqual(includedTakings(viewOf(facts), plainAttempt), []);
});

test("an early taking of another fact changes nothing", () => {
  const early: EarlyTaking[] = [{ taken: { index: 6n, position: 1 }, record }];
  const check = checkGrant(viewOf(registry()), plainAttempt, early);
  assert.equal(check.reason, undefined);
  assert.deepEqual(check.early, []);
});

test("an early taking of the consumer's agency acts", () => {
  const early: EarlyTaking[] = [{ taken: { index: 1n, position: 0 }, record }];
  const check = checkGrant(viewOf(registry()), plainAttempt, early);
  assert.equal(check.reason, "MEMBER_NOT_ACTIVE");
  assert.deepEqual(check.early, early);
});

test("taking is monotone: what was denied stays denied with one more early taking", () => {
  const indexes = [1n, 2n, 3n, 4n, 6n];
  const taking = fc
    .constantFrom(...indexes)
    .map((index): EarlyTaking => ({ taken: { index, position: 0 }, record }));
  fc.assert(
    fc.property(fc.array(taking, { maxLength: 4 }), taking, (takings, one) => {
      const view = viewOf(registry());
      const before = checkGrant(view, plainAttempt, takings).reason;
      const after = checkGrant(view, plainAttempt, [...takings, one]).reason;
      assert.ok(before === undefined || after !== undefined);
      assert.notEqual(after, undefined);
    }),
  );
});
