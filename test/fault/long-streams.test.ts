/** Streams that are far larger than what a gateway may hold, to their end and broken on their way. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Client } from "@grpc/grpc-js";
import { defaultBounds } from "../../src/credential/statements.ts";
import { streamMessage } from "../support/stream-service.ts";
import type { ManyCities } from "../support/many-cities.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, startManyCities } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { isSoak, Moments, rounds, seed } from "./rounds.ts";
import { settled } from "./settled.ts";
import {
  assertStreamed,
  attemptsOf,
  describeAttempt,
  StreamCall,
  streamClient,
} from "./stream-calls.ts";

const messageBytes = 64 * 1024;
const streamBytes = isSoak ? 2 ** 30 : 64 * 2 ** 20;
const messages = streamBytes / messageBytes;
/** What a gateway has grown to by then is its code, compiled, and the buffers that it uses again. */
const warmUpMessages = messages / 4;
/** Of either gateway from then on: a window of segments on both its ends, and garbage that is collected late. */
const growthBytesMax = 96 * 2 ** 20;
const sampleMs = 100;
const window = 4;

type Way = "expand" | "collect";

interface Break {
  readonly name: string;
  readonly closed: string;
  run(call: StreamCall): Promise<void>;
}

describe(`streams of ${streamBytes / 2 ** 20} MiB, seed ${seed}`, () => {
  const moments = new Moments(seed);
  const calls: StreamCall[] = [];
  const broken: { readonly call: StreamCall; readonly by: Break }[] = [];
  const purposes = Array.from({ length: 64 }, (_, i) => `case-${10 + i}`);
  let network: FaultNetwork<ManyCities>;
  let client: Client;

  before(async () => {
    network = await startManyCities({
      program: "product",
      service: "streams",
      purposes,
      count: 3,
      quorum: 2,
      faults: 0,
      bounds: { window_segments: window },
    });
    client = streamClient(network.consumer.member.addresses.agency);
  });

  after(async () => {
    client?.close();
    await network?.close();
  });

  function open(method: Way): StreamCall {
    const purpose = purposes[calls.length % purposes.length] as string;
    const options = { count: messages, size: messageBytes, deadlineMs: 600_000 };
    const call = new StreamCall(client, method, purpose, options);
    calls.push(call);
    return call;
  }

  const message = streamMessage(Buffer.alloc(messageBytes, 7));

  /** Sends until so many are sent or the call has ended. */
  async function send(call: StreamCall, count: number): Promise<void> {
    for (let sent = 0; sent < count && call.status === undefined; sent++) {
      if (call.raw.write(message)) continue;
      const drained = new Promise((resolve) => call.raw.once("drain", resolve));
      await Promise.race([drained, call.ended]);
    }
  }

  /** How many bytes each gateway grows by until `work` is done, at the most. */
  async function growthDuring(work: Promise<unknown>): Promise<readonly number[]> {
    const { provider, consumer } = network;
    const gateways = [provider, consumer];
    const resident = (): Promise<number[]> => Promise.all(gateways.map((g) => g.residentBytes()));
    const begun = await resident();
    let most = begun;
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise((resolve) => setTimeout(resolve, sampleMs));
      const now = await resident();
      most = most.map((bytes, i) => Math.max(bytes, now[i] as number));
    }
    await done;
    return most.map((bytes, i) => bytes - (begun[i] as number));
  }

  function assertConstant(grown: readonly number[]): void {
    for (const bytes of grown) {
      assert.ok(bytes < growthBytesMax, `grown by ${grown.map((b) => b / 2 ** 20).join(", ")} MiB`);
    }
  }

  it("pass from the server in constant memory, in segments", async (t) => {
    const call = open("expand");
    await call.has(warmUpMessages);
    const startedMs = Date.now();
    const grown = await growthDuring(call.ended);
    assert.equal(call.status?.code, 0, call.status?.details);
    assert.equal(call.received, messages);
    const seconds = (Date.now() - startedMs) / 1000;
    t.diagnostic(`${((0.75 * streamBytes) / 2 ** 20 / seconds).toFixed(1)} MiB/s`);
    t.diagnostic(`grown by ${grown.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(", ")} MiB`);
    assertConstant(grown);
  });

  it("pass from the client in constant memory", async (t) => {
    const call = open("collect");
    await send(call, warmUpMessages);
    const rest = send(call, messages - warmUpMessages).then(() => call.end());
    const grown = await growthDuring(rest.then(() => call.ended));
    assert.equal(call.status?.code, 0, call.status?.details);
    t.diagnostic(`grown by ${grown.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(", ")} MiB`);
    assertConstant(grown);
  });

  const breaks: readonly Break[] = [
    {
      name: "the link between the gateways",
      closed: "closed peer lost | closed no answer",
      run: async () => {
        const { cities } = network;
        const [provider, consumer] = [cities.wired(cities.provider), cities.wired(cities.consumer)];
        cities.wires.partition([provider], [consumer]);
        cities.wires.heal();
      },
    },
    {
      name: "the caller's cancellation",
      closed: "closed cancelled | closed cancelled",
      run: async (call) => call.cancel(),
    },
    {
      name: "the end of the upstream",
      closed: "closed upstream error | closed refused",
      run: async () => {
        await network.upstream.end("SIGKILL");
        await network.upstream.start();
      },
    },
  ];

  for (const by of breaks) {
    for (const method of ["expand", "collect"] as const) {
      it(`of the ${method === "expand" ? "server" : "client"} are broken by ${by.name} at a random point`, async () => {
        for (let round = 0; round < rounds(1); round++) {
          const at = Math.ceil(moments.below(messages / 2));
          const call = open(method);
          const sending = method === "collect" ? send(call, messages) : undefined;
          if (method === "expand") await call.has(at);
          else {
            await call.has(0);
            await moments.wait(500);
          }
          await by.run(call);
          const { code } = await call.ended;
          await sending;
          assert.notEqual(code, 0);
          broken.push({ call, by });
        }
      });
    }
  }

  it("leave records that say what was handed over, closed on both sides by the same cause", async (t) => {
    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    assertStreamed(calls, attempts, window);
    const [whole] = attemptsOf(calls[0] as StreamCall, attempts);
    const segments = whole?.acknowledged.segments ?? 0;
    t.diagnostic(`${segments} segments of the server's stream`);
    // A segment that is full holds up the upstream, but for what is on its way already.
    assert.ok(segments >= streamBytes / (2 * defaultBounds.segment_bytes), String(segments));
    for (const { call, by } of broken) {
      const own = attemptsOf(call, attempts);
      const closed = own.map(({ provider, consumer }) => `${provider} | ${consumer}`);
      const what = `${call.method} broken by ${by.name}: ${own.map(describeAttempt).join("; ")}`;
      assert.ok(closed.includes(by.closed), what);
    }
    await assertReplays(network);
  });
});
