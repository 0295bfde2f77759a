/** The first acts: keys and cards, the founding document, a gateway process for each city. */
import { copyFileSync, mkdirSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { writeConfiguration } from "../gateway/dev/dev-member.ts";
import { assertEqual } from "./assert.ts";
import { causeway, cell, type Office, program, words } from "./office.ts";
import { checked, heading, say, typed } from "./terminal.ts";

const inProcess = true;

/** Waits until `holds`; fails with what was awaited. */
export async function eventually(
  { stage }: Pick<Office, "stage">,
  what: string,
  holds: () => Promise<boolean>,
): Promise<void> {
  const untilMs = Date.now() + 20_000;
  while (!(await holds())) {
    stage.signal.throwIfAborted();
    if (Date.now() > untilMs) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Copies a file to another office, as a letter or a stick would. Answers the copy's name there. */
function handOver(from: Office, file: string, to: Office, name: string = basename(file)): string {
  const copy = join(to.folder, name);
  mkdirSync(dirname(copy), { recursive: true });
  copyFileSync(join(from.folder, file), copy);
  typed(from.name, ["cp", file, join("..", relative(to.stage.folder, copy))]);
  return name;
}

async function makeKeys(office: Office, isSequencer: boolean): Promise<void> {
  const { name, division, agency, agencyName, gateway, listeners } = office;
  const { peer, http, witness } = listeners;
  const sequencer = isSequencer ? words`--sequencer` : [];
  const init = (argv: readonly string[]): Promise<unknown> =>
    causeway(office, argv, { inProcess, show: "nothing" });
  await init(
    words`city init --id ${name} --division ${division} --witness-address ${witness} --folder city`,
  );
  await init(words`city export-witness --folder city --out witness`);
  await init(
    words`agency init --id ${agency} --name ${agencyName} --role consumer provider --folder agency`,
  );
  await init(
    words`gateway init --id ${gateway} --peer ${peer} --http ${http} ${sequencer} --folder gateway`,
  );
  await init(
    words`administrator init --agency ${agency} --role operator approver --folder administrator`,
  );
}

/** The statements of the office's members: files that the keys they name have signed. */
async function enrol(office: Office): Promise<readonly string[]> {
  const write = async (kind: string, verb: string, folders: readonly string[]): Promise<string> => {
    const out = `${office.name}-${kind}.statement`;
    await causeway(
      office,
      words`${kind} ${verb} --network network.json --card ${kind} --folder ${folders} --out ${out}`,
      { inProcess, show: "nothing" },
    );
    return out;
  };
  return [
    await write("agency", "enrol", ["city", "agency"]),
    await write("gateway", "enrol", ["agency", "gateway"]),
    await write("administrator", "add", ["agency", "administrator"]),
  ];
}

/** Makes every key, the founding document and batch 0. Answers the network's id. */
export async function foundNetwork(
  hangzhou: Office,
  shenzhen: Office,
  calendarFile: string,
): Promise<string> {
  heading("Each city makes its keys, on its own machine");
  say(
    "A prompt names the folder that stands for a machine. Private keys stay there; cards are public.",
  );
  for (const { name } of [hangzhou, shenzhen]) {
    typed(name, words`export CAUSEWAY_PASSPHRASE_FILE=passphrase`);
  }
  await makeKeys(hangzhou, true);
  await makeKeys(shenzhen, false);

  heading("They found a network: one document that both cities sign");
  const network = await signFounding(hangzhou, shenzhen, calendarFile);
  const theirs = (await enrol(shenzhen)).map((file) => handOver(shenzhen, file, hangzhou));
  const statements = [...(await enrol(hangzhou)), ...theirs];
  await causeway(
    hangzhou,
    words`network found --network network.json --statement ${statements} --folder gateway --data data`,
    { inProcess, show: ["agencies", "gateways", "records", "handle"] },
  );
  checked("both cities signed the same network id: the one thing that an auditor must trust");
  return network;
}

async function signFounding(
  hangzhou: Office,
  shenzhen: Office,
  calendarFile: string,
): Promise<string> {
  const theirs = handOver(shenzhen, join("city", "card.json"), hangzhou, "shenzhen-card.json");
  copyFileSync(calendarFile, join(hangzhou.folder, "calendar.json"));
  const drafted = await causeway(
    hangzhou,
    words`network draft --name two-cities --city city ${theirs} --sequencer gateway
      --calendar calendar.json --out network.json`,
    { inProcess, show: ["network", "cities", "quorum", "sequencer", "calendar"] },
  );
  await causeway(hangzhou, words`network sign --draft network.json --folder city gateway`, {
    inProcess,
    show: ["to_sign"],
  });
  handOver(hangzhou, "network.json", shenzhen);
  const signed = await causeway(shenzhen, words`network sign --draft network.json --folder city`, {
    inProcess,
    show: ["network"],
  });
  const network = cell(drafted, "network");
  assertEqual(cell(signed, "network"), network, "the network id that Shenzhen signed");
  handOver(shenzhen, "network.json", hangzhou);
  return network;
}

/** Starts a gateway process for each city, and waits until a quorum has cosigned batch 0. */
export async function startGateways(
  hangzhou: Office,
  shenzhen: Office,
  upstream: { readonly service: string; readonly address: string },
): Promise<void> {
  heading("Each city runs its gateway");
  const log = "warn";
  writeConfiguration(hangzhou, { log, upstreams: { [upstream.service]: upstream.address } });
  writeConfiguration(shenzhen, { log, agency_systems: [{ id: "registry-desk", loopback: true }] });
  const command = words`gateway run --config gateway.yaml`;
  for (const { stage, name, folder } of [hangzhou, shenzhen]) {
    typed(name, words`causeway ${command} &`);
    await stage.start({ argv: [program, ...command], folder, ready: "is running" });
  }
  for (const office of [hangzhou, shenzhen]) {
    await eventually(office, `${office.name} is ready`, async () => {
      const { ready, final_size: size } = await status(office);
      return ready === true && size !== "0";
    });
  }
  const shown = await causeway(shenzhen, words`ledger status --admin admin.sock`, {
    show: ["gateway", "ready", "witness", "quorum", "included_size", "final_size", "final_age_ms"],
  });
  assertEqual(cell(shown, "ready"), "yes", "whether Shenzhen's gateway is ready");
  checked("the witnesses of both cities have cosigned batch 0: it is final");
}

/** What `ledger status` says, unseen. */
export async function status(office: Office): Promise<Readonly<Record<string, unknown>>> {
  const { stdout } = await causeway(office, words`ledger status --admin admin.sock --output json`, {
    inProcess,
    silent: true,
  });
  return JSON.parse(stdout) as Record<string, unknown>;
}
