/** Two cities with their gateways running in this process, an upstream, and a granted consumer. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DivisionUpstream, startDivisionUpstream } from "../../demo/upstream.ts";
import type { Bounds } from "../../src/credential/statements.ts";
import { AgencyClient } from "./agency-client.ts";
import { grantAccess } from "./granted.ts";
import { type RunningGateways, startGateways } from "./running-gateways.ts";
import { createTwoCities, type TwoCities } from "./two-cities.ts";

export interface Running extends RunningGateways {
  readonly upstream: DivisionUpstream;
  readonly client: AgencyClient;
  /** `jti` of the grant. */
  readonly grant: string;
}

export async function startTwoCities(
  options: {
    readonly bounds?: Partial<Bounds>;
    readonly overrides?: Parameters<typeof startGateways>[1];
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
  const running = await startGateways(cities, options.overrides);
  const grant = await grantAccess(cities, running);
  const client = new AgencyClient(cities.consumer.addresses.agency);
  return {
    ...running,
    upstream,
    client,
    grant,
    close: async () => {
      client.close();
      await running.close();
      await upstream.close();
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
