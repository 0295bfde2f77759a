/** Two cities whose provider has a service with every call type, and a consumer that may call it. */
import { Client, credentials, type Metadata } from "@grpc/grpc-js";
import { toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { AuthorizationDetail, Bounds } from "../../src/credential/statements.ts";
import type { AdminClient } from "./admin-client.ts";
import { applied } from "./granted.ts";
import { type RunningGateways, startGateways } from "./running-gateways.ts";
import {
  startStreamUpstream,
  streamDescriptors,
  streamMethods,
  streamShapes,
  type StreamMethod,
  type StreamUpstream,
} from "./stream-service.ts";
import {
  createTwoCities,
  divisionsService,
  type Member,
  nowS,
  publication,
  type TwoCities,
} from "./two-cities.ts";

export interface RunningStreams extends RunningGateways {
  readonly upstream: StreamUpstream;
  /** A stock grpc-js client before the consumer's gateway. */
  readonly client: Client;
  /** `jti` of the grant. */
  readonly grant: string;
  /** Revokes the grant; resolves once the provider's gateway has it. */
  revoke(): Promise<void>;
}

/** Publishes the service and grants all of it; the `jti` of the grant. */
export async function grantStreams(
  cities: TwoCities,
  admins: { readonly provider: AdminClient; readonly consumer: AdminClient },
  detail: Partial<AuthorizationDetail> = {},
  options: { readonly maxStalenessS?: number; readonly grantLifeS?: number | undefined } = {},
): Promise<string> {
  const { provider, consumer, blobs } = cities;
  const descriptor = streamDescriptors();
  for (const blob of [descriptor, blobs.policy, blobs.schema]) await admins.provider.putBlob(blob);
  const { service, policy } = publication(cities);
  const methods = Object.entries(streamMethods).map(([name, path]) => {
    const { client, server, writes } = streamShapes[name as StreamMethod];
    return { path, writes, client_streaming: client, server_streaming: server };
  });
  const published = {
    ...service,
    purposes: detail.purposes ?? service.purposes,
    max_staleness_s: options.maxStalenessS ?? service.max_staleness_s,
    descriptor: toHex(sha256(descriptor)),
    descriptor_bytes: descriptor.length,
    methods: methods.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
  };
  await applied(admins.provider, cities.sign(provider, "service", divisionsService, published).jws);
  await applied(admins.provider, cities.sign(provider, "policy", divisionsService, policy).jws);
  const details: AuthorizationDetail[] = [
    {
      type: "causeway-service",
      service: divisionsService,
      methods: methods.map(({ path }) => path).toSorted(),
      purposes: ["address-check"],
      legal_basis: "order-809-12",
      ...detail,
    },
  ];
  const request = cities.sign(consumer, "request", divisionsService, {
    authorization_details: details,
  });
  await applied(admins.consumer, request.jws);
  const grant = cities.sign(
    provider,
    "grant",
    consumer.agency.card.id,
    { request: request.jti, authorization_details: details },
    { nbf: nowS() - 10, exp: nowS() + (options.grantLifeS ?? 86_400) },
  );
  await applied(admins.provider, grant.jws);
  return grant.jti;
}

export async function startStreams(
  options: {
    readonly bounds?: Partial<Bounds>;
    readonly detail?: Partial<AuthorizationDetail>;
    readonly grantLifeS?: number;
    /** Opens proxies before the provider's gateway, at the addresses that it publishes. */
    readonly proxies?: (provider: Member) => Promise<void>;
    readonly overrides?: Parameters<typeof startGateways>[1];
  } = {},
): Promise<RunningStreams> {
  const upstream = await startStreamUpstream();
  const { bounds, detail, grantLifeS, proxies } = options;
  const cities = await createTwoCities({
    upstream: upstream.address,
    ...(bounds === undefined ? {} : { bounds }),
    proxied: proxies !== undefined,
  });
  await proxies?.(cities.provider);
  const running = await startGateways(cities, options.overrides);
  const grant = await grantStreams(cities, running, detail, { grantLifeS });
  const client = new Client(cities.consumer.addresses.agency, credentials.createInsecure(), {
    "grpc.enable_retries": 0,
    "grpc.max_receive_message_length": 64 * 1024 * 1024,
  });
  const consumerAgency = cities.consumer.agency.card.id;
  return {
    ...running,
    upstream,
    client,
    grant,
    revoke: async () => {
      const revocation = cities.sign(cities.provider, "revocation", consumerAgency, {
        grant,
        reason: "purpose-ended",
      });
      await running.provider.submit(revocation.jws);
    },
    close: async () => {
      client.close();
      await running.close();
      upstream.close();
    },
  };
}

/** The metadata of a call for the granted purpose, with other entries. */
export function withPurpose(metadata: Metadata): Metadata {
  metadata.set("causeway-purpose", "address-check");
  return metadata;
}
