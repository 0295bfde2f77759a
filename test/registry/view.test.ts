import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseHex } from "../../src/base/bytes.ts";
import { keyDigest } from "../../src/record/leaf.ts";
import type {
  FactAddress,
  RegistryState,
  RegistryView,
  RequestFact,
  Standing,
} from "../../src/registry/state.ts";
import { view } from "../../src/registry/view.ts";
import { createTestNetwork } from "../support/network.ts";
import { divisions, sayRevocation, sayService } from "../support/statements.ts";
import { history, play } from "./histories.ts";
import { after, createFlow } from "./support.ts";

const network = createTestNetwork();

interface Fact {
  readonly standing: Standing;
  readonly answer?: RequestFact["answer"];
  readonly revocation?: Uint8Array;
}

/** The fact without what a fold that stopped at `size` cannot know: that it was taken later. */
function knownAt<F extends Fact>(fact: F | undefined, size: bigint): F | undefined {
  if (fact?.standing.until === undefined || fact.standing.until.index < size) return fact;
  const { until: _until, suspendedBy: _suspendedBy, ...standing } = fact.standing;
  const { answer: _answer, revocation: _revocation, ...rest } = fact;
  return { ...rest, standing } as unknown as F;
}

/** Everything that a view says of the ids that `state` knows. */
function everything(seen: RegistryView, state: RegistryState): unknown {
  const at = <F extends Fact>(fact: F | undefined): F | undefined => knownAt(fact, seen.seenSize);
  const addresses: readonly FactAddress[] = [...state.grants.values()].map(
    ({ standing }) => standing.address,
  );
  const gateways = [...state.gateways.values()].flat();
  return {
    network: seen.network,
    cities: [...state.cities.keys()].map((id) => at(seen.city(id))),
    agencies: [...state.agencies.keys()].map((id) => at(seen.agency(id))),
    gateways: [...state.gateways.keys()].map((id) => at(seen.gateway(id))),
    administrators: [...state.administrators.keys()].map((kid) => at(seen.administrator(kid))),
    service: [...state.services.keys()].map((id) => at(seen.service(id))),
    policy: [...state.policies.keys()].map((id) => at(seen.policy(id))),
    request: [...state.requests.keys()].map((jti) => at(seen.request(jti))),
    grant: [...state.grants.keys()].map((jti) => at(seen.grant(jti))),
    grantAt: addresses.map((address) => at(seen.grantAt(address))),
    grantsOf: [...state.agencies.keys()].map((id) => seen.grantsOf(id).map(at)),
    grants: seen.grants().map(at),
    services: seen.services().map(at),
    requests: seen.requests().map(at),
    batchKeys: gateways.map(({ id, batchKey }) => seen.batchKey(id, keyDigest(batchKey))),
    tls: gateways.map(({ body }) =>
      at(seen.gatewayOfTlsKey(parseHex(body.tls[0] as string) as Uint8Array)),
    ),
  };
}

test("what a view of any size gives is what the fold that stopped there gives", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const ledger = await play(network, steps);
      for (const [size, stopped] of ledger.states.entries()) {
        const seenSize = BigInt(size);
        assert.deepEqual(
          everything(view(ledger.state, seenSize), ledger.state),
          everything(view(stopped, seenSize), ledger.state),
        );
      }
    }),
    { numRuns: 15 },
  );
});

test("a view answers a second time as it did the first time", async () => {
  const { ledger } = await createFlow();
  const seen = ledger.view();
  assert.deepEqual(everything(seen, ledger.state), everything(seen, ledger.state));
});

test("a revocation that is not final yet is an early fact of the view", async () => {
  const flow = await createFlow();
  const { ledger } = await after(flow, [sayRevocation(flow.network, flow.grant)]);
  const early = ledger.view(5n).grant(flow.grant.claims.jti);
  assert.deepEqual(early?.standing.until, { index: 5n, position: 0 });
  assert.equal(early?.revocation?.length, 32);
  assert.equal(ledger.view(4n).grant(flow.grant.claims.jti), undefined);
});

test("a service version that is not final yet leaves the older one in the view", async () => {
  const flow = await createFlow();
  const { ledger } = await after(flow, [sayService(flow.network, { body: { version: 2 } })]);
  const id = divisions(flow.network);
  assert.equal(ledger.view(5n).service(id)?.body.version, 1);
  assert.equal(ledger.view(6n).service(id)?.body.version, 2);
});

test("a view of nothing knows nothing", async () => {
  const { ledger } = await createFlow();
  const nothing = ledger.view(0n);
  assert.equal(nothing.network, undefined);
  assert.equal(nothing.city("hangzhou"), undefined);
  assert.deepEqual(nothing.services(), []);
});

test("a TLS digest that is an Ed25519 key's, a witness's or nobody's names no gateway", async () => {
  const { ledger, network: own } = await createFlow();
  const witness = parseHex(own.body.cities[0]?.witness_tls as string) as Uint8Array;
  assert.equal(ledger.view().gatewayOfTlsKey(witness), undefined);
  assert.equal(ledger.view().gatewayOfTlsKey(new Uint8Array(32)), undefined);
  for (const [id, { use }] of ledger.state.keys) {
    if (use === "tls" || !id.startsWith("tls:")) continue;
    assert.equal(ledger.view().gatewayOfTlsKey(parseHex(id.slice(4)) as Uint8Array), undefined);
  }
});

test("a batch key is known by its own digest and its own gateway alone", async () => {
  const { ledger, provider, consumer } = await createFlow();
  const digest = keyDigest(provider.batch.publicKey);
  assert.deepEqual(ledger.view().batchKey(provider.id, digest), provider.batch.publicKey);
  assert.equal(ledger.view().batchKey(consumer.id, digest), undefined);
  assert.equal(ledger.view().batchKey(provider.id, keyDigest(provider.token.publicKey)), undefined);
});

test("a size beyond the registry is misuse", async () => {
  const { ledger } = await createFlow();
  assert.throws(() => ledger.view(6n), {
    name: "RangeError",
    message: "the registry has 5 leaves, not 6",
  });
});
