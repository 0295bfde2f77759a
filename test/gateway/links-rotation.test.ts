/** A gateway's TLS certificate is renewed while calls run, and a gateway that stops hands its calls on. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { after, before, describe, it } from "node:test";
import { type DivisionUpstream, startDivisionUpstream } from "../../demo/upstream.ts";
import { createGateway, type Gateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { createKeyFolder, type GatewayKeys, openKeyFolder } from "../../gateway/keys/key-folder.ts";
import { renewKeyFolder } from "../../gateway/keys/renewed-folder.ts";
import { certificatePem, pinCertificate, spkiDigest } from "../../gateway/tls.ts";
import { createStatement } from "../../src/credential/statement.ts";
import { type AdminClient, adminClient, eventually } from "../support/admin-client.ts";
import { AgencyClient } from "../support/agency-client.ts";
import { grantAccess } from "../support/granted.ts";
import { freeAddress } from "../support/free-port.ts";
import {
  createTwoCities,
  divisionsService,
  type Member,
  newJti,
  nowS,
  passphrase,
  type TwoCities,
  writeConfig,
} from "../support/two-cities.ts";

const options = { passphrase, nowMs: Date.now() - 60_000, scryptLogN: 4 };

async function start({ configFile }: Pick<Member, "configFile">): Promise<Gateway> {
  const rereadConfig = (): ReturnType<typeof readConfig> => readConfig(configFile);
  const gateway = await createGateway(rereadConfig(), { rereadConfig });
  await gateway.start();
  return gateway;
}

/** Has the agency state the keys of a gateway, with this many of its certificates. */
async function state(
  { member, keys, certificates }: { member: Member; keys: GatewayKeys; certificates: number },
  net: string,
  admin: AdminClient,
): Promise<void> {
  const { kind: _, id, log: __, ...card } = keys.card;
  const body = {
    ...card,
    certificates: card.certificates.slice(0, certificates),
    tls: card.tls.slice(0, certificates),
  };
  const claims = { iss: member.agency.card.id, sub: id, net, jti: newJti(), iat: nowS() };
  const signers = [member.agency.authority, keys.batch, keys.token];
  const submitted = await admin.submit(createStatement({ name: "gateway", claims, body }, signers));
  assert.deepEqual([submitted.final, submitted.voidReason], [true, ""]);
}

/** A busy machine needs its time: what is claimed here is that no call fails. */
const waitMs = 60_000;
/** Milliseconds between an answer and the next call of the same caller: the machine has other work, too. */
const paceMs = 20;

/** Calls that run at all times until they are stopped, with every answer that is no success. */
class Load {
  readonly failures: string[] = [];
  answered = 0;
  #stopped = false;
  readonly #running: Promise<void>[];

