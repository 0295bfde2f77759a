/** The four listeners of a gateway, and that of its city's witness where it is hosted here (DESIGN section 9). */
import { chmodSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Scheduler } from "../src/base/clock.ts";
import { CausewayError } from "../src/base/errors.ts";
import { agencyOf } from "../src/base/ids.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import type { AgencySystem } from "../src/exchange/resolve-call.ts";
import { statusOf } from "../src/exchange/status.ts";
import { grpcDefinition } from "../src/exchange/transport/grpc-definition.ts";
import { grpcServerOptions } from "../src/exchange/transport/grpc-options.ts";
import { type LinkListener, listenForPeers } from "../src/exchange/transport/link-listener.ts";
import type { IncomingCall } from "../src/exchange/transport/ports.ts";
import type { PeerTls } from "../src/exchange/transport/tls-options.ts";
import { AdminService } from "../src/gen/causeway/admin/v1/admin_pb.ts";
import { LedgerService } from "../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { type AdminPorts, createAdminService } from "./admin/admin-service.ts";
import { type AgencyListener, openAgencyListener } from "./agency/listener.ts";
import { type GatewayConfig, httpDefaults } from "./config.ts";
import { type OpenJsonListener, openJsonListener } from "./connectors/open-json-listener.ts";
import type { ExchangeSides } from "./exchange-sides.ts";
import { foundingTerm } from "../src/ledger/embedded/network.ts";
import { foundingWitnesses } from "../src/ledger/embedded/trust.ts";
import { createLedgerReadHandler } from "./ledger/http-read.ts";
import { createLedgerService } from "./ledger/ledger-service.ts";
import { createRateLimiter, type RateLimiter } from "./ledger/rate-limit.ts";
import { createWitnessHandler } from "./ledger/witness-http.ts";
import type { LedgerPart } from "./ledger-part.ts";
import { isLedgerMember, trustedCertificates } from "./peers.ts";
import type { Reloader } from "./reload.ts";
import type { LocalIdentity } from "./self.ts";
import { type FirstLinks, learnFirstLinks } from "./sequencer-trust.ts";
import { bindGrpc, listenHttp, shutDownGrpc } from "./servers.ts";
import type { BuiltInServices } from "./services/built-in.ts";
import { serveMetrics, type Telemetry } from "./telemetry.ts";
import { gatewayGauges } from "./telemetry-gauges.ts";
import { certificatePem, parseHostPort } from "./tls.ts";

export interface ListenerOptions {
  readonly config: GatewayConfig;
  readonly identity: LocalIdentity;
  readonly ledger: LedgerPart;
  readonly sides: ExchangeSides;
  readonly builtIn: BuiltInServices;
  readonly scheduler: Scheduler;
  readonly telemetry: Telemetry;
  readonly admin: AdminPorts;
  readonly logger: Logger;
  /** Takes parts of which a new configuration can change something. */
  readonly reloader: Pick<Reloader, "add">;
  notReady(): readonly ReasonCode[];
}

export interface Listeners {
  /** Takes no new calls and lets open ones end, for at most `graceMs`. */
  closeAgency(graceMs: number): Promise<void>;
  close(): Promise<void>;
}

export async function openListeners(options: ListenerOptions): Promise<Listeners> {
  const closers: (() => Promise<void> | void)[] = [];
  try {
    const { listeners, witness } = options.config;
    closers.push(await opening("witness", witness?.listen ?? "", openWitness(options)));
    closers.push(await opening("http", listeners.http, openHttp(options)));
    closers.push(await opening("admin", listeners.admin, openAdmin(options)));
    closers.push(await opening("peer", listeners.peer, openPeer(options)));
    const agency = await opening("agency", listeners.agency, openAgency(options));
    options.reloader.add(agency);
    const json = await opening("http_json", listeners.http_json ?? "", openJson(options, agency));
    if (json !== undefined) options.reloader.add(json);
    return {
      closeAgency: async (graceMs) => {
        await Promise.all([agency.close(graceMs), json?.close(graceMs)]);
      },
      close: async () => {
        for (const close of closers.toReversed()) await close();
      },
    };
  } catch (error) {
    for (const close of closers.toReversed()) await close();
    throw error;
  }
}

/** Names the listener that cannot be opened; the cause says why. */
async function opening<T>(name: string, address: string, open: Promise<T>): Promise<T> {
  try {
    return await open;
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CausewayError("LISTENER_FAILED", `the ${name} listener on ${address}: ${why}`, {
      cause,
    });
  }
}

async function openWitness({
  config,
  identity,
  ledger,
  logger,
}: ListenerOptions): Promise<() => Promise<void>> {
  const { witness } = ledger.node;
  if (witness === undefined || identity.city === undefined || config.witness === undefined) {
    return async () => undefined;
  }
  const { privateKeyPem, certificateDer } = identity.city.tls;
  const server = createHttpsServer(
    { key: privateKeyPem, cert: certificatePem(certificateDer), minVersion: "TLSv1.3" },
    createWitnessHandler(witness, {
      onError: (error) => logger.error({ event: "witness failed", err: error }, "witness failed"),
    }),
  );
  return listenHttp(server, config.witness.listen);
}

