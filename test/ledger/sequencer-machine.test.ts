import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { utf8 } from "../../src/base/bytes.ts";
import {
  initialSequencer,
  type Instant,
  type SequencerConfig,
  type SequencerEffect,
  type SequencerEvent,
  type SequencerState,
  type ShownHead,
  stepSequencer,
} from "../../src/ledger/embedded/sequencer-machine.ts";

interface TestNetwork {
  readonly cities: readonly string[];
  readonly quorum: number;
  readonly faults: number;
}

const two: TestNetwork = { cities: ["hangzhou", "shenzhen"], quorum: 2, faults: 0 };
const four: TestNetwork = {
  cities: ["hangzhou", "ningbo", "shenzhen", "wenzhou"],
  quorum: 3,
  faults: 1,
};

/** A root of the own tree: in these tests it is its size. */
const rootOf = (size: bigint): Uint8Array => Uint8Array.of(Number(size));

function configOf(network: TestNetwork, change: Partial<SequencerConfig> = {}): SequencerConfig {
  return {
    heartbeatMs: 10_000,
    quietMs: 0,
    rules: () => [network],
    rootAt: rootOf,
    outside: [],
    ...change,
  };
}

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

  /** One that serves: every witness has told that it cosigned nothing above what is final. */
  static serving(network: TestNetwork, finalSize = 0n, quorumAgeMs?: number): Script {
    const script = new Script(configOf(network), finalSize, quorumAgeMs);
    // Nothing is persisted but what is final, and of that the heartbeat is for the tests to ask for.
    const { quorum } = script.state;
    script.state = { ...script.state, quorum: { nowMs: startMs, monotonicMs: 0 } };
    script.at(0, { kind: "start", size: finalSize });
    const head = finalSize === 0n ? undefined : headOf(finalSize);
    for (const city of network.cities) script.at(0, { kind: "told", city, head });
    script.state = { ...script.state, quorum };
    script.effects = [];
    return script;
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

const headOf = (size: bigint, root = rootOf(size)): ShownHead => ({
  size,
  root,
  note: utf8(`head ${size}`),
});
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
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(5, cosigned("hangzhou", 1n));
  script.at(10, cosigned("shenzhen", 1n));
  script.at(10, { kind: "stored", size: 1n, timeMs: startMs });
  script.effects = [];
  return script;
}

test("the first size is signed and every city asked at once", () => {
  const effects = Script.serving(two).at(0, { kind: "persisted", size: 1n });
  assert.deepEqual(effects, [
    { kind: "sign", size: 1n },
    { kind: "ask", city: "hangzhou", size: 1n, oldSize: 0n },
    { kind: "ask", city: "shenzhen", size: 1n, oldSize: 0n },
  ]);
});

test("nothing is signed before anything is persisted", () => {
  assert.deepEqual(Script.serving(two).at(0, { kind: "tick" }), []);
});

test("one cosignature of two is no quorum, the second one is", () => {
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 1n });
  assert.deepEqual(script.at(5, cosigned("shenzhen", 1n)), []);
  assert.deepEqual(script.at(9, cosigned("hangzhou", 1n)), [
    { kind: "quorum", size: 1n, lines: [lineOf("shenzhen"), lineOf("hangzhou")] },
  ]);
});

test("one city's cosignature given twice counts once", () => {
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(5, cosigned("shenzhen", 1n));
  assert.deepEqual(script.at(6, cosigned("shenzhen", 1n)), []);
});

test("sizes persisted while one is outstanding wait, and the newest is next", () => {
  const script = Script.serving(two);
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
  const script = Script.serving(two, 0n);
  script.at(0, { kind: "persisted", size: 9n });
  const effects = script.at(3, { kind: "conflict", city: "shenzhen", witnessSize: 4n });
  assert.deepEqual(effects, [{ kind: "ask", city: "shenzhen", size: 9n, oldSize: 4n }]);
});

