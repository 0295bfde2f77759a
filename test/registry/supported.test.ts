import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import {
  createTestAgency,
  createTestNetwork,
  sayGateway,
  type TestCity,
} from "../support/network.ts";
import {
  sayCity,
  sayGrant,
  sayPolicy,
  sayRequest,
  sayService,
  sayVote,
} from "../support/statements.ts";

import { checkAll, createFlow, detailed } from "./support.ts";

const flow = await createFlow();
const { network, request, open, grant, consumer, ledger } = flow;
const [hangzhou] = network.cities as readonly [TestCity, TestCity];
const nowS = Math.floor(ledger.nowMs / 1000);
const day = 24 * 3600;
const agencyId = network.provider.id;
const taxation = createTestAgency(network, "hangzhou/taxation");

const [asked] = request.body.authorization_details as readonly [AuthorizationDetail];

checkAll(flow, [
  {
    what: "a vote on another ledger engine",
    reason: "NOT_SUPPORTED",
    record: sayVote(network, hangzhou, {
      sub: network.idHex,
      body: { on: "engine", engine: "cometbft", genesis: "ab".repeat(32) },
    }),
  },
  {
    what: "a vote with an end",
    reason: "NOT_SUPPORTED",
    record: sayVote(
      network,
      hangzhou,
      { sub: network.idHex, body: { on: "rules", version: 2 } },
      { exp: nowS + day },
    ),
  },
  {
    what: "a vote on the calendar under the first rules",
    reason: "NOT_SUPPORTED",
    record: sayVote(network, hangzhou, {
      sub: network.idHex,
      body: { on: "calendar", year: { year: 2027, off: [], on: [] } },
    }),
  },
  {
    what: "a suspension with an end",
    reason: "NOT_SUPPORTED",
    record: sayCity(network, "suspension", hangzhou, {
      sub: agencyId,
      body: { what: "agency", reason: "inquiry" },
      exp: nowS + day,
    }),
  },
  {
    what: "a gateway's first statement that ends a chain",
    reason: "NOT_SUPPORTED",
    record: sayGateway(network, network.provider, {
      ...taxation.gateway,
      id: `${agencyId}/gw9`,
      body: { ...taxation.gateway.body, last: { epoch: 0, seq: 0, leaf: "ab".repeat(32) } },
    }),
  },
  {
    what: "a service with subject paths",
    reason: "NOT_SUPPORTED",
    record: sayService(network, { body: { version: 2, subject_paths: ["name"] } }),
  },
  {
    what: "a service with an end",
    reason: "NOT_SUPPORTED",
    record: sayService(network, { body: { version: 2 }, claims: { exp: nowS + day } }),
  },
  {
    what: "a policy with a beginning",
    reason: "NOT_SUPPORTED",
    record: sayPolicy(network, { body: { version: 2 }, claims: { nbf: nowS - 1 } }),
  },
  {
    what: "a request for shares of a quota",
    reason: "NOT_SUPPORTED",
    record: sayRequest(network, {
      body: detailed(flow, {
        quota: { limit: 1, period_s: 60, shares: [{ gateway: `${agencyId}/gw1`, limit: 1 }] },
      }),
    }),
    change: { carrier: consumer },
  },
  {
    what: "a grant of two details",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, { body: { authorization_details: [asked, asked] } }),
  },
]);

checkAll(flow, [
  {
    what: "a statement of another network",
    reason: "NETWORK_WRONG",
    record: sayService(network, { body: { version: 2 }, claims: { net: "00".repeat(32) } }),
  },
  {
    what: "the founding document again",
    reason: "REPLAYED",
    record: network.founding[0] as Uint8Array,
  },
  {
    what: "a founding document of another network",
    reason: "NETWORK_WRONG",
    record: createTestNetwork({ network: { name: "B" } }).founding[0] as Uint8Array,
  },
  { what: "a statement that was applied before", reason: "REPLAYED", record: grant },
  {
    what: "another statement with a jti that is used up",
    reason: "REPLAYED",
    record: sayService(network, { body: { version: 2 }, claims: { jti: grant.claims.jti } }),
  },
  {
    what: "a statement issued 7 days before its seal",
    reason: undefined,
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS - 7 * day } }),
  },
  {
    what: "a statement issued 7 days and a millisecond before its seal",
    reason: "STALE",
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS - 7 * day } }),
    change: { sealedAtMs: nowS * 1000 + 1 },
  },
  {
    what: "a statement issued the skew after its seal",
    reason: undefined,
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS + 5 } }),
  },
  {
    what: "a statement issued more than the skew after its seal",
    reason: "NOT_YET_VALID",
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS + 6 } }),
  },
  {
    what: "a grant whose nbf is the second of the seal",
    reason: undefined,
    record: sayGrant(network, open, { claims: { nbf: nowS } }),
    change: { sealedAtMs: nowS * 1000 + 999 },
  },
  {
    what: "a grant whose nbf is the second after the seal",
    reason: "NOT_YET_VALID",
    record: sayGrant(network, open, { claims: { nbf: nowS + 1 } }),
    change: { sealedAtMs: nowS * 1000 + 999 },
  },
  {
    what: "a grant whose exp is the second after the seal",
    reason: undefined,
    record: sayGrant(network, open, { claims: { exp: nowS + 1 } }),
    change: { sealedAtMs: nowS * 1000 + 999 },
  },
  {
    what: "a grant whose exp is the second of the seal",
    reason: "EXPIRED",
    record: sayGrant(network, open, { claims: { iat: nowS - 9, nbf: nowS - 9, exp: nowS } }),
  },
]);
