/** A consumer that goes on calling although its chain is frozen: what it acknowledged could never stand. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Side, Stage } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openRecord } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { submitFork } from "../support/forks.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, getDivision } from "../support/two-cities.ts";
import { type RecordReader, recordReader, RogueLink } from "./support.ts";

describe("a consumer whose chain is frozen", () => {
  let running: Running;
  let records: RecordReader;
  let rogue: RogueLink;

  before(async () => {
    running = await startTwoCities({ bounds: { heartbeat_s: 1 } });
    const { cities } = running;
    records = recordReader(cities.provider);
    // The newest statement of the provider's chain.
    const newest = (await running.provider.records()).find(({ kind }) => kind === "statement");
    const grant = { index: newest?.state?.index ?? 0n, position: newest?.state?.position ?? 0 };
    rogue = await RogueLink.open(cities, {
      service: divisionsService,
      method: getDivision,
      purpose: "address-check",
      grant,
    });
  });

  after(async () => {
    rogue?.close();
    records?.close();
    await running?.close();
  });

  it("is answered until then", async () => {
    assert.equal((await rogue.call()).case, "answer");
  });

  it("is refused CHAIN_FROZEN from then on, with a record and before the upstream", async () => {
    assert.equal((await running.client.getDivision("330106")).code, 0);
    await running.settled();
    assert.equal(await submitFork(running), "CHAIN_FORK");
    await eventually("the chain is frozen", () =>
      running.gateways.consumer.notReady().includes("CHAIN_FROZEN"),
    );
    const calls = running.upstream.calls();
    const body = await rogue.call();
    assert.ok(body.case === "refused" && body.value.proof !== undefined);
    const refusal = openRecord(body.value.proof.record).body;
    assert.ok(refusal.case === "refusal");
    const { reason, side, stage, upstreamCalled } = refusal.value;
    assert.deepEqual(
      [reason, side, stage, upstreamCalled],
      ["CHAIN_FROZEN", Side.PROVIDER, Stage.EVIDENCE, false],
    );
    assert.equal(running.upstream.calls(), calls);
  });
});