test("a witness that answers 409 again and again is asked with a growing pause", () => {
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 9n });
  script.at(1, { kind: "conflict", city: "shenzhen", witnessSize: 4n });
  assert.deepEqual(script.at(2, { kind: "conflict", city: "shenzhen", witnessSize: 3n }), []);
  assert.deepEqual(script.at(501, { kind: "tick" }), []);
  assert.deepEqual(kinds(script.at(502, { kind: "tick" })), ["ask"]);
});

test("a witness that fails is asked again, the others are not", () => {
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(2, cosigned("hangzhou", 1n));
  script.at(5, { kind: "failed", city: "shenzhen" });
  assert.deepEqual(script.at(254, { kind: "tick" }), []);
  assert.deepEqual(script.at(255, { kind: "tick" }), [
    { kind: "ask", city: "shenzhen", size: 1n, oldSize: 0n },
  ]);
});

test("a size that no open request can complete gives way to the newest", () => {
  const script = Script.serving(two);
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
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 1n });
  for (const city of ["hangzhou", "ningbo"]) script.at(1, { kind: "failed", city });
  for (const city of ["shenzhen", "wenzhou"]) script.at(1, { kind: "failed", city });
  script.at(300, { kind: "persisted", size: 2n });
  assert.deepEqual(script.at(301, cosigned("hangzhou", 1n)), [
    { kind: "ask", city: "hangzhou", size: 2n, oldSize: 1n },
  ]);
});

test("a quorum of three of four does not wait for the fourth", () => {
  const script = Script.serving(four);
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
  const fresh = Script.serving(two, 5n, 1_000);
  assert.deepEqual(fresh.at(0, { kind: "persisted", size: 5n }), []);
  const old = Script.serving(two, 5n, 60_000);
  assert.deepEqual(kinds(old.at(0, { kind: "persisted", size: 5n })), ["sign", "ask", "ask"]);
});

test("a city that is ahead stops the sequencer when none may lie", () => {
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 3n });
  assert.deepEqual(script.at(1, { kind: "conflict", city: "shenzhen", witnessSize: 4n }), [
    { kind: "ahead", city: "shenzhen", witnessSize: 4n },
    { kind: "stop", reason: "LEDGER_FORK" },
  ]);
  assert.deepEqual(script.at(400, { kind: "persisted", size: 9n }), []);
});

test("one city of four that claims to be ahead does not stop the sequencer, two do", () => {
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 3n });
  const first = script.at(1, { kind: "conflict", city: "ningbo", witnessSize: 4n });
  assert.deepEqual(kinds(first), ["ahead", "poll"]);
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
      const script = Script.serving(four);
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

/** Starts at 0 ms with 5 leaves, of which 3 are final. */
function starting(network: TestNetwork, change: Partial<SequencerConfig> = {}): Script {
  const script = new Script(configOf(network, change), 3n);
  script.at(0, { kind: "start", size: 5n });
  return script;
}

const told = (city: string, head?: ShownHead): SequencerEvent => ({ kind: "told", city, head });

test("at the start every city is asked what this log has signed, and nothing else happens", () => {
  const script = starting(four);
  assert.deepEqual(
    script.effects,
    four.cities.map((city) => ({ kind: "poll", city })),
  );
  assert.deepEqual(script.at(900, { kind: "tick" }), []);
});

test("it serves once a quorum has told, and begins with what each has cosigned", () => {
  const script = starting(four);
  script.at(1, told("ningbo", headOf(5n)));
  script.at(2, told("wenzhou"));
  assert.deepEqual(script.at(3, told("hangzhou", headOf(4n))), [
    { kind: "serve" },
    { kind: "sign", size: 5n },
    { kind: "ask", city: "hangzhou", size: 5n, oldSize: 4n },
    { kind: "ask", city: "ningbo", size: 5n, oldSize: 5n },
    { kind: "ask", city: "wenzhou", size: 5n, oldSize: 0n },
  ]);
});

test("it asks nobody before it was quiet for long enough: what an earlier process still sends may be cosigned until then", () => {
  const script = starting(two, { quietMs: 10_000 });
  assert.deepEqual(script.effects, []);
  assert.deepEqual(script.at(9_999, { kind: "tick" }), []);
  assert.deepEqual(
    script.at(10_000, { kind: "tick" }),
    two.cities.map((city) => ({ kind: "poll", city })),
  );
  script.at(10_001, told("hangzhou", headOf(5n)));
  assert.equal(kinds(script.at(10_002, told("shenzhen", headOf(5n))))[0], "serve");
});