async function openHttp(options: ListenerOptions): Promise<() => Promise<void>> {
  const { config, ledger, telemetry, sides } = options;
  const { replica } = ledger.node;
  const { clock } = options.admin;
  const limiterOf = ({ http = httpDefaults }: GatewayConfig): RateLimiter =>
    createRateLimiter({ perSecond: http.requests_per_second, burst: http.burst }, clock);
  let limiter = limiterOf(config);
  options.reloader.add({
    prepare: (next) => () => {
      limiter = limiterOf(next);
    },
  });
  const readLedger = createLedgerReadHandler(
    {
      reader: replica.reader,
      final: () => replica.final(),
      outsideCosignatures: (final) => ledger.node.outsideCosignatures(final),
    },
    {
      limiter: (address) => limiter(address),
      minimumIndex: BigInt((config.http ?? httpDefaults).minimum_index),
    },
  );
  telemetry.observe(
    gatewayGauges({
      clock,
      replica,
      sides,
      journal: options.admin.journal,
      notReady: () => options.notReady(),
    }),
  );
  const server = createHttpServer((request, response) => {
    if (readLedger(request, response)) return;
    if (request.url === "/metrics") {
      return void serveMetrics(telemetry, response);
    }
    if (request.url === "/healthz") {
      const reasons = options.notReady();
      const body = JSON.stringify({ ready: reasons.length === 0, reasons });
      response.writeHead(reasons.length === 0 ? 200 : 503, { "content-type": "application/json" });
      response.end(`${body}\n`);
      return;
    }
    response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
  });
  return listenHttp(server, config.listeners.http);
}

async function openAdmin({
  config,
  admin,
  scheduler,
}: ListenerOptions): Promise<() => Promise<void>> {
  const server = new GrpcServer(grpcServerOptions);
  server.addService(grpcDefinition(AdminService), createAdminService(admin));
  const path = config.listeners.admin;
  // A socket that an earlier process left behind; the journal's lock tells whether one still runs.
  rmSync(path, { force: true });
  await bindGrpc(server, `unix:${path}`, ServerCredentials.createInsecure());
  // Whoever may write to the socket may speak to it: the gateway's own user, also under a lax umask.
  chmodSync(path, 0o600);
  return async () => {
    await shutDownGrpc(server, scheduler);
    rmSync(path, { force: true });
  };
}

async function openPeer(options: ListenerOptions): Promise<() => Promise<void>> {
  const { config, identity, ledger, sides, scheduler, logger } = options;
  const { node } = ledger;
  const isFirst = foundingTerm(node.network).gateway === config.gateway;
  const firstLinks: FirstLinks | undefined = !isFirst
    ? undefined
    : learnFirstLinks(foundingWitnesses(node.network), scheduler, () => update());
  const tls = (): PeerTls => ({
    ...identity.tls.pem,
    trusted: [...trustedCertificates(node.replica.state()), ...(firstLinks?.certificates() ?? [])],
  });
  let listener: LinkListener | undefined;
  const update = (): void => listener?.update(tls());
  const server = new GrpcServer(grpcServerOptions);
  const { definition, implementation } = sides.links.service;
  server.addService(definition, implementation);
  const service = createLedgerService({
    host: node.host,
    isMember: (certificate) =>
      certificate !== undefined &&
      (isLedgerMember(certificate, node.replica) || firstLinks?.isWitness(certificate) === true),
    onError: (error) =>
      logger.error({ event: "ledger call failed", err: error }, "ledger call failed"),
  });
  server.addService(grpcDefinition(LedgerService), service);
  let gateways = node.replica.state().gateways;
  const stopListening = node.replica.onIncluded(() => {
    // Membership changes with governance only: the map is another value then.
    if (node.replica.state().gateways === gateways) return;
    gateways = node.replica.state().gateways;
    sides.links.recheck();
    update();
  });
  const stopWatchingTls = identity.tls.onChange(update);
  const close = async (): Promise<void> => {
    stopListening();
    stopWatchingTls();
    firstLinks?.close();
    await listener?.close();
    await shutDownGrpc(server, scheduler);
  };
  try {
    listener = await listenForPeers({
      ...parseHostPort(config.listeners.peer),
      tls: tls(),
      grpc: server,
      scheduler,
      onStreams: (socket) => sides.links.streams.accept(socket),
    });
    update();
    return close;
  } catch (error) {
    await close();
    throw error;
  }
}

function openAgency(options: ListenerOptions): Promise<AgencyListener> {
  const { config, logger, scheduler, telemetry } = options;
  const onError = (error: unknown): void =>
    logger.error({ event: "call failed", err: error }, "call failed");
  return openAgencyListener(config, {
    clock: options.admin.clock,
    verifier: options.admin.verifier,
    scheduler,
    serve: servingOf(options),
    onUnauthenticated: (reason) => telemetry.unauthenticated(reason),
    onKeysUnavailable: (issuer, error) =>
      logger.warn({ event: "keys unavailable", issuer, err: error }, "no keys of an issuer"),
    onError,
  });
}

/** Serves a call of an agency system that has authenticated, however it came. */
function servingOf(options: ListenerOptions): (call: IncomingCall, system: AgencySystem) => void {
  const { builtIn, ledger, logger, sides } = options;
  const { replica } = ledger.node;
  return (call, system) => {
    const serve = builtIn.builtInService(call.path);
    if (serve !== undefined) return serve(call, system);
    // Before the first final checkpoint nothing is known: no catalogue, no key, no place for a record.
    if (replica.final() === undefined) return call.end(statusOf("LEDGER_BEHIND"));
    sides.consumer.handle(call, system).catch((error: unknown) => {
      logger.error({ event: "call failed", err: error }, "call failed");
      call.end(statusOf("INTERNAL"));
    });
  };
}

function openJson(
  options: ListenerOptions,
  { admission }: AgencyListener,
): Promise<OpenJsonListener | undefined> {
  const { config, ledger } = options;
  return openJsonListener({
    config,
    agency: agencyOf(config.gateway),
    admission,
    replica: ledger.node.replica,
    serve: servingOf(options),
  });
}
