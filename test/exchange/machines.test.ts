import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  type ConsumerEffect,
  type ConsumerEvent,
  initialConsumerState,
  stepConsumer,
} from "../../src/exchange/consumer-machine.ts";
import {
  initialProviderState,
  type ProviderEffect,
  type ProviderEvent,
  stepProvider,
} from "../../src/exchange/provider-machine.ts";

function isClosing(effect: ProviderEffect): boolean {
  if (effect.kind === "seal-receipt") return effect.final;
  return ["seal-refusal", "seal-closed", "seal-taken"].includes(effect.kind);
}

function permitted(writes: boolean, streaming = false): ProviderEvent {
  return { kind: "permitted", writes, streaming, window: 4 };
}

const providerEvents: fc.Arbitrary<ProviderEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("permitted" as const),
    writes: fc.boolean(),
    streaming: fc.boolean(),
    window: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    kind: fc.constantFrom(
      "denied" as const,
      "turned-away" as const,
      "opened" as const,
      "progressed" as const,
      "answered" as const,
      "acknowledged" as const,
    ),
  }),
  fc.record({
    kind: fc.constant("answer-unusable" as const),
    reason: fc.constant("MESSAGE_TOO_LARGE" as const),
  }),
  fc.record({ kind: fc.constant("taken" as const), reason: fc.constant("GRANT_REVOKED" as const) }),
  fc.record({
    kind: fc.constant("upstream-failed" as const),
    reason: fc.constant("UPSTREAM_UNAVAILABLE" as const),
  }),
  fc.record({ kind: fc.constant("sealed" as const), replaced: fc.boolean() }),
  fc.record({
    kind: fc.constant("seal-failed" as const),
    reason: fc.constant("SHUTTING_DOWN" as const),
  }),
  fc.record({
    kind: fc.constant("withheld" as const),
    reason: fc.constant("LEDGER_UNAVAILABLE" as const),
  }),
  fc.record({
    kind: fc.constant("interrupted" as const),
    by: fc.constantFrom(
      "cancelled" as const,
      "deadline" as const,
      "peer-lost" as const,
      "shutdown" as const,
    ),
  }),
);

/** Runs a schedule in which a `sealed` or `opened` event only comes when something was queued to be sealed. */
function runProvider(events: readonly ProviderEvent[]): ProviderEffect[] {
  let state = initialProviderState;
  const effects: ProviderEffect[] = [];
  let queued = 0;
  for (const event of events) {
    const needsQueue =
      event.kind === "sealed" || event.kind === "opened" || event.kind === "seal-failed";
    if (needsQueue && queued === 0) continue;
    if (event.kind === "opened" && state.phase !== "opening") continue;
    if (event.kind === "withheld" && (queued === 0 || state.phase !== "calling")) continue;
    if (needsQueue || event.kind === "withheld") queued--;
    const step = stepProvider(state, event);
    state = step.state;
    effects.push(...step.effects);
    queued += step.effects.filter(({ kind }) => kind.startsWith("seal-")).length;
  }
  return effects;
}

