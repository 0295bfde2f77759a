/** Cities decide together, by the command line alone, over four gateways that run as programs. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import { assertApplied, assertRefused, causeway, type Ran } from "../cli/support.ts";
import { type FaultNetwork, type GatewayProcess, startManyCities } from "../fault/processes.ts";
import { assertReplays } from "../fault/replayed.ts";
import { eventually } from "../support/admin-client.ts";
import type { ManyCities } from "../support/many-cities.ts";
import { freeAddress } from "../support/free-port.ts";
import { type Member } from "../support/two-cities.ts";

const inJson = ["--output", "json"] as const;

describe("four cities, by the command line", () => {
  let network: FaultNetwork<ManyCities>;
  /** Key folders in force, by city. */
  const cityFolders = new Map<string, string>();
  let newcomer: string;

  before(async () => {
    network = await startManyCities({ program: "product" });
    for (const { city, folder } of network.cities.members) {
      cityFolders.set(city.card.id, join(folder, "city"));
    }
    newcomer = join(network.cities.folder, "suzhou");
  });

  after(() => network?.close());

  const gatewayOf = (id: string): GatewayProcess =>
    network.gateways.find(({ member }) => member.city.card.id === id) as GatewayProcess;
  const memberOf = (id: string): Member => gatewayOf(id).member;
  const passphraseOf = (id: string): readonly string[] => [
    "--passphrase-file",
    join(memberOf(id).folder, "passphrase"),
  ];
  const founding = (): readonly string[] => [
    "--network",
    join(memberOf("hangzhou").folder, "founding.json"),
  ];

  /** A command about the network, carried by the city's own gateway. */
  function say(id: string, ...argv: readonly string[]): Promise<Ran> {
    const admin = ["--admin", memberOf(id).addresses.admin];
    return causeway(...argv, ...founding(), ...admin, ...passphraseOf(id), ...inJson);
  }

  function vote(id: string, ...argv: readonly string[]): Promise<Ran> {
    const folder = ["--folder", cityFolders.get(id) as string];
    return say(id, "vote", ...argv, "--as", id, ...folder);
  }

  async function status(id: string): Promise<Record<string, unknown>> {
    const admin = ["--admin", memberOf(id).addresses.admin];
    const ran = await causeway("ledger", "status", ...admin, ...inJson);
    assert.equal(ran.code, 0, ran.stderr);
    return JSON.parse(ran.stdout) as Record<string, unknown>;
  }

  /** Another member of a configuration, from the next start on. */
  function configure(id: string, change: (config: Record<string, unknown>) => void): void {
    const { configFile } = memberOf(id);
    const config = parse(readFileSync(configFile, "utf8")) as Record<string, unknown>;
    change(config);
    writeFileSync(configFile, stringify(config));
  }

  it("admit a fifth by a quorum of votes, with a new quorum", async () => {
    const [wuhan] = [memberOf("wuhan")];
    const made = await causeway(
      ...["city", "init", "--id", "suzhou", "--division", "320500"],
      ...["--witness-address", await freeAddress()],
      ...["--folder", newcomer, "--card", `${newcomer}.card`, ...passphraseOf("wuhan")],
    );
    assert.equal(made.code, 0, made.stderr);
    const candidacy = `${newcomer}.candidacy`;
    const asked = await say(
      "wuhan",
      ...["city", "candidacy", "--card", newcomer, "--folder", newcomer, "--out", candidacy],
    );
    assertApplied(asked);
    assert.equal(wuhan.city.card.id, "wuhan");
    const admission = ["admission", "--candidacy", candidacy, "--quorum", "4", "--faults", "1"];
    assertApplied(await vote("hangzhou", ...admission));
    assertApplied(await vote("shenzhen", ...admission));
    assert.equal((await status("hangzhou"))["quorum"], 3);
    assertApplied(await vote("wuhan", ...admission));
    await eventually("the quorum is four everywhere", async () => {
      const all = await Promise.all(["hangzhou", "shenzhen", "chengdu", "wuhan"].map(status));
      return all.every(({ quorum }) => quorum === 4);
    });
    const { cosigners } = await status("chengdu");
    assert.equal((cosigners as string[]).length, 5);
  });

  it("exclude it again, by the votes of the others", async () => {
    const exclusion = ["exclusion", "suzhou", "--quorum", "3", "--faults", "1"];
    for (const id of ["hangzhou", "shenzhen", "chengdu", "wuhan"]) {
      assertApplied(await vote(id, ...exclusion));
    }
    assert.equal((await status("hangzhou"))["quorum"], 3);
  });

  it("let a city rotate its authority key; the earlier one has no say any more", async () => {
    const earlier = cityFolders.get("wuhan") as string;
    const rotated = `${earlier}-2`;
    assertApplied(
      await say("wuhan", "city", "rotate", "--folder", earlier, "--new-folder", rotated),
    );
    const rules = ["rules", "2"];
    const refused = await vote("wuhan", ...rules);
    assert.equal(refused.code, 3, refused.stderr);
    cityFolders.set("wuhan", rotated);
    assertApplied(await vote("wuhan", ...rules));
  });

  it("let a city recover from a stolen key with the next one alone", async () => {
    const stolen = cityFolders.get("wuhan") as string;
    const recovered = `${stolen}-3`;
    assertApplied(
      await say("wuhan", "city", "recover", "--folder", stolen, "--new-folder", recovered),
    );
    const thief = await vote("wuhan", "quorum", "--quorum", "4", "--faults", "1");
    assert.equal(thief.code, 3, thief.stderr);
    cityFolders.set("wuhan", recovered);
  });

  it("move the rules forward by a quorum of votes", async () => {
    assertApplied(await vote("hangzhou", "rules", "2"));
    assertApplied(await vote("shenzhen", "rules", "2"));
    const year = ["calendar", "--year", "2027", "--off", "2027-01-01", "--on", "2027-01-02"];
    assertApplied(await vote("chengdu", ...year));
  });

  it("give a witness a new key; it cosigns with it after a restart", async () => {
    const folder = `${cityFolders.get("wuhan")}-witness`;
    const current = cityFolders.get("wuhan") as string;
    assertApplied(
      await say("wuhan", "city", "witness", "--folder", current, "--new-folder", folder),
    );
    cityFolders.set("wuhan", folder);
    const wuhan = gatewayOf("wuhan");
    await wuhan.end("SIGTERM");
    configure("wuhan", (config) => {
      config["witness"] = { ...(config["witness"] as object), keys: folder };
    });
    await wuhan.start("product");
    // With a city away, finality needs the new key.
    const chengdu = network.cities.wired(memberOf("shenzhen"));
    const others = ["hangzhou", "chengdu", "wuhan"].map((id) => network.cities.wired(memberOf(id)));
    network.cities.wires.partition([chengdu], others);
    const before = BigInt(String((await status("hangzhou"))["final_size"]));
    const ran = await vote("hangzhou", "calendar", "--year", "2028");
    network.cities.wires.heal();
    assertApplied(ran);
    assert.ok(BigInt(String((await status("hangzhou"))["final_size"])) > before);
  });

  it("renew a gateway's keys; its chain goes on under the new ones", async () => {
    const { folder } = memberOf("wuhan");
    const renewed = join(folder, "gateway-2");
    assertApplied(
      await say(
        "wuhan",
        ...["gateway", "renew", "--gateway-folder", join(folder, "gateway")],
        ...["--new-folder", renewed, "--folder", join(folder, "agency")],
      ),
    );
    const wuhan = gatewayOf("wuhan");
    await wuhan.end("SIGTERM");
    configure("wuhan", (config) => {
      config["keys"] = renewed;
    });
    await wuhan.start("product");
    await eventually("it is ready", async () => (await wuhan.health())?.length === 0);
    assertApplied(await vote("wuhan", "calendar", "--year", "2028"));
  });

  it("suspend an agency, which then has no say, and let it go on", async () => {
    const { agency, folder, administrator } = memberOf("shenzhen");
    const about = ["--what", "agency", "--reason", "under-inquiry"];
    const city = ["--as", "shenzhen", "--folder", cityFolders.get("shenzhen") as string];
    const suspended = await causeway(
      ...["standing", "suspend", agency.card.id, ...about, ...city, ...founding()],
      ...["--admin", memberOf("hangzhou").addresses.admin, ...passphraseOf("shenzhen"), ...inJson],
    );
    assertApplied(suspended);
    assert.equal(administrator.card.agency, agency.card.id);
    const refused = await causeway(
      ...["request", "create", "--service", "hangzhou/civil-affairs/divisions"],
      ...["--method", "/causeway.demo.v1.DivisionService/GetDivision", "--purpose", "statistics"],
      ...["--legal-basis", "order-809-12", "--folder", join(folder, "administrator")],
      ...["--admin", memberOf("shenzhen").addresses.admin, ...passphraseOf("shenzhen")],
    );
    // It is on the ledger, without effect.
    assertRefused(refused, "MEMBER_NOT_ACTIVE", 1);
    const resumed = await causeway(
      ...["standing", "resume-as-city", agency.card.id, ...about, ...city, ...founding()],
      ...["--admin", memberOf("hangzhou").addresses.admin, ...passphraseOf("shenzhen"), ...inJson],
    );
    assertApplied(resumed);
    await eventually("exchanges go on", async () => {
      return (await network.client.getDivision("330106")).code === 0;
    });
  });

  it("appoint another sequencer within a minute when the machine of the first is lost for good", async () => {
    const shenzhen = memberOf("shenzhen");
    const before = BigInt(String((await status("hangzhou"))["final_size"]));
    await gatewayOf("chengdu").end("SIGKILL");
    const card = join(network.cities.folder, "appointment.json");
    const keys = ["--folder", join(shenzhen.folder, "gateway"), ...passphraseOf("shenzhen")];
    const prepared = await causeway(
      ...["ledger", "appoint", "prepare", ...keys, "--term", "1", "--card", card],
    );
    assert.equal(prepared.code, 0, prepared.stderr);
    const startMs = Date.now();
    const votes: string[] = [];
    for (const id of ["hangzhou", "shenzhen", "wuhan"]) {
      const out = join(network.cities.folder, `${id}.vote`);
      const voted = await causeway(
        ...["ledger", "appoint", "vote", "--card", card, "--out", out],
        ...["--folder", cityFolders.get(id) as string, ...passphraseOf(id)],
        ...["--admin", memberOf(id).addresses.admin],
      );
      assert.equal(voted.code, 0, voted.stderr);
      votes.push(out);
    }
    const opened = await causeway(
      ...["ledger", "appoint", "open", ...votes, "--admin", shenzhen.addresses.admin, ...inJson],
    );
    assert.equal(opened.code, 0, opened.stderr);
    assert.ok(Date.now() - startMs < 60_000);
    const row = JSON.parse(opened.stdout) as Record<string, string>;
    assert.ok(BigInt(row["start"] as string) >= before);
    await eventually(
      "every gateway is in the new term",
      async () => {
        const all = await Promise.all(["hangzhou", "shenzhen", "wuhan"].map(status));
        return all.every(({ origin }) => String(origin).endsWith("/1"));
      },
      60_000,
    );
    await eventually("exchanges go on", async () => {
      return (await network.client.getDivision("330106")).code === 0;
    });
    assertApplied(await vote("hangzhou", "calendar", "--year", "2029"));
  });

  it("replay without a finding", async () => {
    await eventually("all is final", async () => {
      const running = network.gateways.filter(({ member }) => member.city.card.id !== "chengdu");
      const open = await Promise.all(running.map(({ admin }) => admin.status()));
      return open.every(({ journalNotFinal }) => journalNotFinal === 0n);
    });
    await assertReplays(network);
  });
});
