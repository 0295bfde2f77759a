/**
 * A consumer that lies on streams, before an honest provider: each lie ends with its exact reason, and what
 * the provider has on record is true and closed once.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { requestCreditBytes } from "../../src/base/limits.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import {
  acknowledgementFrame,
  cancelFrame,
  halfCloseFrame,
  requestFrame,
} from "../../src/exchange/frames.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { statedReason } from "../../src/exchange/received-proof.ts";
import { StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { type AnswerFrame, FrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { Outcome, type Receipt, Stage } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { Engine } from "../../src/ledger/ports.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";
import { causeway } from "../cli/support.ts";
import { eventually } from "../support/admin-client.ts";
import { type RunningStreams, startStreams } from "../support/running-streams.ts";
import { streamMessage, streamMethods, streamOrders } from "../support/stream-service.ts";
import { divisionsService } from "../support/two-cities.ts";
import { type RogueCall, RogueCaller } from "./rogue-caller.ts";
import {
  type CallParts,
  encodeHeaders,
  type RecordReader,
  recordReader,
  RogueLink,
} from "./support.ts";

const window = 4;
const segmentMessages = 10;
const question = streamMessage(Buffer.from("question"));

describe("a provider whose consumer lies on a stream", () => {
  let running: RunningStreams;
  let records: RecordReader;
  let rogue: RogueLink;
  let caller: RogueCaller;

  /** The consumer's own gateway would close on the ledger what it has not signed. */
  let isCutOff = false;
  const wrapEngine = (engine: Engine): Engine => ({
    submit: async (batch) => {
      if (isCutOff) throw new CausewayError("LEDGER_UNAVAILABLE", "cut off by the test");
      return engine.submit(batch);
    },
    putBlob: (content) => engine.putBlob(content),
  });

  before(async () => {
    running = await startStreams({
      bounds: { segment_messages: segmentMessages },
      overrides: { provider: { wrapEngine } },
    });
    const { cities, provider } = running;
    records = recordReader(cities.provider);
    const [grant] = (await provider.records()).filter(({ kind }) => kind === "statement");
    const { index = 0n, position = 0 } = grant?.state ?? {};
    rogue = await RogueLink.open(cities, {
      service: divisionsService,
      purpose: "address-check",
      grant: { index, position },
    });
    caller = new RogueCaller(rogue, cities);
    isCutOff = true;
  });

  after(async () => {
    caller?.close();
    rogue?.close();
    records?.close();
    await running?.close();
  });

  /** What the provider has recorded while the work was done, oldest first. */
  async function recorded(work: () => Promise<void>): Promise<readonly LedgerRecord["body"][]> {
    const count = (await records.entries()).length;
    await work();
    const entries = await records.entries();
    const added = entries.slice(0, entries.length - count).toReversed();
    return Promise.all(added.map(async (entry) => (await records.open(entry)).record.body));
  }

  function receiptOf({ proof }: AnswerFrame): Receipt {
    const { body } = openRecord(proof?.record ?? new Uint8Array());
    assert.ok(body.case === "receipt", body.case);
    return body.value;
  }

  function reasonOf(body: FrameBody): string | undefined {
    assert.ok(body.case === "refused", body.case);
    return statedReason(body.value.status);
  }

  /** A stream of 100,000 messages, of which the window is filled and nothing acknowledged. */
  async function filled(): Promise<RogueCall> {
    const headers = encodeHeaders([streamOrders.count, "100000"], [streamOrders.size, "1000"]);
    const call = caller.call(streamMethods.expand, { headers });
    call.send(requestFrame(question));
    call.send(halfCloseFrame());
    await call.until(() => call.answers.length >= window);
    return call;
  }

  /** Long enough for a segment that may be released: the next call of the same gateway is answered. */
  async function turn(): Promise<void> {
    const call = caller.call(streamMethods.chat);
    call.send(halfCloseFrame());
    assert.equal((await call.end()).case, "answer");
  }

  async function cancel(call: RogueCall): Promise<FrameBody> {
    call.send(cancelFrame());
    return call.end();
  }

  it("answers when nothing is a lie", async () => {
    const call = caller.call(streamMethods.collect);
    call.send(requestFrame(question));
    call.send(halfCloseFrame());
    const end = await call.end();
    assert.ok(end.case === "answer");
    assert.equal(fromBinary(StatusFrameSchema, end.value.status).code, 0);
    assert.equal(receiptOf(end.value).progress?.requestFrames, 2n);
  });

  describe("that sends more than it may", () => {
    const flood = (call: RogueCall): void => {
      const half = streamMessage(Buffer.alloc(requestCreditBytes / 2 - 1024));
      for (let i = 0; i < 6; i++) call.send(requestFrame(half));
    };

    it("refuses MESSAGE_TOO_LARGE, or closes LIMIT what has a receipt by then", async () => {
      let end: FrameBody | undefined;
      const bodies = await recorded(async () => {
        const call = caller.call(streamMethods.chat);
        flood(call);
        end = await call.end();
      });
      assert.equal(reasonOf(end as FrameBody), "MESSAGE_TOO_LARGE");
      const last = bodies.at(-1);
      const receipts = bodies.slice(0, -1);
      assert.ok(receipts.every(({ case: name }) => name === "receipt"));
      if (receipts.length > 0) {
        assert.ok(last?.case === "closed", last?.case);
        assert.equal(last.value.outcome, Outcome.LIMIT);
      } else {
        assert.ok(last?.case === "refusal", last?.case);
        assert.equal(last.value.stage, Stage.LIMIT);
        assert.equal(last.value.reason, "MESSAGE_TOO_LARGE");
      }
    });

    it("closes LIMIT where a method that writes is opened", async () => {
      let end: FrameBody | undefined;
      const bodies = await recorded(async () => {
        const call = caller.call(streamMethods.speak);
        await call.until(() => call.answers.length > 0);
        flood(call);
        end = await call.end();
      });
      assert.equal(reasonOf(end as FrameBody), "MESSAGE_TOO_LARGE");
      assert.deepEqual(
        bodies.map(({ case: name }) => name),
        ["opened", "receipt", "closed"],
      );
      const last = bodies.at(-1);
      assert.ok(last?.case === "closed");
      assert.equal(last.value.outcome, Outcome.LIMIT);
      assert.equal(last.value.frames, 2n);
    });

    it("closes LIMIT for one message above the limit of messages", async () => {
      let end: FrameBody | undefined;
      const bodies = await recorded(async () => {
        const call = caller.call(streamMethods.speak);
        await call.until(() => call.answers.length > 0);
        call.send(requestFrame(new Uint8Array(64 * 1024 * 1024)));
        end = await call.end();
      });
      assert.equal(reasonOf(end as FrameBody), "MESSAGE_TOO_LARGE");
      const last = bodies.at(-1);
      assert.ok(last?.case === "closed");
      assert.equal(last.value.outcome, Outcome.LIMIT);
    });
  });

  describe("that does not acknowledge", () => {
    it("releases a window and no more, and reads no more of the upstream", async () => {
      const written = running.upstream.counts.written;
      const call = await filled();
      await turn();
      assert.equal(call.answers.length, window);
      let last = -1;
      await eventually("the upstream is held up", async () => {
        const now = running.upstream.counts.written;
        const isStill = now === last;
        last = now;
        await turn();
        return isStill;
      });
      assert.ok(running.upstream.counts.written - written < 50_000);
      assert.equal(call.answers.length, window);
      const end = await cancel(call);
      assert.equal(reasonOf(end), "CANCELLED");
      const { proof } = end.case === "refused" ? end.value : { proof: undefined };
      const { body } = openRecord(proof?.record ?? new Uint8Array());
      assert.ok(body.case === "closed");
      assert.equal(body.value.outcome, Outcome.CANCELLED);
      // Headers, and the messages of the segments that were released.
      const released = call.answers.reduce((sum, { messages }) => sum + messages.length, 1);
      assert.equal(body.value.frames, BigInt(released));
    });

    it("releases one segment more for one true acknowledgement, and none for what is none", async () => {
      const call = await filled();
      const [first, second] = call.answers as [AnswerFrame, AnswerFrame];
      const other = caller.call(streamMethods.chat);
      other.send(requestFrame(question));
      await other.until(() => other.answers.length > 0);
      const foreign = caller.acknowledge(other, other.answers[0] as AnswerFrame);
      const honest = caller.acknowledge(call, first);
      const broken = structuredClone(honest);
      broken.leaf[3] = (broken.leaf[3] as number) ^ 1;
      const mixed = caller.acknowledge(other, first);
      for (const proof of [foreign, broken, mixed, first.proof, undefined]) {
        call.send({
          case: "acknowledgement",
          value: {
            $typeName: "causeway.exchange.v1.AcknowledgementFrame",
            ...(proof === undefined ? {} : { proof }),
          },
        });
      }
      await turn();
      assert.equal(call.answers.length, window);
      call.send(acknowledgementFrame(honest));
      await call.until(() => call.answers.length > window);
      // Again it answers nothing.
      call.send(acknowledgementFrame(honest));
      await turn();
      assert.equal(call.answers.length, window + 1);
      call.send(acknowledgementFrame(caller.acknowledge(call, second)));
      await call.until(() => call.answers.length > window + 1);
      assert.equal(reasonOf(await cancel(call)), "CANCELLED");
      assert.equal(reasonOf(await cancel(other)), "CANCELLED");
    });
  });

  describe("that goes on where its request has ended", () => {
    it("takes the first of two half-closes, and nothing behind it", async () => {
      const call = caller.call(streamMethods.collect);
      call.send(requestFrame(question));
      call.send(halfCloseFrame());
      call.send(requestFrame(question));
      call.send(halfCloseFrame());
      const end = await call.end();
      assert.ok(end.case === "answer");
      assert.equal(fromBinary(StatusFrameSchema, end.value.status).code, 0);
      assertCommitted(call, end.value, [question]);
    });

    it("has nothing on record of frames that come behind the end", async () => {
      const bodies = await recorded(async () => {
        const call = caller.call(streamMethods.chat);
        call.send(halfCloseFrame());
        await call.end();
        for (const body of [requestFrame(question), halfCloseFrame(), cancelFrame()])
          call.send(body);
        await turn();
      });
      assertReceipts(bodies, 2);
    });

    it("takes one call on a stream", async () => {
      const before_ = running.upstream.calls.get("chat") ?? 0;
      const bodies = await recorded(async () => {
        const call = caller.call(streamMethods.chat);
        call.send({ case: "call", value: call.frame });
        call.send({
          case: "call",
          value: rogue.make({ statement: { method: streamMethods.unary } }),
        });
        call.send(halfCloseFrame());
        const end = await call.end();
        assert.equal(end.case, "answer");
      });
      assertReceipts(bodies, 1);
      assert.equal((running.upstream.calls.get("chat") ?? 0) - before_, 1);
    });

    it("refuses the same call on another stream", async () => {
      const call = caller.call(streamMethods.chat);
      const again = caller.call(streamMethods.chat, {
        frame: (frame) => void Object.assign(frame, call.frame),
      });
      assert.equal(reasonOf(await again.end()), "TOKEN_REPLAYED");
      call.send(halfCloseFrame());
      assert.equal((await call.end()).case, "answer");
    });
  });

  describe("that sends frames of a stream for a unary call", () => {
    it("answers the request that its statement commits to, on the link", async () => {
      const message = streamMessage(Buffer.from("the request"));
      const parts: CallParts = { message, statement: { method: streamMethods.unary } };
      const value = rogue.make(parts);
      const answer = rogue.exchange({ case: "call", value });
      const exchange = rogue.lastExchange;
      for (const body of [requestFrame(question), halfCloseFrame(), requestFrame(question)]) {
        rogue.link.send(create(FrameSchema, { exchange, body }));
      }
      const body = await answer;
      assert.ok(body.case === "answer", body.case);
      assert.deepEqual(Buffer.from(body.value.messages[0] as Uint8Array), message);
      const { progress } = receiptOf(body.value);
      assert.equal(progress?.requestFrames, 2n);
      const salt = value.openings[0]?.salt as Uint8Array;
      const committed = commit({
        label: "request",
        salt,
        value: transcriptOf(value.headers, [message]),
      });
      assert.deepEqual(Buffer.from(progress.request), Buffer.from(committed));
    });

    it("refuses an open statement of a unary method, and a closed one of a method that streams", async () => {
      const open = caller.call(streamMethods.unary);
      assert.equal(reasonOf(await open.end()), "CALL_STATEMENT_INVALID");
      const body = await rogue.call({
        message: question,
        statement: { method: streamMethods.chat },
      });
      assert.equal(reasonOf(body as FrameBody), "CALL_STATEMENT_INVALID");
    });
  });

  /** Receipts and nothing else, so many of them final. */
  function assertReceipts(bodies: readonly LedgerRecord["body"][], final: number): void {
    const receipts = bodies.map((body) => {
      assert.ok(body.case === "receipt", body.case);
      return body.value;
    });
    assert.equal(receipts.filter((receipt) => receipt.final).length, final);
  }

  /** The receipt is over this request of an open call. */
  function assertCommitted(
    { frame }: RogueCall,
    answer: AnswerFrame,
    messages: readonly Uint8Array[],
  ): void {
    const { progress } = receiptOf(answer);
    assert.equal(progress?.requestFrames, BigInt(1 + messages.length));
    const salt = frame.openings[0]?.salt as Uint8Array;
    const value = transcriptOf(frame.headers, messages);
    const committed = commit({ label: "request", salt, value });
    assert.deepEqual(Buffer.from(progress.request), Buffer.from(committed));
  }

  it("is convicted of nothing: all that is found is the consumer's", async () => {
    caller.close();
    rogue.close();
    isCutOff = false;
    const { http } = running.cities.provider.addresses;
    await eventually("no attempt is open", async () => {
      const metrics = await (await fetch(`http://${http}/metrics`)).text();
      return /^causeway_open_attempts 0$/m.test(metrics);
    });
    await running.settled();
    const { stdout, stderr } = await causeway(
      ...["audit", "replay", "--from", `http://${http}`, "--output", "json"],
      ...["--network", running.cities.networkId],
    );
    const { findings } = JSON.parse(stdout) as {
      readonly findings: readonly { readonly code: string; readonly gateway: string }[];
    };
    const ofProvider = findings.filter(
      ({ gateway }) => gateway === running.cities.provider.gateway.card.id,
    );
    assert.deepEqual(ofProvider, [], stderr);
  });
});