test("a city that does not tell is asked again, and without a quorum nothing is served", () => {
  const script = starting(two);
  script.at(1, told("hangzhou", headOf(5n)));
  script.at(2, { kind: "failed", city: "shenzhen" });
  assert.deepEqual(script.at(251, { kind: "tick" }), []);
  assert.deepEqual(script.at(252, { kind: "tick" }), [{ kind: "poll", city: "shenzhen" }]);
  assert.deepEqual(script.at(60_000, { kind: "tick" }), [], "it is still being asked");
  assert.deepEqual(kinds(script.at(60_001, told("shenzhen", headOf(5n))))[0], "serve");
});

test("a quorum has to tell by every rule since the final size", () => {
  const rules = [two, { ...two, cities: ["hangzhou", "ningbo"] }];
  const script = starting(two, { rules: () => rules });
  script.at(1, told("hangzhou"));
  assert.deepEqual(script.at(2, told("shenzhen")), []);
  assert.equal(kinds(script.at(3, told("ningbo")))[0], "serve");
});

const notHeld: Readonly<Record<string, ShownHead>> = {
  "larger than everything that is held": headOf(6n),
  "of another tree of the same size": headOf(5n, Uint8Array.of(99)),
  "of another tree of a smaller size": headOf(2n, Uint8Array.of(99)),
};
for (const [what, head] of Object.entries(notHeld)) {
  test(`a head under the own key that is ${what} stops the sequencer for good, one city of four suffices`, () => {
    const script = starting(four);
    assert.deepEqual(script.at(1, told("ningbo", head)), [
      { kind: "fork", shown: head.note },
      { kind: "stop", reason: "LEDGER_FORK" },
    ]);
    for (const city of four.cities) script.at(2, told(city));
    assert.equal(script.state.stopped, "LEDGER_FORK");
  });
}

test("a city that says it is ahead while this sequencer serves is asked to show it", () => {
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 3n });
  const said = script.at(1, { kind: "conflict", city: "ningbo", witnessSize: 4n });
  assert.deepEqual(said.at(-1), { kind: "poll", city: "ningbo" });
  assert.deepEqual(kinds(script.at(2, told("ningbo", headOf(4n)))), ["fork", "stop"]);
});

test("one that shows nothing of it is asked on, with a growing pause", () => {
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 3n });
  let ms = 0;
  const pauses: number[] = [];
  for (let i = 0; i < 4; i++) {
    script.at(ms, { kind: "conflict", city: "ningbo", witnessSize: 4n });
    script.at(ms, told("ningbo"));
    const from = ms;
    while (!script.at(ms, { kind: "tick" }).some((effect) => effect.kind === "ask")) ms += 10;
    pauses.push(ms - from);
  }
  assert.deepEqual(pauses, [250, 500, 1000, 2000]);
});

test("a city that the leaves admitted is asked with the next round, and counts in it", () => {
  const wider = { cities: ["hangzhou", "ningbo", "shenzhen"], quorum: 3, faults: 1 };
  const rules: SequencerConfig["rules"] = ({ to }) => (to < 2n ? [two] : [two, wider]);
  const script = new Script(configOf(two, { rules }));
  script.at(0, { kind: "start", size: 1n });
  for (const city of two.cities) script.at(0, told(city));
  for (const city of two.cities) script.at(5, cosigned(city, 1n));
  script.at(5, { kind: "stored", size: 1n, timeMs: startMs });
  const asked = script.at(300, { kind: "persisted", size: 2n });
  const cities = asked.flatMap((effect) => (effect.kind === "ask" ? [effect.city] : []));
  assert.deepEqual(cities, ["hangzhou", "ningbo", "shenzhen"]);
  for (const city of two.cities) assert.deepEqual(script.at(310, cosigned(city, 2n)), []);
  assert.deepEqual(kinds(script.at(320, cosigned("ningbo", 2n))), ["quorum"]);
});

