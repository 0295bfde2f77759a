import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import { sayGrant, sayRequest } from "../support/statements.ts";
import { type Case, checkAll, createFlow, detailed, type Flow } from "./support.ts";

type Limits = Partial<AuthorizationDetail>;

const flow = await createFlow();
const { network, consumer } = flow;
const gateway = network.provider.gateway.id;
const day = 24 * 3600;

/** What a request asks for, and what may and may not be given then. */
const narrowing: readonly (readonly [
  asked: Limits,
  given: Limits,
  isWithin: boolean,
  what: string,
])[] = [
  [{}, { fields: ["code"] }, true, "a mask where none was asked for"],
  [{}, { quota: { limit: 5, period_s: day } }, true, "a quota where none was asked for"],
  [{}, { durability: "ledger" }, true, "a durability where none was asked for"],
  [{}, { messages_max: 3, bytes_max: 100 }, true, "bounds where none were asked for"],
  [{ fields: ["a", "b"] }, { fields: ["a"] }, true, "fewer fields"],
  [{ fields: ["a", "b"] }, { fields: ["a.x", "a.y", "b"] }, true, "fields below those asked for"],
  [{ fields: ["a", "b"] }, { fields: ["a", "c"] }, false, "a field not asked for"],
  [{ fields: ["a.x"] }, { fields: ["a"] }, false, "a field above the one asked for"],
  [{ fields: ["a"] }, { fields: ["ab"] }, false, "a field whose name begins like one asked for"],
  [{ fields: ["a"] }, {}, false, "all fields where some were asked for"],
  [
    { fields: ["a"], metadata: ["age", "etag"] },
    { fields: ["a"], metadata: ["etag"] },
    true,
    "fewer metadata",
  ],
  [{ fields: ["a"] }, { fields: ["a"], metadata: ["etag"] }, false, "metadata not asked for"],
  [
    { quota: { limit: 5, period_s: day } },
    { quota: { limit: 4, period_s: day } },
    true,
    "a smaller quota",
  ],
  [
    { quota: { limit: 5, period_s: day } },
    { quota: { limit: 6, period_s: day } },
    false,
    "a larger quota",
  ],
  [
    { quota: { limit: 5, period_s: day } },
    { quota: { limit: 1, period_s: 60 } },
    false,
    "a quota of other periods",
  ],
  [{ quota: { limit: 5, period_s: day } }, {}, false, "no quota where one was asked for"],
  [{ messages_max: 5 }, { messages_max: 5 }, true, "the same bound"],
  [{ messages_max: 5 }, { messages_max: 6 }, false, "a larger number of messages"],
  [{ bytes_max: 5 }, {}, false, "no bound where one was asked for"],
  [{ durability: "ledger" }, { durability: "ledger" }, true, "the durability asked for"],
  [{ durability: "ledger" }, { durability: "journal" }, false, "a weaker durability"],
  [{ durability: "ledger" }, {}, false, "no durability where one was asked for"],
];

async function asking(asked: Limits): Promise<readonly [Flow, ReturnType<typeof sayRequest>]> {
  const request = sayRequest(network, { body: detailed(flow, asked) });
  const ledger = flow.ledger.fork();
  const { voids } = await ledger.append(consumer, [request]);
  assert.deepEqual(voids, []);
  return [{ ...flow, ledger }, request];
}

const cases: Case[] = [];
for (const [asked, given, isWithin, what] of narrowing) {
  const [on, request] = await asking(asked);
  cases.push({
    what: `a grant of ${what}`,
    record: sayGrant(network, request, { body: detailed(flow, given) }),
    reason: isWithin ? undefined : "OUTSIDE_REQUEST",
    on,
  });
}
checkAll(flow, cases);

const sharing = (limit: number, ...gateways: string[]): Limits => ({
  quota: { limit, period_s: day, shares: gateways.map((id) => ({ gateway: id, limit: 2 })) },
});

checkAll(flow, [
  {
    what: "a grant whose quota is shared among the provider's gateways",
    reason: undefined,
    record: sayGrant(network, flow.open, {
      body: detailed(flow, sharing(5, gateway, `${network.provider.id}/gw2`)),
    }),
  },
  {
    what: "a grant whose quota is shared with another agency's gateway",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, flow.open, {
      body: detailed(flow, sharing(5, network.consumer.gateway.id)),
    }),
  },
]);

test("a grant stands in the view with its limits", async () => {
  const limits: Limits = {
    fields: ["code"],
    metadata: ["etag"],
    durability: "ledger",
    messages_max: 2,
  };
  const grant = sayGrant(network, flow.open, { body: detailed(flow, limits) });
  const ledger = flow.ledger.fork();
  const { voids } = await ledger.append(flow.provider, [grant]);
  assert.deepEqual(voids, []);
  assert.deepEqual(ledger.state.grants.get(grant.claims.jti)?.detail, {
    ...(flow.request.body.authorization_details[0] as AuthorizationDetail),
    ...limits,
  });
});
