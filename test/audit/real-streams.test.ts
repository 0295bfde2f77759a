/** What two real gateways leave of streams, however these end, is replayed by the auditor without a finding. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ClientDuplexStream, Metadata, type StatusObject } from "@grpc/grpc-js";
import { Outcome, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { causeway } from "../cli/support.ts";
import { recordReader } from "../attacks/support.ts";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { Proxy } from "../support/proxies.ts";
import { type RunningStreams, startStreams, withPurpose } from "../support/running-streams.ts";
import {
  type StreamMethod,
  streamMessage,
  streamMethods,
  streamOrders,
} from "../support/stream-service.ts";

const same = (bytes: Buffer): Buffer => bytes;
const segmentMessages = 20;

interface Ended {
  readonly status: StatusObject;
  readonly messages: number;
}

describe("the ledger of streams between two gateways", () => {
  let running: RunningStreams;
  let isCut = false;
  const proxies: Proxy[] = [];

  before(async () => {
    running = await startStreams({
      bounds: { segment_messages: segmentMessages },
      proxies: async ({ published, addresses }) => {
        for (const name of ["peer", "witness"] as const) {
          proxies.push(await Proxy.open(published[name], addresses[name], () => isCut));
        }
      },
    });
  });

  after(async () => {
    await running?.close();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });

  /** Ends every connection to the provider's gateway. */
  function cut(): void {
    for (isCut of [true, false]) for (const proxy of proxies) proxy.refresh();
  }

  function open(
    method: StreamMethod,
    orders: Readonly<Record<string, string>> = {},
    deadlineMs?: number,
  ): { readonly call: ClientDuplexStream<Buffer, Buffer>; readonly end: Promise<Ended> } {
    const metadata = withPurpose(new Metadata());
    for (const [key, value] of Object.entries(orders)) metadata.add(key, value);
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const path = streamMethods[method];
    const call = running.client.makeBidiStreamRequest(path, same, same, metadata, options);
    let messages = 0;
    call.on("data", () => messages++);
    call.on("error", () => undefined);
    const end = new Promise<Ended>((resolve) => {
      call.on("status", (status: StatusObject) => resolve({ status, messages }));
    });
    return { call, end };
  }

  async function first(call: ClientDuplexStream<Buffer, Buffer>): Promise<void> {
    const answered = new Promise((resolve) => call.once("data", resolve));
    call.write(streamMessage(Buffer.from("question")));
    await answered;
  }

  it("comes to be, of streams that end in every way", async () => {
    const unary = open("unary");
    unary.call.end(streamMessage(Buffer.alloc(3 * 1024 * 1024, 5)));
    const expand = open("expand", { [streamOrders.count]: "300", [streamOrders.size]: "500" });
    expand.call.end(streamMessage(Buffer.from("go")));
    const failing = open("expand", { [streamOrders.count]: "100", [streamOrders.code]: "9" });
    failing.call.end(streamMessage(Buffer.from("go")));
    const collect = open("collect");
    for (let i = 0; i < 300; i++) collect.call.write(streamMessage(Buffer.alloc(100, i)));
    collect.call.end();
    const chat = open("chat");
    for (let i = 0; i < 30; i++) await first(chat.call);
    chat.call.end();
    const speak = open("speak");
    speak.call.end();
    const whole = await Promise.all([unary, expand, collect, chat, speak].map(({ end }) => end));
    assert.deepEqual(
      whole.map(({ status, messages }) => [status.code, messages]),
      [
        [0, 1],
        [0, 300],
        [0, 1],
        [0, 30],
        [0, 1],
      ],
    );
    assert.deepEqual([(await failing.end).status.code, (await failing.end).messages], [9, 100]);
  });

  it("comes to be, of streams that are broken off", async () => {
    const cancelled = open("chat");
    await first(cancelled.call);
    cancelled.call.cancel();
    const late = open("chat", {}, 300);
    await first(late.call);
    const flood = open("expand", { [streamOrders.count]: "100000" });
    flood.call.end(streamMessage(Buffer.from("go")));
    await new Promise((resolve) => flood.call.once("data", resolve));
    flood.call.cancel();
    const written = open("collect");
    written.call.write(streamMessage(Buffer.from("one")));
    await eventually("the upstream has it", () => (running.upstream.calls.get("collect") ?? 0) > 1);
    written.call.cancel();
    const codes = await Promise.all(
      [cancelled, late, flood, written].map(async ({ end }) => (await end).status.code),
    );
    assert.deepEqual(codes, [1, 4, 1, 1]);
  });

  it("comes to be, of streams whose link breaks in the middle", async () => {
    const reading = open("chat");
    const writing = open("speak");
    const flood = open("expand", { [streamOrders.count]: "100000" });
    flood.call.end(streamMessage(Buffer.from("go")));
    await Promise.all([
      first(reading.call),
      new Promise((resolve) => writing.call.once("data", resolve)),
      new Promise((resolve) => flood.call.once("data", resolve)),
    ]);
    cut();
    for (const { end } of [reading, writing, flood]) {
      const { status } = await end;
      assert.equal(status.code, 14, status.details);
      assert.equal(errorInfo(status.metadata)?.reason, "NO_ANSWER");
    }
  });

  it("comes to be, of streams that a revocation ends", async () => {
    let chats: ReturnType<typeof open>[] = [];
    await eventually("the link is there again", async () => {
      const { call, end } = open("unary");
      call.end(streamMessage(Buffer.from("again")));
      return (await end).status.code === 0;
    });
    chats = Array.from({ length: 5 }, () => open("chat"));
    await Promise.all(chats.map(({ call }) => first(call)));
    await running.revoke();
    for (const { call } of chats) call.write(streamMessage(Buffer.from("after")));
    for (const { end } of chats) {
      const { status, messages } = await end;
      assert.equal(errorInfo(status.metadata)?.reason, "GRANT_REVOKED");
      assert.equal(messages, 1);
    }
  });

  it("is exported and replayed without a finding, every attempt matched", async () => {
    await eventually("no attempt is open", async () => {
      const { http } = running.cities.provider.addresses;
      const metrics = await (await fetch(`http://${http}/metrics`)).text();
      return /^causeway_open_attempts 0$/m.test(metrics);
    });
    await running.settled();
    const { cities } = running;
    const { addresses } = cities.consumer;
    const { code, stdout, stderr } = await causeway(
      ...["audit", "replay", "--from", `http://${addresses.http}`],
      ...["--network", cities.networkId, "--output", "json"],
    );
    const result = JSON.parse(stdout) as {
      readonly findings: readonly unknown[];
      readonly attempts: number;
      readonly matched: number;
    };
    assert.deepEqual(result.findings, [], stderr);
    assert.equal(code, 0, stderr);
    assert.ok(result.attempts >= 19, stdout);
    assert.equal(result.matched, result.attempts);
  });

  it("holds a closing of each kind that was played", async () => {
    const outcomes = async (of: "provider" | "consumer"): Promise<readonly Outcome[]> => {
      const reader = recordReader(running.cities[of]);
      const found = new Set<Outcome>();
      for (const entry of await reader.entries()) {
        if (entry.kind !== "closed") continue;
        const { body } = (await reader.open(entry)).record;
        assert.ok(body.case === "closed");
        assert.equal(body.value.side, of === "provider" ? Side.PROVIDER : Side.CONSUMER);
        if (body.value.outcome !== Outcome.DEADLINE) found.add(body.value.outcome);
      }
      reader.close();
      return [...found].toSorted((a, b) => a - b);
    };
    // At its deadline a caller cancels: either may reach a gateway first.
    const { CANCELLED, NO_ANSWER, PEER_LOST, REFUSED, REVOKED } = Outcome;
    assert.deepEqual(await outcomes("provider"), [REVOKED, PEER_LOST, CANCELLED]);
    assert.deepEqual(await outcomes("consumer"), [CANCELLED, REFUSED, NO_ANSWER]);
  });
});
