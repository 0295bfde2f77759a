/**
 * Every step of the records of a stream, before and after, with SIGKILL of both gateways at once: the
 * consumer's stands at one step of one call, the provider's at another step of another call, and further
 * streams are under way. Then of upstream and sequencer.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Client } from "@grpc/grpc-js";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import type { StreamMethod } from "../support/stream-service.ts";
import { Proxy } from "../support/proxies.ts";
import { freeAddress } from "../support/free-port.ts";
import type { Attempt } from "./attempts.ts";
import { FinalLedger } from "./final-ledger.ts";
import type { KillPoint, SealedStep } from "./gateway-main.ts";
import { type FaultNetwork, type GatewayProcess, ready, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { findingsOfRounds, rounds, seed, some } from "./rounds.ts";
import { assertOnLedger, settled } from "./settled.ts";
import {
  assertStreamed,
  attemptsOf,
  describeAttempt,
  StreamCall,
  streamClient,
} from "./stream-calls.ts";

const window = 4;
/** As many as a grant may name. */
const purposes: readonly string[] = Array.from({ length: 64 }, (_, i) => `case-${10 + i}`);
const unknown = "closed unknown after restart";
const restarted = "closed gateway restarted";
const cancelled = "closed cancelled";

/** What of a call is being recorded when the gateway is killed. */
type Moment = "opened" | "upstream" | "first" | "middle" | "final" | "closed";

interface Stop {
  readonly moment: Moment;
  readonly point: KillPoint;
}

const sealPoints: readonly KillPoint[] = [
  "before close",
  "before commit",
  "after commit",
  "before release",
];
const atSeals = (moment: Moment): readonly Stop[] => sealPoints.map((point) => ({ moment, point }));

const providerStops: readonly Stop[] = [
  ...atSeals("opened"),
  { moment: "upstream", point: "before upstream" },
  { moment: "upstream", point: "after upstream" },
  ...(["first", "middle", "final", "closed"] as const).flatMap(atSeals),
];
const consumerStops: readonly Stop[] = (["first", "middle", "final", "closed"] as const).flatMap(
  atSeals,
);

/** Methods of which a call comes to that moment. */
const methodsAt: Readonly<Record<Moment, readonly StreamMethod[]>> = {
  opened: ["collect", "speak"],
  upstream: ["chat", "collect"],
  first: ["chat", "collect", "expand", "speak"],
  middle: ["chat", "expand"],
  final: ["chat", "collect", "expand", "speak"],
  closed: ["chat", "collect"],
};
const addressOf = ({ consumer }: FaultNetwork): string => consumer.member.addresses.agency;
const writes = (method: StreamMethod): boolean => method === "collect" || method === "speak";
const of = <T>(choices: readonly T[], number: number): T => choices[number % choices.length] as T;

/** A call with how it may stand on the ledger, provider first. */
interface Expected {
  readonly what: string;
  readonly call: StreamCall;
  readonly provider: readonly string[];
  readonly consumer: readonly string[];
}