describe("the provider's machine", () => {
  it("queues at most one closing of an attempt in any schedule", () => {
    fc.assert(
      fc.property(fc.array(providerEvents, { maxLength: 30 }), (events) => {
        const closings = runProvider(events).filter(isClosing);
        assert.ok(closings.length <= 1);
      }),
    );
  });

  it("releases only behind a durable closing in any schedule", () => {
    fc.assert(
      fc.property(fc.array(providerEvents, { maxLength: 30 }), (events) => {
        const effects = runProvider(events).map(({ kind }) => kind);
        const release = effects.indexOf("release");
        if (release < 0) return;
        assert.ok(effects.slice(0, release).some((kind) => kind.startsWith("seal-")));
      }),
    );
  });

  it("calls the upstream of a method that writes only once Opened is durable", () => {
    const queued = stepProvider(initialProviderState, permitted(true));
    assert.deepEqual(queued.effects, [{ kind: "seal-opened" }]);
    const durable = stepProvider(queued.state, { kind: "opened" });
    assert.deepEqual(durable.effects, [{ kind: "call-upstream" }]);
  });

  it("ends an attempt that rests on what was taken away, whatever is under way of it", () => {
    const taken: ProviderEvent = { kind: "taken", reason: "GRANT_REVOKED" };
    const kinds = (events: readonly ProviderEvent[]): string[] =>
      runProvider(events).map(({ kind }) => kind);
    const called = [permitted(false, true)];
    assert.deepEqual(kinds([...called, taken]), ["call-upstream", "cancel-upstream", "seal-taken"]);
    const progressed: ProviderEvent = { kind: "progressed" };
    const sealed: ProviderEvent = { kind: "sealed", replaced: false };
    assert.deepEqual(kinds([...called, progressed, taken, sealed]), [
      "call-upstream",
      "seal-receipt",
      "cancel-upstream",
      "release",
      "seal-taken",
    ]);
    assert.deepEqual(kinds([permitted(true), taken, { kind: "opened" }]), [
      "seal-opened",
      "seal-taken",
    ]);
  });

  it("closes a cancelled write with Closed and a cancelled read with nothing", () => {
    const write = runProvider([
      permitted(true),
      { kind: "opened" },
      { kind: "interrupted", by: "cancelled" },
    ]);
    assert.deepEqual(write.at(-1), {
      kind: "seal-closed",
      outcome: "cancelled",
      reason: "CANCELLED",
    });
    const read = runProvider([permitted(false), { kind: "interrupted", by: "cancelled" }]);
    assert.deepEqual(
      read.map(({ kind }) => kind),
      ["call-upstream", "cancel-upstream", "send-failed", "forget"],
    );
  });

  it("never calls the upstream of a write that was cancelled while Opened was being sealed", () => {
    const effects = runProvider([
      permitted(true),
      { kind: "interrupted", by: "peer-lost" },
      { kind: "opened" },
    ]);
    assert.ok(!effects.some(({ kind }) => kind === "call-upstream"));
    assert.deepEqual(effects.at(-1), {
      kind: "seal-closed",
      outcome: "peer-lost",
      reason: "PEER_LOST",
    });
  });

  it("seals a stream segment by segment, never more than the window without an acknowledgement", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom("progressed", "sealed", "acknowledged"), { maxLength: 60 }),
        (window, kinds) => {
          let { state } = stepProvider(initialProviderState, {
            kind: "permitted",
            writes: false,
            streaming: true,
            window,
          });
          let released = 0;
          let acknowledged = 0;
          for (const kind of kinds) {
            if (kind === "acknowledged" && acknowledged >= released) continue;
            if (kind === "acknowledged") acknowledged++;
            const event: ProviderEvent =
              kind === "sealed"
                ? { kind, replaced: false }
                : { kind: kind as "progressed" | "acknowledged" };
            const step = stepProvider(state, event);
            state = step.state;
            released += step.effects.filter((effect) => effect.kind === "release").length;
            const sealing = state.sealing === undefined ? 0 : 1;
            assert.ok(released + sealing - acknowledged <= window);
          }
        },
      ),
    );
  });

  it("closes a stream whose upstream fails behind what it gave, and whose caller cancels at once", () => {
    const failed = runProvider([
      permitted(false, true),
      { kind: "progressed" },
      { kind: "sealed", replaced: false },
      { kind: "progressed" },
      { kind: "upstream-failed", reason: "UPSTREAM_UNAVAILABLE" },
      { kind: "sealed", replaced: false },
      { kind: "sealed", replaced: false },
    ]);
    assert.deepEqual(
      failed.map(({ kind }) => kind),
      [
        "call-upstream",
        "seal-receipt",
        "release",
        "seal-receipt",
        "release",
        "seal-closed",
        "release",
        "forget",
      ],
    );
    const cancelled = runProvider([
      permitted(false, true),
      { kind: "progressed" },
      { kind: "sealed", replaced: false },
      { kind: "progressed" },
      { kind: "interrupted", by: "cancelled" },
      { kind: "sealed", replaced: false },
      { kind: "sealed", replaced: false },
    ]);
    assert.deepEqual(
      cancelled.map(({ kind }) => kind),
      [
        "call-upstream",
        "seal-receipt",
        "release",
        "seal-receipt",
        "cancel-upstream",
        "release",
        "seal-closed",
        "release",
        "forget",
      ],
    );
  });

  const failedBehindTheWindow: readonly ProviderEvent[] = [
    { kind: "permitted", writes: false, streaming: true, window: 1 },
    { kind: "progressed" },
    { kind: "sealed", replaced: false },
    { kind: "progressed" },
    { kind: "upstream-failed", reason: "UPSTREAM_UNAVAILABLE" },
  ];

  it("keeps what a failed upstream gave behind a closed window until it can be released", () => {
    const waiting = runProvider(failedBehindTheWindow);
    assert.deepEqual(waiting.at(-1), { kind: "release" });
    const effects = runProvider([
      ...failedBehindTheWindow,
      { kind: "acknowledged" },
      { kind: "sealed", replaced: false },
      { kind: "sealed", replaced: false },
    ]);
    assert.deepEqual(effects.slice(waiting.length), [
      { kind: "seal-receipt", final: false },
      { kind: "release" },
      { kind: "seal-closed", outcome: "upstream-error", reason: "UPSTREAM_UNAVAILABLE" },
      { kind: "release" },
      { kind: "forget" },
    ]);
  });

  for (const by of ["cancelled", "deadline", "peer-lost", "shutdown"] as const) {
    it(`closes what waits behind a closed window at once when the attempt ends: ${by}`, () => {
      const effects = runProvider([
        ...failedBehindTheWindow,
        { kind: "interrupted", by },
        { kind: "acknowledged" },
        { kind: "sealed", replaced: false },
      ]);
      assert.equal(effects.filter(({ kind }) => kind === "seal-receipt").length, 1);
      const closing = effects.find((effect) => effect.kind === "seal-closed");
      assert.equal(closing?.outcome, by);
    });
  }

  it("seals nothing more of an answer of which a part cannot be released", () => {
    const effects = runProvider([
      permitted(false, true),
      { kind: "progressed" },
      { kind: "answer-unusable", reason: "MESSAGE_TOO_LARGE" },
      { kind: "progressed" },
      { kind: "sealed", replaced: false },
    ]);
    assert.equal(effects.filter(({ kind }) => kind === "seal-receipt").length, 1);
    assert.equal(effects.at(-1)?.kind, "seal-closed");
  });

  it("closes what is on record and may not be released, unless the receipt was the last", () => {
    const withheld: ProviderEvent = { kind: "withheld", reason: "LEDGER_UNAVAILABLE" };
    const segment = runProvider([permitted(false, true), { kind: "progressed" }, withheld]);
    assert.deepEqual(segment.at(-1), {
      kind: "seal-closed",
      outcome: "gateway-error",
      reason: "LEDGER_UNAVAILABLE",
    });
    const last = runProvider([permitted(false), { kind: "answered" }, withheld]);
    assert.deepEqual(
      last.slice(-2).map(({ kind }) => kind),
      ["send-failed", "forget"],
    );
    assert.ok(!last.some(({ kind }) => kind === "release"));
  });

  it("keeps a receipt that is queued when the caller cancels", () => {
    const effects = runProvider([
      permitted(false),
      { kind: "answered" },
      { kind: "interrupted", by: "cancelled" },
      { kind: "sealed", replaced: false },
    ]);
    assert.deepEqual(
      effects.map(({ kind }) => kind),
      ["call-upstream", "seal-receipt", "release", "forget"],
    );
  });
});