  constructor(calls: readonly (() => Promise<{ code: number; reason: string | undefined }>)[]) {
    this.#running = calls.map(async (call) => {
      while (!this.#stopped) {
        const { code, reason } = await call();
        this.answered++;
        if (code !== 0) this.failures.push(`${code} ${reason}`);
        await new Promise((resolve) => setTimeout(resolve, paceMs));
      }
    });
  }

  /** Resolves when so many more calls have been answered. */
  async more(count: number): Promise<void> {
    const goal = this.answered + count;
    await eventually(`${count} more answers`, () => this.answered >= goal, waitMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

describe("a network whose provider has two gateways", () => {
  let upstream: DivisionUpstream;
  let cities: TwoCities;
  let gateways: Map<string, Gateway>;
  let provider: AdminClient;
  let client: AgencyClient;
  let load: Load;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), "causeway-"));
    upstream = await startDivisionUpstream({ port: 0, correctionsFile: join(folder, "c") });
    cities = await createTwoCities({ upstream: upstream.address, ownSequencer: true });
    const { sequencer } = cities;
    gateways = new Map([
      ["sequencer", await start(sequencer as Member)],
      ["provider", await start(cities.provider)],
      ["consumer", await start(cities.consumer)],
    ]);
    provider = adminClient(cities.provider);
    const consumer = adminClient(cities.consumer);
    await eventually(
      "batch 0 is final everywhere",
      () => [...gateways.values()].every((gateway) => gateway.notReady().length === 0),
      waitMs,
    );
    await grantAccess(cities, { provider, consumer });
    consumer.close();
    client = new AgencyClient(cities.consumer.addresses.agency);
    const read = () => client.getDivision("330106");
    const write = () => client.reportCorrection("330106");
    load = new Load([read, read, read, write]);
    await load.more(4);
  });

  after(async () => {
    await load.stop();
    client.close();
    provider.close();
    for (const gateway of [...gateways.values()].reverse()) await gateway.close();
    await upstream.close();
    cities.remove();
  });

  /** A connection that shows this certificate to the provider, and stays. */
  async function connected(keys: GatewayKeys): Promise<TLSSocket> {
    const [host, port] = cities.provider.addresses.peer.split(":") as [string, string];
    const socket = connect({
      host,
      port: Number(port),
      cert: certificatePem(keys.tls.certificateDer),
      key: keys.tls.privateKeyPem,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
    });
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    // The preface of HTTP/2 with empty settings: the listener answers only whom it has let in.
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(Buffer.of(0, 0, 0, 4, 0, 0, 0, 0, 0));
    await new Promise((resolve) => socket.once("data", resolve));
    return socket;
  }

  for (const name of ["provider", "consumer"] as const) {
    it(`fails no call while the ${name}'s certificate is renewed and the old one is retired`, async () => {
      const member = cities[name];
      const old = member.gateway;
      const held = name === "consumer" ? await connected(old) : undefined;
      const closed = held && new Promise((resolve) => held.once("close", resolve));
      const folder = join(member.folder, "gateway");
      await renewKeyFolder(
        { of: old, change: "gateway-tls", appointments: [] },
        `${folder}-2`,
        options,
      );
      const keys = await openKeyFolder(`${folder}-2`, passphrase, "gateway");
      await state({ member, keys, certificates: 2 }, cities.networkId, provider);
      renameSync(folder, `${folder}-1`);
      renameSync(`${folder}-2`, folder);
      await gateways.get(name)?.reload();
      const shown = spkiDigest(keys.tls.certificateDer);
      await eventually("the new certificate is shown", async () => {
        await pinCertificate(member.addresses.peer, shown);
        return true;
      });
      await load.more(12);
      await state({ member, keys, certificates: 1 }, cities.networkId, provider);
      await load.more(12);
      await closed;
      assert.deepEqual(load.failures, []);
      await assert.rejects(pinCertificate(member.addresses.peer, old.card.tls[0] as string), {
        code: "SIGNATURE_INVALID",
      });
    });
  }

  it("fails no call, also none that writes, when one of its gateways stops", async () => {
    const { provider: first, consumer } = cities;
    const folder = join(first.folder, "gw2");
    mkdirSync(folder);
    const addresses = {
      ...first.addresses,
      agency: await freeAddress(),
      peer: await freeAddress(),
      http: await freeAddress(),
      admin: join(folder, "admin.sock"),
    };
    const id = `${first.agency.card.id}/gw2`;
    const endpoints = { peer: addresses.peer, http: addresses.http };
    await createKeyFolder(
      { kind: "gateway", id, endpoints, sequencer: false },
      join(folder, "gateway"),
      options,
    );
    const keys = await openKeyFolder(join(folder, "gateway"), passphrase, "gateway");
    const second: Member = {
      ...first,
      folder,
      gateway: keys,
      addresses,
      configFile: join(folder, "gateway.yaml"),
    };
    copyFileSync(join(first.folder, "founding.json"), join(folder, "founding.json"));
    writeConfig(second, {
      witness: undefined,
      upstreams: { [divisionsService]: upstream.address },
    });
    await state({ member: first, keys, certificates: 1 }, cities.networkId, provider);
    const gateway = await start(second);
    gateways.set("second", gateway);
    await eventually("the second gateway is ready", () => gateway.notReady().length === 0, waitMs);
    const served = adminClient(consumer);
    await eventually("the consumer knows it", async () => {
      const [mine, theirs] = await Promise.all([served.status(), provider.status()]);
      return mine.finalSize >= theirs.finalSize;
    });
    served.close();
    await load.more(12);
    provider.close();
    await gateways.get("provider")?.close();
    gateways.delete("provider");
    await load.more(12);
    assert.deepEqual(load.failures, []);
  });
});
