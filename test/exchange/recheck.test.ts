import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Foundations, recheck } from "../../src/exchange/recheck.ts";
import type { Replica, Seen } from "../../src/ledger/ports.ts";
import type { Standing } from "../../src/registry/state.ts";

const closedAtMs = 1_800_000_000_000;
const closedAtS = closedAtMs / 1000;
const seen: Seen = { size: 10n, root: new Uint8Array(32) };
const stands: Standing = { address: { index: 1n, position: 0 }, since: 1n };
const hash = new Uint8Array(32).fill(7);

const foundations: Foundations = {
  grantJti: "grant",
  grantAddress: { index: 1n, position: 0 },
  service: "hangzhou/civil/divisions",
  consumerGateway: "shenzhen/market/gw1",
  consumerAgency: "shenzhen/market",
  providerGateway: "hangzhou/civil/gw1",
  maxStalenessMs: 60_000,
};

interface World {
  readonly grant?: Standing;
  readonly facts?: Readonly<Record<string, Standing>>;
  readonly histories?: Readonly<Record<string, readonly Standing[]>>;
  readonly finalAtMs?: number;
  readonly local?: Uint8Array;
}

function reasonIn(world: World): unknown {
  const { grant = stands, facts = {}, histories = {}, finalAtMs = closedAtMs, local } = world;
  const history = (ids: readonly string[]): unknown =>
    new Map(
      ids.map((id) => {
        const standings = histories[id] ?? [facts[id] ?? stands];
        return [id, standings.map((standing) => ({ standing }))];
      }),
    );
  const state = {
    grants: new Map([["grant", { standing: grant, revocation: hash }]]),
    cities: history(["shenzhen", "hangzhou"]),
    agencies: history(["shenzhen/market", "hangzhou/civil"]),
    gateways: history(["shenzhen/market/gw1", "hangzhou/civil/gw1"]),
    services: history(["hangzhou/civil/divisions"]),
    size: 20n,
  };
  const replica = { state: () => state, final: () => ({ ...seen, timeMs: finalAtMs }) };
  return recheck({
    foundations,
    replica: replica as unknown as Replica,
    localTakings: { get: () => local },
    seen,
    closedAtMs,
  })?.reason;
}

describe("the check in the turn that closes a batch", () => {
  it("lets stand what stands", () => assert.equal(reasonIn({}), undefined));

  for (const index of [3n, 10n, 12n]) {
    it(`fails a grant that is taken at ${index}, final or not`, () => {
      const grant = { ...stands, until: { index, position: 0 } };
      assert.equal(reasonIn({ grant }), "GRANT_REVOKED");
    });
  }

  it("fails a grant whose revocation was accepted here", () => {
    assert.equal(reasonIn({ local: hash }), "GRANT_REVOKED");
  });

  it("fails a grant from the second on in which it expires", () => {
    assert.equal(reasonIn({ grant: { ...stands, exp: closedAtS } }), "GRANT_EXPIRED");
    assert.equal(reasonIn({ grant: { ...stands, exp: closedAtS + 1 } }), undefined);
  });

  for (const id of [
    "shenzhen",
    "hangzhou",
    "shenzhen/market",
    "shenzhen/market/gw1",
    "hangzhou/civil",
    "hangzhou/civil/gw1",
  ]) {
    it(`fails when ${id} has expired or is taken away`, () => {
      const expired = { ...stands, exp: closedAtS };
      assert.equal(reasonIn({ facts: { [id]: expired } }), "MEMBER_NOT_ACTIVE");
      const taken = { ...stands, until: { index: 11n, position: 2 } };
      assert.equal(reasonIn({ facts: { [id]: taken } }), "MEMBER_NOT_ACTIVE");
    });
  }

  it("fails when the service is suspended", () => {
    const taken = { ...stands, until: { index: 11n, position: 2 } };
    assert.equal(reasonIn({ facts: { "hangzhou/civil/divisions": taken } }), "SERVICE_UNKNOWN");
  });

  it("fails while a resumption is not final", () => {
    const suspended = { ...stands, until: { index: 9n, position: 0 } };
    const resumed = (index: bigint): Standing => ({ ...stands, since: index });
    const history = (index: bigint): NonNullable<World["histories"]> => ({
      "shenzhen/market": [suspended, resumed(index)],
    });
    assert.equal(reasonIn({ histories: history(10n) }), "MEMBER_NOT_ACTIVE");
    assert.equal(reasonIn({ histories: history(9n) }), undefined);
  });

  it("lets a new version of a member, or of the service, stand", () => {
    const second: Standing = { address: { index: 11n, position: 0 }, since: 11n };
    const first = { ...stands, until: second.address };
    for (const id of ["shenzhen/market", "hangzhou/civil/divisions"]) {
      assert.equal(reasonIn({ histories: { [id]: [first, second] } }), undefined);
    }
  });

  it("fails when the newest final checkpoint is older than the service allows", () => {
    assert.equal(reasonIn({ finalAtMs: closedAtMs - 60_000 }), undefined);
    assert.equal(reasonIn({ finalAtMs: closedAtMs - 60_001 }), "STALE_REPLICA");
  });
});
