/** Two cities on two machines that exchange cards and statement files, and nothing else. */
import { copyFileSync } from "node:fs";
import { basename, join } from "node:path";
import { causeway, Machine } from "./support.ts";

export interface CityOnMachine {
  readonly id: string;
  readonly agency: string;
  readonly machine: Machine;
  /** Key folders, by whose they are. */
  readonly city: string;
  readonly agencyKeys: string;
  readonly gatewayKeys: string;
  readonly administratorKeys: string;
}

/** Copies files to another machine, as a person would; returns their new paths. */
export function handOver(to: Machine, ...files: readonly string[]): readonly string[] {
  return files.map((file) => {
    const copy = to.at(`from-elsewhere-${basename(file)}`);
    copyFileSync(file, copy);
    return copy;
  });
}

/** Makes all keys of a city with one agency, one gateway and one administrator. */
export async function initCity(
  machine: Machine,
  {
    id,
    division,
    agency,
    witness,
    peer,
    http,
    sequencer,
  }: {
    readonly id: string;
    readonly division: string;
    readonly agency: string;
    /** Addresses, `host:port`. */
    readonly witness: string;
    readonly peer: string;
    readonly http: string;
    readonly sequencer: boolean;
  },
): Promise<CityOnMachine> {
  const folder = (name: string): string => machine.at(`${id}-${name}`);
  const card = (name: string): string => machine.at(`${id}-${name}.card`);
  const made = (name: string): readonly string[] => [
    "--folder",
    folder(name),
    "--card",
    card(name),
  ];
  await machine.run(
    "city",
    "init",
    "--id",
    id,
    "--division",
    division,
    "--witness-address",
    witness,
    ...made("city"),
  );
  await machine.run(
    "agency",
    "init",
    "--id",
    agency,
    "--name",
    `${agency} 局`,
    "--role",
    "consumer",
    "provider",
    ...made("agency"),
  );
  await machine.run(
    "gateway",
    "init",
    "--id",
    `${agency}/gw1`,
    "--peer",
    peer,
    "--http",
    http,
    ...(sequencer ? ["--sequencer"] : []),
    ...made("gateway"),
  );
  await machine.run(
    "administrator",
    "init",
    "--agency",
    agency,
    "--role",
    "operator",
    "approver",
    ...made("administrator"),
  );
  return {
    id,
    agency,
    machine,
    city: folder("city"),
    agencyKeys: folder("agency"),
    gatewayKeys: folder("gateway"),
    administratorKeys: folder("administrator"),
  };
}

/** Addresses that nothing listens on in these tests. */
export function addresses(port: number): {
  readonly witness: string;
  readonly peer: string;
  readonly http: string;
} {
  const at = (offset: number): string => `127.0.0.1:${port + offset}`;
  return { witness: at(0), peer: at(1), http: at(2) };
}

export const cardOf = (keys: string): string => `${keys}.card`;

/** The three statements of a city's members, signed on its machine alone. */
export async function enrolMembers(
  { machine, city, agencyKeys, gatewayKeys, administratorKeys, id }: CityOnMachine,
  network: string,
  prefix: string = machine.at(id),
): Promise<readonly string[]> {
  const out = (name: string): string => `${prefix}-${name}.statement`;
  const enrol = async (name: string, command: string, keys: string, by: string): Promise<void> => {
    await machine.run(
      name,
      command,
      "--network",
      network,
      "--card",
      cardOf(keys),
      "--folder",
      by,
      keys,
      "--out",
      out(name),
    );
  };
  await enrol("agency", "enrol", agencyKeys, city);
  await enrol("gateway", "enrol", gatewayKeys, agencyKeys);
  await enrol("administrator", "add", administratorKeys, agencyKeys);
  return ["agency", "gateway", "administrator"].map(out);
}

export interface Signed {
  readonly hangzhou: CityOnMachine;
  readonly shenzhen: CityOnMachine;
  /** Founding document, complete, on the machine of Hangzhou. */
  readonly network: string;
  readonly id: string;
  /** Statements of all members, on the machine of Hangzhou. */
  readonly statements: readonly string[];
}

/** Everything up to `network found`. */
export async function signTwoCities(root: string): Promise<Signed> {
  const here = new Machine(join(root, "machine-a"));
  const there = new Machine(join(root, "machine-b"));
  const hangzhou = await initCity(here, {
    id: "hangzhou",
    division: "330100",
    agency: "hangzhou/market-regulation",
    ...addresses(21_000),
    sequencer: true,
  });
  const shenzhen = await initCity(there, {
    id: "shenzhen",
    division: "440300",
    agency: "shenzhen/civil-affairs",
    ...addresses(22_000),
    sequencer: false,
  });
  const [theirCard] = handOver(here, cardOf(shenzhen.city)) as [string];
  const draft = here.at("network.draft");
  const drafted = await causeway(
    "network",
    "draft",
    "--name",
    "两城 Two Cities",
    "--city",
    cardOf(hangzhou.city),
    "--city",
    theirCard,
    "--sequencer",
    cardOf(hangzhou.gatewayKeys),
    "--calendar",
    "demo/data/calendar.json",
    "--out",
    draft,
    "--output",
    "json",
  );
  const { network: id } = JSON.parse(drafted.stdout) as { network: string };
  const [theirCopy] = handOver(there, draft) as [string];
  await here.run(
    "network",
    "sign",
    "--draft",
    draft,
    "--folder",
    hangzhou.city,
    hangzhou.gatewayKeys,
  );
  await there.run("network", "sign", "--draft", theirCopy, "--folder", shenzhen.city);
  const [theirSigned] = handOver(here, theirCopy) as [string];
  const network = here.at("network.json");
  const merged = await causeway("network", "merge", draft, theirSigned, "--out", network);
  if (merged.code !== 0) throw new Error(merged.stderr);
  const ours = await enrolMembers(hangzhou, network);
  const theirs = handOver(here, ...(await enrolMembers(shenzhen, theirCopy)));
  return { hangzhou, shenzhen, network, id, statements: [...ours, ...theirs] };
}
