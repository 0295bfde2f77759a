/** A gateway that is suspended has no say, and its city's witness goes on all the same. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createGateway, type Gateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { systemRandom } from "../../gateway/runtime.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { createStatement } from "../../src/credential/statement.ts";
import { eventually } from "../support/admin-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";

describe("a suspended gateway that hosts its city's witness", () => {
  let running: Running;
  let restarted: Gateway | undefined;

  before(async () => {
    running = await startTwoCities({ bounds: { heartbeat_s: 1 } });
  });

  after(async () => {
    await restarted?.close();
    await running?.close();
  });

  /** Carried by the provider's gateway; final with the cosignatures of both cities. */
  async function say(name: "suspension" | "resumption"): Promise<void> {
    const { city, gateway } = running.cities.consumer;
    const claims = {
      iss: city.card.id,
      sub: gateway.card.id,
      net: running.cities.networkId,
      jti: formatUuid(createUuidV7(Date.now(), systemRandom(10))),
      iat: Math.floor(Date.now() / 1000),
    };
    const body = { what: "gateway", reason: "under-inquiry" } as const;
    const state = await running.provider.submit(
      createStatement({ name, claims, body }, [city.authority]),
    );
    assert.deepEqual([state.final, state.voidReason], [true, ""]);
  }

  it("follows the ledger after a restart, so that its witness cosigns and it can be resumed", async () => {
    await say("suspension");
    await running.gateways.consumer.close();
    restarted = await createGateway(readConfig(running.cities.consumer.configFile));
    await restarted.start();
    await say("resumption");
    await eventually("exchanges go on", async () => {
      return (await running.client.getDivision("330106")).code === 0;
    });
  });
});
