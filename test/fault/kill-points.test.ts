import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Answer } from "../support/agency-client.ts";
import { FinalLedger } from "./final-ledger.ts";
import type { KillPoint } from "./gateway-main.ts";
import { type FaultNetwork, ready, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { rounds } from "./rounds.ts";
import { assertHandedOver, assertOnLedger, handleOf, settled } from "./settled.ts";

type Side = "provider" | "consumer";

interface Case {
  readonly name: string;
  readonly call: "read" | "write";
  /** Who stops, where, and after how many passes. */
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

describe("SIGKILL of a gateway", () => {
  let network: FaultNetwork;
  let ledger: FinalLedger;

  before(async () => {
    network = await startNetwork();
    ledger = new FinalLedger(network.consumer.member.addresses.http);
  });

  after(() => network?.close());

  function call(kind: "read" | "write"): Promise<Answer<unknown>> {
    const { client } = network;
    return kind === "read" ? client.getDivision("330106") : client.reportCorrection("330106");
  }

  async function interrupt(fault: Case): Promise<void> {
    const { call: kind, stops, point, skip = 0, killed = [stops], closed } = fault;
    const before = new Set((await settled(network, ledger)).map(({ key }) => key));
    await network[stops].arm(point, skip);
    const pending = call(kind);
    await network[stops].isAt(point);
    for (const side of killed) await network[side].end("SIGKILL");
    const durable = killed.flatMap((side) => network[side].journal());
    for (const side of killed) await network[side].start();
    const answer = await pending;
    await ready(network.gateways);
    const next = await network.nextAnswer();

    const attempts = await settled(network, ledger);
    assertOnLedger(durable, ledger);
    const own = attempts.filter(({ key }) => !before.has(key));
    assertHandedOver(answer, own);
    assertHandedOver(next, own);
    const interrupted = own.filter(({ receipt }) => receipt !== handleOf(next));
    if (fault.mayMissCall !== true) assert.equal(interrupted.length, 1);
    for (const { provider, consumer } of interrupted) {
      assert.ok(closed.includes(`${provider} | ${consumer}`), `${provider} | ${consumer}`);
    }
  }

  for (const fault of cases) {
    it(`${fault.name}: nothing recorded is lost, and both sides close the attempt once`, async () => {
      for (let round = 0; round < rounds(1); round++) await interrupt(fault);
    });
  }

  it("leaves the ledger that the other city holds the same", async () => {
    await settled(network, ledger);
    const other = new FinalLedger(network.provider.member.addresses.http);
    await other.update();
    assert.deepEqual(
      other.records.map(({ handle }) => handle),
      ledger.records.map(({ handle }) => handle),
    );
  });

  it("leaves a ledger that an auditor replays without a finding", () => assertReplays(network));
});
