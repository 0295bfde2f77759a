/** `causeway dev`: a place to try, for an agency's developer and for tests of other people's programs. */
import { connect } from "node:net";
import type { Command } from "commander";
import { reflectDescriptors } from "../dev/reflection.ts";
import type { DevNetwork } from "../dev/dev-up.ts";
import { devServices, type DevService } from "../dev/dev-services.ts";
import { assertListenable } from "../dev/listenable.ts";
import { type DescriptorOptions, readDescriptors } from "./descriptors.ts";
import { devReadyRow, devReadyText } from "./dev-ready.ts";
import { hostPortFlag } from "./flags.ts";
import type { Io } from "./io.ts";

export interface DevUpCommand extends DescriptorOptions {
  readonly upstream: string;
  readonly readOnly?: readonly string[] | undefined;
  readonly listen?: string | undefined;
  readonly folder?: string | undefined;
  readonly keep?: boolean | undefined;
  readonly json?: boolean | undefined;
}

const probeMs = 2_000;

/** Runs a network of two cities before a gRPC server until SIGINT, SIGTERM or SIGHUP. */
export async function devUpCommand(options: DevUpCommand, io: Io): Promise<void> {
  const startedMs = io.clock.monotonicMs();
  const seconds = (): string => ((io.clock.monotonicMs() - startedMs) / 1000).toFixed(1);
  const stopped = stopSignals();
  if (options.listen !== undefined) await assertListenable(options.listen);
  const services = await findServices(options, io);
  // The founding and the gateways' commands are loaded by this command alone.
  const { devUp } = await import("../dev/dev-up.ts");
  const network = await devUp(
    {
      ...options,
      services,
      signal: stopped.signal,
      tell: (step) => io.warn(`${seconds().padStart(5)} s  ${step}\n`),
    },
    io,
  );
  try {
    const ready = { network, services, upstream: options.upstream };
    if (options.json === true) io.write(`${JSON.stringify(devReadyRow(ready))}\n`);
    else io.write(devReadyText({ ...ready, seconds: seconds() }));
    if (!(await answers(options.upstream))) {
      io.warn(
        `Nothing answers at ${options.upstream} yet: until then calls end UPSTREAM_UNAVAILABLE.\n`,
      );
    }
    await Promise.race([stopped.happened, network.ended]);
    io.warn(`\n${stopped.name()}: ending both gateways.\n`);
  } finally {
    await network.close();
    tellKept(network, io);
  }
}

async function findServices(options: DevUpCommand, io: Io): Promise<readonly DevService[]> {
  const { upstream, readOnly = [], proto, descriptors } = options;
  if (proto !== undefined || descriptors !== undefined) {
    return devServices(await readDescriptors(options), { readOnly });
  }
  io.warn(`  0.0 s  ${upstream} is asked for its services by reflection\n`);
  const reflected = await reflectDescriptors(upstream, { nowMs: io.clock.nowMs() });
  return devServices(reflected.descriptors, { readOnly, only: reflected.services });
}

function tellKept({ folder, isKept }: DevNetwork, io: Io): void {
  io.warn(isKept ? `Keys, ledger and logs stay in ${folder}.\n` : "Nothing is left of it.\n");
}

/** The signals that ask the process to end. The second one ends it at once, with everything that it started. */
function stopSignals(): {
  readonly signal: AbortSignal;
  readonly happened: Promise<void>;
  name(): string;
} {
  const controller = new AbortController();
  let name = "";
  const happened = new Promise<void>((resolve) => {
    const stop = (received: NodeJS.Signals): void => {
      if (name !== "") process.exit(1);
      name = received;
      controller.abort();
      resolve();
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  });
  return { signal: controller.signal, happened, name: () => name };
}

/** Whether a TCP connection to `host:port` can be opened. */
function answers(address: string): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address}`);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
    const end = (yes: boolean) => (): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(probeMs, end(false)).once("connect", end(true)).once("error", end(false));
  });
}

export function registerDev(program: Command, io: Io): void {
  program
    .command("dev")
    .description("a place to try")
    .command("up")
    .description(
      "put a network of two cities on loopback before a gRPC server, with a granted caller, until Ctrl-C",
    )
    .requiredOption("--upstream <host:port>", "the gRPC server, plaintext", hostPortFlag)
    .option(
      "--descriptors <file>",
      "FileDescriptorSet of its services; asked by reflection without it",
    )
    .option("--proto <file>", ".proto file that holds its services, in place of --descriptors")
    .option("--proto-root <dir>", "folder that the file's imports start from")
    .option(
      "--read-only <pattern...>",
      "method paths that change nothing, * for any characters; the others are taken to write",
    )
    .option(
      "--listen <host:port>",
      "where callers call, on loopback; a free port without it",
      hostPortFlag,
    )
    .option(
      "--folder <dir>",
      "empty folder for keys and ledgers, which stays; a temporary one without it",
    )
    .option("--keep", "leave the temporary folder where it is")
    .option("--json", "print one line of JSON once it is ready")
    .action((options: DevUpCommand) => devUpCommand(options, io));
}
