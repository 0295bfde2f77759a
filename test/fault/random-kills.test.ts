import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/admin-client.ts";
import type { Answer } from "../support/agency-client.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { assertHandedOver, assertOnLedger, settled } from "./settled.ts";

/** Kills of each gateway; more of them by the environment. */
const rounds = Number(process.env["CAUSEWAY_FAULT_ROUNDS"] ?? 2);
const seed = Number(process.env["CAUSEWAY_FAULT_SEED"] ?? randomInt(2 ** 31));
const callers = 4;
const delayMsMax = 250;

/** Numerical Recipes' linear congruential generator: enough to spread the moments of a kill. */
function randomMs(state: { value: number }): number {
  state.value = (Math.imul(state.value, 1664525) + 1013904223) >>> 0;
  return (state.value / 2 ** 32) * delayMsMax;
}

describe(`SIGKILL at random moments under load, seed ${seed}`, () => {
  let network: FaultNetwork;
  const answers: Answer<unknown>[] = [];
  let stopped = false;

  before(async () => {
    network = await startNetwork({ program: "product" });
  });

  after(() => network?.close());

  async function caller(number: number): Promise<void> {
    const { client } = network;
    for (let i = number; !stopped; i++) {
      const isWrite = i % 3 === 0;
      const call = isWrite ? client.reportCorrection("330106") : client.getDivision("330106");
      const answer = await call;
      answers.push(answer);
      // A gateway that is down answers at once.
      if (answer.code !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const answered = (): number => answers.filter(({ code }) => code === 0).length;

  it(`loses nothing, doubles nothing and leaves no attempt open in ${2 * rounds} kills`, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const random = { value: seed };
    const durable: { readonly leafHash: Uint8Array }[] = [];
    const load = Array.from({ length: callers }, (_, number) => caller(number));
    for (let round = 0; round < 2 * rounds; round++) {
      const gateway = round % 2 === 0 ? network.provider : network.consumer;
      const before = answered();
      await eventually("calls succeed", () => answered() >= before + 5, 30_000);
      await new Promise((resolve) => setTimeout(resolve, randomMs(random)));
      await gateway.end("SIGKILL");
      durable.push(...gateway.journal());
      await gateway.start("product");
    }
    const before = answered();
    await eventually("calls succeed", () => answered() >= before + 5, 30_000);
    stopped = true;
    await Promise.all(load);

    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    assertOnLedger(durable, ledger);
    for (const answer of answers) assertHandedOver(answer, attempts);
    const acknowledged = attempts.filter(({ consumer }) => consumer === "match").length;
    assert.ok(acknowledged >= answered(), "an answer was handed over without acknowledgement");
    await assertReplays(network);
  });
});
