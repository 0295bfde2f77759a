/** What becomes of receipts whose acknowledgements do not come: sent again, waited for, refused for, missing. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../gateway/runtime.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Engine, SealedBatch, Sealer } from "../../src/ledger/ports.ts";
import { openRecord } from "../../src/record/record.ts";
import { verifyRecordProof } from "../../src/record/proof.ts";
import { formatHandle } from "../../src/record/handle.ts";
import { recordReader } from "../attacks/support.ts";
import { Running as Program } from "../fault/processes.ts";
import { eventually } from "../support/admin-client.ts";
import { AgencyClient } from "../support/agency-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";

async function unanswered(running: Running): Promise<number> {
  const http = running.cities.provider.addresses.http;
  const text = await (await fetch(`http://${http}/metrics`)).text();
  return Number(/^causeway_unacknowledged_receipts(?:\{.*\})? (\d+)/m.exec(text)?.[1]);
}

const holdsAcknowledgement = ({ record }: { readonly record: Uint8Array }): boolean =>
  openRecord(record).body.case === "acknowledgement";

describe("a consumer that is killed between the seal of its acknowledgement and the send", () => {
  let running: Running;

  before(async () => {
    running = await startTwoCities({ bounds: { heartbeat_s: 1 } });
  });
  after(() => running?.close());

  it("sends it again on its first link after the restart, before the ledger has it", async () => {
    const { cities, gateways } = running;
    await gateways.consumer.close();
    const main = fileURLToPath(new URL("resent-main.js", import.meta.url));
    const { configFile, addresses } = cities.consumer;
    const stopping = new Program([main, configFile, "stop"]);
    await stopping.printed("running");
    const client = new AgencyClient(addresses.agency);
    const lost = client.getDivision("330106");
    await stopping.printed("acknowledged");
    assert.equal(await unanswered(running), 1);
    await stopping.end("SIGKILL");
    await lost;
    client.close();

    const again = new Program([main, configFile]);
    await again.printed("running");
    try {
      const next = new AgencyClient(addresses.agency);
      await eventually("calls go", async () => (await next.getDivision("330106")).code === 0);
      next.close();
      await eventually("the provider has both", async () => (await unanswered(running)) === 0);
    } finally {
      await again.end("SIGKILL");
    }
  });
});

describe("a consumer agency that acknowledges nothing", () => {
  let running: Running;
  let aheadMs = 0;
  let isMute = false;
  const clock: Clock = { ...systemClock, nowMs: () => Date.now() + aheadMs };
  const held: (() => void)[] = [];

  before(async () => {
    // Acknowledgements wait before they are sealed: neither link nor ledger has them.
    const wrapSealer = (sealer: Sealer): Sealer => ({
      seal: async (record) => {
        if (isMute && holdsAcknowledgement(record)) {
          await new Promise<void>((resolve) => held.push(resolve));
        }
        return sealer.seal(record);
      },
    });
    running = await startTwoCities({
      bounds: { heartbeat_s: 1, unacknowledged_receipts: 2 },
      overrides: { provider: { clock }, consumer: { clock, wrapSealer } },
    });
  });
  after(async () => {
    for (const release of held) release();
    await running?.close();
  });

  it("gets no new exchange once too many receipts are overdue, until they are acknowledged", async () => {
    const { client } = running;
    assert.equal((await client.getDivision("330106")).code, 0);
    isMute = true;
    const waiting = [client.getDivision("330106"), client.getDivision("330106")];
    await eventually("two receipts wait", async () => (await unanswered(running)) === 2);
    aheadMs = 61_000;
    await eventually("the ledger's time has followed", async () => {
      const { finalAgeMs } = await running.provider.status();
      return finalAgeMs < 5_000n;
    });
    const refused = await client.getDivision("330106");
    assert.equal(refused.reason, "ACKNOWLEDGEMENT_OVERDUE");
    isMute = false;
    for (const release of held.splice(0)) release();
    await Promise.all(waiting);
    await eventually("both have come", async () => (await unanswered(running)) === 0);
    assert.equal((await client.getDivision("330106")).code, 0);
  });
});

describe("a provider that withholds a batch", () => {
  let running: Running;
  let isWithholding = false;
  const withheld: (() => void)[] = [];

  before(async () => {
    const isReceipt = ({ records }: SealedBatch): boolean =>
      records.some((record) => openRecord(record).body.case === "receipt");
    const wrapEngine = (engine: Engine): Engine => ({
      submit: async (batch) => {
        if (isWithholding && isReceipt(batch)) {
          await new Promise<void>((resolve) => withheld.push(resolve));
        }
        return engine.submit(batch);
      },
      putBlob: (content) => engine.putBlob(content),
    });
    running = await startTwoCities({
      bounds: { heartbeat_s: 1, inclusion_bound_s: 2 },
      overrides: { provider: { wrapEngine } },
    });
  });
  after(async () => {
    for (const release of withheld) release();
    await running?.close();
  });

  it("is reported with the receipt that it gave, once", async () => {
    const { client, cities, consumer } = running;
    assert.equal((await client.getDivision("330106")).code, 0);
    await running.settled();
    isWithholding = true;
    const answer = await client.getDivision("330106");
    assert.equal(answer.code, 0);
    const missing = async (): Promise<number> =>
      (await consumer.records()).filter(({ kind }) => kind === "receiptMissing").length;
    await eventually("the receipt is missing", async () => (await missing()) > 0);
    const records = recordReader(cities.consumer);
    try {
      const entry = (await records.entries()).find(({ kind }) => kind === "receiptMissing");
      assert.ok(entry);
      const { body } = (await records.open(entry)).record;
      assert.ok(body.case === "receiptMissing");
      const { leaf, position } = verifyRecordProof(body.value);
      const [handle] = answer.trailers.get("causeway-receipt");
      assert.equal(formatHandle(leaf.leafHash, position), String(handle));
      const { finalSize } = await consumer.status();
      await eventually(
        "more is final",
        async () => (await consumer.status()).finalSize > finalSize,
      );
      assert.equal(await missing(), 1);
    } finally {
      records.close();
    }
  });
});
