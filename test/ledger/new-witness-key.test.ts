/** A new witness key does not make up for a state that is lost. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { spkiDigest } from "../../gateway/tls.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { witnessFile } from "../../src/ledger/embedded/ledger-node.ts";
import { statusRecord } from "../support/ledger.ts";
import type { TestCity, TestNetwork } from "../support/network.ts";
import { FourCities } from "./four-cities.ts";
import { finalAt, type Member, TwoCities, until } from "./support.ts";

/** The city's statement of its new key, at the address that its witness has. */
function sayKey(
  network: TestNetwork,
  { city, member }: { readonly city: TestCity; readonly member: Member },
  witness: Signer,
): Uint8Array {
  const { witnessAddress, witnessTls } = member.sockets;
  return network.say(
    "city",
    {
      iss: city.id,
      sub: city.id,
      body: {
        change: "witness",
        witness: formatKey(witness.publicKey),
        witness_address: witnessAddress,
        witness_tls: spkiDigest(witnessTls.certificateDer),
      },
    },
    [city.authority, witness],
  ).record;
}

async function restartWithout(member: Member): Promise<void> {
  await member.stop();
  rmSync(join(member.folder, witnessFile));
}

test("a witness with a new key and without its state cosigns nothing in this term and casts no vote for the next", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const wuhan = cities.at("wuhan");
  const witness = network.signer("Wuhan's other witness");
  const { batch } = await ledger.append(network.provider.gateway, [
    sayKey(network, wuhan, witness),
  ]);
  await cities.member("hangzhou").running.engine.submit(batch);
  await cities.final(2n);
  await restartWithout(wuhan.member);
  await cities.start("wuhan", { witness: { city: "wuhan", signer: witness } });
  const reasons = (): readonly unknown[] => wuhan.member.reports.map(({ reason }) => reason);
  await until(() => reasons().includes("WITNESS_STATE_LOST"), "it is told");
  const promise = await wuhan.member.running.promiseTerm({
    term: 1n,
    logKey: network.signer("log of term 1").publicKey,
    sequencer: cities.member("tianjin").peer,
  });
  assert.deepEqual(promise, { kind: "refused", reason: "WITNESS_STATE_LOST" });
  const next = await ledger.appendEvidence(network.provider.gateway, [statusRecord(1)]);
  await cities.member("hangzhou").running.engine.submit(next.batch);
  await cities.final(3n);
});

test("of two cities the one whose witness lost its state goes on with a new key at once", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  const city = network.cities[1] as TestCity;
  const witness = network.signer("Shenzhen's other witness");
  const said = sayKey(network, { city, member: shenzhen }, witness);
  const { batch } = await ledger.append(network.provider.gateway, [said]);
  await hangzhou.running.engine.submit(batch);
  await until(() => shenzhen.running.replica.state().size === 2n, "the key at Shenzhen");
  await restartWithout(shenzhen);
  await shenzhen.start({
    founding: network.payload,
    verifier: network.verifier,
    gateway: network.consumer.gateway.id,
    witness: { city: "shenzhen", signer: witness },
  });
  const isTold = (): boolean =>
    shenzhen.reports.some(({ reason }) => reason === "WITNESS_STATE_LOST");
  await until(isTold, "it is told all the same");
  await finalAt(hangzhou, 2n);
});
