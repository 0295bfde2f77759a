import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { QuotaRule } from "../../src/credential/statements.ts";
import { agency, QuotaNetwork } from "../support/quota-network.ts";

const limit = 5;
const alone: QuotaRule = { limit, period_s: 60 };

type Step =
  | { readonly kind: "permit"; readonly of: number; readonly writes: boolean }
  | { readonly kind: "end"; readonly of: number; readonly which: number; readonly how: number }
  | { readonly kind: "include"; readonly count: number }
  | { readonly kind: "final" }
  | { readonly kind: "restart"; readonly of: number }
  | { readonly kind: "wait"; readonly seconds: number };

const of = fc.nat({ max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("permit" as const), of, writes: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      of,
      which: fc.nat({ max: 4 }),
      how: fc.nat({ max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("include" as const), count: fc.nat({ max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "final" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), of }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("wait" as const), seconds: fc.nat({ max: 50 }) }),
  },
);
const history = fc.array(step, { maxLength: 60 });

const outcomes = ["receipt", "stream", "failed", "receipt"] as const;

function play(rule: QuotaRule, gateways: number, steps: readonly Step[]): QuotaNetwork {
  const network = new QuotaNetwork(rule, gateways);
  for (const one of steps) {
    if (one.kind === "permit") network.permit(one.of, one.writes);
    else if (one.kind === "end") network.end(one.of, one.which, outcomes[one.how] ?? "receipt");
    else if (one.kind === "include") network.include(one.count);
    else if (one.kind === "final") network.finalise();
    else if (one.kind === "restart") network.restart(one.of);
    else network.atS += one.seconds;
  }
  return network;
}

/** Receipts of each period, or of each gateway in it. */
function totals(network: QuotaNetwork, byGateway: boolean): readonly number[] {
  const counts = new Map<string, number>();
  for (const { gateway, period } of network.receipts) {
    const key = byGateway ? `${gateway} ${period}` : String(period);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts.values()];
}

describe("a quota that one gateway gives out", () => {
  test("is never exceeded in a period, through failures and restarts", () => {
    fc.assert(
      fc.property(history, (steps) => {
        assert.ok(totals(play(alone, 1, steps), false).every((total) => total <= limit));
      }),
      { numRuns: 60 },
    );
  });

  test("is given out whole", () => {
    const network = new QuotaNetwork(alone, 1);
    for (let i = 0; i < limit; i++) {
      assert.ok(network.permit(0, i % 2 === 0));
      network.end(0, 0, i === 1 ? "stream" : "receipt");
    }
    assert.equal(network.permit(0, false), false);
    network.restart(0);
    assert.equal(network.permit(0, false), false);
    network.atS += 60;
    assert.ok(network.permit(0, false));
  });

  test("holds a place for an attempt under way, and gives it back when that fails", () => {
    const network = new QuotaNetwork({ limit: 1, period_s: 60 }, 1);
    assert.ok(network.permit(0, true));
    assert.equal(network.permit(0, true), false);
    network.end(0, 0, "failed");
    assert.ok(network.permit(0, true));
  });
});

describe("a quota that gateways share", () => {
  const shares = [1, 2, 3].map((i) => ({ gateway: `${agency}/gw${i}`, limit: i }));
  const shared: QuotaRule = { limit: 6, period_s: 60, shares };

  test("is exact: none exceeds its share, whatever it sees of the others", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const network = play(shared, 3, steps);
        assert.ok(totals(network, false).every((total) => total <= shared.limit));
        assert.deepEqual(network.audit(), []);
      }),
      { numRuns: 40 },
    );
  });
});

describe("a quota that gateways count on the ledger", () => {
  test("counts each receipted attempt once: the own ones when durable, those of others when final", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const network = play(alone, 3, steps);
        network.include(100);
        network.finalise();
        const periodStart = BigInt(network.atS - ((network.atS - 1_800_000_000) % 60));
        for (const [i, { id }] of network.gateways.entries()) {
          const inPeriod = network.receipts.filter(({ period }) => period === periodStart);
          const own = inPeriod.filter(({ gateway }) => gateway === id).length;
          const { usedInChain, usedOnLedger } = network.usage(i);
          assert.deepEqual(
            [usedInChain, usedOnLedger],
            [BigInt(own), BigInt(inPeriod.length - own)],
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  test("is what the auditor finds, for honest gateways in every schedule", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const network = play(alone, 3, steps);
        network.include(100);
        assert.deepEqual(network.audit(), []);
      }),
      { numRuns: 60 },
    );
  });

  test("is used up for the others once it is final", () => {
    const network = new QuotaNetwork(alone, 2);
    for (let i = 0; i < limit; i++) {
      network.permit(0, false);
      network.end(0, 0, "receipt");
    }
    network.include(limit);
    assert.equal(network.usage(1).usedOnLedger, 0n);
    network.finalise();
    assert.equal(network.permit(1, false), false);
  });
});

describe("the auditor convicts a gateway that", () => {
  function used(): QuotaNetwork {
    const network = new QuotaNetwork(alone, 2);
    for (const [gateway, count] of [
      [0, 2],
      [1, 2],
    ] as const) {
      for (let i = 0; i < count; i++) {
        assert.ok(network.permit(gateway, false));
        network.end(gateway, 0, "receipt");
      }
      network.include(count);
      network.finalise();
    }
    return network;
  }

  function lying(member: "usedOnLedger" | "usedInChain", by: string): readonly string[] {
    return used()
      .audit(({ body }, gateway) => {
        if (body.case !== "receipt" || body.value.start.case !== "begin") return;
        const quota = body.value.start.value.decision?.quota;
        if (quota !== undefined && gateway === by) quota[member] = 0n;
      })
      .map(({ code, gateway }) => `${code} ${gateway}`);
  }

  test("leaves out what others have used", () => {
    const found = lying("usedOnLedger", `${agency}/gw2`);
    assert.deepEqual(found, Array(2).fill(`QUOTA_MISCOUNTED ${agency}/gw2`));
  });

  test("leaves out what it has used itself", () => {
    assert.deepEqual(lying("usedInChain", `${agency}/gw1`), [`QUOTA_MISCOUNTED ${agency}/gw1`]);
  });
});
