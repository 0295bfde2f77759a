/** The listener for programs of this agency that speak HTTP and JSON: granted methods on the paths of their annotations. */
import { createServer, type Server } from "node:http";
import { createSecureServer, type SecureServerOptions } from "node:http2";
import type { AddressInfo } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { CausewayError } from "../../src/base/errors.ts";
import {
  httpConnectionsMax,
  httpHeadersMs,
  httpRequestMs,
  http2StreamsMax,
  jsonCallMs,
  metadataBytesMax,
} from "../../src/base/limits.ts";
import { readCallMetadata, reservedPrefix, withEntries } from "../../src/exchange/call-metadata.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import type { CallerConnection, IncomingCall } from "../../src/exchange/transport/ports.ts";
import { statusOf } from "../../src/exchange/status.ts";
import type { Metadata } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { withHeaders } from "../agency/call-with-headers.ts";
import type { CatalogueRoutes } from "../transcoding/catalogue-routes.ts";
import { JsonConnections } from "./json-connections.ts";
import { answerFields, metadataOfFields, requestFields } from "./http-metadata.ts";
import { JsonCall, type JsonRequest, type JsonResponse, type JsonRoute } from "./json-call.ts";

export interface JsonListenerOptions {
  readonly host: string;
  readonly port: number;
  /** TLS, HTTP/2 and HTTP/1.1; without it HTTP/1.1 in the clear. */
  readonly secure?: SecureServerOptions | undefined;
  /** Of one message, asked for at each call. */
  messageBytesMax(): number;
  routes(): CatalogueRoutes;
  /**
   * Finds who calls, as for gRPC, and then calls `serve` with the headers as the gateway takes them; or
   * ends the call.
   */
  admit(
    call: IncomingCall,
    connection: CallerConnection,
    serve: (call: IncomingCall, system: AgencySystem) => void,
  ): void;
  /** Serves a call of a system that has authenticated. Must not throw. */
  serve(call: IncomingCall, system: AgencySystem): void;
}

export interface JsonListener {
  readonly port: number;
  /**
   * New connections use these options. Open ones go on, but for those that began under other authorities: they
   * take no more requests, and end with their last response.
   */
  updateSecure(secure: SecureServerOptions): void;
  /** Takes no new calls and lets open ones end, for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export async function listenJson(options: JsonListenerOptions): Promise<JsonListener> {
  const server = openServer(options.secure, (request, response) =>
    handle({ request, response, options, connection: connections.take(request, response) }),
  );
  const connections = new JsonConnections(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  let authorities = options.secure?.ca;
  return {
    port: (server.address() as AddressInfo).port,
    updateSecure: (next) => {
      server.setSecureContext(next);
      // Whether a client's certificate counts was found when its connection began.
      if (!isDeepStrictEqual(authorities, next.ca)) connections.endAll();
      authorities = next.ca;
    },
    close: (graceMs) => close(server, connections, graceMs),
  };
}

type JsonServer = Server & { setSecureContext(secure: SecureServerOptions): void };

function openServer(
  secure: SecureServerOptions | undefined,
  onRequest: (request: JsonRequest, response: JsonResponse) => void,
): JsonServer {
  const limits = {
    maxHeaderSize: 2 * metadataBytesMax,
    headersTimeout: httpHeadersMs,
    requestTimeout: httpRequestMs,
  };
  const settings = {
    maxConcurrentStreams: http2StreamsMax,
    maxHeaderListSize: metadataBytesMax,
  };
  const server = (
    secure === undefined
      ? createServer(limits, onRequest)
      : createSecureServer({ ...limits, ...secure, allowHTTP1: true, settings }, onRequest)
  ) as JsonServer;
  server.maxConnections = httpConnectionsMax;
  return server;
}

/** Lets open calls end for at most `graceMs`. */
function close(server: JsonServer, connections: JsonConnections, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => connections.destroyAll(), graceMs);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections?.();
  });
}

const passed: ReadonlySet<string> = new Set([...requestFields, ...answerFields]);

interface Received {
  readonly request: JsonRequest;
  readonly response: JsonResponse;
  readonly connection: CallerConnection;
  readonly options: JsonListenerOptions;
}

function handle({ request, response, connection, options }: Received): void {
  // A response that is cut off says so by `close`.
  response.on("error", () => undefined);
  const createCall = (headers: Metadata, timeoutMs: number): JsonCall =>
    new JsonCall({
      request,
      response,
      headers,
      timeoutMs,
      peerCertificate: connection.certificate,
      messageBytesMax: options.messageBytesMax(),
      passed,
    });
  let call: JsonCall;
  try {
    call = createCall(metadataOfFields(request.rawHeaders, isCallers), timeoutOf(request));
  } catch (error) {
    const fault =
      error instanceof CausewayError ? statusOf(error.code, error.fields) : statusOf("INTERNAL");
    return createCall(metadataOfFields([], isCallers), jsonCallMs).end(fault);
  }
  options.admit(call, connection, (admitted, system) => {
    const named = serviceNamed(admitted.headers, system);
    const { route, path, service } = routeOf(options.routes(), request, named);
    call.routeTo(route, path);
    const headed = service === undefined ? admitted.headers : naming(admitted.headers, service);
    options.serve(withHeaders(call, headed), system);
  });
}

const callers: ReadonlySet<string> = new Set([...requestFields, "authorization"]);

/** What of a caller's header fields is metadata: its credentials are looked at, and dropped, as for gRPC. */
function isCallers(name: string): boolean {
  return name.startsWith(reservedPrefix) || callers.has(name);
}

const units: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** `grpc-timeout` as gRPC writes it. Throws METADATA_INVALID. */
function timeoutOf({ headers }: JsonRequest): number {
  const text = headers["grpc-timeout"];
  if (text === undefined) return jsonCallMs;
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(text));
  if (match === null) {
    throw new CausewayError("METADATA_INVALID", "grpc-timeout is no time", {
      fields: { key: "grpc-timeout" },
    });
  }
  return Number(match[1]) * (units[match[2] as string] as number);
}

interface Found {
  readonly route: JsonRoute;
  /** Method path of a route that is an error. */
  readonly path?: string;
  /** The one service that the request is of. */
  readonly service?: string;
}

/** What is wrong with the caller's metadata the consumer's side says itself. */
function routeOf(routes: CatalogueRoutes, request: JsonRequest, named: string | undefined): Found {
  const path = (request.url ?? "").replace(/\?.*$/, "");
  const found = routes
    .find(request.method ?? "", path)
    .filter(({ target }) => named === undefined || target.service === named);
  const [first] = found;
  if (first === undefined) {
    return { route: new CausewayError("METHOD_UNKNOWN", "no granted method has this path") };
  }
  if (found.every(({ target }) => target.service === first.target.service)) {
    return { route: first, service: first.target.service };
  }
  const route = new CausewayError("SERVICE_AMBIGUOUS", "several services have this path");
  const unary = found.find(({ target }) => !target.method.proto.serverStreaming);
  return unary === undefined ? { route } : { route, path: unary.target.path };
}

function serviceNamed(headers: Metadata, system: AgencySystem): string | undefined {
  try {
    return readCallMetadata(headers).service ?? system.defaults?.service;
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

function naming(headers: Metadata, service: string): Metadata {
  const key = "causeway-service";
  const isNamed = headers.entries.some((entry) => entry.key === key || entry.key === `${key}-bin`);
  return isNamed ? headers : withEntries(headers, [[key, service]]);
}