const consumerEvents: fc.Arbitrary<ConsumerEvent> = fc.oneof(
  fc.record({
    kind: fc.constantFrom(
      "connected" as const,
      "answer" as const,
      "refusal" as const,
      "refused" as const,
      "proof-invalid" as const,
      "sealed" as const,
      "handed-over" as const,
      "ledger-behind" as const,
      "broken" as const,
    ),
  }),
  fc.record({
    kind: fc.constantFrom("nonce-stale" as const, "link-lost" as const),
    replayable: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("not-connected" as const),
    reason: fc.constant("PEER_UNAVAILABLE" as const),
  }),
  fc.record({
    kind: fc.constantFrom("failed" as const, "not-handed-over" as const),
    reason: fc.constant("UPSTREAM_UNAVAILABLE" as const),
  }),
  fc.record({
    kind: fc.constant("checked" as const),
    result: fc.constantFrom("match" as const, "commitment-mismatch" as const),
    final: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("interrupted" as const),
    by: fc.constantFrom("cancelled" as const, "deadline" as const),
  }),
  fc.record({ kind: fc.constant("taken" as const), reason: fc.constant("GRANT_REVOKED" as const) }),
);

function runConsumer(writes: boolean, events: readonly ConsumerEvent[]): ConsumerEffect[] {
  let state = initialConsumerState(writes);
  const effects: ConsumerEffect[] = [];
  for (const event of events) {
    const step = stepConsumer(state, event);
    state = step.state;
    effects.push(...step.effects);
  }
  return effects;
}

