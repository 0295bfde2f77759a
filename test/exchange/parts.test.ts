import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { linkAnswerBytesMax, partBytesMax, partCreditBytes } from "../../src/base/limits.ts";
import { needsParts, PartAssembler, PartSender } from "../../src/exchange/parts.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { type PartFrame, PartFrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";

const answerOf = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * seed) & 255);

function partOf(body: FrameBody | undefined): PartFrame {
  assert.equal(body?.case, "part");
  return body.value as PartFrame;
}

function creditOf(body: FrameBody | undefined): bigint | undefined {
  return body?.case === "credit" ? body.value.bytes : undefined;
}

const part = (length: number, last = false): PartFrame =>
  create(PartFrameSchema, { bytes: new Uint8Array(length), last });

const length = fc.oneof(
  fc.integer({ min: 1, max: 2_000_000 }),
  fc
    .tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: -1, max: 1 }))
    .map(([parts, more]) => parts * partBytesMax + more),
);

describe("an answer in parts", () => {
  it("is what is larger than one frame of the link", () => {
    assert.equal(needsParts(new Uint8Array(linkAnswerBytesMax)), false);
    assert.equal(needsParts(new Uint8Array(linkAnswerBytesMax + 1)), true);
  });

  it("arrives whole whatever the interleaving, with never more under way than the credit", () => {
    fc.assert(
      fc.property(length, fc.infiniteStream(fc.integer({ min: 0, max: 2 })), (bytes, choices) => {
        const answer = answerOf(bytes, 7);
        const sender = new PartSender(answer);
        const assembler = new PartAssembler(bytes);
        const parts = sender.next().map(partOf);
        const credits: bigint[] = [];
        let [sent, credited] = [sum(parts), 0];
        let whole: Uint8Array | undefined;
        while (whole === undefined) {
          const choice = choices.next().value;
          const next = parts[0];
          if (choice === 0 && next !== undefined) {
            assert.ok(next.bytes.length <= partBytesMax);
            whole = assembler.push(parts.shift() as PartFrame);
          } else if (choice === 1) {
            const credit = creditOf(assembler.credit());
            if (credit !== undefined) credits.push(credit);
          } else {
            const credit = credits.shift();
            if (credit === undefined) continue;
            sender.credit(credit);
            credited += Number(credit);
            const more = sender.next().map(partOf);
            sent += sum(more);
            parts.push(...more);
          }
          assert.ok(sent - credited <= partCreditBytes);
        }
        assert.equal(Buffer.compare(whole, answer), 0);
        assert.equal(sender.done, true);
        assert.equal(parts.length, 0);
        assert.equal(assembler.credit(), undefined);
      }),
      { numRuns: 60 },
    );
  });

  it("does not wait for a credit that its receiver has no reason to give", () => {
    fc.assert(
      fc.property(length, (bytes) => {
        const sender = new PartSender(answerOf(bytes));
        const assembler = new PartAssembler(bytes);
        let whole: Uint8Array | undefined;
        let rounds = 0;
        while (whole === undefined) {
          assert.ok(rounds++ <= bytes / (partCreditBytes / 4) + 1);
          for (const body of sender.next()) {
            whole = assembler.push(partOf(body));
            const credit = creditOf(assembler.credit());
            if (credit !== undefined) sender.credit(credit);
          }
        }
        assert.equal(whole.length, bytes);
      }),
      { numRuns: 60 },
    );
  });

  it("stops at the credit while none comes back", () => {
    const sender = new PartSender(answerOf(10 * partCreditBytes));
    assert.equal(sum(sender.next().map(partOf)), partCreditBytes);
    assert.deepEqual(sender.next(), []);
    assert.equal(sender.done, false);
    sender.credit(BigInt(partBytesMax - 1));
    assert.deepEqual(sender.next(), []);
    sender.credit(1n);
    assert.equal(sum(sender.next().map(partOf)), partBytesMax);
  });

  it("is not changed by what happens to the messages that brought it", () => {
    const assembler = new PartAssembler(100);
    const message = new Uint8Array(10).fill(1);
    assembler.push(create(PartFrameSchema, { bytes: message }));
    message.fill(2);
    const whole = assembler.push(create(PartFrameSchema, { bytes: message, last: true }));
    assert.deepEqual([...(whole ?? [])], [...Array(10).fill(1), ...Array(10).fill(2)]);
  });
});

describe("a peer that breaks the rules of parts", () => {
  const rejected = { name: "CausewayError", code: "PROTOCOL_ERROR" };

  it("cannot credit more than is under way", () => {
    const sender = new PartSender(answerOf(100));
    assert.throws(() => sender.credit(1n), rejected);
    sender.next();
    assert.throws(() => sender.credit(101n), rejected);
    assert.throws(() => sender.credit((1n << 64n) - 1n), rejected);
    sender.credit(100n);
    assert.throws(() => sender.credit(1n), rejected);
  });

  it("cannot send an empty part, nor one above the limit", () => {
    assert.throws(() => new PartAssembler(1000).push(part(0)), rejected);
    assert.throws(() => new PartAssembler(1000).push(part(0, true)), rejected);
    const roomy = new PartAssembler(1_000_000);
    assert.throws(() => roomy.push(part(partBytesMax + 1)), rejected);
  });

  it("cannot send more than the largest answer", () => {
    const assembler = new PartAssembler(1000);
    assembler.push(part(600));
    assert.throws(() => assembler.push(part(401, true)), rejected);
  });

  it("cannot send beyond the credit that it was given", () => {
    const assembler = new PartAssembler(10 * partCreditBytes);
    for (let i = 0; i < partCreditBytes / partBytesMax; i++) assembler.push(part(partBytesMax));
    assert.throws(() => assembler.push(part(1)), rejected);
    assert.equal(creditOf(assembler.credit()), BigInt(partCreditBytes));
    assembler.push(part(partBytesMax));
  });

  it("cannot send anything behind the last part", () => {
    const assembler = new PartAssembler(1000);
    assert.equal(assembler.push(part(3, true))?.length, 3);
    assert.throws(() => assembler.push(part(1)), rejected);
    assert.throws(() => assembler.push(part(1, true)), rejected);
  });
});

function sum(parts: readonly PartFrame[]): number {
  return parts.reduce((total, { bytes }) => total + bytes.length, 0);
}
