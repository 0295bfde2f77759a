import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { equalBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { refusedValueBytesMax, requestCreditBytes } from "../../src/base/limits.ts";
import { commit } from "../../src/crypto/commitments.ts";
import type { OpeningItem } from "../../src/exchange/ports.ts";
import { singleRefusalsMax } from "../../src/exchange/refusal-limiter.ts";
import { refusalIds } from "../../src/exchange/refusal-openings.ts";
import type { UpstreamListener } from "../../src/exchange/transport/ports.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { Durability } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import {
  Outcome,
  RecordSchema,
  type Refusal,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import {
  answered,
  bytes,
  collect,
  openStream,
  settle,
  stream,
  TestProvider,
  unary,
} from "../support/test-provider.ts";

describe("the provider's side of calls on a link", () => {
  it("reserves nothing for a call that is cancelled while it is judged", async () => {
    const provider = new TestProvider();
    provider.call(1n, unary);
    provider.cancel(1n);
    await settle();
    assert.equal(provider.reserved, 0);
    assert.equal(provider.side.openAttempts, 0);
    provider.call(2n, unary);
    await settle();
    assert.equal(provider.reserved, 1);
    provider.cancel(2n);
    assert.equal(provider.reserved, 0);
  });

  it("receipts the request that was called with, whatever else a consumer sends for it", async () => {
    const provider = new TestProvider();
    provider.call(1n, unary);
    provider.request(1n, bytes(10));
    await settle();
    provider.request(1n, bytes(2 * requestCreditBytes));
    provider.send(1n, {
      case: "halfClose",
      value: { $typeName: "causeway.exchange.v1.HalfCloseFrame" },
    });
    provider.answer(answered([bytes(10)]));
    await settle();
    const [receipt] = provider.records();
    assert.ok(receipt?.case === "receipt" && receipt.value.start.case === "begin");
    const { statement = new Uint8Array() } = receipt.value.start.value.call ?? {};
    assert.ok(statement.length > 0);
    assert.deepEqual(receipt.value.progress?.request, openCallStatement(statement).request);
    assert.equal(receipt.value.progress?.requestFrames, 2n);
  });

  it("keeps nothing of a large answer that its consumer cancels", async () => {
    const provider = new TestProvider();
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(1 << 20)]));
    await settle();
    const parts = (): number =>
      provider.sent(1n).filter(({ case: kind }) => kind === "part").length;
    assert.equal(parts(), 4);
    provider.cancel(1n);
    // Its number is free again: a call under it is a call.
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.equal(parts(), 4);
    assert.equal(provider.sent(1n).at(-1)?.case, "answer");
  });

  it("gives up a large answer whose consumer takes more than was sent", async () => {
    const provider = new TestProvider();
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(1 << 20)]));
    await settle();
    const { $typeName } = { $typeName: "causeway.exchange.v1.CreditFrame" as const };
    provider.send(1n, { case: "credit", value: { $typeName, messages: 0n, bytes: 1n << 40n } });
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.equal(provider.sent(1n).at(-1)?.case, "answer");
  });

  it("expects a receipt while the upstream is at work, and no longer", async () => {
    const provider = new TestProvider();
    for (const exchange of [1n, 2n, 3n]) provider.call(exchange, unary);
    await settle();
    assert.equal(provider.expected.count(), 3);
    provider.answer(answered([bytes(10)]));
    provider.cancel(1n);
    await settle();
    assert.equal(provider.expected.count(), 1);
    provider.handler.onLost();
    await settle();
    assert.equal(provider.expected.count(), 0);
  });

  it("expects no receipt where what is being sealed is a refusal", async () => {
    const provider = new TestProvider();
    provider.call(1n, stream);
    await settle();
    provider.seals = [];
    const listener = provider.listener as UpstreamListener;
    listener.onFailed(new CausewayError("MESSAGE_TOO_LARGE", "as the test has it"));
    await settle();
    assert.deepEqual([provider.seals.length, provider.expected.count()], [1, 0]);
    assert.equal(provider.records().at(-1)?.case, "refusal");
  });

  it("keeps nothing of an attempt until its last receipt is acknowledged", async () => {
    const provider = new TestProvider();
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.equal(provider.sent(1n).at(-1)?.case, "answer");
    assert.equal(provider.acknowledged, undefined);
  });

  it("refuses a request beyond its credit that came before the call was judged, and calls nothing", async () => {
    const provider = new TestProvider();
    provider.call(1n, stream);
    provider.request(1n, bytes(1000));
    for (let sent = 0; sent <= requestCreditBytes; sent += 60_000) {
      provider.request(1n, bytes(60_000));
    }
    await settle();
    const [refusal] = provider.records();
    assert.ok(refusal?.case === "refusal");
    assert.equal(refusal.value.reason, "MESSAGE_TOO_LARGE");
    assert.equal(refusal.value.upstreamCalled, false);
    assert.equal(provider.listener, undefined);
    assert.equal(provider.reserved, 0);
  });

  it("keeps what opens the decision of a call that it refuses, and nothing of what was sent for it", async () => {
    const provider = new TestProvider();
    const item = { label: "attribute/citizen", salt: bytes(32), value: bytes(10) };
    provider.deniedOn = item;
    provider.call(1n, unary);
    await settle();
    const [refusal] = provider.records();
    assert.ok(refusal?.case === "refusal" && refusal.value.reason === "POLICY_DENIED");
    const { statement = new Uint8Array() } = refusal.value.call ?? {};
    const { xid, attempt } = openCallStatement(statement);
    const [kept] = provider.kept;
    assert.equal(provider.kept.length, 1);
    assert.deepEqual([kept?.xid, kept?.attempt, kept?.side], [xid, attempt, "provider"]);
    assert.deepEqual(kept?.items, [item]);
  });

  describe("keeps what opens a refusal on record", () => {
    async function refuse(provider: TestProvider): Promise<Refusal> {
      provider.call(1n, unary);
      await settle();
      const [refusal] = provider.records();
      assert.ok(refusal?.case === "refusal");
      return refusal.value;
    }
    const sealedNow = (): Parameters<typeof refusalIds>[1] => {
      const now = BigInt(Date.now());
      return { firstAt: now - 10n, sealedAt: now };
    };

    it("of a token that does not verify: the token, under an id that the record and its time tell", async () => {
      const provider = new TestProvider();
      provider.tokenFault = "TOKEN_SIGNATURE_INVALID";
      const { callCommitment, methodCommitment, call } = await refuse(provider);
      assert.deepEqual([call, methodCommitment.length], [undefined, 0]);
      const [kept, ...others] = provider.kept;
      const [item, ...otherItems] = kept?.items ?? [];
      assert.deepEqual([others, otherItems], [[], []]);
      assert.deepEqual([kept?.attempt, kept?.side, item?.label], [0, "provider", "call"]);
      const { salt, value } = item as OpeningItem;
      assert.deepEqual(commit({ label: "call", salt, value }), callCommitment);
      assert.match(new TextDecoder().decode(value), /^[\w-]{43}$/);
      const ids = refusalIds({ callCommitment, methodCommitment }, sealedNow());
      assert.ok(ids.some((id) => equalBytes(id, kept?.xid as Uint8Array)));
      assert.ok(ids.length <= 3);
    });

    it("of a method that stands in no catalogue: the method", async () => {
      const provider = new TestProvider();
      provider.published = undefined;
      const refusal = await refuse(provider);
      assert.deepEqual([refusal.reason, refusal.method], ["SERVICE_UNKNOWN", ""]);
      const [item] = provider.kept[0]?.items ?? [];
      const { label, salt, value } = item as OpeningItem;
      assert.deepEqual([label, new TextDecoder().decode(value)], ["method", unary]);
      assert.deepEqual(commit({ label: "method", salt, value }), refusal.methodCommitment);
      // The record says which exchange it is: what opens it is shown and erased with that.
      const statement = openCallStatement(refusal.call?.statement as Uint8Array);
      const [kept] = provider.kept;
      assert.deepEqual([kept?.xid, kept?.attempt], [statement.xid, 0]);
      assert.deepEqual(refusalIds(refusal, sealedNow()), []);
    });

    it("but nothing of what is larger than a call token is, or of what is only counted", async () => {
      const large = new TestProvider();
      large.tokenFault = "TOKEN_MALFORMED";
      const frame = large.callFrame(unary);
      frame.token = "x".repeat(refusedValueBytesMax + 1);
      large.send(1n, { case: "call", value: frame });
      await settle();
      assert.equal(large.records().length, 1);
      assert.deepEqual(large.kept, []);
      const flooded = new TestProvider();
      flooded.tokenFault = "TOKEN_MALFORMED";
      for (let i = 1n; i <= 100n; i++) flooded.call(i, unary);
      await settle();
      assert.equal(flooded.kept.length, singleRefusalsMax);
      assert.equal(flooded.sealed.length, singleRefusalsMax);
    });
  });

  it("seals no segment without anything in it", async () => {
    const provider = new TestProvider();
    provider.seals = [];
    provider.call(1n, stream);
    await settle();
    const listener = provider.listener as UpstreamListener;
    listener.onHeaders(create(MetadataSchema));
    await settle();
    listener.onMessage(bytes(10));
    await settle();
    // It goes into the segment that is begun when the first one is durable, in this very turn.
    listener.onMessage(bytes(10));
    provider.seals.shift()?.();
    await settle();
    provider.seals.shift()?.();
    await settle();
    const progress = provider.records().map((body) => {
      assert.ok(body.case === "receipt" && body.value.progress !== undefined);
      return [body.value.progress.framesFirst, body.value.progress.framesEnd];
    });
    assert.deepEqual(progress, [
      [0n, 1n],
      [1n, 3n],
    ]);
  });

  it("receipts all that its upstream gave before it failed, and then says that it has", async () => {
    const provider = new TestProvider();
    const acknowledge: (() => void)[] = [];
    provider.call(1n, stream);
    await settle();
    const listener = provider.listener as UpstreamListener;
    listener.onHeaders(create(MetadataSchema));
    await settle();
    for (let released = 1; released <= 4; released++) {
      assert.ok(provider.acknowledged !== undefined);
      acknowledge.push(provider.acknowledged);
      listener.onMessage(bytes(10));
      await settle();
    }
    listener.onFailed(new CausewayError("UPSTREAM_UNAVAILABLE", "its connection has ended"));
    await settle();
    assert.equal(provider.records().length, 4);
    acknowledge[0]?.();
    await settle();
    const [receipt, closed] = provider.records().slice(4);
    assert.ok(receipt?.case === "receipt" && closed?.case === "closed");
    assert.equal(receipt.value.progress?.framesEnd, 5n);
    assert.equal(closed.value.outcome, Outcome.UPSTREAM_ERROR);
    assert.deepEqual(
      provider.sent(1n).map(({ case: kind }) => kind),
      ["answer", "answer", "answer", "answer", "answer", "refused"],
    );
  });

  describe("whose grant is revoked", () => {
    async function silent(messages: number): Promise<TestProvider> {
      const provider = new TestProvider();
      provider.call(1n, stream);
      await settle();
      const listener = provider.listener as UpstreamListener;
      if (messages > 0) listener.onHeaders(create(MetadataSchema));
      for (let sent = 0; sent < messages; sent++) listener.onMessage(bytes(10));
      await settle();
      return provider;
    }

    it("closes a silent stream REVOKED, naming the revocation", async () => {
      const provider = await silent(1);
      provider.side.recheckOpen();
      await settle();
      assert.equal(provider.side.openAttempts, 1);
      provider.taken = bytes(32);
      provider.side.recheckOpen();
      await settle();
      const closed = provider.records().at(-1);
      assert.ok(closed?.case === "closed");
      assert.equal(closed.value.outcome, Outcome.REVOKED);
      assert.deepEqual(closed.value.recheck?.fact?.name.value, {
        ...closed.value.recheck?.fact?.name.value,
        hash: provider.taken,
      });
      assert.equal(provider.sent(1n).at(-1)?.case, "refused");
      assert.equal(provider.side.openAttempts, 0);
    });

    it("refuses a stream without a record, and says that its upstream was called", async () => {
      const provider = await silent(0);
      provider.taken = bytes(32);
      provider.side.recheckOpen();
      await settle();
      const refusal = provider.records().at(-1);
      assert.ok(refusal?.case === "refusal");
      assert.equal(refusal.value.reason, "GRANT_REVOKED");
      assert.equal(refusal.value.upstreamCalled, true);
      assert.equal(provider.side.openAttempts, 0);
    });

    it("ends a stream that was decided before what it rests on was taken away", async () => {
      const provider = new TestProvider();
      provider.taken = bytes(32);
      provider.call(1n, stream);
      await settle();
      assert.equal(provider.side.openAttempts, 0);
      assert.equal(provider.records().at(-1)?.case, "refusal");
    });

    it("closes a silent stream when the time of its grant is over, and not before", async ({
      mock,
    }) => {
      const provider = new TestProvider();
      provider.endsAtS = Math.floor(Date.now() / 1000) + 1000;
      provider.call(1n, stream);
      await settle();
      const listener = provider.listener as UpstreamListener;
      listener.onHeaders(create(MetadataSchema));
      await settle();
      const ring = async (): Promise<void> => {
        for (const timer of provider.timers.splice(0)) timer();
        await settle();
      };
      await ring();
      assert.equal(provider.side.openAttempts, 1);
      mock.method(Date, "now", () => provider.endsAtS * 1000);
      await ring();
      const closed = provider.records().at(-1);
      assert.ok(closed?.case === "closed");
      assert.deepEqual(
        [closed.value.outcome, closed.value.status?.reason],
        [Outcome.REVOKED, "GRANT_EXPIRED"],
      );
      assert.equal(provider.side.openAttempts, 0);
    });

    it("ends a stream also when the revocation found no way into the journal meanwhile", async () => {
      const provider = await silent(1);
      let asked = 0;
      Object.defineProperty(provider, "taken", {
        get: () => (asked++ === 0 ? bytes(32) : undefined),
      });
      provider.side.recheckOpen();
      await settle();
      const closed = provider.records().at(-1);
      assert.ok(closed?.case === "closed");
      assert.equal(closed.value.outcome, Outcome.GATEWAY_ERROR);
      assert.equal(provider.side.openAttempts, 0);
    });
  });

  describe("whose consumer has closed the attempt on the ledger", () => {
    /** An upstream has failed behind a closed window, and nobody acknowledges or cancels. */
    async function waiting(): Promise<TestProvider> {
      const provider = new TestProvider();
      provider.call(1n, stream);
      await settle();
      const listener = provider.listener as UpstreamListener;
      listener.onHeaders(create(MetadataSchema));
      await settle();
      for (let released = 1; released <= 4; released++) {
        listener.onMessage(bytes(10));
        await settle();
      }
      listener.onFailed(new CausewayError("UPSTREAM_UNAVAILABLE", "its connection has ended"));
      await settle();
      assert.equal(provider.records().length, 4);
      return provider;
    }

    function closing(
      provider: TestProvider,
      change: { side?: Side; index?: number } = {},
    ): Uint8Array {
      const [begun] = provider.records();
      assert.ok(begun?.case === "receipt" && begun.value.start.case === "begin");
      const { call } = begun.value.start.value;
      assert.ok(call !== undefined);
      const value = {
        side: change.side ?? Side.CONSUMER,
        xid: new Uint8Array(16),
        attempt: 1,
        tokenDigest: Buffer.from(call.token, "base64url"),
        index: change.index ?? call.index,
        outcome: Outcome.CANCELLED,
      };
      return encodeRecord(create(RecordSchema, { body: { case: "closed", value } }));
    }

    const include = (provider: TestProvider, record: Uint8Array, gateway: string): void =>
      provider.side.onIncluded({ header: { gateway } as Header, records: [record] });

    it("closes it too", async () => {
      const provider = await waiting();
      include(provider, closing(provider), provider.link.peer);
      await settle();
      const closed = provider.records().at(-1);
      assert.ok(closed?.case === "closed");
      assert.equal(closed.value.outcome, Outcome.PEER_LOST);
      assert.equal(provider.side.openAttempts, 0);
      include(provider, closing(provider), provider.link.peer);
      await settle();
      assert.equal(provider.records().length, 5);
    });

    it("but not for what another gateway, another attempt or the other side closes", async () => {
      const provider = await waiting();
      include(provider, closing(provider), "shenzhen/other/gw1");
      include(provider, closing(provider, { index: 63 }), provider.link.peer);
      include(provider, closing(provider, { side: Side.PROVIDER }), provider.link.peer);
      await settle();
      assert.equal(provider.side.openAttempts, 1);
      assert.equal(provider.records().length, 4);
    });
  });

  for (const when of ["once it is durable", "while it is sealed"]) {
    it(`closes a call that is cancelled while a receipt waits to be final, as cancelled, ${when}`, async () => {
      const provider = new TestProvider({ durability: Durability.LEDGER });
      provider.seals = [];
      provider.call(1n, stream);
      await settle();
      provider.listener?.onHeaders(create(MetadataSchema));
      await settle();
      if (when === "while it is sealed") provider.cancel(1n);
      provider.seals.shift()?.();
      await settle();
      if (when === "once it is durable") {
        assert.deepEqual(provider.sent(1n), []);
        provider.cancel(1n);
        await settle();
      }
      provider.seals.shift()?.();
      await settle();
      const [receipt, closed] = provider.records();
      assert.ok(receipt?.case === "receipt" && closed?.case === "closed");
      assert.equal(closed.value.outcome, Outcome.CANCELLED);
      assert.equal(closed.value.frames, 0n);
      assert.deepEqual(
        provider.sent(1n).map(({ case: kind }) => kind),
        ["refused"],
      );
      assert.equal(provider.side.openAttempts, 0);
      assert.ok(!provider.side.hasUnsealed);
    });
  }

  for (const [messages, code, released, status] of [
    [1, 0, 1, 0],
    [0, 0, 0, 13],
    [2, 0, 0, 13],
    [1, 5, 0, 5],
    [0, 5, 0, 5],
  ] as const) {
    it(`releases ${released} messages and status ${status} of a client stream's answer of ${messages} with ${code}`, async () => {
      const provider = new TestProvider();
      provider.call(1n, collect);
      await settle();
      const listener = provider.listener as UpstreamListener;
      listener.onHeaders(create(MetadataSchema));
      await settle();
      for (let i = 0; i < messages; i++) listener.onMessage(bytes(10));
      await settle();
      listener.onEnd(create(StatusFrameSchema, { code, trailers: {} }));
      await settle();
      const answers = provider
        .sent(1n)
        .flatMap(({ case: kind, value }) => (kind === "answer" ? [value] : []));
      assert.equal(answers.flatMap((answer) => answer.messages).length, released);
      const last = provider.records().at(-1);
      assert.ok(last?.case === "receipt" && last.value.final);
      assert.equal(last.value.status?.grpcCode, status);
    });
  }

  for (const [what, hasLeft, frames] of [
    ["waits to be written", undefined, 0n],
    ["never leaves", false, 0n],
    ["has left", true, 2n],
  ] as const) {
    it(`closes a stream with ${frames} frames of a segment of 2 that ${what}`, async () => {
      const provider = new TestProvider();
      const { carriage, ear } = openStream(provider);
      await settle();
      provider.listener?.onHeaders(create(MetadataSchema));
      provider.listener?.onMessage(bytes(10));
      await settle();
      if (hasLeft !== undefined) carriage.unread.shift()?.(hasLeft);
      provider.listener?.onMessage(bytes(10));
      await settle();
      assert.equal(carriage.sent.length, 2);
      ear.onFrame({ case: "cancel", value: { $typeName: "causeway.exchange.v1.CancelFrame" } });
      await settle();
      const closed = provider.records().at(-1);
      assert.ok(closed?.case === "closed");
      assert.equal(closed.value.frames, frames);
    });
  }

  it("shows no refusal without a record behind a receipt that was released", async () => {
    const provider = new TestProvider({ durability: Durability.LEDGER });
    provider.isFinal = true;
    provider.call(1n, stream);
    await settle();
    provider.listener?.onHeaders(create(MetadataSchema));
    await settle();
    provider.isFinal = false;
    provider.listener?.onMessage(bytes(10));
    await settle();
    provider.cancel(1n);
    await settle();
    assert.deepEqual(
      provider.records().map((body) => body.case),
      ["receipt", "receipt", "closed"],
    );
    const [released, ended] = provider.sent(1n);
    assert.equal(released?.case, "answer");
    assert.ok(ended?.case === "failed" && ended.value.reason === "CANCELLED");
  });
});
