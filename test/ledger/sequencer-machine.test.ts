import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  initialSequencer,
  type Instant,
  type SequencerConfig,
  type SequencerEffect,
  type SequencerEvent,
  type SequencerState,
  stepSequencer,
} from "../../src/ledger/embedded/sequencer-machine.ts";

const two: SequencerConfig = {
  cities: ["hangzhou", "shenzhen"],
  quorum: 2,
  faults: 0,
  heartbeatMs: 10_000,
};
const four: SequencerConfig = {
  cities: ["hangzhou", "ningbo", "shenzhen", "wenzhou"],
  quorum: 3,
  faults: 1,
  heartbeatMs: 10_000,
};

const startMs = 1_800_000_000_000;

/** Runs a script of events at milliseconds after the start and keeps every effect but the wakes. */
class Script {
  state: SequencerState;
  effects: SequencerEffect[] = [];
  wakeMs = 0;

  constructor(config: SequencerConfig, finalSize = 0n, quorumAgeMs?: number) {
    this.state = initialSequencer(config, {
      finalSize,
      quorumTimeMs: quorumAgeMs === undefined ? undefined : startMs - quorumAgeMs,
    });
  }

  at(ms: number, event: SequencerEvent, nowMs: number = startMs + ms): readonly SequencerEffect[] {
    const now: Instant = { nowMs, monotonicMs: ms };
    const step = stepSequencer(this.state, event, now);
    this.state = step.state;
    const wake = step.effects.find((effect) => effect.kind === "wake");
    if (wake !== undefined) this.wakeMs = wake.delayMs;
    const seen = step.effects.filter((effect) => effect.kind !== "wake");
    this.effects.push(...seen);
    return seen;
  }
}

const lineOf = (city: string): { name: string; keyId: number; signature: Uint8Array } => ({
  name: city,
  keyId: 1,
  signature: Uint8Array.of(1),
});
const cosigned = (city: string, size: bigint): SequencerEvent => ({
  kind: "cosigned",
  city,
  size,
  line: lineOf(city),
});
const kinds = (effects: readonly SequencerEffect[]): readonly string[] =>
  effects.map((effect) => effect.kind);

/** A network of two whose size 1 became final at 10 ms. */
function settled(): Script {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(5, cosigned("hangzhou", 1n));
  script.at(10, cosigned("shenzhen", 1n));
  script.at(10, { kind: "stored", size: 1n, timeMs: startMs });
  script.effects = [];
  return script;
}

test("the first size is signed and every city asked at once", () => {
  const effects = new Script(two).at(0, { kind: "persisted", size: 1n });
  assert.deepEqual(effects, [
    { kind: "sign", size: 1n },
    { kind: "ask", city: "hangzhou", size: 1n, oldSize: 0n },
    { kind: "ask", city: "shenzhen", size: 1n, oldSize: 0n },
  ]);
});

test("nothing is signed before anything is persisted", () => {
  assert.deepEqual(new Script(two).at(0, { kind: "tick" }), []);
});

test("one cosignature of two is no quorum, the second one is", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 1n });
  assert.deepEqual(script.at(5, cosigned("shenzhen", 1n)), []);
  assert.deepEqual(script.at(9, cosigned("hangzhou", 1n)), [
    { kind: "quorum", size: 1n, lines: [lineOf("shenzhen"), lineOf("hangzhou")] },
  ]);
});

test("one city's cosignature given twice counts once", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(5, cosigned("shenzhen", 1n));
  assert.deepEqual(script.at(6, cosigned("shenzhen", 1n)), []);
});

test("sizes persisted while one is outstanding wait, and the newest is next", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 1n });
  assert.deepEqual(script.at(300, { kind: "persisted", size: 2n }), []);
  assert.deepEqual(script.at(600, { kind: "persisted", size: 7n }), []);
  script.at(700, cosigned("hangzhou", 1n));
  const effects = script.at(700, cosigned("shenzhen", 1n));
  assert.deepEqual(effects.slice(1), [
    { kind: "sign", size: 7n },
    { kind: "ask", city: "hangzhou", size: 7n, oldSize: 1n },
    { kind: "ask", city: "shenzhen", size: 7n, oldSize: 1n },
  ]);
});

test("two sizes are at least 250 ms apart, and the wake says when", () => {
  const script = settled();
  assert.deepEqual(script.at(100, { kind: "persisted", size: 2n }), []);
  assert.equal(script.wakeMs, 150);
  assert.deepEqual(script.at(249, { kind: "tick" }), []);
  assert.deepEqual(kinds(script.at(250, { kind: "tick" })), ["sign", "ask", "ask"]);
});

test("a 409 tells the witness's size, from which it is asked again at once", () => {
  const script = new Script(two, 0n);
  script.at(0, { kind: "persisted", size: 9n });
  const effects = script.at(3, { kind: "conflict", city: "shenzhen", witnessSize: 4n });
  assert.deepEqual(effects, [{ kind: "ask", city: "shenzhen", size: 9n, oldSize: 4n }]);
});

test("a witness that answers 409 again and again is asked with a growing pause", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 9n });
  script.at(1, { kind: "conflict", city: "shenzhen", witnessSize: 4n });
  assert.deepEqual(script.at(2, { kind: "conflict", city: "shenzhen", witnessSize: 3n }), []);
  assert.deepEqual(script.at(501, { kind: "tick" }), []);
  assert.deepEqual(kinds(script.at(502, { kind: "tick" })), ["ask"]);
});

