import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { equalBytes, utf8 } from "../../src/base/bytes.ts";
import { systemClock, systemScheduler } from "../../gateway/runtime.ts";
import type { Clock, Scheduler } from "../../src/base/clock.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { callTokenDigest, openCallToken } from "../../src/credential/call-token.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { encodeProviderRefusal } from "../../src/exchange/provider-records.ts";
import { statusOf } from "../../src/exchange/status.ts";
import {
  type StatusFrame,
  StatusFrameSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  type AnswerFrame,
  AnswerFrameSchema,
  RefusedFrameSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { StatusSource } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Check, Outcome } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { LedgerRecord } from "../../src/record/record.ts";
import { type Answer, type CallOptions } from "../support/agency-client.ts";
import { eventually } from "../support/admin-client.ts";
import { testSigner } from "../support/records.ts";
import { grantAgain } from "../support/granted.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, publication } from "../support/two-cities.ts";
import { division, proofIn, RogueProvider, type Victim } from "./rogue-provider.ts";
import { encodeHeaders, type RecordReader, recordReader } from "./support.ts";

const secret = "西湖区";

describe("a consumer whose provider lies", () => {
  let running: Running;
  let rogue: RogueProvider;
  let records: RecordReader;
  /** How far the consumer's clock is ahead: it never goes back. */
  let aheadMs = 0;
  /** The consumer's waits of a minute, which is what the ledger may take to include something, are over at once. */
  let isHurried = false;

  before(async () => {
    const clock: Clock = { ...systemClock, nowMs: () => Date.now() + aheadMs };
    const scheduler: Scheduler = {
      after: (delayMs, work) =>
        systemScheduler.after(isHurried && delayMs === 60_000 ? 100 : delayMs, work),
    };
    running = await startTwoCities({ overrides: { consumer: { clock, scheduler } } });
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
    readonly answer: Answer<unknown>;
    /** Records of the consumer about this exchange, oldest first. */
    readonly closings: readonly LedgerRecord["body"][];
  }

  async function call(
    behave: (victim: Victim) => void | Promise<void>,
    options: CallOptions & { readonly writes?: boolean } = {},
  ): Promise<Told> {
    rogue.behave = behave;
    const before_ = (await records.entries()).length;
    const { writes = false, ...rest } = options;
    const answer = writes
      ? await running.client.reportCorrection("330106", rest)
      : await running.client.getDivision("330106", rest);
    const entries = await records.entries();
    const added = entries.slice(0, entries.length - before_).toReversed();
    const closings = await Promise.all(added.map((entry) => records.open(entry)));
    return { answer, closings: closings.map(({ record }) => record.body) };
  }

  /** Nothing of the answer reaches the caller in any form. */
  function assertNothingHandedOver({ answer }: Told): void {
    assert.equal(answer.message, undefined);
    const said = JSON.stringify([
      answer.details,
      answer.headers.toJSON(),
      answer.trailers.toJSON(),
    ]);
    assert.ok(!said.includes(secret), said);
    assert.equal(answer.headers.get("x-leak").length, 0);
    assert.equal(answer.trailers.get("x-leak").length, 0);
  }

  function assertAcknowledged(told: Told, check: Check): void {
    assert.equal(told.closings.length, 1);
    const [body] = told.closings;
    assert.ok(body?.case === "acknowledgement", body?.case);
    assert.equal(body.value.check, check);
    assert.equal(body.value.final, true);
  }

  function assertClosed(told: Told, ...outcomes: readonly Outcome[]): void {
    const found = told.closings.map((body) => {
      assert.ok(body.case === "closed", body.case);
      return body.value.outcome;
    });
    assert.deepEqual(found, outcomes);
  }

  function answers(
    change: (frame: AnswerFrame) => void,
    options: (victim: Victim) => Parameters<RogueProvider["answer"]>[1] = () => ({}),
  ): (victim: Victim) => Promise<void> {
    return async (victim) => {
      const value = await rogue.answer(victim.frame, options(victim));
      change(value);
      victim.send({ case: "answer", value });
    };
  }

  it("ends a call whose receipt rests on a ledger that nobody shows, and names the size", async () => {
    isHurried = true;
    const told = await call(async (victim) => {
      const seen = { size: 1_000_000n, root: new Uint8Array(32) };
      const value = await rogue.answer(victim.frame, { header: { seen } });
      victim.send({ case: "answer", value });
    });
    isHurried = false;
    assert.deepEqual([told.answer.code, told.answer.reason], [14, "LEDGER_BEHIND"]);
    assert.equal(told.answer.fields["size"], "1000000");
    assertNothingHandedOver(told);
    assertClosed(told, Outcome.GATEWAY_ERROR);
    const [closed] = told.closings;
    assert.ok(closed?.case === "closed");
    assert.equal(closed.value.status?.source, StatusSource.GATEWAY);
    assert.equal(closed.value.status.reason, "LEDGER_BEHIND");
  });

  it("is given an honest answer with a MATCH", async () => {
    const told = await call(answers(() => {}));
    assert.equal(told.answer.code, 0, told.answer.details);
    assertAcknowledged(told, Check.MATCH);
  });

  const flip = (bytes: Uint8Array, at = 0): void => {
    bytes[at] = (bytes[at] as number) ^ 1;
  };
  const otherStatus = (code: number): Uint8Array => division(secret, { code }).status;
  const mismatches: readonly (readonly [string, (frame: AnswerFrame) => void])[] = [
    ["another message", (f) => (f.messages = [...division("余杭区").messages])],
    ["a second message", (f) => f.messages.push(f.messages[0] as Uint8Array)],
    ["no message", (f) => (f.messages = [])],
    ["other headers", (f) => (f.headers = encodeHeaders(["x-leak", secret]))],
    ["another status", (f) => (f.status = otherStatus(5))],
    ["no salt", (f) => (f.openings = [])],
    ["no salt of the status", (f) => f.openings.pop()],
    ["a salt twice", (f) => f.openings.push(...f.openings)],
    ["another salt", (f) => flip((f.openings[0] as { salt: Uint8Array }).salt)],
    [
      "a short salt",
      (f) => {
        for (const opening of f.openings) opening.salt = opening.salt.slice(1);
      },
    ],
  ];
  for (const [lie, change] of mismatches) {
    it(`records COMMITMENT_MISMATCH for ${lie}`, async () => {
      const told = await call(answers(change));
      assert.equal(told.answer.code, 15);
      assert.equal(told.answer.reason, "COMMITMENT_MISMATCH");
      assertNothingHandedOver(told);
      assertAcknowledged(told, Check.COMMITMENT_MISMATCH);
    });
  }

  const receiptLies: readonly (readonly [
    string,
    (victim: Victim) => Parameters<RogueProvider["answer"]>[1],
  ])[] = [
    [
      "a receipt over another request",
      ({ frame }) => ({
        built: rogue.receipt(frame, division(secret), { request: new Uint8Array(32) }),
      }),
    ],
    [
      "a receipt of an earlier call",
      () => {
        const [earlier] = rogue.calls as [Victim];
        return { built: rogue.receipt(earlier.frame, division(secret)) };
      },
    ],
    [
      "a receipt for another index of the token",
      ({ frame }) => ({
        built: rogue.receipt(frame, division(secret), { begin: rogue.begin(frame, { index: 1 }) }),
      }),
    ],
    [
      "a receipt that follows an Opened that it does not show",
      ({ frame }) => ({
        built: rogue.receipt(frame, division(secret), { prev: new Uint8Array(32) }),
      }),
    ],
  ];
  for (const [lie, options] of receiptLies) {
    it(`records COMMITMENT_MISMATCH for ${lie}`, async () => {
      const told = await call(answers(() => {}, options));
      assert.equal(told.answer.reason, "COMMITMENT_MISMATCH");
      assertNothingHandedOver(told);
      assertAcknowledged(told, Check.COMMITMENT_MISMATCH);
    });
  }

  const proofLies: readonly (readonly [
    string,
    (frame: AnswerFrame) => void,
    ((victim: Victim) => Parameters<RogueProvider["answer"]>[1])?,
  ])[] = [
    ["no proof", (f) => delete f.proof],
    ["a record with a flipped bit", (f) => flip(f.proof?.record as Uint8Array, 40)],
    ["a leaf with a flipped signature", (f) => flip(f.proof?.leaf as Uint8Array)],
    ["a leaf with a flipped header", (f) => flip(f.proof?.leaf as Uint8Array, 100)],
    ["a leaf that is cut short", (f) => (f.proof!.leaf = f.proof!.leaf.slice(0, 70))],
    ["a path that is too long", (f) => f.proof?.path.push(new Uint8Array(32))],
    ["another position", (f) => (f.proof!.position = 1)],
    ["garbage for a proof", (f) => (f.proof!.leaf = new Uint8Array(200).fill(7))],
    ["a header of another network", () => {}, () => ({ header: { network: new Uint8Array(32) } })],
    [
      "a header of the honest gateway",
      () => {},
      () => ({ header: { gateway: running.cities.provider.gateway.card.id } }),
    ],
  ];
  for (const [lie, change, options] of proofLies) {
    it(`closes PROOF_INVALID for ${lie}`, async () => {
      const told = await call(answers(change, options));
      assert.equal(told.answer.code, 15);
      assert.equal(told.answer.reason, "RECEIPT_PROOF_INVALID");
      assertNothingHandedOver(told);
      assertClosed(told, Outcome.PROOF_INVALID);
    });
  }

  const headerLies: readonly (readonly [
    string,
    () => Promise<Parameters<RogueProvider["answer"]>[1]>,
    ReasonCode,
    Check,
  ])[] = [
    [
      "a header under a key that the ledger does not bind",
      async () => ({ signer: testSigner(0x55) as RogueProvider["keys"]["batch"] }),
      "RECEIPT_KEY_UNKNOWN",
      Check.KEY_UNKNOWN,
    ],
    [
      "a header under the token key",
      async () => ({ signer: rogue.keys.token }),
      "RECEIPT_KEY_UNKNOWN",
      Check.KEY_UNKNOWN,
    ],
    [
      "a header that has seen a fork",
      async () => ({
        header: { seen: { size: (await rogue.seen()).size, root: new Uint8Array(32) } },
      }),
      "SEEN_FORK",
      Check.SEEN_FORK,
    ],
    [
      "a seal in the future",
      async () => ({ header: { sealedAtMs: Date.now() + 60_000, firstAtMs: Date.now() } }),
      "TIME_IMPLAUSIBLE",
      Check.TIME_IMPLAUSIBLE,
    ],
    [
      "a seal from before the call",
      async () => ({ header: { sealedAtMs: Date.now() - 60_000 } }),
      "TIME_IMPLAUSIBLE",
      Check.TIME_IMPLAUSIBLE,
    ],
  ];
  for (const [lie, options, reason, check] of headerLies) {
    it(`records ${reason} for ${lie}`, async () => {
      const told = await call(async (victim) => {
        const value = await rogue.answer(victim.frame, await options());
        victim.send({ case: "answer", value });
      });
      assert.equal(told.answer.code, 15);
      assert.equal(told.answer.reason, reason);
      assertNothingHandedOver(told);
      assertAcknowledged(told, check);
    });
  }

  it("waits for a size that nobody has shown, until the deadline", async () => {
    const told = await call(
      answers(
        () => {},
        () => ({ header: { seen: { size: 1n << 40n, root: new Uint8Array(32) } } }),
      ),
      { deadlineMs: 3000 },
    );
    assert.equal(told.answer.code, 4);
    assertNothingHandedOver(told);
    await eventually("it is closed", async () => {
      const [newest] = await records.entries(1);
      // The caller's own clock may end the call a moment before the gateway's does.
      return newest?.kind === "closed" && ["CANCELLED", "DEADLINE"].includes(newest.detail);
    });
  });

  describe("a status or metadata that is receipted and cannot be read", () => {
    const unreadable: readonly (readonly [string, ReturnType<typeof division>])[] = [
      ["a status that is no StatusFrame", division(secret, { bytes: Uint8Array.of(0xff, 0xff) })],
      ["headers that are no Metadata", { ...division(secret), headers: Uint8Array.of(0xff, 0xff) }],
      ["a status code that gRPC lacks", division(secret, { bytes: Uint8Array.of(0x08, 99) })],
      [
        "a code that the receipt does not say",
        { ...division(secret, { bytes: otherStatus(5) }), grpcCode: 0 },
      ],
      ["a message beside an error", { ...division(secret), status: otherStatus(5), grpcCode: 5 }],
      [
        "two messages of a unary method",
        {
          ...division(secret),
          messages: [division(secret).messages, division(secret).messages].flat(),
        },
      ],
      [
        "a header that HTTP/2 cannot carry",
        { ...division(secret), headers: encodeHeaders(["x-leak", "a\r\nb"]) },
      ],
    ];
    for (const [lie, answer] of unreadable) {
      it(`hands nothing over for ${lie}`, async () => {
        const told = await call(
          answers(
            () => {},
            () => ({ answer }),
          ),
        );
        assert.equal(told.answer.code, 15, `${told.answer.code} ${told.answer.details}`);
        assert.equal(told.answer.reason, "COMMITMENT_MISMATCH");
        assertNothingHandedOver(told);
        assertAcknowledged(told, Check.COMMITMENT_MISMATCH);
      });
    }
  });

  const leak: StatusFrame = create(StatusFrameSchema, {
    code: 7,
    message: utf8(secret),
    trailers: { entries: [{ key: "x-leak", value: utf8(secret) }] },
  });
  const encoded = (status: StatusFrame): Uint8Array => toBinary(StatusFrameSchema, status);

  async function refusalProof(
    reason: ReasonCode,
    victim: Victim,
    gateway = running.cities.consumer.gateway.card.id,
  ): Promise<ReturnType<typeof proofIn>> {
    const { token, statement, index, path } = victim.frame;
    const record = encodeProviderRefusal({
      stage: "grant",
      reason,
      peer: { gateway, tlsKey: new Uint8Array(32) },
      call: { token, statement, index, path },
      callCommitment: undefined,
      method: undefined,
      methodCommitment: undefined,
      decision: undefined,
      recheck: undefined,
      upstreamCalled: false,
    });
    return proofIn(await rogue.seal([record]), 0);
  }

  describe("a refusal", () => {
    it("with a proof gives the reason of the record, and nothing of the frame", async () => {
      const told = await call(async (victim) => {
        const proof = await refusalProof("POLICY_DENIED", victim);
        const value = create(RefusedFrameSchema, { status: encoded(leak), proof });
        victim.send({ case: "refused", value });
      });
      assert.equal(told.answer.reason, "POLICY_DENIED");
      assertNothingHandedOver(told);
      assertClosed(told, Outcome.REFUSED);
    });

    it("without a proof gives its reason code, and nothing else of the frame", async () => {
      const status = statusOf("PURPOSE_NOT_GRANTED");
      const trailers = leak.trailers as NonNullable<StatusFrame["trailers"]>;
      const told = await call((victim) => {
        const bytes = encoded(
          create(StatusFrameSchema, { ...status, message: utf8(secret), trailers }),
        );
        victim.send({ case: "refused", value: create(RefusedFrameSchema, { status: bytes }) });
      });
      assert.equal(told.answer.code, 7);
      assert.equal(told.answer.reason, "PURPOSE_NOT_GRANTED");
      assertNothingHandedOver(told);
      assertClosed(told, Outcome.REFUSED);
    });

    for (const [lie, status] of [
      ["a status without a reason", encoded(leak)],
      ["the status OK", encoded(create(StatusFrameSchema, { code: 0, message: utf8(secret) }))],
      ["bytes that are no status", Uint8Array.of(0xff, 0xff, 0xff)],
      ["no status", new Uint8Array()],
    ] as const) {
      it(`without a proof and with ${lie} is RECEIPT_PROOF_INVALID`, async () => {
        const told = await call((victim) => {
          victim.send({ case: "refused", value: create(RefusedFrameSchema, { status }) });
        });
        assert.equal(told.answer.code, 15);
        assert.equal(told.answer.reason, "RECEIPT_PROOF_INVALID");
        assertNothingHandedOver(told);
        assertClosed(told, Outcome.PROOF_INVALID);
      });
    }

    for (const [lie, make] of [
      [
        "whose record is of another call",
        async () => refusalProof("POLICY_DENIED", rogue.calls[0] as Victim),
      ],
      [
        "whose record is of another consumer",
        async (victim: Victim) =>
          refusalProof("POLICY_DENIED", victim, "shenzhen/market-regulation/gw9"),
      ],
      [
        "whose proof does not verify",
        async (victim: Victim) => {
          const proof = await refusalProof("POLICY_DENIED", victim);
          flip(proof.leaf);
          return proof;
        },
      ],
      [
        "that is a receipt",
        async ({ frame }: Victim) => {
          const { record } = rogue.receipt(frame, division(secret));
          return proofIn(await rogue.seal([record]), 0);
        },
      ],
    ] as const) {
      it(`${lie} is RECEIPT_PROOF_INVALID`, async () => {
        const told = await call(async (victim) => {
          const proof = await make(victim);
          const value = create(RefusedFrameSchema, { status: encoded(leak), proof });
          victim.send({ case: "refused", value });
        });
        assert.equal(told.answer.code, 15);
        assert.equal(told.answer.reason, "RECEIPT_PROOF_INVALID");
        assertNothingHandedOver(told);
        assertClosed(told, Outcome.PROOF_INVALID);
      });
    }
  });

  it("takes the first of two answers, and records one closing", async () => {
    const told = await call(async (victim) => {
      const honest = await rogue.answer(victim.frame);
      const other = await rogue.answer(victim.frame, { answer: division("余杭区") });
      for (const value of [honest, other, honest]) victim.send({ case: "answer", value });
    });
    assert.equal(told.answer.code, 0);
    assertAcknowledged(told, Check.MATCH);
  });

  it("passes over answers to exchanges that it does not have", async () => {
    const told = await call(async (victim) => {
      const value = await rogue.answer(victim.frame);
      const stray = { ...victim, exchange: 99_999n };
      const frame = { $typeName: "causeway.exchange.v1.Frame" as const };
      stray.link.send({ ...frame, exchange: 99_999n, body: { case: "answer", value } });
      stray.link.send({ ...frame, exchange: 0n, body: { case: "answer", value } });
      stray.link.send({
        ...frame,
        exchange: victim.exchange,
        body: { case: "call", value: victim.frame },
      });
      victim.send({ case: "answer", value: create(AnswerFrameSchema, value) });
    });
    assert.equal(told.answer.code, 0);
    assertAcknowledged(told, Check.MATCH);
  });

  it("closes GATEWAY_ERROR for a failure with a reason that it does not know", async () => {
    const told = await call((victim) => {
      const reason = `${secret} and more`;
      victim.send({
        case: "failed",
        value: { $typeName: "causeway.exchange.v1.FailedFrame", reason },
      });
    });
    assert.equal(told.answer.reason, "INTERNAL");
    assertNothingHandedOver(told);
    assertClosed(told, Outcome.GATEWAY_ERROR);
  });

  it("makes one new attempt for a boot that is stale again and again", async () => {
    const count = rogue.calls.length;
    const told = await call((victim) => {
      const boot = new Uint8Array(16);
      victim.send({
        case: "nonceStale",
        value: { $typeName: "causeway.exchange.v1.NonceStaleFrame", boot },
      });
    });
    assert.equal(told.answer.reason, "NONCE_STALE");
    assert.equal(rogue.calls.length, count + 2);
    assertClosed(told, Outcome.REFUSED, Outcome.REFUSED);
  });

  it("makes the new attempt under the boot that a stale nonce is answered with", async () => {
    const count = rogue.calls.length;
    const boot = new Uint8Array(16).fill(7);
    const told = await call(async (victim) => {
      const nonce = openCallToken(victim.frame.token).claims.nonce;
      const body: FrameBody = equalBytes(nonce, boot)
        ? { case: "answer", value: await rogue.answer(victim.frame) }
        : {
            case: "nonceStale",
            value: { $typeName: "causeway.exchange.v1.NonceStaleFrame", boot },
          };
      victim.send(body);
    });
    assert.equal(told.answer.code, 0, told.answer.details);
    assert.equal(rogue.calls.length, count + 2);
    const [first, second] = told.closings;
    assert.ok(first?.case === "closed" && first.value.outcome === Outcome.REFUSED);
    assert.equal(first.value.nextAttempt, 2);
    assert.ok(second?.case === "acknowledgement" && second.value.check === Check.MATCH);
    assert.equal(second.value.attempt, 2);
    assert.deepEqual(second.value.xid, first.value.xid);
  });

  describe("a link that is cut", () => {
    // Each test cuts the link: the next waits until the consumer has opened another.
    beforeEach(() => rogue.linked());

    it("during a read is NO_ANSWER, with one new attempt at another gateway", async () => {
      const count = rogue.calls.length;
      const told = await call(({ link }) => link.close());
      assert.equal(told.answer.code, 0, told.answer.details);
      const [first, second] = told.closings;
      assert.ok(first?.case === "closed" && first.value.outcome === Outcome.NO_ANSWER);
      assert.equal(first.value.nextAttempt, 2);
      assert.ok(second?.case === "acknowledgement" && second.value.check === Check.MATCH);
      assert.equal(second.value.attempt, 2);
      assert.deepEqual(second.value.xid, first.value.xid);
      assert.equal(told.closings.length, 2);
      assert.equal(rogue.calls.length, count + 1);
    });

    it("during a write is NO_ANSWER without another attempt", async () => {
      const count = rogue.calls.length;
      const told = await call((victim) => victim.link.close(), { writes: true });
      assert.equal(told.answer.code, 14);
      assert.equal(told.answer.reason, "NO_ANSWER");
      assert.equal(rogue.calls.length, count + 1);
      assertClosed(told, Outcome.NO_ANSWER);
    });

    it("by a second Hello is NO_ANSWER", async () => {
      const told = await call(
        ({ link }) =>
          link.send({
            $typeName: "causeway.exchange.v1.Frame",
            exchange: 0n,
            body: { case: "hello", value: link.hello },
          }),
        { writes: true },
      );
      assert.equal(told.answer.reason, "NO_ANSWER");
      assertClosed(told, Outcome.NO_ANSWER);
    });
  });

  it("is told GRANT_REVOKED once its gateway knows, whatever its provider goes on to answer", async () => {
    await rogue.linked();
    const { cities, provider, consumer, grant } = running;
    const told = await call(async (victim) => {
      const { jws } = cities.sign(cities.provider, "revocation", cities.consumer.agency.card.id, {
        grant,
        reason: "PURPOSE_ENDED",
      });
      assert.equal((await provider.submit(jws)).voidReason, "");
      await eventually("the consumer knows of it", async () => {
        const { finalSize } = await consumer.status();
        return finalSize >= (await provider.status()).finalSize;
      });
      victim.send({ case: "answer", value: await rogue.answer(victim.frame) });
    });
    assert.equal(told.answer.code, 7);
    assert.equal(told.answer.reason, "GRANT_REVOKED");
    assertNothingHandedOver(told);
    assertClosed(told, Outcome.CANCELLED);
  });

  it("has closed every attempt with exactly one record", async () => {
    await running.settled();
    const closings = new Map<string, number>();
    for (const entry of await records.entries()) {
      const { body } = (await records.open(entry)).record;
      if (body.case !== "closed" && body.case !== "acknowledgement") continue;
      const { tokenDigest, index } = body.value;
      const key = `${Buffer.from(tokenDigest).toString("hex")}/${index}`;
      closings.set(key, (closings.get(key) ?? 0) + 1);
    }
    for (const { frame } of rogue.calls) {
      const digest = Buffer.from(callTokenDigest(frame.token)).toString("hex");
      assert.equal(closings.get(`${digest}/${frame.index}`), 1);
    }
    assert.ok([...closings.values()].every((count) => count === 1));
    assert.deepEqual(running.gateways.consumer.notReady(), []);
  });

  it("records STALE_SEAL for a seal that rests on a size long superseded", async () => {
    const { cities, consumer, provider } = running;
    await grantAgain(cities, { provider, consumer });
    const { service } = publication(cities);
    const shorter = { ...service, version: 2, max_staleness_s: 30 };
    const { jws } = cities.sign(cities.provider, "service", divisionsService, shorter);
    const seen = await rogue.seen();
    assert.equal((await provider.submit(jws)).voidReason, "");
    await running.settled();
    await rogue.linked();
    // From here on no size becomes final: the consumer's witness is ahead too.
    aheadMs = 50_000;
    const told = await call(async (victim) => {
      const sealedAtMs = Date.now() + aheadMs;
      const value = await rogue.answer(victim.frame, { header: { seen, sealedAtMs } });
      victim.send({ case: "answer", value });
    });
    assert.equal(told.answer.code, 15);
    assert.equal(told.answer.reason, "STALE_SEAL");
    assertNothingHandedOver(told);
    assertAcknowledged(told, Check.STALE_SEAL);
  });
});
