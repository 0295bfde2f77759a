import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { createGateway, type GatewayOverrides } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import type { Engine } from "../../src/ledger/ports.ts";
import { openRecord } from "../../src/record/record.ts";
import { adminClient, eventually } from "../support/admin-client.ts";
import type { Answer } from "../support/agency-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";

/** The kinds of the provider's own records, in the order of its chain. */
function kindsInJournal({ cities }: Running): (string | undefined)[] {
  const reader = openSqliteJournalReader(join(cities.provider.folder, "data", "journal.sqlite"));
  const kinds: (string | undefined)[] = [];
  for (let number = 0; number < reader.batchCount(); number++) {
    for (const record of reader.batch(number)?.records ?? [])
      kinds.push(openRecord(record).body.case);
  }
  reader.close();
  return kinds;
}

function revocation({ cities, grant }: Running): readonly string[] {
  const body = { grant, reason: "PURPOSE_ENDED" };
  return cities.sign(cities.provider, "revocation", cities.consumer.agency.card.id, body).jws;
}

describe("a revocation", () => {
  it("stands before no receipt in its own chain, with calls in flight", async () => {
    const running = await startTwoCities();
    try {
      let answered = 0;
      const call = async (): Promise<Answer<unknown>> => {
        const answer = await running.client.getDivision("330106");
        answered++;
        return answer;
      };
      const calls = Array.from({ length: 300 }, call);
      await eventually("some are answered, and most are in flight", () => answered > 20);
      const taken = running.provider.submit(revocation(running), 0);
      calls.push(...Array.from({ length: 100 }, call));
      await taken;
      const answers = await Promise.all(calls);
      const reasons = new Set(
        answers.map(({ code, reason }) => (code === 0 ? "OK" : String(reason))),
      );
      assert.deepEqual([...reasons].toSorted(), ["GRANT_REVOKED", "OK"]);
      const kinds = kindsInJournal(running);
      const revoked = kinds.lastIndexOf("statement");
      assert.ok(kinds.slice(0, revoked).includes("receipt"));
      assert.ok(!kinds.slice(revoked).includes("receipt"));
    } finally {
      await running.close();
    }
  });

  it("that is sealed and not yet on the ledger acts across a restart of its gateway", async () => {
    let away = false;
    const wrapEngine = (engine: Engine): Engine => ({
      submit: async (batch) => {
        if (away) throw new CausewayError("LEDGER_UNAVAILABLE", "cut off by the test");
        return engine.submit(batch);
      },
      putBlob: (content) => engine.putBlob(content),
    });
    const overrides: GatewayOverrides = { wrapEngine };
    const running = await startTwoCities({ overrides: { provider: overrides } });
    const restarted = { close: async (): Promise<void> => undefined };
    try {
      assert.equal((await running.client.getDivision("330106")).code, 0);
      await running.settled();
      away = true;
      await running.provider.submit(revocation(running), 0);
      await running.gateways.provider.close();
      const gateway = await createGateway(
        readConfig(running.cities.provider.configFile),
        overrides,
      );
      await gateway.start();
      restarted.close = () => gateway.close();
      const admin = adminClient(running.cities.provider);
      await eventually("the provider is ready again", () => gateway.notReady().length === 0);
      const status = await admin.status();
      admin.close();
      assert.ok(status.journalNotFinal > 0n, "the revocation is not on the ledger");
      await eventually("the provider answers", async () => {
        const answer = await running.client.getDivision("330106");
        return answer.reason === "GRANT_REVOKED";
      });
      assert.equal(kindsInJournal(running).filter((kind) => kind === "receipt").length, 1);
    } finally {
      away = false;
      await restarted.close();
      await running.close();
    }
  });

  it("that is sealed acts on when it is submitted again and cannot be sealed", async () => {
    let away = false;
    let isFull = false;
    const running = await startTwoCities({
      overrides: {
        provider: {
          wrapEngine: (engine) => ({
            submit: async (batch) => {
              if (away) throw new CausewayError("LEDGER_UNAVAILABLE", "cut off by the test");
              return engine.submit(batch);
            },
            putBlob: (content) => engine.putBlob(content),
          }),
          wrapSealer: (sealer) => ({
            seal: async (record) => {
              if (isFull && record.kind === "governance") {
                throw new CausewayError("BUSY", "refused by the test");
              }
              return sealer.seal(record);
            },
          }),
        },
      },
    });
    try {
      assert.equal((await running.client.getDivision("330106")).code, 0);
      await running.settled();
      away = true;
      const first = revocation(running);
      await running.provider.submit(first, 0);
      isFull = true;
      await assert.rejects(running.provider.submit(first, 0));
      await assert.rejects(running.provider.submit(revocation(running), 0));
      assert.equal((await running.client.getDivision("330106")).reason, "GRANT_REVOKED");
      away = false;
      await running.settled();
      assert.equal((await running.client.getDivision("330106")).reason, "GRANT_REVOKED");
    } finally {
      away = false;
      await running.close();
    }
  });
});
