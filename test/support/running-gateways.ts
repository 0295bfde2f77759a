/** The gateways of two cities, running in this process, with an administrator before each. */
import { createGateway, type Gateway, type GatewayOverrides } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { type AdminClient, adminClient, eventually } from "./admin-client.ts";
import type { TwoCities } from "./two-cities.ts";

export interface RunningGateways {
  readonly cities: TwoCities;
  readonly gateways: { readonly provider: Gateway; readonly consumer: Gateway };
  readonly provider: AdminClient;
  readonly consumer: AdminClient;
  /** Resolves when everything that both gateways have sealed is final. */
  settled(): Promise<void>;
  /** Ends both gateways, and removes the folders of the cities. */
  close(): Promise<void>;
}

/** Starts both gateways; they are ready. */
export async function startGateways(
  cities: TwoCities,
  overrides: { readonly provider?: GatewayOverrides; readonly consumer?: GatewayOverrides } = {},
): Promise<RunningGateways> {
  const start = async (configFile: string, own: GatewayOverrides = {}): Promise<Gateway> => {
    const gateway = await createGateway(readConfig(configFile), own);
    await gateway.start();
    return gateway;
  };
  const gateways = {
    provider: await start(cities.provider.configFile, overrides.provider),
    consumer: await start(cities.consumer.configFile, overrides.consumer),
  };
  const provider = adminClient(cities.provider);
  const consumer = adminClient(cities.consumer);
  await eventually("batch 0 is final everywhere", () =>
    [gateways.provider, gateways.consumer].every((gateway) => gateway.notReady().length === 0),
  );
  return {
    cities,
    gateways,
    provider,
    consumer,
    settled: () =>
      eventually("everything sealed is final", async () => {
        const states = await Promise.all([provider.status(), consumer.status()]);
        return states.every(({ journalNotFinal }) => journalNotFinal === 0n);
      }),
    close: async () => {
      provider.close();
      consumer.close();
      await gateways.consumer.close();
      await gateways.provider.close();
      cities.remove();
    },
  };
}
