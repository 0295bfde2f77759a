/** Publishes the division service, and gives the consumer a grant for it. */
import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import type { AdminClient } from "./admin-client.ts";
import {
  divisionsService,
  getDivision,
  listVillages,
  publication,
  reportCorrection,
  type TwoCities,
} from "./two-cities.ts";

/** Submits a statement; throws unless it is final and has its effect. */
export async function applied(admin: AdminClient, jws: readonly string[]): Promise<void> {
  const state = await admin.submit(jws);
  if (!state.final || state.voidReason !== "") {
    throw new Error(`final ${state.final}, void ${state.voidReason}`);
  }
}

/** The `jti` of the grant. */
export async function grantAccess(
  cities: TwoCities,
  admins: { readonly provider: AdminClient; readonly consumer: AdminClient },
  options: { readonly maxStalenessS?: number; readonly purposes?: readonly string[] } = {},
): Promise<string> {
  const { provider, blobs } = cities;
  for (const blob of [blobs.descriptor, blobs.policy, blobs.schema])
    await admins.provider.putBlob(blob);
  const { service: published, policy } = publication(cities);
  const { maxStalenessS = published.max_staleness_s, purposes } = options;
  const service = {
    ...published,
    max_staleness_s: maxStalenessS,
    purposes: purposes ?? published.purposes,
  };
  await applied(admins.provider, cities.sign(provider, "service", divisionsService, service).jws);
  await applied(admins.provider, cities.sign(provider, "policy", divisionsService, policy).jws);
  return grantAgain(cities, admins, purposes);
}

/** Another request and grant for the service, once it is published; the `jti` of the grant. */
export async function grantAgain(
  cities: TwoCities,
  admins: { readonly provider: AdminClient; readonly consumer: AdminClient },
  purposes: readonly string[] = ["address-check"],
): Promise<string> {
  const { provider, consumer } = cities;
  const details: AuthorizationDetail[] = [
    {
      type: "causeway-service",
      service: divisionsService,
      methods: [getDivision, listVillages, reportCorrection].toSorted(),
      purposes,
      legal_basis: "order-809-12",
    },
  ];
  const request = cities.sign(consumer, "request", divisionsService, {
    authorization_details: details,
  });
  await applied(admins.consumer, request.jws);
  const nowS = Math.floor(Date.now() / 1000);
  const grant = cities.sign(
    provider,
    "grant",
    consumer.agency.card.id,
    { request: request.jti, authorization_details: details },
    { nbf: nowS - 10, exp: nowS + 86_400 },
  );
  await applied(admins.provider, grant.jws);
  return grant.jti;
}
