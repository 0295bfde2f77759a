/** Two cities with their gateways running in this process, an upstream, and a granted consumer. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DivisionUpstream, startDivisionUpstream } from "../../demo/upstream.ts";
import { createGateway, type Gateway, type GatewayOverrides } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import type { Bounds } from "../../src/credential/statements.ts";
import { type AdminClient, adminClient, eventually } from "./admin-client.ts";
import { AgencyClient } from "./agency-client.ts";
import { grantAccess } from "./granted.ts";
import { createTwoCities, type TwoCities } from "./two-cities.ts";

export interface Running {
  readonly cities: TwoCities;
  readonly upstream: DivisionUpstream;
  readonly gateways: { readonly provider: Gateway; readonly consumer: Gateway };
  readonly provider: AdminClient;
  readonly consumer: AdminClient;
  readonly client: AgencyClient;
  /** `jti` of the grant. */
  readonly grant: string;
  /** Resolves when everything that both gateways have sealed is final. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export async function startTwoCities(
  options: {
    readonly bounds?: Partial<Bounds>;
    readonly overrides?: {
      readonly provider?: GatewayOverrides;
      readonly consumer?: GatewayOverrides;
    };
    /** Writes configuration files of its own before they are read. */
    configure?(cities: TwoCities): void;
  } = {},
): Promise<Running> {
  const correctionsFile = join(mkdtempSync(join(tmpdir(), "causeway-")), "corrections");
  const upstream = await startDivisionUpstream({ port: 0, correctionsFile });
  const cities = await createTwoCities({
    upstream: upstream.address,
    ...(options.bounds === undefined ? {} : { bounds: options.bounds }),
  });
  options.configure?.(cities);
  const start = async (configFile: string, overrides: GatewayOverrides = {}): Promise<Gateway> => {
    const gateway = await createGateway(readConfig(configFile), overrides);
    await gateway.start();
    return gateway;
  };
  const gateways = {
    provider: await start(cities.provider.configFile, options.overrides?.provider),
    consumer: await start(cities.consumer.configFile, options.overrides?.consumer),
  };
  const both = [gateways.provider, gateways.consumer];
  const provider = adminClient(cities.provider);
  const consumer = adminClient(cities.consumer);
  await eventually("batch 0 is final everywhere", () =>
    both.every((g) => g.notReady().length === 0),
  );
  const grant = await grantAccess(cities, { provider, consumer });
  const client = new AgencyClient(cities.consumer.addresses.agency);
  return {
    cities,
    upstream,
    gateways,
    provider,
    consumer,
    client,
    grant,
    settled: () =>
      eventually("everything sealed is final", async () => {
        const states = await Promise.all([provider.status(), consumer.status()]);
        return states.every(({ journalNotFinal }) => journalNotFinal === 0n);
      }),
    close: async () => {
      client.close();
      provider.close();
      consumer.close();
      await gateways.consumer.close();
      await gateways.provider.close();
      await upstream.close();
      cities.remove();
    },
  };
}

/** Everything that the read-only HTTP listener of a member serves of the final ledger, as one byte string for each resource. */
export async function servedBytes(http: string): Promise<Buffer[]> {
  const read = async (path: string): Promise<Buffer> => {
    const response = await fetch(`http://${http}${path}`);
    if (response.status !== 200) throw new Error(`${path}: ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  };
  const checkpoint = await read("/checkpoint");
  const size = Number(checkpoint.toString().split("\n")[1]);
  const parts = [checkpoint];
  for (let tile = 0; tile * 256 < size; tile++) {
    const width = Math.min(256, size - tile * 256);
    const name = String(tile).padStart(3, "0");
    parts.push(await read(`/tile/entries/${name}${width === 256 ? "" : `.p/${width}`}`));
  }
  for (let index = 0; index < size; index++) parts.push(await read(`/records/${index}`));
  return parts;
}
