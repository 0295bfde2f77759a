import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { readConfig } from "../../gateway/config.ts";
import { errorInfo } from "../support/agency-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, writeConfig } from "../support/two-cities.ts";

describe("the limit of a message, reloaded", () => {
  let running: Running;

  /** Two links to the provider: which one a call takes makes no difference to it. */
  const configure = (limit: { consumer: number; provider: number }): void => {
    const { cities, upstream } = running;
    writeConfig(cities.consumer, {
      agency_systems: [{ id: "registry-desk", loopback: true }],
      links: { per_peer: 2 },
      limits: { message_bytes_max: limit.consumer },
    });
    writeConfig(cities.provider, {
      upstreams: { [divisionsService]: upstream.address },
      limits: { message_bytes_max: limit.provider },
    });
  };

  before(async () => {
    const files = { provider: "", consumer: "" };
    running = await startTwoCities({
      configure: (cities) => {
        files.provider = cities.provider.configFile;
        files.consumer = cities.consumer.configFile;
        writeConfig(cities.consumer, {
          agency_systems: [{ id: "registry-desk", loopback: true }],
          links: { per_peer: 2 },
        });
      },
      overrides: {
        provider: { rereadConfig: () => readConfig(files.provider) },
        consumer: { rereadConfig: () => readConfig(files.consumer) },
      },
    });
  });
  after(() => running?.close());

  const ask = async (bytes: number): Promise<string | number> => {
    const { code, trailers } = await running.client.getDivision("3".repeat(bytes));
    return errorInfo(trailers ?? new Metadata())?.reason ?? code;
  };

  it("is that of the next call, at the consumer and at the provider", async () => {
    // The service knows no such division.
    assert.equal(await ask(4000), 5);
    configure({ consumer: 2048, provider: 4096 });
    const { gateways } = running;
    assert.deepEqual((await gateways.consumer.reload()).taken, ["limits.message_bytes_max"]);
    assert.equal(await ask(4000), "MESSAGE_TOO_LARGE");
    assert.equal(await ask(1000), 5);
    configure({ consumer: 100_000, provider: 70_000 });
    await gateways.consumer.reload();
    assert.equal(await ask(80_000), 5);
    await gateways.provider.reload();
    assert.equal(await ask(80_000), "MESSAGE_TOO_LARGE");
    configure({ consumer: 100_000, provider: 90_000 });
    await gateways.provider.reload();
    assert.equal(await ask(80_000), 5);
  });
});
