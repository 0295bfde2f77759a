import assert from "node:assert/strict";
import test from "node:test";
import { parseUtf8, utf8 } from "../../src/base/bytes.ts";
import { cosign } from "../../src/ledger/embedded/checkpoints.ts";
import type { OutsideWitness } from "../../src/ledger/embedded/outside-witnesses.ts";
import { conflictAnswer, witnessAnswer } from "../../src/ledger/embedded/witness-answers.ts";
import { parseAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { cosignatureType, createVerifierKey } from "../../src/note/verifier-key.ts";
import { TwoCities, until } from "./support.ts";

/** A witness that keeps the size that it cosigned last, as C2SP asks; it checks no proof. */
class Outside {
  readonly asked: { readonly size: bigint; readonly cosigners: number }[] = [];
  latest = 0n;
  isDown = false;
  readonly #cities: TwoCities;

  constructor(cities: TwoCities) {
    this.#cities = cities;
  }

  get witness(): OutsideWitness {
    const signer = this.#cities.network.signer("outside");
    const name = "witness.example";
    const key = createVerifierKey({ name, type: cosignatureType, publicKey: signer.publicKey });
    const addCheckpoint: OutsideWitness["port"]["addCheckpoint"] = async (body) => {
      if (this.isDown) throw new Error("down");
      const { oldSize, checkpoint } = parseAddCheckpoint(body);
      const note = parseNote(checkpoint);
      const { origin, size, root } = parseCheckpoint(note.text);
      this.asked.push({ size, cosigners: note.signatures.length - 1 });
      if (oldSize !== this.latest) return conflictAnswer(this.latest);
      this.latest = size;
      const line = cosign({ head: { origin, size, root }, name, signer, timeMs: Date.now() });
      return witnessAnswer(200, line);
    };
    return { name, key, port: { addCheckpoint } };
  }
}

async function withOutside(t: test.TestContext): Promise<{
  readonly cities: TwoCities;
  readonly outside: Outside;
  readonly start: () => Promise<void>;
  /** What stands beside the newest final note. */
  readonly lines: () => string;
}> {
  const cities = await TwoCities.found(t);
  const outside = new Outside(cities);
  return {
    cities,
    outside,
    start: async () => {
      await cities.startSequencer({ outside: [outside.witness] });
    },
    lines: () => {
      const node = cities.hangzhou.running;
      const final = node.replica.final();
      return final === undefined
        ? ""
        : (parseUtf8(node.outsideCosignatures(final) ?? utf8("")) ?? "");
    },
  };
}

test("a witness outside is asked with the note of the quorum, and its line stands beside it", async (t) => {
  const { cities, outside, start, lines } = await withOutside(t);
  await start();
  await cities.startFollower();
  await cities.finalAtBoth(1n);
  await until(() => lines().startsWith("— witness.example "), "the line of the witness outside");
  assert.deepEqual(outside.asked, [{ size: 1n, cosigners: 2 }]);
  assert.equal(lines().split("\n").length, 2, "one line");
});

test("without a quorum of the cities a witness outside is not asked, and without it sizes are final", async (t) => {
  const { cities, outside, start, lines } = await withOutside(t);
  await start();
  await until(
    () => cities.hangzhou.reports.some(({ event }) => event === "witness failed"),
    "one city's witness is asked in vain",
  );
  assert.deepEqual(outside.asked, []);
  outside.isDown = true;
  await cities.startFollower();
  await cities.finalAtBoth(1n);
  assert.ok(!lines().includes("witness.example"));
  outside.isDown = false;
  outside.latest = 0n;
  await until(() => lines().includes("witness.example"), "it is asked again");
});
