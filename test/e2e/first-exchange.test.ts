import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startDivisionUpstream, type DivisionUpstream } from "../../demo/upstream.ts";
import { createGateway, type Gateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { type AdminClient, adminClient, eventually } from "../support/admin-client.ts";
import { AgencyClient } from "../support/agency-client.ts";
import { grantAccess } from "../support/granted.ts";
import { createTwoCities, type TwoCities } from "../support/two-cities.ts";

describe("the first exchange between two cities", () => {
  let upstream: DivisionUpstream;
  let cities: TwoCities;
  const gateways: Gateway[] = [];
  let provider: AdminClient;
  let consumer: AdminClient;
  let client: AgencyClient;
  let grant: string;

  before(async () => {
    const correctionsFile = join(mkdtempSync(join(tmpdir(), "causeway-")), "corrections");
    upstream = await startDivisionUpstream({ port: 0, correctionsFile });
    cities = await createTwoCities({ upstream: upstream.address });
    for (const { configFile } of [cities.provider, cities.consumer]) {
      const gateway = await createGateway(readConfig(configFile));
      gateways.push(gateway);
      await gateway.start();
    }
    provider = adminClient(cities.provider);
    consumer = adminClient(cities.consumer);
    await eventually("batch 0 is final everywhere", () =>
      gateways.every((g) => g.notReady().length === 0),
    );
    grant = await grantAccess(cities, { provider, consumer });
    client = new AgencyClient(cities.consumer.addresses.agency);
  });

  after(async () => {
    client?.close();
    provider?.close();
    consumer?.close();
    for (const gateway of gateways.toReversed()) await gateway.close();
    await upstream?.close();
    cities?.remove();
  });

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
    const kinds = (await provider.records(2)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["receipt", "opened"]);
  });

  it("refuses a purpose that is not granted, and records the refusal before the answer", async () => {
    const answer = await client.getDivision("330106", {
      metadata: { "causeway-purpose": "marketing" },
    });
    assert.equal(answer.code, 7);
    assert.equal(answer.reason, "PURPOSE_NOT_GRANTED");
    const [newest] = await consumer.records(1);
    assert.equal(newest?.kind, "refusal");
    assert.equal(newest?.detail, "PURPOSE_NOT_GRANTED");
  });

  it("makes the records of both sides final", async () => {
    await eventually("all final", async () =>
      [...(await provider.records()), ...(await consumer.records())].every(
        ({ state }) => state?.final === true,
      ),
    );
  });

  it("refuses calls after the revocation, at the provider at once", async () => {
    const { jws } = cities.sign(cities.provider, "revocation", cities.consumer.agency.card.id, {
      grant,
      reason: "PURPOSE_ENDED",
    });
    await provider.submit(jws, 0);
    const answer = await client.getDivision("330106");
    assert.equal(answer.code, 7);
    assert.equal(answer.reason, "GRANT_REVOKED");
  });
});
