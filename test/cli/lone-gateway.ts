/** A gateway that is alone in its network, run by the product's own program. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { freeAddress } from "../support/free-port.ts";
import { causeway, Machine, type Ran, temporaryRoot } from "./support.ts";
import { cardOf, type CityOnMachine, enrolMembers, initCity } from "./two-cities.ts";

const program = fileURLToPath(new URL("../../gateway/cli/main.js", import.meta.url));

export const service: string = "hangzhou/civil-affairs/divisions";

/** What `before` makes. */
export interface LoneGateway {
  readonly root: string;
  readonly machine: Machine;
  readonly socket: string;
  readonly founding: string;
  readonly data: string;
  city: CityOnMachine;
  /** Address of the HTTP listener. */
  http: string;
  process: ChildProcess;
}

/** A gateway for the tests of this file: founded and started before them, ended after them. */
export function runLoneGateway(name: string): LoneGateway {
  const root = temporaryRoot(name);
  const machine = new Machine(join(root, "machine"));
  const lone = {
    root,
    machine,
    socket: machine.at("admin.sock"),
    founding: machine.at("network.json"),
    data: machine.at("data"),
  } as LoneGateway;
  before(async () => {
    await found(lone);
    await start(lone);
    await assertEventuallyFinal(lone);
  });
  after(async () => {
    if (lone.process === undefined || lone.process.exitCode !== null) return;
    lone.process.removeAllListeners("exit");
    lone.process.kill("SIGKILL");
    await once(lone.process, "exit");
  });
  return lone;
}

async function found(lone: LoneGateway): Promise<void> {
  const { machine, founding, data, socket } = lone;
  const [witness, peer, http, agency] = await Promise.all([
    freeAddress(),
    freeAddress(),
    freeAddress(),
    freeAddress(),
  ]);
  const city = await initCity(machine, {
    id: "hangzhou",
    division: "330100",
    agency: "hangzhou/civil-affairs",
    witness,
    peer,
    http,
    sequencer: true,
  });
  await causeway(
    "network",
    "draft",
    "--name",
    "杭州",
    "--city",
    cardOf(city.city),
    "--sequencer",
    cardOf(city.gatewayKeys),
    "--bound",
    "heartbeat_s=1",
    "--out",
    founding,
  );
  await machine.run(
    "network",
    "sign",
    "--draft",
    founding,
    "--folder",
    city.city,
    city.gatewayKeys,
  );
  const statements = await enrolMembers(city, founding);
  await machine.run(
    "network",
    "found",
    "--network",
    founding,
    "--statement",
    ...statements,
    "--folder",
    city.gatewayKeys,
    "--data",
    data,
  );
  const config = `
gateway: hangzhou/civil-affairs/gw1
keys: ${city.gatewayKeys}
passphrase_file: ${machine.passphraseFile}
founding: ${founding}
data: ${data}
listeners:
  agency: ${agency}
  peer: ${peer}
  admin: ${socket}
  http: ${http}
witness:
  keys: ${city.city}
  passphrase_file: ${machine.passphraseFile}
  listen: ${witness}
ledger:
  quiet_ms: 0
log: error
`;
  writeFileSync(machine.at("gateway.yaml"), config);
  Object.assign(lone, { city, http });
}

/** The product's own program, as an operator starts it. */
export async function start(lone: LoneGateway): Promise<void> {
  const child = spawn(
    process.execPath,
    [program, "gateway", "run", "--config", lone.machine.at("gateway.yaml")],
    {
      stdio: ["ignore", "inherit", "pipe"],
    },
  );
  lone.process = child;
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
      if (said.includes("is running")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${code}\n${said}`)));
  });
}

/** Runs a command that the administrator signs. */
export function administer(
  { city, machine, socket }: LoneGateway,
  ...argv: readonly string[]
): Promise<Ran> {
  return causeway(
    ...argv,
    "--admin",
    socket,
    "--folder",
    city.administratorKeys,
    "--passphrase-file",
    machine.passphraseFile,
    "--output",
    "json",
  );
}

/** Prints a list as JSON, and reads it. */
export async function list(
  { socket }: LoneGateway,
  ...argv: readonly string[]
): Promise<readonly Record<string, unknown>[]> {
  const { code, stdout, stderr } = await causeway(...argv, "--admin", socket, "--output", "json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

async function assertEventuallyFinal({ socket }: LoneGateway): Promise<void> {
  const deadlineMs = Date.now() + 10_000;
  for (;;) {
    const { stdout } = await causeway("ledger", "status", "--admin", socket, "--output", "json");
    if (stdout !== "" && Number(JSON.parse(stdout).final_size) > 0) return;
    assert.ok(Date.now() < deadlineMs, "batch 0 became final");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
