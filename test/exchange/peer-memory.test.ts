/** What one peer can make a provider's gateway hold, whatever it does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { exchangeHeldBytes, linkExchangesMax } from "../../src/base/limits.ts";
import { Holding, PeerMemories, PeerMemory } from "../../src/exchange/peer-memory.ts";
import { refusalFault } from "../../src/audit/record-faults.ts";
import { singleRefusalsMax } from "../../src/exchange/refusal-limiter.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { Side, Stage } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  answered,
  bytes,
  openStream,
  settle,
  stream,
  TestProvider,
  unary,
} from "../support/test-provider.ts";

const mebibyte = 1 << 20;

function kinds(bodies: readonly FrameBody[]): readonly string[] {
  return bodies.map((body) => (body.case === "failed" ? body.value.reason : body.case));
}

describe("the memory of a peer", () => {
  it("holds as much as was taken and not given back, and never more than its bound", () => {
    const step = fc.record({
      exchange: fc.nat({ max: 3 }),
      what: fc.constantFrom("take", "give", "leave", "written", "end"),
      bytes: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = new PeerMemory(100);
        const own = [0, 0, 0, 0];
        let holdings = own.map(() => new Holding(memory));
        const left: (() => void)[] = [];
        let leftBytes = 0;
        for (const { exchange, what, bytes: count } of steps) {
          const holding = holdings[exchange] as Holding;
          const held = own[exchange] as number;
          if (what === "take" && holding.take(count)) own[exchange] = held + count;
          if (what === "give" && held >= count) {
            holding.give(count);
            own[exchange] = held - count;
          }
          if (what === "leave" && held >= count) {
            const written = holding.leave(count);
            own[exchange] = held - count;
            leftBytes += count;
            left.push(() => {
              written();
              leftBytes -= count;
            });
          }
          if (what === "written") left.shift()?.();
          if (what === "end") {
            holding.end();
            own[exchange] = 0;
            holdings = holdings.with(exchange, new Holding(memory));
          }
          assert.equal(
            memory.held,
            own.reduce((sum, n) => sum + n, leftBytes),
          );
          assert.ok(memory.held <= 100);
        }
      }),
    );
  });

  it("lets everyone go on who waits for room, once nothing is held", () => {
    const memory = new PeerMemory(10 * mebibyte);
    assert.ok(memory.hold(6 * mebibyte));
    let resumed = 0;
    for (let i = 0; i < 50; i++) memory.whenRoom(() => resumed++);
    const stop = memory.whenRoom(() => assert.fail("who does not wait is not called"));
    stop();
    memory.free(mebibyte / 2);
    assert.equal(resumed, 0);
    memory.free(3.5 * mebibyte);
    assert.equal(resumed, 3);
    memory.free(2 * mebibyte);
    assert.equal(resumed, 50);
  });
});

describe("a consumer that takes nothing of what it asks for", () => {
  const bound = 4 * mebibyte;

  async function ask(provider: TestProvider, exchange: bigint): Promise<void> {
    provider.call(exchange, unary);
    await settle();
    provider.answer(answered([bytes(mebibyte)]));
    await settle();
  }

  it("gets no more large answers than fit its memory, and a refusal on record for the next", async () => {
    const provider = new TestProvider({ memoryBytes: bound });
    for (let exchange = 1n; exchange <= 4n; exchange++) await ask(provider, exchange);
    const [refused] = provider.sent(4n);
    assert.equal(refused?.case, "refused");
    const record = provider.records().at(-1);
    assert.ok(record?.case === "refusal");
    assert.deepEqual([record.value.reason, record.value.upstreamCalled], ["BUSY", true]);
    assert.deepEqual(kinds(provider.sent(3n)), ["part", "part", "part", "part"]);
  });

  for (const [what, takes] of [
    ["cancels", (provider: TestProvider) => provider.cancel(1n)],
    ["loses its link", (provider: TestProvider) => provider.handler.onLost()],
  ] as const) {
    it(`is answered again once it ${what}`, async () => {
      const provider = new TestProvider({ memoryBytes: bound });
      for (let exchange = 1n; exchange <= 3n; exchange++) await ask(provider, exchange);
      takes(provider);
      await ask(provider, 9n);
      assert.deepEqual(kinds(provider.sent(9n)), ["part", "part", "part", "part"]);
    });
  }

  it("leaves nothing held of an answer whose receipt is durable behind the end of its link", async () => {
    const provider = new TestProvider({ memoryBytes: bound });
    provider.seals = [];
    for (let exchange = 1n; exchange <= 3n; exchange++) await ask(provider, exchange);
    provider.handler.onLost();
    for (const durable of provider.seals.splice(0)) durable();
    await settle();
    provider.seals = undefined;
    await ask(provider, 9n);
    assert.deepEqual(kinds(provider.sent(9n)), ["part", "part", "part", "part"]);
  });

  it("has nothing held of a segment that another one takes the place of, on a link that carries no streams", async () => {
    const provider = new TestProvider({ memoryBytes: bound });
    provider.call(1n, stream);
    await settle();
    provider.listener?.onHeaders(create(MetadataSchema));
    for (let i = 0; i < 3; i++) {
      provider.listener?.onMessage(bytes(mebibyte));
      await settle();
    }
    // One is held, and there is room for two more.
    for (const exchange of [2n, 3n]) {
      await ask(provider, exchange);
      assert.deepEqual(kinds(provider.sent(exchange)), ["part", "part", "part", "part"]);
    }
  });

  it("has the upstream of a stream held up, not cut off, until it reads", async () => {
    const provider = new TestProvider({ memoryBytes: bound });
    const { carriage } = openStream(provider);
    await settle();
    provider.listener?.onHeaders(create(MetadataSchema));
    for (let i = 0; i < 3; i++) {
      provider.listener?.onMessage(bytes(mebibyte));
      await settle();
    }
    assert.equal(provider.taking, false);
    assert.deepEqual(kinds(carriage.sent), ["answer", "answer", "answer"]);
    for (const written of carriage.unread.splice(0)) written(true);
    assert.equal(provider.taking, true);
  });

  it("has a stream ended as BUSY that brings more than can be held, and nothing held of it", async () => {
    const provider = new TestProvider({ memoryBytes: bound });
    const { carriage } = openStream(provider);
    await settle();
    provider.listener?.onHeaders(create(MetadataSchema));
    for (let i = 0; i < 4; i++) provider.listener?.onMessage(bytes(mebibyte));
    await settle();
    const last = provider.records().at(-1);
    assert.ok(last?.case === "refusal");
    assert.equal(last.value.reason, "BUSY");
    assert.ok(carriage.closed);
    await ask(provider, 9n);
    assert.deepEqual(kinds(provider.sent(9n)), ["part", "part", "part", "part"]);
  });
});

describe("a consumer that sends more than any upstream takes", () => {
  const room = 256 * 1024;

  it("gets no further call judged than fit its memory, until others end, and a refusal on record", async () => {
    const provider = new TestProvider({ memoryBytes: 3 * exchangeHeldBytes });
    for (const exchange of [1n, 2n, 3n]) provider.call(exchange, unary);
    await settle();
    assert.equal(provider.reserved, 2);
    assert.deepEqual(kinds(provider.sent(3n)), ["refused"]);
    const [refusal] = provider.records();
    assert.ok(refusal?.case === "refusal");
    assert.deepEqual([refusal.value.reason, refusal.value.call], ["BUSY", undefined]);
    provider.cancel(1n);
    provider.call(4n, unary);
    await settle();
    assert.equal(provider.reserved, 2);
    assert.equal(provider.side.openAttempts, 2);
  });

  it("has no more exchanges open on a link than its bound, and refusals on record and counted", async () => {
    const provider = new TestProvider();
    for (let i = 1; i <= linkExchangesMax + 100; i++) provider.call(BigInt(i), unary);
    await settle();
    assert.equal(provider.reserved, linkExchangesMax);
    assert.equal(provider.records().length, singleRefusalsMax);
    const refused = provider.frames.filter(({ body }) => body.case === "refused");
    assert.equal(refused.length, 100);
  });

  it("has no exchange forgotten that bears the number of one refused for want of room", async () => {
    const provider = new TestProvider();
    for (let i = 1; i <= linkExchangesMax; i++) provider.call(BigInt(i), unary);
    await settle();
    const again = BigInt(linkExchangesMax + 1);
    provider.seals = [];
    provider.call(again, unary);
    await settle();
    const [refused, ...none] = provider.seals.splice(0);
    assert.ok(refused !== undefined && none.length === 0);
    provider.cancel(1n);
    await settle();
    for (const durable of provider.seals.splice(0)) durable();
    await settle();
    provider.seals = undefined;
    provider.call(again, unary);
    await settle();
    assert.equal(provider.reserved, linkExchangesMax);
    refused();
    await settle();
    provider.handler.onLost();
    await settle();
    assert.equal(provider.side.openAttempts, 0);
  });

  it("has the streams that find no place counted, in one record of a second", async () => {
    const provider = new TestProvider();
    for (let i = 0; i < 100; i++) provider.side.streamRefused(provider.link);
    provider.side.flushRefusals();
    assert.deepEqual(provider.records(), []);
    provider.side.flushRefusals(true);
    const [counted, ...others] = provider.records();
    assert.ok(counted?.case === "refusal" && counted.value.caller.case === "peer");
    assert.deepEqual(others, []);
    const { reason, side, stage, caller, aggregate } = counted.value;
    assert.deepEqual([reason, side, stage], ["BUSY", Side.PROVIDER, Stage.LIMIT]);
    assert.equal(caller.value.gateway, provider.link.peer);
    assert.deepEqual(caller.value.tlsKey, provider.link.peerTlsKey);
    assert.equal(aggregate?.count, 100n);
    assert.equal(refusalFault(counted.value), undefined);
  });

  it("has a call refused whose request comes before it is judged and does not fit", async () => {
    const provider = new TestProvider({ memoryBytes: room });
    const { ear } = openStream(provider);
    const message = bytes(100_000);
    for (let i = 0; i < 3; i++) {
      const $typeName = "causeway.exchange.v1.RequestFrame";
      ear.onFrame({ case: "request", value: { $typeName, message } });
    }
    await settle();
    const [refusal] = provider.records();
    assert.ok(refusal?.case === "refusal");
    assert.deepEqual([refusal.value.reason, refusal.value.upstreamCalled], ["BUSY", false]);
    assert.deepEqual(provider.written, []);
  });

  it("is taken on as its upstream takes what came", async () => {
    const provider = new TestProvider({ memoryBytes: room });
    let take: () => void = () => undefined;
    provider.takesRequest = new Promise((resolve) => (take = resolve));
    provider.call(1n, stream);
    await settle();
    for (let i = 0; i < 3; i++) provider.request(1n, bytes(60_000));
    take();
    await settle();
    for (let i = 0; i < 3; i++) provider.request(1n, bytes(60_000));
    await settle();
    assert.equal(provider.written.length, 6);
    assert.deepEqual(provider.records(), []);
  });

  it("leaves the room of other peers alone", () => {
    const memories = new PeerMemories(100);
    assert.ok(memories.of("a/b/gw1").hold(100));
    assert.ok(!memories.of("a/b/gw1").hold(1));
    assert.ok(memories.of("a/b/gw2").hold(100));
  });
});
