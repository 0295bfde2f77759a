import type { Command } from "commander";
import { agencyOf } from "../../src/base/ids.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { checkConfig, type GatewayConfig, readWholeConfig } from "../config.ts";
import { readAppointments } from "../keys/log-keys.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { type EnrolOptions, type SayOptions, sayAsAuthority } from "./enrol.ts";
import { withAdmin, withAuthority, withEnrol, withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import {
  createFolderWithCard,
  type NewFolderOptions,
  readCardAt,
  renewFolder,
} from "./key-folders.ts";
import { parseChainEnd } from "./standing.ts";

export interface GatewayInitOptions extends NewFolderOptions {
  readonly id: string;
  readonly peer: string;
  readonly http: string;
  readonly sequencer?: boolean | undefined;
}

export interface GatewayRunOptions {
  readonly config: string;
}

/** Makes the keys of a gateway. */
export async function gatewayInit(options: GatewayInitOptions, io: Io): Promise<void> {
  const { id, peer, http, sequencer = false } = options;
  await createFolderWithCard(
    { kind: "gateway", id, endpoints: { peer, http }, sequencer },
    options,
    io,
  );
}

/** Writes the statement that lets a gateway in: signed by the agency and the gateway's own keys. */
export async function gatewayEnrol(options: EnrolOptions, io: Io): Promise<void> {
  const { id, kind: _, log: __, ...body } = await readCardAt(options.card, "gateway");
  await sayAsAuthority({ name: "gateway", iss: agencyOf(id), sub: id, body }, options, io);
}

export interface GatewayRenewOptions extends SayOptions {
  /** The gateway's key folder in force. */
  readonly gatewayFolder: string;
  readonly newFolder: string;
  readonly peer?: string | undefined;
  readonly http?: string | undefined;
  /** `<epoch>/<seq>/<leaf hash>`. */
  readonly last?: string | undefined;
  /** A new TLS key alone: a running gateway takes it into use when it reloads. */
  readonly onlyTls?: boolean | undefined;
}

/**
 * New batch, token and TLS keys for a gateway: signed by the agency and the new keys. The gateway goes on
 * with the keys in force until it is started with the new folder.
 */
export async function gatewayRenew(options: GatewayRenewOptions, io: Io): Promise<void> {
  const { gatewayFolder: folder, newFolder, folder: agencies = [], passphraseFile = [] } = options;
  const { peer, http, last } = options;
  const own = passphraseFile[agencies.length] ?? passphraseFile[0];
  const endpoints = { ...(peer && { peer }), ...(http && { http }) };
  const renewing = { folder, newFolder, passphraseFile: own };
  const appointments = await readAppointments(folder);
  const card = await renewFolder(
    renewing,
    "gateway",
    (of) =>
      options.onlyTls === true
        ? { of, change: "gateway-tls", appointments }
        : { of, change: "gateway", appointments, endpoints },
    io,
  );
  const { id, kind: _, log: __, ...keys } = card;
  const body = { ...keys, ...(last === undefined ? {} : { last: parseChainEnd(last) }) };
  await sayAsAuthority(
    { name: "gateway", iss: agencyOf(id), sub: id, body },
    { ...options, folder: [...agencies, newFolder] },
    io,
  );
}

export interface GatewayRetireOptions extends SayOptions {
  /** The gateway's key folder in force. */
  readonly gatewayFolder: string;
}

/** Leaves a gateway its newest TLS certificate only: peers end the links of the others. */
export async function gatewayRetire(options: GatewayRetireOptions, io: Io): Promise<void> {
  const { folder = [], gatewayFolder } = options;
  const { id, kind: _, log: __, ...keys } = await readCardAt(gatewayFolder, "gateway");
  const body = { ...keys, certificates: keys.certificates.slice(0, 1), tls: keys.tls.slice(0, 1) };
  await sayAsAuthority(
    { name: "gateway", iss: agencyOf(id), sub: id, body },
    { ...options, folder: [...folder, gatewayFolder] },
    io,
  );
}

/**
 * Runs a gateway until SIGTERM or SIGINT. SIGHUP puts its configuration in force again; one that comes while
 * the gateway starts counts when it has started.
 */
export async function gatewayRun({ config: file }: GatewayRunOptions, io: Io): Promise<void> {
  const reloads = reloadSignal();
  try {
    const rereadConfig = (): GatewayConfig => readWholeConfig(file, io.environment.configVariables);
    const config = rereadConfig();
    // Databases, keys and sockets that this process makes are its user's alone.
    process.umask(0o077);
    // The gateway's parts are loaded by this command alone: the others start faster without them.
    const { createGateway } = await import("../app.ts");
    const stopped = stopSignal();
    const gateway = await createGateway(config, { rereadConfig });
    try {
      await gateway.start();
    } catch (error) {
      await gateway.close();
      throw error;
    }
    // What is wrong with the new configuration stands in the log.
    reloads.listen(() => void gateway.reload().catch(() => undefined));
    io.warn(`${config.gateway} is running. Its admin socket is ${config.listeners.admin}.\n`);
    const signal = await stopped;
    reloads.listen(() => undefined);
    io.warn(`${signal}: closing.\n`);
    await gateway.close();
  } finally {
    reloads.close();
  }
}

/** Says what is wrong with a configuration, or that nothing is; starts nothing. */
export async function gatewayCheck(file: string, io: Io): Promise<void> {
  const { checkAgency } = await import("../agency/check.ts");
  const { checkSources } = await import("../connectors/check.ts");
  const { checkIdentity } = await import("../identity-check.ts");
  const variables = io.environment.configVariables ?? {};
  const config = await checkConfig(file, variables, async (read) => [
    ...(await checkIdentity(read)),
    ...(await checkSources(read)),
  ]);
  await checkAgency(config);
  const systems = config.agency_systems.length;
  const upstreams = Object.keys(config.upstreams).length;
  io.write(
    `${file} is right: ${config.gateway}, agency systems ${systems}, upstreams ${upstreams}\n`,
  );
}

/** Puts the configuration of a running gateway in force as it stands in its file now. */
export async function gatewayReload(options: AdminOptions, io: Io): Promise<void> {
  const { taken, left } = await withAdminClient(options, io, (client) =>
    client.call(AdminService.method.reloadConfig, {}),
  );
  for (const key of taken) io.write(`taken  ${key}\n`);
  for (const key of left) io.write(`left   ${key}: it waits for the next start\n`);
  io.write("in force\n");
}

/** SIGHUP, which would end a process that does not listen: heard from now on, told to whoever listens. */
function reloadSignal(): { listen(reload: () => void): void; close(): void } {
  let isAsked = false;
  let told = (): void => {
    isAsked = true;
  };
  const hear = (): void => told();
  process.on("SIGHUP", hear);
  return {
    listen: (reload) => {
      told = reload;
      if (isAsked) reload();
      isAsked = false;
    },
    close: () => void process.off("SIGHUP", hear),
  };
}

/** The first of the signals that ask the process to end. A second one ends it at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      process.off("SIGTERM", stop);
      process.off("SIGINT", stop);
      resolve(signal);
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  });
}

export function registerGateway(program: Command, io: Io): void {
  const gateway = program.command("gateway").description("a running process of an agency");
  withNewFolder(
    gateway
      .command("init")
      .description(
        "make the keys of a gateway: batch, token, TLS; for a sequencer also the log key",
      )
      .requiredOption("--id <id>", "such as hangzhou/market-regulation/gw1")
      .requiredOption("--peer <host:port>", "where other gateways reach it")
      .requiredOption("--http <host:port>", "where its read-only HTTP listener answers")
      .option("--sequencer", "give it the log key of a sequencer"),
  ).action((options: GatewayInitOptions) => gatewayInit(options, io));
  withEnrol(
    gateway
      .command("enrol")
      .description("let a gateway in: the agency's authority and the gateway's keys sign"),
  ).action((options: EnrolOptions) => gatewayEnrol(options, io));
  withAuthority(
    gateway
      .command("renew")
      .description("give a gateway new batch, token and TLS keys; the agency's authority signs"),
  )
    .requiredOption("--gateway-folder <dir>", "the gateway's key folder in force")
    .requiredOption("--new-folder <dir>", "folder to make, with the same passphrase")
    .option("--peer <host:port>", "where other gateways reach it; as before unless given")
    .option("--http <host:port>", "where its HTTP listener answers; as before unless given")
    .option(
      "--last <epoch/seq/leaf>",
      "where the chain under the earlier keys ends, if they are lost",
    )
    .option("--only-tls", "a new TLS key alone, which a running gateway takes when it reloads")
    .action((options: GatewayRenewOptions) => gatewayRenew(options, io));
  withAuthority(
    gateway
      .command("retire")
      .description("leave a gateway its newest TLS certificate only; the agency's authority signs"),
  )
    .requiredOption("--gateway-folder <dir>", "the gateway's key folder in force")
    .action((options: GatewayRetireOptions) => gatewayRetire(options, io));
  gateway
    .command("run")
    .description("run a gateway until SIGTERM or SIGINT")
    .requiredOption("--config <file>", "its configuration, YAML")
    .action((options: GatewayRunOptions) => gatewayRun(options, io));
  gateway
    .command("check")
    .description("check a configuration and the files that it names; nothing is started")
    .argument("<config>", "the configuration, YAML")
    .action((file: string) => gatewayCheck(file, io));
  withAdmin(
    gateway
      .command("reload")
      .description("put a running gateway's configuration in force as it stands in its file now"),
  ).action((options: AdminOptions) => gatewayReload(options, io));
}
