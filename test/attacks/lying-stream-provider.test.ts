/**
 * A provider that lies in the middle of a stream: its first segment is honest and is handed over, and what
 * comes behind it is not.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ClientDuplexStream, Metadata, type StatusObject } from "@grpc/grpc-js";
import { systemRandom } from "../../gateway/runtime.ts";
import { createUuidV7 } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { AnswerFrame, Proof } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { StatusSource } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Check, type Closed, Outcome } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { LedgerRecord } from "../../src/record/record.ts";
import { recordHash } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { type RunningStreams, startStreams, withPurpose } from "../support/running-streams.ts";
import { streamMessage, streamMethods } from "../support/stream-service.ts";
import { RogueProvider, type Victim } from "./rogue-provider.ts";
import { type ReceiptLie, RogueStream } from "./rogue-stream.ts";
import { encodeHeaders, type RecordReader, recordReader } from "./support.ts";

const same = (bytes: Buffer): Buffer => bytes;
const honest = streamMessage(Buffer.from("honest"));
const lie = streamMessage(Buffer.from("a lie"));
/** A field beside `value`, which is all that the grant gives. */
const unmasked = Buffer.concat([lie, Buffer.from([0x12, 0x01, 0x41])]);

describe("a consumer whose provider lies in a stream", () => {
  let running: RunningStreams;
  let rogue: RogueProvider;
  let records: RecordReader;

  before(async () => {
    running = await startStreams({ detail: { fields: ["value"] } });
    records = recordReader(running.cities.consumer);
    rogue = await RogueProvider.start(running);
    await eventually("the consumer knows the rogue gateway", async () => {
      const states = await Promise.all([running.provider.status(), running.consumer.status()]);
      return states[0].finalSize === states[1].finalSize;
    });
  });

  after(async () => {
    records?.close();
    await rogue?.close();
    await running?.close();
  });

  interface Told {
    readonly status: StatusObject;
    readonly reason: string | undefined;
    readonly messages: readonly Buffer[];
    /** Records of the consumer about this exchange, oldest first. */
    readonly said: readonly { readonly body: LedgerRecord["body"]; readonly bytes: Uint8Array }[];
    readonly stream: RogueStream;
  }

  /** A chat with one question, which the rogue answers. */
  async function chat(behave: (stream: RogueStream) => Promise<void>): Promise<Told> {
    const count = (await records.entries()).length;
    let stream: RogueStream | undefined;
    let failed: unknown;
    rogue.behave = async (victim: Victim) => {
      stream = new RogueStream(rogue, victim);
      await behave(stream).catch((error: unknown) => {
        failed = error;
        victim.link.close();
      });
    };
    const call = open();
    const messages: Buffer[] = [];
    call.on("data", (message: Buffer) => messages.push(message));
    call.on("error", () => undefined);
    const ended = new Promise<StatusObject>((resolve) => call.on("status", resolve));
    call.write(streamMessage(Buffer.from("question")));
    const status = await ended;
    assert.equal(failed, undefined);
    const entries = await records.entries();
    const added = entries.slice(0, entries.length - count).toReversed();
    const said = await Promise.all(added.map((entry) => records.open(entry)));
    return {
      status,
      reason: errorInfo(status.metadata)?.reason,
      messages,
      said: said.map(({ record, bytes }) => ({ body: record.body, bytes })),
      stream: stream as RogueStream,
    };
  }

  function open(): ClientDuplexStream<Buffer, Buffer> {
    const metadata = withPurpose(new Metadata());
    return running.client.makeBidiStreamRequest(streamMethods.chat, same, same, metadata);
  }

  /** An honest first segment, taken and acknowledged. */
  async function begun(stream: RogueStream): Promise<void> {
    await stream.until(() => stream.victim.heard.some(({ case: name }) => name === "request"));
    await stream.answer([honest]);
    await stream.acknowledged(1);
  }

  /** The first segment was handed over, and nothing else was. */
  function assertFirstOnly(told: Told, reason: ReasonCode): void {
    assert.equal(told.reason, reason, told.status.details);
    assert.equal(told.status.code, 15);
    assert.deepEqual(told.messages, [honest]);
    const [first] = told.said;
    assert.ok(first?.body.case === "acknowledgement", first?.body.case);
    assert.equal(first.body.value.check, Check.MATCH);
    assert.equal(first.body.value.final, false);
    assert.equal(first.body.value.progress?.framesEnd, 2n);
    assert.equal(told.said.length, 2);
  }

  function assertCheck(told: Told, reason: ReasonCode, check: Check): void {
    assertFirstOnly(told, reason);
    const body = told.said[1]?.body;
    assert.ok(body?.case === "acknowledgement", body?.case);
    assert.equal(body.value.check, check);
    assert.equal(body.value.final, true);
    assert.equal(body.value.progress?.segment, 2);
  }

  function assertClosed(told: Told, outcome: Outcome): void {
    const [first, last] = told.said;
    assert.ok(last?.body.case === "closed", last?.body.case);
    assert.equal(last.body.value.outcome, outcome);
    assert.equal(last.body.value.frames, 2n);
    assert.deepEqual(
      Buffer.from(last.body.value.prevRecord),
      Buffer.from(recordHash(first?.bytes as Uint8Array)),
    );
  }

  it("is given honest segments one by one, each with a MATCH", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      await stream.answer([honest, honest]);
      await stream.answer([], { final: true });
    });
    assert.equal(told.status.code, 0, told.status.details);
    assert.equal(told.messages.length, 3);
    const checks = told.said.map(({ body }) => {
      assert.ok(body.case === "acknowledgement");
      const { check, final, progress } = body.value;
      return [check, final, progress?.framesEnd];
    });
    assert.deepEqual(checks, [
      [Check.MATCH, false, 2n],
      [Check.MATCH, false, 4n],
      [Check.MATCH, true, 4n],
    ]);
  });

  const receiptLies: readonly (readonly [string, (stream: RogueStream) => ReceiptLie])[] = [
    ["leaves a segment out", () => ({ segment: { number: 3 } })],
    ["repeats a segment's number", () => ({ segment: { number: 1 } })],
    ["begins at another frame", () => ({ segment: { framesFirst: 1 } })],
    ["covers fewer frames than are sent", () => ({ segment: { framesEnd: 2 } })],
    ["covers more frames than are sent", () => ({ segment: { framesEnd: 9 } })],
    ["follows another record", () => ({ prev: new Uint8Array(32) })],
    ["begins the attempt again", () => ({ begins: true })],
    ["is over another request", () => ({ request: { commitment: new Uint8Array(32) } })],
    ["is over more of the request than was sent", () => ({ request: { frames: 3 } })],
    ["takes back what it had of the request", () => ({ request: { frames: 1 } })],
    ["is over other bytes of the answer", () => ({ segment: { response: new Uint8Array(32) } })],
  ];
  for (const [what, of] of receiptLies) {
    it(`records COMMITMENT_MISMATCH for a second receipt that ${what}`, async () => {
      const told = await chat(async (stream) => {
        await begun(stream);
        await stream.answer([lie], { lie: of(stream) });
      });
      assertCheck(told, "COMMITMENT_MISMATCH", Check.COMMITMENT_MISMATCH);
    });
  }

  const frameLies: readonly (readonly [string, (frame: AnswerFrame) => void])[] = [
    ["with another message", (f) => (f.messages = [lie])],
    ["with a message more", (f) => f.messages.push(lie)],
    ["with a message less", (f) => f.messages.pop()],
    ["of two messages in the other order", (f) => f.messages.reverse()],
  ];
  for (const [what, change] of frameLies) {
    it(`records COMMITMENT_MISMATCH for a second segment ${what}`, async () => {
      const told = await chat(async (stream) => {
        await begun(stream);
        const frame = await stream.segment([honest, streamMessage(Buffer.from("more"))]);
        change(frame);
        stream.send(frame);
      });
      assertCheck(told, "COMMITMENT_MISMATCH", Check.COMMITMENT_MISMATCH);
    });
  }

  it("records COMMITMENT_MISMATCH for the first segment sent again", async () => {
    const told = await chat(async (stream) => {
      await stream.until(() => stream.victim.heard.length > 0);
      const first = await stream.segment([honest]);
      stream.send(first);
      await stream.acknowledged(1);
      stream.send(first);
    });
    assertCheck(told, "COMMITMENT_MISMATCH", Check.COMMITMENT_MISMATCH);
  });

  it("records COMMITMENT_MISMATCH for two segments in the other order", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      const second = await stream.segment([lie]);
      const third = await stream.segment([lie]);
      stream.send(third);
      stream.send(second);
    });
    assertCheck(told, "COMMITMENT_MISMATCH", Check.COMMITMENT_MISMATCH);
  });

  it("hands over no headers that come with a later segment", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      const second = await stream.segment([honest], { final: true });
      second.headers = encodeHeaders(["x-leak", "a lie"]);
      stream.send(second);
    });
    assert.deepEqual(told.status.metadata.get("x-leak"), []);
    assert.ok(
      told.reason === "COMMITMENT_MISMATCH" || told.reason === "MASK_VIOLATION",
      told.reason,
    );
    assert.deepEqual(told.messages, [honest]);
  });

  it("hands over no status that comes with a segment that is not final", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      const last = await stream.segment([honest], { final: true });
      const { status, openings } = last;
      const other = new RogueStream(rogue, stream.victim);
      const first = await other.segment([honest]);
      assert.equal(first.openings.length, 1);
      stream.send({ ...first, status, openings });
    });
    assertCheck(told, "COMMITMENT_MISMATCH", Check.COMMITMENT_MISMATCH);
  });

  it("records MASK_VIOLATION for a later segment that the mask does not let through", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      await stream.answer([unmasked]);
    });
    assertCheck(told, "MASK_VIOLATION", Check.MASK_VIOLATION);
  });

  const proofLies: readonly (readonly [string, (frame: AnswerFrame) => void])[] = [
    ["without a receipt", (f) => delete f.proof],
    ["with a receipt that is not in its leaf", (f) => (f.proof as Proof).record.reverse()],
  ];
  for (const [what, change] of proofLies) {
    it(`closes PROOF_INVALID for a second segment ${what}`, async () => {
      const told = await chat(async (stream) => {
        await begun(stream);
        const frame = await stream.segment([lie]);
        change(frame);
        stream.send(frame);
      });
      assertFirstOnly(told, "RECEIPT_PROOF_INVALID");
      assertClosed(told, Outcome.PROOF_INVALID);
    });
  }

  it("ends with the closing of a provider that ends it", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      const proof = await stream.closed();
      stream.victim.send({ case: "refused", value: refused(proof) });
    });
    assert.equal(told.reason, "UPSTREAM_UNAVAILABLE");
    const [handle] = told.status.metadata.get("causeway-receipt");
    assert.match(String(handle), /^[0-9a-f]{64}\/\d+$/);
    assert.equal(errorInfo(told.status.metadata)?.metadata["record"], handle);
    assert.deepEqual(told.messages, [honest]);
    assertClosed(told, Outcome.REFUSED);
  });

  const closingLies: readonly (readonly [string, Parameters<RogueStream["closed"]>[0] & object])[] =
    [
      ["follows another record", { prev: new Uint8Array(32) }],
      ["names another exchange", { xid: createUuidV7(Date.now(), systemRandom(10)) }],
      ["names another attempt", { attempt: 2 }],
    ];
  for (const [what, of] of closingLies) {
    it(`closes PROOF_INVALID for a closing that ${what}`, async () => {
      const told = await chat(async (stream) => {
        await begun(stream);
        stream.victim.send({ case: "refused", value: refused(await stream.closed(of)) });
      });
      assertFirstOnly(told, "RECEIPT_PROOF_INVALID");
      assertClosed(told, Outcome.PROOF_INVALID);
    });
  }

  it("closes PROOF_INVALID for a refusal without a record behind a receipt", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      stream.victim.send({ case: "refused", value: refused(undefined) });
    });
    assertFirstOnly(told, "RECEIPT_PROOF_INVALID");
    assertClosed(told, Outcome.PROOF_INVALID);
  });

  it("passes over what comes behind the final segment", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      const last = await stream.segment([honest], { final: true });
      const more = await stream.segment([lie]);
      stream.send(last);
      stream.send(more);
      stream.victim.send({ case: "refused", value: refused(await stream.closed()) });
    });
    assert.equal(told.status.code, 0, told.status.details);
    assert.deepEqual(told.messages, [honest, honest]);
    assert.deepEqual(
      told.said.map(({ body }) => body.case === "acknowledgement" && body.value.final),
      [false, true],
    );
  });

  it("tells the provider that it takes no more, when a segment is a lie", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      await stream.answer([lie], { lie: { prev: new Uint8Array(32) } });
    });
    const { victim } = told.stream;
    await told.stream.until(
      () => victim.lost || victim.heard.some(({ case: name }) => name === "cancel"),
    );
    assertCheck(told, "COMMITMENT_MISMATCH", Check.COMMITMENT_MISMATCH);
  });

  const window = 4;

  it("takes a whole window of segments that come at once", async () => {
    const told = await chat(async (stream) => {
      const frames = await segments(stream, window);
      for (const frame of frames) stream.send(frame);
    });
    assert.equal(told.status.code, 0, told.status.details);
    assert.equal(told.messages.length, window);
    assert.equal(told.said.length, window);
  });

  it("ends with PROTOCOL_ERROR when far more than a window comes, and has handed over what it acknowledged", async () => {
    const told = await chat(async (stream) => {
      const frames = await segments(stream, 100);
      for (const frame of frames) stream.send(frame);
    });
    assert.equal(told.reason, "PROTOCOL_ERROR", told.status.details);
    const acknowledged = told.said.slice(0, -1);
    for (const { body } of acknowledged) {
      assert.ok(body.case === "acknowledgement" && body.value.check === Check.MATCH);
      assert.equal(body.value.final, false);
    }
    const last = told.said.at(-1)?.body;
    assert.ok(last?.case === "closed", last?.case);
    assert.equal(last.value.outcome, Outcome.GATEWAY_ERROR);
    // What has left by the time of the closing: its caller may have more of what was acknowledged, and nothing else.
    assert.ok(last.value.frames <= BigInt(1 + acknowledged.length));
    assert.ok(told.messages.length <= acknowledged.length);
  });

  // The last: its grant is taken away.
  it("is told GRANT_REVOKED as soon as its gateway knows, whatever its provider goes on to say", async () => {
    const told = await chat(async (stream) => {
      await begun(stream);
      await running.revoke();
      await stream.until(() => stream.victim.heard.some(({ case: name }) => name === "cancel"));
      await stream.answer([lie], { final: true });
    });
    assert.deepEqual([told.reason, told.status.code], ["GRANT_REVOKED", 7]);
    assert.deepEqual(told.messages, [honest]);
    assert.equal(told.said.length, 2);
    assertClosed(told, Outcome.CANCELLED);
    const { status } = (told.said[1]?.body.value ?? {}) as Closed;
    assert.deepEqual(
      [status?.reason, status?.source],
      ["GRANT_REVOKED", StatusSource.GATEWAY],
      "what has ended it is on record",
    );
  });

  /** So many segments of one message, the last final. */
  async function segments(stream: RogueStream, count: number): Promise<readonly AnswerFrame[]> {
    await stream.until(() => stream.victim.heard.length > 0);
    const frames: AnswerFrame[] = [];
    for (let i = 1; i <= count; i++) {
      frames.push(await stream.segment([honest], { final: i === count }));
    }
    return frames;
  }
});

function refused(proof: Proof | undefined): {
  readonly $typeName: "causeway.exchange.v1.RefusedFrame";
  status: Uint8Array;
  proof?: Proof;
} {
  const frame = {
    $typeName: "causeway.exchange.v1.RefusedFrame" as const,
    status: new Uint8Array(),
  };
  return proof === undefined ? frame : { ...frame, proof };
}
