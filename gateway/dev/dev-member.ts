/** The two members of a place to try: each a city with one agency and its gateway, in a folder of its own. */
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { stringify } from "yaml";

export type Listener = "agency" | "peer" | "http" | "witness";

export interface DevMember {
  readonly folder: string;
  readonly city: string;
  /** Official division code of the city. */
  readonly division: string;
  readonly agency: string;
  /** For people. */
  readonly agencyName: string;
  readonly gateway: string;
  /** `host:port` of each listener. */
  readonly listeners: Readonly<Record<Listener, string>>;
}

/** What calls may be made for, without the caller saying so. */
export const devPurpose: string = "trial";

/** A path in the member's folder. */
export function inside({ folder }: Pick<DevMember, "folder">, name: string): string {
  return join(folder, name);
}

/** The agency system that the consumer's agency listener serves. */
export const devSystem: string = "client";

/** Addresses of loopback that were free just now. */
export async function freeAddresses(count: number): Promise<readonly string[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports.map((port) => `127.0.0.1:${port}`);
}

/**
 * Makes the folders of provider and consumer, each with a passphrase file, and chooses the addresses.
 *
 * @param options.listen Where agency systems call the consumer's gateway; a free port unless given.
 * @param options.passphrase For every key folder.
 */
export async function createMembers(
  folder: string,
  options: { readonly listen?: string | undefined; readonly passphrase: string },
): Promise<{ readonly provider: DevMember; readonly consumer: DevMember }> {
  const addresses = await freeAddresses(8);
  const member = (
    name: "provider" | "consumer",
    { city, division }: Pick<DevMember, "city" | "division">,
    [agency, peer, http, witness]: readonly string[],
  ): DevMember => {
    const own = join(folder, name);
    mkdirSync(own, { mode: 0o700 });
    writeFileSync(join(own, "passphrase"), `${options.passphrase}\n`, { mode: 0o600 });
    const listeners = { agency, peer, http, witness } as Record<Listener, string>;
    if (name === "consumer" && options.listen !== undefined) listeners.agency = options.listen;
    const id = `${city}/${name}`;
    return {
      folder: own,
      city,
      division,
      agency: id,
      agencyName: `${city} ${name}`,
      gateway: `${id}/gw1`,
      listeners,
    };
  };
  return {
    provider: member("provider", { city: "hangzhou", division: "330100" }, addresses.slice(0, 4)),
    consumer: member("consumer", { city: "shenzhen", division: "440300" }, addresses.slice(4)),
  };
}

/** Writes `gateway.yaml` of a member; `more` is what only its gateway has. */
export function writeConfiguration(
  { folder, gateway, listeners }: Pick<DevMember, "folder" | "gateway" | "listeners">,
  more: Readonly<Record<string, unknown>>,
): void {
  const { witness, ...others } = listeners;
  const configuration = {
    gateway,
    keys: "gateway",
    passphrase_file: "passphrase",
    founding: "network.json",
    data: "data",
    listeners: { ...others, admin: "admin.sock" },
    // The keys that speak for the city stay where no gateway runs.
    witness: { keys: "witness", passphrase_file: "passphrase", listen: witness },
    // All gateways start together, for the first time: no earlier sequencer can have left anything under way.
    ledger: { quiet_ms: 200 },
    log: "info",
    ...more,
  };
  writeFileSync(join(folder, "gateway.yaml"), stringify(configuration));
}
