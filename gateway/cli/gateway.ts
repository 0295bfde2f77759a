import type { Command } from "commander";
import { agencyOf } from "../../src/base/ids.ts";
import { readConfig } from "../config.ts";
import { enrol, type EnrolOptions } from "./enrol.ts";
import { withEnrol, withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import { createFolderWithCard, type NewFolderOptions, readCardAt } from "./key-folders.ts";

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
  await enrol({ name: "gateway", iss: agencyOf(id), sub: id, body }, options, io);
}

/** Runs a gateway until SIGTERM or SIGINT. */
export async function gatewayRun({ config: file }: GatewayRunOptions, io: Io): Promise<void> {
  const config = readConfig(file);
  // Databases, keys and sockets that this process makes are its user's alone.
  process.umask(0o077);
  // The gateway's parts are loaded by this command alone: the others start faster without them.
  const { createGateway } = await import("../app.ts");
  const stopped = stopSignal();
  const gateway = await createGateway(config);
  try {
    await gateway.start();
  } catch (error) {
    await gateway.close();
    throw error;
  }
  io.warn(`${config.gateway} is running. Its admin socket is ${config.listeners.admin}.\n`);
  const signal = await stopped;
  io.warn(`${signal}: closing.\n`);
  await gateway.close();
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
  gateway
    .command("run")
    .description("run a gateway until SIGTERM or SIGINT")
    .requiredOption("--config <file>", "its configuration, YAML")
    .action((options: GatewayRunOptions) => gatewayRun(options, io));
}
