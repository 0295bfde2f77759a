import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { ChildConfig, KillPoint } from "./sequencer-child.ts";
import { type SocketPlaces, TwoCities, until } from "./support.ts";

const main = fileURLToPath(new URL("sequencer-child.js", import.meta.url));

interface Child {
  readonly process: ChildProcess;
  readonly lines: readonly string[];
}

async function startChild(
  t: test.TestContext,
  cities: TwoCities,
  options: { readonly places: SocketPlaces; readonly killAt: KillPoint },
): Promise<Child> {
  const { folder } = cities.hangzhou;
  const { places, killAt } = options;
  const keyOf = ({
    certificateDer,
    privateKeyPem,
  }: SocketPlaces["tls"]): ChildConfig["keys"]["tls"] => ({
    certificate: toBase64(certificateDer),
    privateKeyPem,
  });
  const config: ChildConfig = {
    folder,
    founding: toBase64(cities.network.payload),
    log: toHex(sha256(utf8("causeway/log"))),
    witness: toHex(sha256(utf8("causeway/hangzhou witness"))),
    killAt,
    peerPort: places.peerPort,
    witnessPort: places.witnessPort,
    keys: { tls: keyOf(places.tls), witnessTls: keyOf(places.witnessTls) },
  };
  const file = join(folder, "child.json");
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [main, file], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  await until(() => lines.includes("running"), "the sequencer runs");
  return { process: child, lines };
}

async function killed({ process: child }: Child): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/** What a crash at each point means: whether the batch is on the ledger after the restart. */
const table: readonly { readonly killAt: KillPoint; readonly isPersisted: boolean }[] = [
  { killAt: "before append", isPersisted: false },
  { killAt: "after append", isPersisted: true },
  { killAt: "after head", isPersisted: true },
  { killAt: "after freeze", isPersisted: true },
];

for (const { killAt, isPersisted } of table) {
  const outcome = isPersisted ? "keeps the batch" : "has not taken the batch";
  test(`a sequencer killed ${killAt} ${outcome}, and the same tree goes on`, async (t) => {
    const cities = await TwoCities.found(t);
    const { hangzhou, shenzhen, ledger, network } = cities;
    const { places } = hangzhou.sockets;
    hangzhou.sockets.close();
    const first = await startChild(t, cities, { places, killAt });
    const { replica, engine } = await cities.startFollower();
    await until(() => replica.final()?.size === 1n, "batch 0 is final");
    const { batch } = await ledger.appendEvidence(network.consumer.gateway);
    const lost = engine.submit(batch).catch((error: { code: string }) => error.code);
    await until(() => first.lines.includes(`at ${killAt}`), `the kill point ${killAt}`);
    await killed(first);
    const answer = await lost;
    if (!isPersisted) assert.equal(answer, "LEDGER_UNAVAILABLE");

    await startChild(t, cities, { places, killAt: "none" });
    if (isPersisted) await until(() => replica.final()?.size === 2n, "the batch is final");
    else assert.equal(replica.state().size, 1n);
    const included = { kind: "included", index: 1n };
    assert.deepEqual(await engine.submit(batch), included, "submitted again");
    await until(() => replica.final()?.size === 2n, "the batch is final");
    assert.deepEqual(replica.final()?.root, ledger.rootAt(2n));
    assert.deepEqual(replica.state().digest, ledger.state.digest);
    assert.equal(shenzhen.running.replica.fault(), undefined);
  });
}
