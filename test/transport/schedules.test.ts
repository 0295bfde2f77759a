import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as fc from "fast-check";
import { type Http2Listener, listenHttp2 } from "../../src/exchange/transport/http2-listener.ts";
import type { IncomingCall, UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../../src/exchange/transport/upstream-grpc.ts";
import { numbered, numberOf, type Opened, openCall } from "./stream-support.ts";
import { metadata, scheduler, statusFrame, within } from "./support.ts";

/** What one end does next. Each end goes through its list; the network decides how the two lists meet. */
type ClientStep =
  | { readonly do: "write"; readonly bytes: number; readonly awaits: boolean }
  | { readonly do: "pause" | "resume" | "half-close" | "cancel" | "turn" };
type ServerStep =
  | { readonly do: "write"; readonly bytes: number; readonly awaits: boolean }
  | { readonly do: "read" | "headers" | "turn" };

const bytes = fc.oneof(
  fc.nat(40),
  fc.nat(3000),
  fc.integer({ min: 10_000, max: 90_000 }),
  fc.constant(400_000),
);
const write = fc.record({ do: fc.constant("write" as const), bytes, awaits: fc.boolean() });
const clientSteps: fc.Arbitrary<ClientStep[]> = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: write },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constantFrom("pause", "resume", "turn", "turn") }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("half-close", "cancel") }) },
  ),
  { maxLength: 40 },
);
const serverSteps: fc.Arbitrary<ServerStep[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: write },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("read", "read", "turn", "headers") }) },
  ),
  { maxLength: 40 },
);

interface ServerSide {
  readonly read: number[];
  written: number;
  cancelled: boolean;
  /** How reading ended. */
  ending: "half-closed" | "cancelled" | undefined;
}

describe("connector and listener under random schedules", () => {
  let listener: Http2Listener;
  const connectors: UpstreamConnector[] = [];
  /** By method path, one for each schedule: a call that was cancelled at once may come late. */
  const serving = new Map<string, (call: IncomingCall) => void>();

  before(async () => {
    listener = await listenHttp2({
      host: "127.0.0.1",
      port: 0,
      scheduler,
      onCall: (call) => serving.get(call.path)?.(call),
    });
    for (const compression of ["none", "gzip"] as const) {
      const { port } = listener;
      connectors.push(createGrpcUpstream({ host: "127.0.0.1", port, scheduler, compression }));
    }
  });
  after(async () => {
    for (const connector of connectors) await connector.close();
    await listener.close(0);
  });

  it("neither lose nor double nor reorder a message, and end in one way", async () => {
    await fc.assert(
      fc.asyncProperty(
        clientSteps,
        serverSteps,
        fc.constantFrom(...connectors),
        async (forClient, forServer, connector) => {
          const path = `/a.B/${serving.size}`;
          const server: ServerSide = { read: [], written: 0, cancelled: false, ending: undefined };
          const served = new Promise<void>((resolve) => {
            serving.set(path, (call) => void runServer(call, forServer, server).then(resolve));
          });
          const opened = openCall(connector, path);
          const client = await within(5000, "the client", runClient(opened, forClient));
          const { heard } = opened;
          if (client.cancelled && heard.calls.length === 1 && server.read.length === 0) {
            // A call that was cancelled at once may never have left.
            return;
          }
          await within(5000, "the server", served);

          const inOrder = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
          const heardNumbers = heard.messages.map(numberOf);
          assert.deepEqual(heardNumbers, inOrder(heardNumbers.length));
          assert.deepEqual(server.read, inOrder(server.read.length));
          assert.equal(heard.calls.filter((call) => call === "headers").length <= 1, true);
          const endings = heard.calls.filter((call) => call === "end" || call === "failed");
          assert.deepEqual(endings, [client.cancelled ? "failed" : "end"]);
          assert.equal(heard.calls.at(-1), endings[0]);
          if (client.cancelled) return;
          assert.equal(server.ending, "half-closed");
          assert.equal(server.cancelled, false);
          assert.equal(server.read.length, client.written);
          assert.equal(heardNumbers.length, server.written);
        },
      ),
      { numRuns: 150 },
    );
  });
});

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Ends with the outcome of the call: what is not closed in the list is closed behind it. */
async function runClient(
  { heard, stream, abort }: Opened,
  steps: readonly ClientStep[],
): Promise<{ written: number; cancelled: boolean }> {
  let written = 0;
  let isOpen = true;
  for (const step of steps) {
    if (step.do === "write" && isOpen) {
      const writing = stream.write(numbered(written++, step.bytes));
      if (step.awaits) await Promise.race([writing, turn().then(turn)]);
    } else if (step.do === "pause") stream.take(false);
    else if (step.do === "resume") stream.take(true);
    else if (step.do === "turn") await turn();
    else if (step.do === "half-close") {
      stream.halfClose();
      isOpen = false;
    } else if (step.do === "cancel") {
      abort.abort();
      await heard.error();
      return { written, cancelled: true };
    }
  }
  stream.halfClose();
  stream.take(true);
  await heard.status();
  return { written, cancelled: false };
}

// Does its list, then reads to the end and answers OK.
async function runServer(
  call: IncomingCall,
  steps: readonly ServerStep[],
  seen: ServerSide,
): Promise<void> {
  call.onCancelled(() => {
    seen.cancelled = true;
  });
  const read = async (): Promise<void> => {
    if (seen.ending !== undefined) return;
    try {
      const message = await call.read();
      if (message === undefined) seen.ending = "half-closed";
      else seen.read.push(numberOf(message));
    } catch {
      seen.ending = "cancelled";
    }
  };
  let reading: Promise<void> = Promise.resolve();
  for (const step of steps) {
    if (step.do === "write") {
      const writing = call.sendMessage(numbered(seen.written++, step.bytes));
      if (step.awaits) await Promise.race([writing, turn().then(turn)]);
    } else if (step.do === "read") reading = reading.then(read);
    else if (step.do === "turn") await turn();
    else call.sendHeaders(metadata());
  }
  await reading;
  while (seen.ending === undefined) await read();
  call.end(statusFrame(0));
}