test("one city of four that refuses ends nothing, two end the term", () => {
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 3n });
  assert.deepEqual(script.at(1, { kind: "refused", city: "ningbo" }), []);
  assert.deepEqual(script.at(2, { kind: "refused", city: "ningbo" }), [], "one city twice is one");
  assert.deepEqual(script.at(3, { kind: "refused", city: "wenzhou" }), [{ kind: "ended" }]);
  assert.deepEqual(script.at(400, { kind: "persisted", size: 9n }), []);
});

test("in a round that stays open the cities that cosigned are asked again after a heartbeat: the term may have ended since", () => {
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 3n });
  for (const city of ["hangzhou", "ningbo"]) script.at(1, cosigned(city, 3n));
  script.at(2, { kind: "refused", city: "shenzhen" });
  script.at(3, { kind: "failed", city: "wenzhou" });
  assert.deepEqual(script.at(9_999, { kind: "tick" }), [
    { kind: "ask", city: "shenzhen", size: 3n, oldSize: 0n },
    { kind: "ask", city: "wenzhou", size: 3n, oldSize: 0n },
  ]);
  assert.deepEqual(script.at(10_000, { kind: "tick" }), [
    { kind: "ask", city: "hangzhou", size: 3n, oldSize: 3n },
    { kind: "ask", city: "ningbo", size: 3n, oldSize: 3n },
  ]);
  assert.deepEqual(script.at(10_001, { kind: "tick" }), [], "one request at a time");
  assert.deepEqual(script.at(10_002, { kind: "refused", city: "ningbo" }), [{ kind: "ended" }]);
});

test("a cosignature stands while its city is asked for it again", () => {
  const script = Script.serving(two);
  script.at(0, { kind: "persisted", size: 1n });
  script.at(1, cosigned("hangzhou", 1n));
  script.at(10_000, { kind: "tick" });
  script.at(10_001, { kind: "failed", city: "hangzhou" });
  assert.equal(kinds(script.at(10_002, cosigned("shenzhen", 1n)))[0], "quorum");
});

test("a city that refused and cosigned after all does not count as refusing", () => {
  const script = Script.serving(four);
  script.at(0, { kind: "persisted", size: 3n });
  script.at(1, { kind: "refused", city: "ningbo" });
  script.at(300, cosigned("ningbo", 3n));
  assert.deepEqual(script.at(301, { kind: "refused", city: "wenzhou" }), []);
});

/** Two cities and two witnesses of others; size 1 is being cosigned. */
function withOutside(): Script {
  const script = new Script(configOf(two, { outside: ["moon", "sun"] }));
  script.at(0, { kind: "start", size: 1n });
  for (const city of two.cities) script.at(0, told(city));
  return script;
}

test("witnesses of others are asked once a size is final, and are no part of its quorum", () => {
  const script = withOutside();
  assert.deepEqual(kinds(script.effects.slice(2)), ["serve", "sign", "ask", "ask"]);
  script.at(5, cosigned("hangzhou", 1n));
  assert.deepEqual(script.at(6, { kind: "outside cosigned", witness: "moon", size: 1n }), []);
  assert.deepEqual(kinds(script.at(7, cosigned("shenzhen", 1n))), ["quorum"]);
  const asked = script.at(8, { kind: "stored", size: 1n, timeMs: startMs });
  assert.deepEqual(asked, [{ kind: "ask outside", witness: "sun", size: 1n, oldSize: 0n }]);
});

test("a witness of others is asked from the size that it names, and again after a pause when it fails", () => {
  const script = withOutside();
  script.at(8, { kind: "stored", size: 1n, timeMs: startMs });
  script.at(9, { kind: "outside conflict", witness: "moon", witnessSize: 1n });
  assert.deepEqual(script.effects.at(-1), {
    kind: "ask outside",
    witness: "moon",
    size: 1n,
    oldSize: 1n,
  });
  script.at(10, { kind: "outside failed", witness: "sun" });
  assert.deepEqual(script.at(259, { kind: "tick" }), []);
  assert.deepEqual(kinds(script.at(260, { kind: "tick" })), ["ask outside"]);
});