describe(`SIGKILL of gateways, upstream and sequencer with streams under way, seed ${seed}`, () => {
  let network: FaultNetwork;
  let ledger: FinalLedger;
  let client: Client;
  let expected: Expected[] = [];
  let whole: StreamCall[] = [];
  /** Purposes that a call of the method has had since the last check. */
  const used = new Map<StreamMethod, number>();
  /** Attempts that were checked. */
  const checked = new Set<string>();
  const durable: { readonly leafHash: Uint8Array }[] = [];

  before(async () => {
    network = await startNetwork({
      service: "streams",
      ownSequencer: true,
      purposes,
      bounds: { segment_messages: 4, window_segments: window },
    });
    ledger = new FinalLedger(network.consumer.member.addresses.http);
    client = streamClient(addressOf(network));
  });

  after(async () => {
    client?.close();
    await network?.close();
  });

  /** A call that no other is like since the last check: of its method, the only one for its purpose. */
  function open(
    method: StreamMethod,
    options: { readonly count?: number; readonly client?: Client } = {},
  ): StreamCall {
    const number = used.get(method) ?? 0;
    used.set(method, number + 1);
    const purpose = purposes[number] as string;
    return new StreamCall(options.client ?? client, method, purpose, options);
  }

  /** Streams of every type, which nothing comes of for now. */
  async function underWay(): Promise<readonly StreamCall[]> {
    const [collect, chat, speak] = [open("collect"), open("chat"), open("speak")];
    collect.send();
    chat.send();
    return Promise.all([collect.has(0), chat.has(1), speak.has(1)]);
  }

  /** A call just before that moment, and what brings it there. */
  async function bringBefore(
    method: StreamMethod,
    moment: Moment,
  ): Promise<{ readonly skip: number; readonly step?: SealedStep; readonly go: () => StreamCall }> {
    const opens =
      (count = 3) =>
      (): StreamCall => {
        const call = open(method, { count });
        if (method === "chat" || method === "collect") call.send();
        return call;
      };
    switch (moment) {
      case "opened":
        return { step: "opened", skip: 0, go: opens() };
      case "upstream":
        return { skip: 0, go: opens() };
      case "first":
        return { step: "receipt", skip: 0, go: opens(20) };
      case "middle":
      case "final": {
        const step = moment === "final" ? "final receipt" : "receipt";
        if (method === "expand") {
          return { step, skip: moment === "final" ? 0 : 1, go: opens(10) };
        }
        const call = await opens()().has(method === "collect" ? 0 : 1);
        const go = (): void => (moment === "final" ? call.end() : call.send());
        return { step, skip: 0, go: () => (go(), call) };
      }
      case "closed": {
        // A call that is cancelled is half-closed first by grpc-js, and may end by itself: this caller is gone.
        const listen = await freeAddress();
        const wire = await Proxy.open(listen, addressOf(network), () => false);
        const own = streamClient(listen);
        const call = open(method, { client: own });
        call.send();
        await call.has(method === "collect" ? 0 : 1);
        const go = (): StreamCall => {
          void wire.close();
          void call.ended.then(() => own.close());
          return call;
        };
        return { step: "closed", skip: 0, go };
      }
    }
  }

  /** Makes a gateway stand at a step of a call. */
  async function stopAt(
    side: "provider" | "consumer",
    brought: Awaited<ReturnType<typeof bringBefore>>,
    point: KillPoint,
  ): Promise<StreamCall> {
    const { skip, step, go } = brought;
    const own =
      side === "provider" ? step : (step?.replace("receipt", "acknowledgement") as SealedStep);
    await network[side].arm(point, skip, own);
    const call = go();
    await network[side].isAt(point);
    return call;
  }

  async function kill(gateways: readonly GatewayProcess[]): Promise<void> {
    await Promise.all(gateways.map((gateway) => gateway.end("SIGKILL")));
    for (const gateway of gateways) durable.push(...gateway.journal());
    await Promise.all(gateways.map((gateway) => gateway.start()));
    await ready(gateways);
  }

  const isDurable = ({ point }: Stop): boolean =>
    point === "after commit" || point === "before release";

  function providerExpects(stop: Stop, method: StreamMethod): readonly string[] {
    const { moment } = stop;
    const onRecord = writes(method) ? restarted : "none";
    switch (moment) {
      case "opened":
        return [isDurable(stop) ? restarted : "none"];
      case "upstream":
        return [onRecord];
      case "first":
        return [isDurable(stop) ? restarted : onRecord];
      case "middle":
        return [restarted];
      case "final":
        return [isDurable(stop) ? "receipt" : restarted];
      case "closed":
        return [isDurable(stop) ? cancelled : restarted];
    }
  }

  function consumerExpects(stop: Stop): readonly string[] {
    if (!isDurable(stop)) return [unknown];
    return [stop.moment === "final" ? "match" : stop.moment === "closed" ? cancelled : unknown];
  }

  /** How the provider has closed the call at which the consumer stood, when both are gone. */
  function otherExpects({ moment }: Stop, method: StreamMethod): readonly string[] {
    if (moment === "final") return ["receipt"];
    if (moment === "closed") return [cancelled, restarted];
    // A server stream goes on until the window is full.
    return method === "expand" ? [restarted, "receipt"] : [restarted];
  }

  async function interrupt(index: number, round: number): Promise<void> {
    await checkedBeforeLong();
    const at = of(providerStops, index);
    const other = of(consumerStops, index + round + seed);
    const method = of(methodsAt[at.moment], index + round);
    const otherMethod = of(methodsAt[other.moment], index + round + seed);
    const streams = await underWay();
    const brought = await bringBefore(method, at.moment);
    const otherBrought = await bringBefore(otherMethod, other.moment);
    const otherCall = await stopAt("consumer", otherBrought, other.point);
    const call = await stopAt("provider", brought, at.point);
    await kill([network.provider, network.consumer]);
    const what = `provider ${at.point} of ${at.moment}, consumer ${other.point} of ${other.moment}`;
    expected.push(
      {
        what: `${what}: ${method} at the provider`,
        call,
        provider: providerExpects(at, method),
        consumer: at.moment === "closed" ? [unknown, cancelled] : [unknown],
      },
      {
        what: `${what}: ${otherMethod} at the consumer`,
        call: otherCall,
        provider: otherExpects(other, otherMethod),
        consumer: consumerExpects(other),
      },
      ...streams.map((stream) => ({
        what: `${what}: ${stream.method} under way`,
        call: stream,
        provider: [restarted],
        consumer: [unknown],
      })),
    );
    await goesOn();
  }

  /** Streams of every type go through from begin to end. */
  async function goesOn(): Promise<void> {
    await eventually("a stream is carried to its end", async () => {
      const call = open("chat");
      call.send();
      call.end();
      whole.push(call);
      return (await call.ended).code === 0;
    });
  }

  async function check(): Promise<void> {
    const all = await settled(network, ledger);
    const attempts = all.filter(({ key }) => !checked.has(key));
    assertOnLedger(durable, ledger);
    for (const { call } of expected) await call.ended;
    const calls = [...whole, ...expected.map(({ call }) => call)];
    assertStreamed(calls, attempts, window);
    for (const { what, call, provider, consumer } of expected) {
      const own = attemptsOf(call, attempts);
      assert.ok(own.length <= 1, `${what}: one attempt`);
      const [attempt] = own;
      const found: Pick<Attempt, "provider" | "consumer"> = attempt ?? {
        provider: "none",
        consumer: "none",
      };
      const seen = `${call.received} messages, ${call.status?.code} ${call.status?.details}`;
      const told = `${attempt === undefined ? "nothing" : describeAttempt(attempt)}; ${seen}`;
      assert.ok(provider.includes(found.provider), `${what}: ${told}`);
      // Of a call of which the provider has no record nothing stands on the ledger.
      assert.ok(attempt === undefined || consumer.includes(found.consumer), `${what}: ${told}`);
    }
    for (const { key } of attempts) checked.add(key);
    expected = [];
    whole = [];
    used.clear();
  }

  /** Each purpose serves one call of a method between two checks. */
  async function checkedBeforeLong(): Promise<void> {
    if (Math.max(0, ...used.values()) > purposes.length - 16) await check();
  }

  const stops = providerStops.map((stop, index) => ({ stop, index }));
  for (const { stop, index } of some(stops, 3)) {
    const { moment, point } = stop;
    it(`at ${moment}, ${point}, and a step of the consumer: what was under way is closed and streams go on`, async () => {
      for (let round = 0; round < rounds(1); round++) await interrupt(index, round);
    });
  }

  it("of the upstream: the provider closes each as its error, and the caller hears UNAVAILABLE", async () => {
    for (let round = 0; round < rounds(1); round++) {
      await checkedBeforeLong();
      const streams = await underWay();
      await network.upstream.end("SIGKILL");
      for (const stream of streams) {
        const status = await stream.ended;
        assert.equal(status.code, 14, status.details);
        assert.equal(errorInfo(status.metadata)?.reason, "UPSTREAM_UNAVAILABLE");
        expected.push({
          what: `${stream.method} when the upstream was killed`,
          call: stream,
          provider: ["closed upstream error"],
          consumer: ["closed refused"],
        });
      }
      await network.upstream.start();
      await goesOn();
    }
  });

  const sequencerPoints = ["before append", "after append", "before head", "after head"] as const;
  for (const point of some(sequencerPoints, 2)) {
    it(`of the sequencer ${point}: streams under way notice nothing`, async () => {
      const sequencer = network.sequencer as GatewayProcess;
      for (let round = 0; round < rounds(1); round++) {
        await checkedBeforeLong();
        const streams = await underWay();
        await sequencer.arm(point, 0);
        const [, chat] = streams;
        chat?.send();
        await sequencer.isAt(point);
        await sequencer.end("SIGKILL");
        chat?.send();
        await chat?.has(3);
        await sequencer.start();
        for (const stream of streams) {
          stream.end();
          assert.equal((await stream.ended).code, 0, stream.status?.details);
          whole.push(stream);
        }
      }
    });
  }

  it("leaves every attempt closed as its step says, and nothing handed over that is not on the ledger", async () => {
    await check();
  });

  it("leaves a ledger that an auditor replays without a finding", () =>
    assertReplays(network, { but: findingsOfRounds }));
});
