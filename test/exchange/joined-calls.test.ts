import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { type JoinedCall, JoinedCalls } from "../../src/exchange/joined-calls.ts";
import type { UnaryAnswer } from "../../src/exchange/transport/ports.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

const answerOf = (text: string): UnaryAnswer => ({
  headers: create(MetadataSchema),
  messages: [utf8(text)],
  status: create(StatusFrameSchema),
});

/** An upstream whose answers the test gives. */
class Upstream {
  readonly calls: {
    readonly signal: AbortSignal;
    answer(text: string): void;
    fail(error: Error): void;
  }[] = [];

  readonly start = (signal: AbortSignal): Promise<UnaryAnswer> =>
    new Promise((resolve, reject) => {
      this.calls.push({ signal, answer: (text) => resolve(answerOf(text)), fail: reject });
    });
}

function callOf(upstream: Upstream, change: Partial<JoinedCall> = {}): JoinedCall {
  return {
    agency: "shenzhen/market-regulation",
    grantJti: "grant",
    method: "/a.B/C",
    key: utf8("key"),
    headers: utf8("headers"),
    message: utf8("request"),
    start: upstream.start,
    signal: new AbortController().signal,
    ...change,
  };
}

const withCode = (code: string) => (error: unknown) =>
  error instanceof CausewayError && error.code === code;

describe("calls with one idempotency key", () => {
  it("get one answer of one upstream call while it is in flight", async () => {
    const [joined, upstream] = [new JoinedCalls(), new Upstream()];
    const both = [joined.call(callOf(upstream)), joined.call(callOf(upstream))];
    assert.equal(upstream.calls.length, 1);
    upstream.calls[0]?.answer("one");
    const [first, second] = await Promise.all(both);
    assert.equal(first, second);
    assert.equal(joined.count, 0);
    const third = joined.call(callOf(upstream));
    assert.equal(upstream.calls.length, 2);
    upstream.calls[1]?.answer("two");
    assert.deepEqual((await third).messages, [utf8("two")]);
  });

  const others: readonly (readonly [string, Partial<JoinedCall>])[] = [
    ["agency", { agency: "shenzhen/tax" }],
    ["grant", { grantJti: "another" }],
    ["method", { method: "/a.B/D" }],
    ["key", { key: utf8("other") }],
  ];
  for (const [what, change] of others) {
    it(`are calls of their own under another ${what}`, async () => {
      const [joined, upstream] = [new JoinedCalls(), new Upstream()];
      const both = [joined.call(callOf(upstream)), joined.call(callOf(upstream, change))];
      assert.equal(upstream.calls.length, 2);
      for (const call of upstream.calls) call.answer("done");
      await Promise.all(both);
    });
  }

  for (const change of [{ message: utf8("another") }, { headers: utf8("some") }]) {
    it(`are refused with another ${Object.keys(change)[0]}, and the first goes on`, async () => {
      const [joined, upstream] = [new JoinedCalls(), new Upstream()];
      const first = joined.call(callOf(upstream));
      const mismatch = withCode("IDEMPOTENCY_MISMATCH");
      await assert.rejects(joined.call(callOf(upstream, change)), mismatch);
      assert.equal(upstream.calls[0]?.signal.aborted, false);
      upstream.calls[0]?.answer("one");
      await first;
    });
  }

  it("go on for the others when one caller leaves, whichever it is", async () => {
    for (const leaving of [0, 1]) {
      const [joined, upstream] = [new JoinedCalls(), new Upstream()];
      const callers = [new AbortController(), new AbortController()];
      const calls = callers.map(({ signal }) => joined.call(callOf(upstream, { signal })));
      callers[leaving]?.abort();
      await assert.rejects(calls[leaving] as Promise<unknown>, withCode("CANCELLED"));
      assert.equal(upstream.calls[0]?.signal.aborted, false);
      upstream.calls[0]?.answer("one");
      assert.deepEqual((await calls[1 - leaving])?.messages, [utf8("one")]);
    }
  });

  it("end the upstream call when the last caller has left, and take nobody in then", async () => {
    const [joined, upstream] = [new JoinedCalls(), new Upstream()];
    const callers = [new AbortController(), new AbortController()];
    const calls = callers.map(({ signal }) => joined.call(callOf(upstream, { signal })));
    for (const caller of callers) caller.abort(new CausewayError("DEADLINE", "too late"));
    for (const call of calls) await assert.rejects(call, withCode("DEADLINE"));
    assert.equal(upstream.calls[0]?.signal.aborted, true);
    const next = joined.call(callOf(upstream));
    assert.equal(upstream.calls.length, 2);
    upstream.calls[0]?.fail(new CausewayError("CANCELLED", "ended"));
    upstream.calls[1]?.answer("two");
    await next;
    assert.equal(joined.count, 0);
  });

  it("call again for those who have time when the first one's deadline passes", async () => {
    const [joined, upstream] = [new JoinedCalls(), new Upstream()];
    const first = joined.call(callOf(upstream));
    const others_ = [joined.call(callOf(upstream)), joined.call(callOf(upstream))];
    upstream.calls[0]?.fail(new CausewayError("DEADLINE", "too late"));
    await assert.rejects(first, withCode("DEADLINE"));
    assert.equal(upstream.calls.length, 2);
    upstream.calls[1]?.answer("two");
    for (const { messages } of await Promise.all(others_))
      assert.deepEqual(messages, [utf8("two")]);
  });

  it("share what the upstream fails with", async () => {
    const [joined, upstream] = [new JoinedCalls(), new Upstream()];
    const calls = [joined.call(callOf(upstream)), joined.call(callOf(upstream))];
    upstream.calls[0]?.fail(new CausewayError("UPSTREAM_UNAVAILABLE", "gone"));
    for (const call of calls) await assert.rejects(call, withCode("UPSTREAM_UNAVAILABLE"));
    assert.equal(upstream.calls.length, 1);
  });

  it("reject at once for a caller that has left already", async () => {
    const [joined, upstream] = [new JoinedCalls(), new Upstream()];
    const signal = AbortSignal.abort();
    await assert.rejects(joined.call(callOf(upstream, { signal })), withCode("CANCELLED"));
    assert.equal(upstream.calls.length, 0);
  });
});
