import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/admin-client.ts";
import type { AgencyClient } from "../support/agency-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";

describe("the first exchange between two cities", () => {
  let running: Running;
  let client: AgencyClient;

  before(async () => {
    running = await startTwoCities();
    ({ client } = running);
  });
  after(() => running?.close());

  it("answers a granted call with the provider's bytes, a receipt and an exchange id", async () => {
    const answer = await client.getDivision("330106");
    assert.equal(answer.code, 0, answer.details);
    assert.equal(answer.message?.division?.name, "西湖区");
    assert.match(String(answer.trailers.get("causeway-receipt")[0]), /^[0-9a-f]{64}\/\d+$/);
    assert.match(String(answer.trailers.get("causeway-exchange-id")[0]), /^[0-9a-f-]{36}$/);
  });

  it("passes an error of the upstream through unchanged, and receipts it", async () => {
    const answer = await client.getDivision("999999");
    assert.equal(answer.code, 5);
    assert.match(String(answer.trailers.get("causeway-receipt")[0]), /^[0-9a-f]{64}\/\d+$/);
  });

  it("records an Opened and a receipt for a method that writes", async () => {
    const answer = await client.reportCorrection("330106");
    assert.equal(answer.code, 0, answer.details);
    const kinds = (await running.provider.records(2)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["receipt", "opened"]);
  });

  it("refuses a purpose that is not granted, and records the refusal before the answer", async () => {
    const answer = await client.getDivision("330106", {
      metadata: { "causeway-purpose": "marketing" },
    });
    assert.equal(answer.code, 7);
    assert.equal(answer.reason, "PURPOSE_NOT_GRANTED");
    const [newest] = await running.consumer.records(1);
    assert.equal(newest?.kind, "refusal");
    assert.equal(newest?.detail, "PURPOSE_NOT_GRANTED");
  });

  it("makes the records of both sides final", async () => {
    await eventually("all final", async () =>
      [...(await running.provider.records()), ...(await running.consumer.records())].every(
        ({ state }) => state?.final === true,
      ),
    );
  });

  it("refuses calls after the revocation, at the provider at once", async () => {
    const { cities, grant } = running;
    const { jws } = cities.sign(cities.provider, "revocation", cities.consumer.agency.card.id, {
      grant,
      reason: "PURPOSE_ENDED",
    });
    await running.provider.submit(jws, 0);
    const answer = await client.getDivision("330106");
    assert.equal(answer.code, 7);
    assert.equal(answer.reason, "GRANT_REVOKED");
  });
});