function isClosed(effects: readonly ConsumerEffect[]): boolean {
  return effects.some((effect) => effect.kind === "seal-acknowledgement" && effect.final);
}

describe("the consumer's machine", () => {
  it("seals exactly one record for each attempt that it signed and ended, in any schedule", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(consumerEvents, { maxLength: 40 }), (writes, events) => {
        const effects = runConsumer(writes, events);
        const signed = effects.filter(({ kind }) => kind === "call").length;
        const closed = effects.filter(
          (effect) =>
            effect.kind === "seal-closed" ||
            (effect.kind === "seal-acknowledgement" && effect.final),
        ).length;
        assert.ok(closed === signed || closed === signed - 1);
        const isForgotten = effects.some(({ kind }) => kind === "forget");
        const isFailed = events.some(({ kind }) => kind === "seal-failed");
        if (isForgotten && !isFailed) assert.equal(closed, signed);
      }),
    );
  });

  it("hands each segment over behind an acknowledgement of its own that says MATCH, in any schedule", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(consumerEvents, { maxLength: 40 }), (writes, events) => {
        const effects = runConsumer(writes, events);
        let acknowledged = 0;
        for (const effect of effects) {
          if (effect.kind === "seal-acknowledgement" && effect.result === "match") acknowledged++;
          if (effect.kind === "hand-over") acknowledged--;
          assert.ok(acknowledged >= 0);
        }
        const ends = effects.filter(
          (effect) =>
            effect.kind === "fail" ||
            effect.kind === "refuse" ||
            (effect.kind === "hand-over" && effect.last),
        );
        assert.ok(ends.length <= 1);
        if (effects.some(({ kind }) => kind === "forget")) assert.equal(ends.length, 1);
      }),
    );
  });

  it("hands nothing over while the caller takes a segment, in any schedule", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(consumerEvents, { maxLength: 60 }), (writes, events) => {
        let state = initialConsumerState(writes);
        let isTaking = false;
        for (const event of events) {
          if (event.kind === "handed-over" || event.kind === "not-handed-over") isTaking = false;
          const step = stepConsumer(state, event);
          state = step.state;
          for (const effect of step.effects) {
            if (effect.kind !== "hand-over") continue;
            assert.ok(!isTaking);
            isTaking = true;
          }
        }
      }),
    );
  });

  it("ends once its caller has given up and what is being sealed is durable, in any schedule", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(consumerEvents, { maxLength: 60 }), (writes, events) => {
        const effects = runConsumer(writes, [
          ...events,
          { kind: "interrupted", by: "deadline" },
          { kind: "sealed" },
          { kind: "sealed" },
        ]);
        assert.equal(effects.filter(({ kind }) => kind === "forget").length, 1);
      }),
    );
  });

  it("acknowledges nothing more, and hands over nothing of what is not acknowledged, once its authority is taken, in any schedule", () => {
    const taken: ConsumerEvent = { kind: "taken", reason: "GRANT_REVOKED" };
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(consumerEvents, { maxLength: 30 }),
        fc.array(consumerEvents, { maxLength: 30 }),
        (writes, before, after) => {
          const first = runConsumer(writes, before);
          const rest = runConsumer(writes, [...before, taken, ...after]).slice(first.length);
          const kinds = rest.map(({ kind }) => kind);
          assert.ok(!kinds.includes("call") && !kinds.includes("connect"));
          assert.ok(!kinds.includes("seal-acknowledgement"));
          // All that is handed over yet is the end of what was closed before.
          const handed = rest.filter((effect) => effect.kind === "hand-over");
          assert.ok(handed.every(({ last }) => last));
          assert.ok(handed.length === 0 || isClosed(first));
        },
      ),
    );
  });

  it("acknowledges a segment while the caller takes the one before, and hands it over behind that", () => {
    const first: ConsumerEvent[] = [
      { kind: "connected" },
      { kind: "answer" },
      { kind: "checked", result: "match", final: false },
      { kind: "sealed" },
    ];
    const next: ConsumerEvent[] = [
      { kind: "answer" },
      { kind: "checked", result: "match", final: true },
      { kind: "sealed" },
    ];
    const kinds = (events: readonly ConsumerEvent[]): string[] =>
      runConsumer(false, events)
        .map(({ kind }) => kind)
        .slice(2);
    const both = ["seal-acknowledgement", "hand-over", "check-answer", "seal-acknowledgement"];
    assert.deepEqual(kinds([...first, ...next]), both);
    assert.deepEqual(kinds([...first, ...next, { kind: "handed-over" }]), [
      ...both,
      "hand-over",
      "forget",
    ]);
    const lost: ConsumerEvent = { kind: "not-handed-over", reason: "INTERNAL" };
    assert.deepEqual(kinds([...first, ...next, lost]), [...both, "fail", "forget"]);
    const away: ConsumerEvent = { kind: "interrupted", by: "deadline" };
    assert.deepEqual(kinds([...first, ...next, away]), [...both, "fail", "forget"]);
    const unsealed: ConsumerEvent = { kind: "seal-failed", reason: "SHUTTING_DOWN" };
    assert.deepEqual(kinds([...first, ...next.slice(0, 2), unsealed, { kind: "handed-over" }]), [
      ...both,
      "fail",
      "forget",
    ]);
  });

  it("never tries again what was handed over in part, or cannot be sent again", () => {
    const segment: ConsumerEvent[] = [
      { kind: "connected" },
      { kind: "answer" },
      { kind: "checked", result: "match", final: false },
      { kind: "sealed" },
      { kind: "handed-over" },
    ];
    const lost: ConsumerEvent[] = [{ kind: "link-lost", replayable: true }, { kind: "sealed" }];
    const inPart = runConsumer(false, [...segment, ...lost]);
    assert.equal(inPart.filter(({ kind }) => kind === "connect").length, 0);
    const gone = runConsumer(false, [
      { kind: "connected" },
      { kind: "link-lost", replayable: false },
      { kind: "sealed" },
    ]);
    assert.equal(gone.filter(({ kind }) => kind === "connect").length, 0);
  });

  const taken: ConsumerEvent = { kind: "taken", reason: "GRANT_REVOKED" };

  it("refuses a call whose authority is taken before its statement is signed, in its second attempt too", () => {
    const refused = [{ kind: "refuse", reason: "GRANT_REVOKED" }, { kind: "forget" }];
    assert.deepEqual(runConsumer(false, [taken]), refused);
    const again: ConsumerEvent[] = [
      { kind: "connected" },
      { kind: "nonce-stale", replayable: true },
      { kind: "sealed" },
    ];
    assert.deepEqual(runConsumer(false, [...again, taken]).slice(-2), refused);
    const meanwhile = [...again.slice(0, 2), taken, ...again.slice(2)];
    assert.deepEqual(runConsumer(false, meanwhile).slice(-2), refused);
  });

  it("ends a silent stream at once, also while its caller is slow to take what came before", () => {
    const slow: ConsumerEvent[] = [
      { kind: "connected" },
      { kind: "answer" },
      { kind: "checked", result: "match", final: false },
      { kind: "sealed" },
    ];
    const silent: ConsumerEvent[] = [...slow, { kind: "handed-over" }];
    for (const events of [slow, silent]) {
      const effects = runConsumer(false, [...events, taken, { kind: "sealed" }]);
      const kinds = effects.map(({ kind }) => kind);
      assert.deepEqual(kinds.slice(-4), ["send-cancel", "seal-closed", "fail", "forget"]);
    }
  });

  it("hands over nothing of a segment whose acknowledgement is being sealed, unless that closes the attempt", () => {
    const sealing = (final: boolean): ConsumerEvent[] => [
      { kind: "connected" },
      { kind: "answer" },
      { kind: "checked", result: "match", final },
      taken,
      { kind: "sealed" },
      { kind: "sealed" },
    ];
    const kinds = (final: boolean): string[] =>
      runConsumer(false, sealing(final))
        .map(({ kind }) => kind)
        .slice(2);
    const ends = ["send-cancel", "seal-closed", "fail", "forget"];
    assert.deepEqual(kinds(false), ["seal-acknowledgement", ...ends]);
    assert.deepEqual(kinds(true), ["seal-acknowledgement", "hand-over", "forget"]);
  });

  it("records and tells what was wrong with a request also when it is found while a record is being sealed", () => {
    const bad: ConsumerEvent = { kind: "interrupted", by: "cancelled", reason: "MALFORMED" };
    const effects = runConsumer(false, [
      { kind: "connected" },
      { kind: "answer" },
      { kind: "checked", result: "match", final: false },
      bad,
      { kind: "interrupted", by: "cancelled" },
      { kind: "sealed" },
    ]);
    const closed = effects.find((effect) => effect.kind === "seal-closed");
    const { outcome, source, reason } = closed ?? {};
    assert.deepEqual([outcome, source, reason], ["cancelled", "caller", "MALFORMED"]);
    const again = runConsumer(false, [
      { kind: "connected" },
      { kind: "nonce-stale", replayable: true },
      bad,
      { kind: "sealed" },
    ]);
    assert.deepEqual(again.at(-2), { kind: "fail", reason: "MALFORMED" });
  });

  const checking: readonly ConsumerEvent[] = [{ kind: "connected" }, { kind: "answer" }];
  const handing: readonly ConsumerEvent[] = [
    ...checking,
    { kind: "checked", result: "match", final: false },
    { kind: "sealed" },
  ];
  for (const [what, events, source, reason] of [
    [
      "its segment could not be given to the caller",
      [...handing, { kind: "not-handed-over", reason: "INTERNAL" }],
      "gateway",
      "INTERNAL",
    ],
    [
      "its receipt rests on a ledger that is not reached here",
      [...checking, { kind: "ledger-behind" }],
      "gateway",
      "LEDGER_BEHIND",
    ],
    [
      "the provider's gateway says that it failed",
      [{ kind: "connected" }, { kind: "failed", reason: "SHUTTING_DOWN" }],
      "peer",
      "SHUTTING_DOWN",
    ],
    [
      "it has no place itself for what would carry it",
      [{ kind: "connected" }, { kind: "unopened", reason: "BUSY" }],
      "gateway",
      "BUSY",
    ],
    [
      "the caller cancels",
      [...checking, { kind: "interrupted", by: "cancelled" }],
      "caller",
      "CANCELLED",
    ],
    ["its authority is taken away", [...checking, taken], "gateway", "GRANT_REVOKED"],
    [
      "the link ends",
      [{ kind: "connected" }, { kind: "link-lost", replayable: false }],
      "gateway",
      "NO_ANSWER",
    ],
  ] as const) {
    it(`closes an attempt as ended by the ${source} when ${what}`, () => {
      const effects = runConsumer(false, [...events, { kind: "sealed" }]);
      const closed = effects.find((effect) => effect.kind === "seal-closed");
      assert.deepEqual([closed?.source, closed?.reason, closed?.nextAttempt], [source, reason, 0]);
      const isTold = effects.some(({ kind }) => kind === "send-cancel");
      assert.equal(isTold, !["NO_ANSWER", "SHUTTING_DOWN"].includes(reason));
      assert.deepEqual(
        effects.slice(-2).map(({ kind }) => kind),
        ["fail", "forget"],
      );
    });
  }

  it("never tries a method that writes again after a lost link", () => {
    const effects = runConsumer(true, [
      { kind: "connected" },
      { kind: "link-lost", replayable: true },
      { kind: "sealed" },
    ]);
    assert.deepEqual(effects[1], {
      kind: "seal-closed",
      outcome: "no-answer",
      source: "gateway",
      reason: "NO_ANSWER",
      nextAttempt: 0,
    });
    assert.ok(!effects.slice(2).some(({ kind }) => kind === "connect" || kind === "call"));
  });

  it("makes one new attempt of a read after a lost link, and no third", () => {
    const lost: ConsumerEvent[] = [
      { kind: "connected" },
      { kind: "link-lost", replayable: true },
      { kind: "sealed" },
    ];
    const effects = runConsumer(false, [...lost, ...lost, ...lost]);
    assert.equal(effects.filter(({ kind }) => kind === "call").length, 2);
    assert.deepEqual(effects.at(-2), { kind: "fail", reason: undefined });
  });

  it("answers a stale nonce with one new attempt, also of a method that writes", () => {
    const effects = runConsumer(true, [
      { kind: "connected" },
      { kind: "nonce-stale", replayable: true },
      { kind: "sealed" },
    ]);
    assert.deepEqual(
      effects.map(({ kind }) => kind),
      ["call", "seal-closed", "connect"],
    );
  });
});
