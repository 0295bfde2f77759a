/** The engine of the ledger stands still for minutes, with calls and streams under way. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Client } from "@grpc/grpc-js";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { settled } from "./settled.ts";
import { attemptsOf, StreamCall, streamClient } from "./stream-calls.ts";

const budgetS = 120;
const purposes: readonly string[] = Array.from({ length: 64 }, (_, i) => `case-${10 + i}`);

describe("an engine of the ledger that stands still for minutes", () => {
  let network: FaultNetwork;
  let client: Client;
  let sequencer: GatewayProcess;
  let used = 0;
  /** Under way all the time. */
  let chat: StreamCall;
  let refused: StreamCall;
  const whole: StreamCall[] = [];

  before(async () => {
    network = await startNetwork({
      service: "streams",
      ownSequencer: true,
      maxStalenessS: budgetS,
      purposes,
    });
    sequencer = network.sequencer as GatewayProcess;
    client = streamClient(network.consumer.member.addresses.agency);
  });

  after(async () => {
    await sequencer?.resume();
    client?.close();
    await network?.close();
  });

  function open(method: "chat" | "collect" | "unary"): StreamCall {
    return new StreamCall(client, method, purposes[used++] as string);
  }

  /** Call and streams from their begin to their end. */
  async function exchange(): Promise<void> {
    for (const method of ["unary", "chat", "collect"] as const) {
      const call = open(method);
      call.send();
      call.end();
      assert.equal((await call.ended).code, 0, call.status?.details);
      whole.push(call);
    }
  }

  it("does not stop calls and streams within the budget of the service", async () => {
    chat = open("chat");
    chat.send();
    await chat.has(1);
    await exchange();
    await sequencer.pause();
    for (const aheadS of [0, budgetS / 3, (budgetS * 2) / 3]) {
      network.moveClock(aheadS * 1000);
      chat.send();
      await chat.has(chat.received + 1);
      await exchange();
    }
  });

  it("refuses a call past it, and closes the stream under way as STALE", async () => {
    network.moveClock((budgetS + 60) * 1000);
    refused = open("unary");
    refused.send();
    refused.end();
    chat.send();
    for (const call of [refused, chat]) {
      const { metadata, details } = await call.ended;
      assert.equal(errorInfo(metadata)?.reason, "STALE_REPLICA", details);
    }
    assert.equal(chat.received, 4);
  });

  it("takes calls and streams again by itself once it goes on", async () => {
    await sequencer.resume();
    await eventually("a stream is carried to its end", async () => {
      const call = open("chat");
      call.send();
      call.end();
      return (await call.ended).code === 0;
    });
    await exchange();
  });

  it("leaves each attempt closed as it was answered, and a ledger without a finding", async () => {
    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    const closed = (call: StreamCall): string[] =>
      attemptsOf(call, attempts).map(({ provider, consumer }) => `${provider} | ${consumer}`);
    assert.deepEqual(closed(chat), ["closed stale | closed refused"]);
    assert.deepEqual(closed(refused), ["refusal STALE_REPLICA | closed refused"]);
    for (const call of whole) assert.deepEqual(closed(call), ["receipt | match"]);
    // Minutes pass by the clock while nothing is final: what another city sealed later may be final first.
    await assertReplays(network, { but: ["LATE"] });
  });
});
