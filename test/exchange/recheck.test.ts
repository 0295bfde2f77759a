import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { FailedRecheck } from "../../src/exchange/provider-records.ts";
import { type Foundations, recheck, type Stand, standAt } from "../../src/exchange/recheck.ts";
import { AddressSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { Replica, Seen } from "../../src/ledger/ports.ts";
import { recordHash } from "../../src/record/record.ts";
import type { Standing } from "../../src/registry/state.ts";
import { statusRecord } from "../support/ledger.ts";

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
  /** The chain of this gateway is frozen by the record at this index. */
  readonly frozen?: { readonly gateway: string; readonly index: bigint };
}

/** The record at this position of every batch. */
const records = [statusRecord(1), statusRecord(2), statusRecord(3)];

function replicaIn(world: World): Replica {
  const { grant = stands, facts = {}, histories = {}, finalAtMs = closedAtMs } = world;
  const history = (ids: readonly string[]): unknown =>
    new Map(
      ids.map((id) => {
        const standings = histories[id] ?? [facts[id] ?? stands];
        return [id, standings.map((standing) => ({ standing }))];
      }),
    );
  const { frozen } = world;
  const stops = frozen && [[frozen.gateway, { frozen: { index: frozen.index, position: 2 } }]];
  const state = {
    chainStops: new Map((stops ?? []) as never),
    grants: new Map([["grant", { standing: grant, revocation: hash }]]),
    cities: history(["shenzhen", "hangzhou"]),
    agencies: history(["shenzhen/market", "hangzhou/civil"]),
    gateways: history(["shenzhen/market/gw1", "hangzhou/civil/gw1"]),
    services: history(["hangzhou/civil/divisions"]),
    size: 20n,
  };
  const replica = {
    state: () => state,
    final: () => ({ ...seen, timeMs: finalAtMs }),
    batch: () => ({ records }),
  };
  return replica as unknown as Replica;
}

function failureIn(world: World): FailedRecheck | undefined {
  return recheck({
    foundations,
    replica: replicaIn(world),
    localTakings: { get: () => world.local },
    seen,
    closedAtMs,
  });
}

function standIn(world: World, of: Foundations = foundations): Stand {
  const localTakings = { get: () => world.local };
  return standAt({ foundations: of, replica: replicaIn(world), localTakings, atMs: closedAtMs });
}

function reasonIn(world: World): unknown {
  return failureIn(world)?.reason;
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

  for (const gateway of ["shenzhen/market/gw1", "hangzhou/civil/gw1"]) {
    it(`fails when the chain of ${gateway} is frozen, final or not, and names what froze it`, () => {
      const final = failureIn({ frozen: { gateway, index: 9n } });
      assert.equal(final?.reason, "CHAIN_FROZEN");
      assert.deepEqual(
        [final.fact.name.case, final.fact.name.value],
        ["address", create(AddressSchema, { index: 9n, position: 2 })],
      );
      const early = failureIn({ frozen: { gateway, index: 10n } });
      assert.equal(early?.reason, "CHAIN_FROZEN");
      assert.ok(early.fact.name.case === "record");
      assert.deepEqual(early.fact.name.value.hash, recordHash(records[2] as Uint8Array));
    });
  }

  it("lets stand what has nothing to do with the chain that is frozen", () => {
    const frozen = { gateway: "shenzhen/market/gw2", index: 9n };
    assert.equal(reasonIn({ frozen }), undefined);
  });

  it("names a suspension that is not final by its record", () => {
    const taken = { ...stands, until: { index: 11n, position: 2 } };
    const { fact } = failureIn({ facts: { "shenzhen/market": taken } }) as FailedRecheck;
    assert.ok(fact.name.case === "record");
    assert.deepEqual(fact.name.value.hash, recordHash(records[2] as Uint8Array));
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

describe("how an open attempt stands between its seals", () => {
  const until = { index: 12n, position: 0 };

  it("is taken by what fails the check of a seal, but not by a replica that is behind", () => {
    assert.equal(standIn({ grant: { ...stands, until } }).taken, "GRANT_REVOKED");
    assert.equal(standIn({ local: hash }).taken, "GRANT_REVOKED");
    assert.equal(standIn({ facts: { shenzhen: { ...stands, until } } }).taken, "MEMBER_NOT_ACTIVE");
    assert.equal(standIn({ grant: { ...stands, exp: closedAtS } }).taken, "GRANT_EXPIRED");
    assert.equal(standIn({ finalAtMs: 0 }).taken, undefined);
  });

  it("ends with the first of the grant, the members on both sides and the service", () => {
    assert.equal(standIn({}).endsAtS, undefined);
    const ends = { ...stands, exp: closedAtS + 60 };
    assert.equal(standIn({ grant: ends }).endsAtS, closedAtS + 60);
    for (const id of [
      "shenzhen",
      "shenzhen/market",
      "hangzhou/civil/gw1",
      "hangzhou/civil/divisions",
    ]) {
      const earlier = { ...stands, exp: closedAtS + 30 };
      assert.equal(standIn({ grant: ends, facts: { [id]: earlier } }).endsAtS, closedAtS + 30, id);
    }
  });

  it("ends with a version that has taken the place of another, before that is seen", () => {
    const { address } = stands;
    const next = { address: { index: 12n, position: 0 }, since: 12n, exp: closedAtS + 30 };
    const replaced = { address, since: 1n, until: next.address };
    const histories = { "shenzhen/market": [replaced, next] };
    assert.deepEqual(standIn({ histories }), { taken: undefined, endsAtS: closedAtS + 30 });
  });

  it("rests on no gateway of the provider's before one is chosen, and on its agency", () => {
    const unchosen = { ...foundations, providerGateway: undefined };
    const taken = { ...stands, until };
    const gone = { facts: { "hangzhou/civil/gw1": taken } };
    assert.equal(standIn(gone, unchosen).taken, undefined);
    assert.equal(standIn(gone).taken, "MEMBER_NOT_ACTIVE");
    const left = { facts: { "hangzhou/civil": taken } };
    assert.equal(standIn(left, unchosen).taken, "MEMBER_NOT_ACTIVE");
  });
});
