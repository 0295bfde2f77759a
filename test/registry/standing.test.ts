import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { BatchChange } from "../support/ledger.ts";
import {
  createTestAgency,
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestAgency,
  type TestCity,
} from "../support/network.ts";
import {
  divisions,
  sayGrant,
  sayRequest,
  sayRevocation,
  sayService,
} from "../support/statements.ts";

import { after, checkAll, createFlow, type Flow } from "./support.ts";

const flow = await createFlow();
const { network, open, grant, ledger } = flow;
const [hangzhou] = network.cities as readonly [TestCity, TestCity];
const nowS = Math.floor(ledger.nowMs / 1000);
const day = 24 * 3600;
const revocation = sayRevocation(network, grant);
const foreign = createTestAgency(network, "hangzhou/elsewhere");

const unseen: BatchChange = { seenSize: 4n };

const brief: TestAgency = createTestAgency(network, "hangzhou/brief");
const untilTomorrow = { exp: nowS + day };

/** The flow with an agency until tomorrow, its gateway, its administrator, and a request that ends then. */
async function withBrief(): Promise<Flow> {
  const enrolled = await after(
    flow,
    [sayAgency(network, hangzhou, brief, { claims: untilTomorrow })],
    [
      sayGateway(network, brief, brief.gateway),
      sayAdministrator(network, brief, brief.administrator),
    ],
  );
  const asking = sayRequest(network, {
    claims: { iss: brief.id, ...untilTomorrow },
    by: [brief.administrator],
  });
  const { voids } = await enrolled.ledger.append(brief.gateway, [asking]);
  assert.deepEqual(voids, []);
  return { ...enrolled, open: asking };
}
const early = await withBrief();
const tomorrow = { sealedAtMs: (nowS + day) * 1000 };
const stillToday = { sealedAtMs: (nowS + day) * 1000 - 1 };
const briefService = (): SignedStatement =>
  sayService(network, {
    claims: { iss: brief.id, sub: `${brief.id}/x` },
    by: [brief.administrator],
  });

checkAll(flow, [
  {
    what: "a service of an agency in its last second",
    reason: undefined,
    record: briefService(),
    on: early,
    change: stillToday,
  },
  {
    what: "a service of an expired agency",
    reason: "MEMBER_NOT_ACTIVE",
    record: briefService(),
    on: early,
    change: tomorrow,
  },
  {
    what: "a good statement that an expired agency's gateway carries",
    reason: "MEMBER_NOT_ACTIVE",
    record: revocation,
    on: early,
    change: { ...tomorrow, carrier: brief.gateway },
  },
  {
    what: "a good statement that another agency's gateway carries",
    reason: undefined,
    record: revocation,
    on: early,
    change: { carrier: brief.gateway },
  },
  {
    what: "a good statement carried by a gateway that its own header has not seen",
    reason: "MEMBER_NOT_ACTIVE",
    record: sayService(network, { body: { version: 2 } }),
    on: await after(
      flow,
      [sayAgency(network, hangzhou, foreign)],
      [sayGateway(network, foreign, foreign.gateway)],
    ),
    change: { carrier: foreign.gateway, seenSize: 6n },
  },
  {
    what: "a grant of an expired request to an expired agency",
    reason: "REQUEST_UNKNOWN",
    record: sayGrant(network, early.open),
    on: early,
    change: tomorrow,
  },
  {
    what: "a grant of a request in its last second",
    reason: undefined,
    record: sayGrant(network, early.open),
    on: early,
    change: stillToday,
  },
]);

test("evidence of an expired agency's gateway is indexed", async () => {
  const fork = early.ledger.fork();
  const { index } = await fork.appendEvidence(brief.gateway, undefined, tomorrow);
  assert.equal(fork.size, index + 1n);
});

test("two grants of one request in one batch: the first counts", async () => {
  const fork = ledger.fork();
  const { voids } = await fork.append(network.provider.gateway, [
    sayGrant(network, open),
    sayGrant(network, open),
  ]);
  assert.deepEqual(voids, [{ position: 1, reason: "ALREADY_TAKEN" }]);
});

test("one jti twice in one batch: the second is a replay", async () => {
  const fork = ledger.fork();
  const { voids } = await fork.append(network.provider.gateway, [revocation, revocation]);
  assert.deepEqual(voids, [{ position: 1, reason: "REPLAYED" }]);
});

test("a statement that was void may come again, since its jti is not used up", async () => {
  const fork = ledger.fork();
  const first = await fork.append(network.provider.gateway, [revocation], unseen);
  assert.deepEqual(first.voids, [{ position: 0, reason: "GRANT_UNKNOWN" }]);
  const second = await fork.append(network.provider.gateway, [revocation]);
  assert.deepEqual(second.voids, []);
});

test("a statement rests on nothing that stands beside it in its own batch", async () => {
  const fork = ledger.fork();
  const asking = sayRequest(network);
  const { voids } = await fork.append(network.provider.gateway, [
    asking,
    sayGrant(network, asking),
  ]);
  assert.deepEqual(voids, [{ position: 1, reason: "REQUEST_UNKNOWN" }]);
});

test("a revocation takes the grant at its own address and names its record", async () => {
  const fork = ledger.fork();
  const { index, batch } = await fork.append(network.provider.gateway, [revocation]);
  const fact = fork.state.grants.get(grant.claims.jti);
  assert.deepEqual(fact?.standing.until, { index, position: 0 });
  assert.deepEqual(
    fact?.revocation,
    sha256(concatBytes(Uint8Array.of(0), batch.records[0] as Uint8Array)),
  );
});

test("a new version takes the older one at its own address", async () => {
  const { ledger: grownLedger } = await after(flow, [
    sayService(network, { body: { version: 2 } }),
  ]);
  const facts = grownLedger.state.services.get(divisions(network));
  assert.deepEqual(
    facts?.map(({ body, standing }) => [body.version, standing.since, standing.until]),
    [
      [1, 1n, { index: 5n, position: 0 }],
      [2, 5n, undefined],
    ],
  );
});
