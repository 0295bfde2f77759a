import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Answer } from "../support/agency-client.ts";
import type { Attempt } from "./attempts.ts";
import { FinalLedger } from "./final-ledger.ts";
import type { KillPoint, SealedStep } from "./gateway-main.ts";
import { type FaultNetwork, ready, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { findingsOfRounds, most, rounds } from "./rounds.ts";
import { assertHandedOver, assertOnLedger, settled } from "./settled.ts";

type Side = "provider" | "consumer";

interface Case {
  readonly name: string;
  readonly call: "read" | "write";
  /** Who stops, and where; at a seal, after how many records of the call. */
  readonly stops: Side;
  readonly point: KillPoint;
  readonly skip?: number;
  /** Who is killed; the one that stopped unless told. */
  readonly killed?: readonly Side[];
  /** How the interrupted attempt may stand on the ledger, provider first. */
  readonly closed: readonly string[];
  /** The point may be reached by a heartbeat, before the call is. */
  readonly mayMissCall?: true;
}

const noAnswer = "closed no answer";
const unknown = "closed unknown after restart";
const restarted = "closed gateway restarted";

const cases: readonly Case[] = [
  {
    name: "provider killed before the batch of a receipt is closed",
    call: "read",
    stops: "provider",
    point: "before close",
    closed: [`none | ${noAnswer}`],
  },
  {
    name: "provider killed between close and commit of a receipt",
    call: "read",
    stops: "provider",
    point: "before commit",
    closed: [`none | ${noAnswer}`],
  },
  {
    name: "provider killed between commit and release of a receipt",
    call: "read",
    stops: "provider",
    point: "after commit",
    closed: [`receipt | ${noAnswer}`],
  },
  {
    name: "provider killed between close and commit of Opened",
    call: "write",
    stops: "provider",
    point: "before commit",
    closed: [`none | ${noAnswer}`],
  },
  {
    name: "provider killed when Opened is durable, before it calls the upstream",
    call: "write",
    stops: "provider",
    point: "before upstream",
    closed: [`${restarted} | ${noAnswer}`],
  },
  {
    name: "provider killed when the upstream has answered a method that writes",
    call: "write",
    stops: "provider",
    point: "after upstream",
    closed: [`${restarted} | ${noAnswer}`],
  },
  {
    name: "provider killed between close and commit of a receipt that follows Opened",
    call: "write",
    stops: "provider",
    point: "before commit",
    skip: 1,
    closed: [`${restarted} | ${noAnswer}`],
  },
  {
    name: "provider killed between commit and release of a receipt that follows Opened",
    call: "write",
    stops: "provider",
    point: "after commit",
    skip: 1,
    closed: [`receipt | ${noAnswer}`],
  },
  {
    name: "both killed between release of the receipt and hand-over",
    call: "read",
    stops: "consumer",
    point: "before commit",
    killed: ["provider", "consumer"],
    closed: [`receipt | ${unknown}`],
  },
  {
    name: "consumer killed when the call is sent, before the provider answers",
    call: "write",
    stops: "provider",
    point: "after upstream",
    killed: ["consumer"],
    closed: [`closed peer lost | ${unknown}`],
  },
  {
    name: "consumer killed on the answer, before the acknowledgement is queued",
    call: "read",
    stops: "consumer",
    point: "before close",
    closed: [`receipt | ${unknown}`],
  },
  {
    name: "consumer killed between close and commit of the acknowledgement",
    call: "write",
    stops: "consumer",
    point: "before commit",
    closed: [`receipt | ${unknown}`],
  },
  {
    name: "consumer killed between commit of the acknowledgement and hand-over",
    call: "read",
    stops: "consumer",
    point: "before release",
    closed: ["receipt | match"],
  },
  {
    name: "consumer killed before it submits the batch of the acknowledgement",
    call: "read",
    stops: "consumer",
    point: "before submit",
    closed: ["receipt | match"],
  },
  {
    name: "consumer killed when its batch was submitted and answered, before that is noted",
    call: "read",
    stops: "consumer",
    point: "after submit",
    closed: ["receipt | match"],
  },
  {
    name: "sequencer killed before it persists a batch",
    call: "read",
    stops: "provider",
    point: "before append",
    closed: ["receipt | match", `receipt | ${noAnswer}`],
  },
  {
    name: "sequencer killed when a batch is included, before its submitter is answered",
    call: "read",
    stops: "provider",
    point: "after append",
    closed: ["receipt | match", `receipt | ${noAnswer}`],
  },
  {
    name: "follower killed before it persists what was included",
    call: "read",
    stops: "consumer",
    point: "before append",
    closed: ["receipt | match", `receipt | ${unknown}`],
  },
  {
    name: "follower killed when it has persisted what was included",
    call: "read",
    stops: "consumer",
    point: "after append",
    closed: ["receipt | match", `receipt | ${unknown}`],
  },
  {
    name: "sequencer killed between persist and publish of a head",
    call: "read",
    stops: "provider",
    point: "before head",
    closed: ["receipt | match", `receipt | ${noAnswer}`],
  },
  {
    name: "sequencer killed when it has signed a head, before anyone is asked",
    call: "read",
    stops: "provider",
    point: "after head",
    closed: ["receipt | match", `receipt | ${noAnswer}`],
  },
  {
    name: "witness killed before its promise",
    call: "read",
    stops: "consumer",
    point: "before promise",
    closed: ["receipt | match", `receipt | ${unknown}`],
    mayMissCall: true,
  },
  {
    name: "witness killed between its promise and its answer",
    call: "read",
    stops: "consumer",
    point: "after promise",
    closed: ["receipt | match", `receipt | ${unknown}`],
    mayMissCall: true,
  },
  {
    name: "witness killed when its cosignature has left",
    call: "read",
    stops: "consumer",
    point: "after cosignature",
    closed: ["receipt | match", `receipt | ${unknown}`],
    mayMissCall: true,
  },
];

/** As many as a grant may name. */
const purposes: readonly string[] = [
  "address-check",
  ...Array.from({ length: 63 }, (_, i) => `case-${10 + i}`),
];

const sealPoints: ReadonlySet<KillPoint> = new Set([
  "before close",
  "before commit",
  "after commit",
  "before release",
]);

/** The record of the call whose seal is interrupted. */
function stepOf({ call, stops, point, skip = 0 }: Case): SealedStep | undefined {
  if (!sealPoints.has(point)) return undefined;
  if (stops === "consumer") return "final acknowledgement";
  return call === "write" && skip === 0 ? "opened" : "final receipt";
}

interface Interrupted {
  readonly fault: Case;
  /** No other call since the last check was for it. */
  readonly purpose: string;
  readonly answer: Answer<unknown>;
  /** Of a call of the time after. */
  readonly next: Answer<unknown>;
}

describe("SIGKILL of a gateway", () => {
  let network: FaultNetwork;
  let ledger: FinalLedger;
  let interrupted: Interrupted[] = [];
  const durable: { readonly leafHash: Uint8Array }[] = [];
  /** Attempts that were checked. */
  const checked = new Set<string>();

  before(async () => {
    network = await startNetwork({ purposes });
    ledger = new FinalLedger(network.consumer.member.addresses.http);
  });

  after(() => network?.close());

  function call(kind: "read" | "write", purpose: string): Promise<Answer<unknown>> {
    const { client } = network;
    const options = { metadata: { "causeway-purpose": purpose, "causeway-case": "case-1" } };
    return kind === "read"
      ? client.getDivision("330106", options)
      : client.reportCorrection("330106", options);
  }

  async function interrupt(fault: Case): Promise<void> {
    if (interrupted.length === purposes.length - 1) await check();
    const { call: kind, stops, point, killed = [stops] } = fault;
    const purpose = purposes[interrupted.length + 1] as string;
    const step = stepOf(fault);
    // The ledger's points are passed by what the case before has left, too.
    if (step === undefined && !point.endsWith("upstream")) await settled(network, ledger);
    await network[stops].arm(point, 0, step);
    const pending = call(kind, purpose);
    await network[stops].isAt(point);
    await Promise.all(killed.map((side) => network[side].end("SIGKILL")));
    durable.push(...killed.flatMap((side) => network[side].journal()));
    await Promise.all(killed.map((side) => network[side].start()));
    const answer = await pending;
    await ready(network.gateways);
    interrupted.push({ fault, purpose, answer, next: await network.nextAnswer() });
  }

  /** Holds everything since the last check against the ledger. */
  async function check(): Promise<void> {
    const all = await settled(network, ledger);
    const attempts = all.filter(({ key }) => !checked.has(key));
    assertOnLedger(durable, ledger);
    for (const { fault, purpose, answer, next } of interrupted) {
      assertHandedOver(answer, attempts);
      assertHandedOver(next, attempts);
      const own = attemptsOf(answer, purpose, attempts);
      if (fault.mayMissCall !== true) assert.equal(own.length, 1, fault.name);
      for (const { provider, consumer } of own) {
        const closed = `${provider} | ${consumer}`;
        assert.ok(fault.closed.includes(closed), `${fault.name}: ${closed}`);
      }
    }
    for (const { key } of attempts) checked.add(key);
    interrupted = [];
  }

  for (const fault of most(cases, 2)) {
    it(`${fault.name}: calls go on`, async () => {
      for (let round = 0; round < rounds(1); round++) await interrupt(fault);
    });
  }

  it("loses nothing that was recorded, and both sides close each attempt once, as its step says", () =>
    check());

  it("leaves the ledger that the other city holds the same", async () => {
    const other = new FinalLedger(network.provider.member.addresses.http);
    await other.update();
    assert.deepEqual(
      other.records.map(({ handle }) => handle),
      ledger.records.map(({ handle }) => handle),
    );
  });

  it("leaves a ledger that an auditor replays without a finding", () =>
    assertReplays(network, { but: findingsOfRounds }));
});

/** The consumer's gateway tells its caller the exchange's id, unless it is killed; the provider's records have the purpose. */
function attemptsOf(
  { trailers }: Answer<unknown>,
  purpose: string,
  attempts: readonly Attempt[],
): readonly Attempt[] {
  const [xid] = trailers.get("causeway-exchange-id");
  const prefix = String(xid ?? "none").replaceAll("-", "");
  return attempts.filter((one) => one.purpose === purpose || one.name.startsWith(prefix));
}