test("a witness that fails is asked again, the others are not", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(2, cosigned("hangzhou", 1n));
  script.at(5, { kind: "failed", city: "shenzhen" });
  assert.deepEqual(script.at(254, { kind: "tick" }), []);
  assert.deepEqual(script.at(255, { kind: "tick" }), [
    { kind: "ask", city: "shenzhen", size: 1n, oldSize: 0n },
  ]);
});

test("a size that no open request can complete gives way to the newest", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(2, cosigned("hangzhou", 1n));
  script.at(3, { kind: "persisted", size: 5n });
  script.at(260, { kind: "failed", city: "shenzhen" });
  assert.deepEqual(script.effects.slice(3), [
    { kind: "sign", size: 5n },
    { kind: "ask", city: "hangzhou", size: 5n, oldSize: 1n },
  ]);
});

test("a cosignature of a size that gave way does not count for the new one", () => {
  const script = new Script(four);
  script.at(0, { kind: "persisted", size: 1n });
  for (const city of ["hangzhou", "ningbo"]) script.at(1, { kind: "failed", city });
  for (const city of ["shenzhen", "wenzhou"]) script.at(1, { kind: "failed", city });
  script.at(300, { kind: "persisted", size: 2n });
  assert.deepEqual(script.at(301, cosigned("hangzhou", 1n)), [
    { kind: "ask", city: "hangzhou", size: 2n, oldSize: 1n },
  ]);
});

test("a quorum of three of four does not wait for the fourth", () => {
  const script = new Script(four);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(1, cosigned("hangzhou", 1n));
  script.at(2, cosigned("ningbo", 1n));
  assert.deepEqual(kinds(script.at(3, cosigned("wenzhou", 1n))), ["quorum"]);
});

test("a heartbeat asks for the same size again once the quorum is 10 s old", () => {
  const script = settled();
  assert.deepEqual(script.at(9_999, { kind: "tick" }), []);
  assert.deepEqual(script.at(10_001, { kind: "tick" }), [
    { kind: "sign", size: 1n },
    { kind: "ask", city: "hangzhou", size: 1n, oldSize: 1n },
    { kind: "ask", city: "shenzhen", size: 1n, oldSize: 1n },
  ]);
});

test("a clock that was moved by a night brings the heartbeat with the next tick", () => {
  const script = settled();
  const night = startMs + 8 * 3600_000;
  assert.deepEqual(kinds(script.at(1_000, { kind: "tick" }, night)), ["sign", "ask", "ask"]);
});

test("a clock that went back does not hold the heartbeat up", () => {
  const script = settled();
  assert.deepEqual(kinds(script.at(10_010, { kind: "tick" }, startMs - 3600_000)), [
    "sign",
    "ask",
    "ask",
  ]);
});

test("a restart with everything final asks when the stored heartbeat is old, and not before", () => {
  const fresh = new Script(two, 5n, 1_000);
  assert.deepEqual(fresh.at(0, { kind: "persisted", size: 5n }), []);
  const old = new Script(two, 5n, 60_000);
  assert.deepEqual(kinds(old.at(0, { kind: "persisted", size: 5n })), ["sign", "ask", "ask"]);
});

test("a city that is ahead stops the sequencer when none may lie", () => {
  const script = new Script(two);
  script.at(0, { kind: "persisted", size: 3n });
  assert.deepEqual(script.at(1, { kind: "conflict", city: "shenzhen", witnessSize: 4n }), [
    { kind: "ahead", city: "shenzhen", witnessSize: 4n },
    { kind: "stop", reason: "LEDGER_FORK" },
  ]);
  assert.deepEqual(script.at(400, { kind: "persisted", size: 9n }), []);
});

test("one city of four that claims to be ahead does not stop the sequencer, two do", () => {
  const script = new Script(four);
  script.at(0, { kind: "persisted", size: 3n });
  const first = script.at(1, { kind: "conflict", city: "ningbo", witnessSize: 4n });
  assert.deepEqual(kinds(first), ["ahead"]);
  const second = script.at(2, { kind: "conflict", city: "wenzhou", witnessSize: 4n });
  assert.deepEqual(kinds(second), ["ahead", "stop"]);
});

test("under any schedule a signed size is persisted, sizes never go back, and a quorum is of one size", () => {
  const city = fc.constantFrom(...four.cities);
  const event: fc.Arbitrary<SequencerEvent> = fc.oneof(
    fc.bigInt(1n, 30n).map((size): SequencerEvent => ({ kind: "persisted", size })),
    fc.tuple(city, fc.bigInt(1n, 30n)).map(([name, size]) => cosigned(name, size)),
    fc.record({ kind: fc.constant("conflict" as const), city, witnessSize: fc.bigInt(0n, 8n) }),
    city.map((name): SequencerEvent => ({ kind: "failed", city: name })),
    fc.constant<SequencerEvent>({ kind: "tick" }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(400), event), { maxLength: 120 }), (events) => {
      const script = new Script(four);
      let ms = 0;
      let signed = 0n;
      for (const [pauseMs, next] of events) {
        ms += pauseMs;
        for (const effect of script.at(ms, next)) {
          if (effect.kind === "sign") {
            assert.ok(effect.size <= script.state.persistedSize && effect.size >= signed);
            signed = effect.size;
          }
          if (effect.kind === "ask") {
            assert.equal(effect.size, signed);
            assert.ok(effect.oldSize <= effect.size);
          }
          if (effect.kind === "quorum") {
            assert.equal(new Set(effect.lines.map(({ name }) => name)).size, 3);
          }
        }
        const asking = [...script.state.cities.values()].filter((state) => state.asking);
        assert.ok(asking.every((state) => (state.asking as bigint) <= signed));
      }
    }),
  );
});
