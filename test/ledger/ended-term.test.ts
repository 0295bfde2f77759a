import assert from "node:assert/strict";
import test from "node:test";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { parseNote } from "../../src/note/note.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { FourCities } from "./four-cities.ts";

test("who asks a witness for its newest note makes it cosign nothing of a term that it has promised to leave", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { network } = cities;
  const hash = toHex(sha256(utf8(originOf(network.id, 0n))));
  const signers = async (): Promise<readonly string[]> => {
    const answer = await cities.member("wuhan").running.witness?.latest(hash);
    assert.equal(answer?.status, 200);
    const { signatures } = parseNote(utf8(answer.body));
    return signatures.map(({ name }) => name.split("/").at(-1) ?? "");
  };
  const restart = async (): Promise<void> => {
    await cities.member("wuhan").stop();
    await cities.start("wuhan");
  };
  await restart();
  assert.deepEqual(await signers(), ["0", "wuhan"], "while the term lasts");
  const log = network.signer("log of term 1");
  await cities.vote(["wuhan"], { term: 1, to: "tianjin", log });
  await restart();
  assert.deepEqual(await signers(), ["0"]);
});
