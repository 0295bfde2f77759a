import type { BatchChange } from "../support/ledger.ts";
import { createTestAgency, sayAgency, type TestCity } from "../support/network.ts";
import {
  sayDenial,
  sayGrant,
  sayPolicy,
  sayRequest,
  sayRevocation,
  sayService,
} from "../support/statements.ts";

import { after, checkAll, createFlow, detailed } from "./support.ts";

const flow = await createFlow();
const { network, request, open, grant, consumer, ledger } = flow;
const [hangzhou] = network.cities as readonly [TestCity, TestCity];
const nowS = Math.floor(ledger.nowMs / 1000);
const day = 24 * 3600;
const agencyId = network.provider.id;
const revocation = sayRevocation(network, grant);

const unseen: BatchChange = { seenSize: 4n };

checkAll(flow, [
  {
    what: "a service of an unknown agency",
    reason: "MEMBER_UNKNOWN",
    record: sayService(network, { claims: { iss: "hangzhou/nobody", sub: "hangzhou/nobody/x" } }),
  },
  {
    what: "an agency of an unknown city",
    reason: "MEMBER_UNKNOWN",
    record: sayAgency(
      network,
      { ...hangzhou, id: "beijing" },
      createTestAgency(network, "beijing/x"),
    ),
  },
  {
    what: "a service whose version is 1 again",
    reason: "VERSION_WRONG",
    record: sayService(network),
  },
  {
    what: "a service whose version leaves one out",
    reason: "VERSION_WRONG",
    record: sayService(network, { body: { version: 3 } }),
  },
  {
    what: "a new service whose version is 2",
    reason: "VERSION_WRONG",
    record: sayService(network, { body: { version: 2 }, claims: { sub: `${agencyId}/new` } }),
  },
  {
    what: "a service's next version",
    reason: undefined,
    record: sayService(network, { body: { version: 2 } }),
  },
  {
    what: "a service that allows more staleness than the network",
    reason: "OUTSIDE_BOUNDS",
    record: sayService(network, { body: { version: 2, max_staleness_s: 901 } }),
  },
  {
    what: "a service that allows as much staleness as the network",
    reason: undefined,
    record: sayService(network, { body: { version: 2, max_staleness_s: 900 } }),
  },
  {
    what: "a policy whose version is 1 again",
    reason: "VERSION_WRONG",
    record: sayPolicy(network),
  },
  {
    what: "a policy's next version",
    reason: undefined,
    record: sayPolicy(network, { body: { version: 2 } }),
  },
  {
    what: "a policy for no service",
    reason: "SERVICE_UNKNOWN",
    record: sayPolicy(network, { claims: { sub: `${agencyId}/new` } }),
  },
  {
    what: "a request for no service",
    reason: "SERVICE_UNKNOWN",
    record: sayRequest(network, {
      claims: { sub: `${agencyId}/new` },
      body: detailed(flow, { service: `${agencyId}/new` }),
    }),
    change: { carrier: consumer },
  },
  {
    what: "a request that details another service",
    reason: "OUTSIDE_REQUEST",
    record: sayRequest(network, { body: detailed(flow, { service: `${agencyId}/new` }) }),
    change: { carrier: consumer },
  },
  {
    what: "a request for a method that the service does not have",
    reason: "OUTSIDE_REQUEST",
    record: sayRequest(network, { body: detailed(flow, { methods: ["/a.B/C"] }) }),
    change: { carrier: consumer },
  },
  {
    what: "a request for a purpose that the service does not serve",
    reason: "OUTSIDE_REQUEST",
    record: sayRequest(network, { body: detailed(flow, { purposes: ["curiosity"] }) }),
    change: { carrier: consumer },
  },
  { what: "a grant of what was asked for", reason: undefined, record: sayGrant(network, open) },
  {
    what: "a grant of no request",
    reason: "REQUEST_UNKNOWN",
    record: sayGrant(network, open, { body: { request: network.uuid() } }),
  },
  {
    what: "a grant to another agency than asked",
    reason: "REQUEST_UNKNOWN",
    record: sayGrant(network, open, { claims: { sub: agencyId } }),
  },
  {
    what: "a grant of a method that was not asked for",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open, {
      body: detailed(flow, {
        methods: [
          "/causeway.demo.v1.DivisionService/GetDivision",
          "/causeway.demo.v1.DivisionService/ReportError",
        ],
      }),
    }),
  },
  {
    what: "a grant of a purpose that was not asked for",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open, { body: detailed(flow, { purposes: ["statistics"] }) }),
  },
  {
    what: "a grant on another legal basis",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open, { body: detailed(flow, { legal_basis: "GB/T-39477" }) }),
  },
  {
    what: "a second grant of one request",
    reason: "ALREADY_TAKEN",
    record: sayGrant(network, request),
  },
  {
    what: "a denial of a granted request",
    reason: "ALREADY_TAKEN",
    record: sayDenial(network, request),
  },
  { what: "a denial", reason: undefined, record: sayDenial(network, open) },
  {
    what: "a denial of no request",
    reason: "REQUEST_UNKNOWN",
    record: sayDenial(network, open, { body: { request: network.uuid() } }),
  },
  {
    what: "a revocation of no grant",
    reason: "GRANT_UNKNOWN",
    record: sayRevocation(network, grant, { body: { grant: network.uuid() } }),
  },
  {
    what: "a revocation that names another consumer",
    reason: "GRANT_UNKNOWN",
    record: sayRevocation(network, grant, { claims: { sub: agencyId } }),
  },
  {
    what: "a revocation after the grant's period",
    reason: undefined,
    record: sayRevocation(network, grant, { claims: { iat: nowS + 40 * day } }),
    change: { sealedAtMs: (nowS + 40 * day) * 1000 },
  },
  {
    what: "a revocation whose header has not seen the grant",
    reason: "GRANT_UNKNOWN",
    record: revocation,
    change: unseen,
  },
  {
    what: "a revocation whose header has seen the grant",
    reason: undefined,
    record: revocation,
    change: { seenSize: 5n },
  },
]);

/** The flow after more batches of the provider. */

checkAll(flow, [
  {
    what: "a second revocation",
    reason: "ALREADY_TAKEN",
    record: sayRevocation(network, grant),
    on: await after(flow, [revocation]),
  },
  {
    what: "a grant after the denial",
    reason: "ALREADY_TAKEN",
    record: sayGrant(network, open),
    on: await after(flow, [sayDenial(network, open)]),
  },
  {
    what: "a grant of a service that is not shared any more",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open),
    on: await after(flow, [sayService(network, { body: { version: 2, sharing: "not-shared" } })]),
  },
  {
    what: "a grant of a method that the service has no more",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open),
    on: await after(flow, [
      sayService(network, {
        body: {
          version: 2,
          methods: [
            { path: "/a.B/C", writes: false, client_streaming: false, server_streaming: false },
          ],
        },
      }),
    ]),
  },
  {
    what: "a grant between a service's versions, the older taken and the newer not seen",
    reason: "SERVICE_UNKNOWN",
    record: sayGrant(network, open),
    on: await after(flow, [sayService(network, { body: { version: 2 } })]),
    change: { seenSize: 5n },
  },
]);
