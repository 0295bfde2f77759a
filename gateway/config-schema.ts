/** Every key of the configuration, with what it means and whether a running gateway takes a new value. */
import { z } from "zod";
import { callMessageBytesMax, linksPerPeerMax, timerMsMax } from "../src/base/limits.ts";
import { agencySchema, agencySystemsSchema } from "./agency/config.ts";
import { attributesSchema, databasesSchema } from "./attributes/config.ts";
import {
  address,
  described,
  filePath,
  folder,
  gatewayId,
  integer,
  milliseconds,
  oneOf,
  rate,
  secretFile,
  serviceId,
  token,
  witnessKey,
} from "./config-atoms.ts";
import {
  type GatewayConfig,
  type GrpcUpstreamConfig,
  httpDefaults,
  type UpstreamConfig,
} from "./config-types.ts";
import {
  connectorTls,
  httpUpstream,
  postgresqlUpstream,
  sqliteUpstream,
} from "./connectors/config.ts";
import { telemetrySchema } from "./telemetry-config.ts";

const listeners = z.strictObject({
  agency: described(address, {
    text: "Agency systems call here. Without `agency.tls` a loopback address.",
  }),
  peer: described(address, { text: "Other gateways call here, with mutual TLS." }),
  admin: described(filePath, {
    type: "path of a Unix socket",
    text: "The command line calls here; its owner alone may.",
  }),
  http: described(address, { text: "The read-only HTTP listener: the ledger, metrics, health." }),
  http_json: described(address, {
    text: "Agency systems that speak HTTP and JSON call here, as on `agency`: granted methods on the paths of their `google.api.http` annotations.",
  }).optional(),
});

const witness = z.strictObject({
  keys: described(folder, {
    text: "Key folder of `causeway city init`, or of `city export-witness`.",
  }),
  passphrase_file: described(secretFile, { text: "Its passphrase." }),
  listen: described(address, { text: "The sequencer calls here." }),
});

/** A service that speaks gRPC. */
const grpcUpstream = z.strictObject({
  grpc: described(address, { text: "Where the service answers gRPC.", reload: true }),
  compression: described(oneOf(["gzip"]), {
    text: "Requests are compressed; answers are read either way.",
    reload: true,
  }).optional(),
  tls: connectorTls.optional(),
}) as unknown as z.ZodType<GrpcUpstreamConfig>;

/** A plain address is gRPC without TLS. */
const plainUpstream: z.ZodType<GrpcUpstreamConfig, string> = address.transform((grpc) => ({
  grpc,
})) as unknown as z.ZodType<GrpcUpstreamConfig, string>;

/** One data service's entry. */
export const upstreamSchema: z.ZodType<UpstreamConfig> = z.union([
  plainUpstream,
  grpcUpstream,
  httpUpstream,
  sqliteUpstream,
  postgresqlUpstream,
]);

const links = z.strictObject({
  per_peer: described(integer(1, linksPerPeerMax), {
    text: "Multiplexed connections to each gateway that is called. More than one spreads the work of the other side over as many of its connections.",
  }).default(1),
});

const limits = z.strictObject({
  message_bytes_max: described(integer(1024, 64 * 1024 * 1024), {
    text: "Largest message of a caller or an upstream. A new value is that of calls that begin later.",
    reload: true,
  }).default(callMessageBytesMax),
  drain_ms: described(milliseconds(0, 600_000), {
    text: "How long a gateway that ends waits for its open calls.",
    reload: true,
  }).default(5000),
});

const ledger = z.strictObject({
  quiet_ms: described(milliseconds(0, timerMsMax), {
    text: "How long a sequencer serves nothing after its start; 10,000 without it.",
  }).optional(),
  outside_witnesses: described(
    z.array(
      z.strictObject({
        name: described(token, { text: "Its name." }),
        vkey: described(witnessKey, { text: "Its key." }),
        url: described(z.url(), { type: "URL", text: "Where it answers add-checkpoint." }),
      }),
    ),
    {
      type: "list",
      text: "C2SP witnesses that are asked once a size is final; they never count for a quorum.",
    },
  ).optional(),
});

const http = z.strictObject({
  requests_per_second: described(rate, {
    text: "Requests of one remote address in the long run.",
    reload: true,
  }).default(httpDefaults.requests_per_second),
  burst: described(integer(1, 1_000_000), {
    text: "Requests of one remote address at once after a pause.",
    reload: true,
  }).default(httpDefaults.burst),
  minimum_index: described(integer(0, Number.MAX_SAFE_INTEGER), {
    text: "Leaves below it are not served. Only under a retention policy of the network.",
  }).default(httpDefaults.minimum_index),
});

/** The schema of the whole file. */
export const configSchema: z.ZodType<GatewayConfig> = z.strictObject({
  gateway: described(gatewayId, { text: "Id of this gateway." }),
  keys: described(folder, { text: "Key folder of `causeway gateway init`." }),
  passphrase_file: described(secretFile, { text: "Passphrase of the key folder." }),
  founding: described(filePath, { text: "The founding document of the network." }),
  data: described(folder, { text: "Journal, replica, openings and the witness's state." }),
  listeners,
  witness: witness.optional(),
  agency: agencySchema.prefault({}),
  agency_systems: agencySystemsSchema.default([]),
  upstreams: described(z.record(serviceId, upstreamSchema), {
    type: "map by service id: `host:port`, or one of the sections below",
    text: "Where the data services of this agency answer. A plain address is gRPC without TLS.",
    reload: true,
  }).default({}),
  databases: databasesSchema.default({}),
  attributes: attributesSchema.default({}),
  limits: limits.prefault({}),
  links: links.prefault({}),
  ledger: ledger.optional(),
  http: http.optional(),
  telemetry: telemetrySchema.optional(),
  status_every_s: described(integer(1, 86_400), {
    type: "seconds",
    text: "Time between two status records of this gateway on the ledger; 3,600 without it.",
  }).optional(),
  log: described(oneOf(["debug", "info", "warn", "error", "silent"]), {
    text: "Least severe entries that are logged.",
    reload: true,
  }).default("info"),
}) as unknown as z.ZodType<GatewayConfig>;
