import { create } from "@bufbuild/protobuf";
import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import {
  createTestAgency,
  createTestNetwork,
  sayAdministrator,
  sayAgency,
  sayGateway,
  type TestCity,
} from "../support/network.ts";
import { sayGrant, sayPolicy, sayRequest, sayService } from "../support/statements.ts";

import { statementFixtures } from "../credential/fixtures.ts";
import { checkAll, createFlow, detailed } from "./support.ts";

const flow = await createFlow();
const { network, request, open, grant, consumer, ledger } = flow;
const [hangzhou] = network.cities as readonly [TestCity, TestCity];
const nowS = Math.floor(ledger.nowMs / 1000);
const day = 24 * 3600;
const agencyId = network.provider.id;
const taxation = createTestAgency(network, "hangzhou/taxation");

const [asked] = request.body.authorization_details as readonly [AuthorizationDetail];

const unread = (
  name: "city" | "vote" | "epoch" | "approval" | "resumption" | "suspension",
  iss: string,
  sub: string,
) =>
  network.say(name, { iss, sub, body: statementFixtures[name].body as never }, [
    network.provider.administrator,
  ]);

checkAll(flow, [
  {
    what: "an equivocation report",
    reason: "NOT_SUPPORTED",
    record: encodeRecord(
      create(RecordSchema, {
        body: {
          case: "equivocationReported",
          value: {
            proof: {
              case: "headers",
              value: { firstLeaf: new Uint8Array(80), secondLeaf: new Uint8Array(81) },
            },
          },
        },
      }),
    ),
  },
  {
    what: "a city statement",
    reason: "NOT_SUPPORTED",
    record: unread("city", "hangzhou", "hangzhou"),
  },
  { what: "a vote", reason: "NOT_SUPPORTED", record: unread("vote", "hangzhou", "shenzhen") },
  {
    what: "an epoch",
    reason: "NOT_SUPPORTED",
    record: unread("epoch", agencyId, `${agencyId}/gw1`),
  },
  { what: "an approval", reason: "NOT_SUPPORTED", record: unread("approval", agencyId, "x") },
  { what: "a resumption", reason: "NOT_SUPPORTED", record: unread("resumption", agencyId, "x") },
  { what: "a suspension", reason: "NOT_SUPPORTED", record: unread("suspension", agencyId, "x") },
  {
    what: "a service that asks for two approvals",
    reason: "NOT_SUPPORTED",
    record: sayService(network, { body: { version: 2, approval: { approvals: 2 } } }),
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
    what: "a request for a field mask",
    reason: "NOT_SUPPORTED",
    record: sayRequest(network, { body: detailed(flow, { fields: ["code"] }) }),
    change: { carrier: consumer },
  },
  {
    what: "a request for a quota",
    reason: "NOT_SUPPORTED",
    record: sayRequest(network, { body: detailed(flow, { quota: { limit: 1, period_s: 60 } }) }),
    change: { carrier: consumer },
  },
  {
    what: "a grant with a field mask",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, { body: detailed(flow, { fields: ["code"] }) }),
  },
  {
    what: "a grant with a quota",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, {
      body: detailed(flow, { quota: { limit: 1, period_s: 60 } }),
    }),
  },
  {
    what: "a grant of two details",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, { body: { authorization_details: [asked, asked] } }),
  },
  {
    what: "a second statement of an agency",
    reason: "NOT_SUPPORTED",
    record: sayAgency(network, hangzhou, {
      ...network.provider,
      authority: network.signer("b"),
      next: network.signer("c"),
    }),
  },
  {
    what: "a second statement of a gateway",
    reason: "NOT_SUPPORTED",
    record: sayGateway(network, network.provider, {
      ...taxation.gateway,
      id: network.provider.gateway.id,
    }),
  },
  {
    what: "a second statement of an administrator",
    reason: "NOT_SUPPORTED",
    record: sayAdministrator(network, network.provider, network.provider.administrator, {
      roles: ["auditor"],
    }),
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
