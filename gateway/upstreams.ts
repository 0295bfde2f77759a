/** The connectors to the data services of this agency, by service id. */
import type { UpstreamConnector } from "../src/exchange/transport/ports.ts";
import { upstreamSchema } from "./config-schema.ts";
import type { GatewayConfig, UpstreamConfig } from "./config-types.ts";
import { KeptOpen } from "./kept-open.ts";
import type { Prepared, Reloadable } from "./reload.ts";

/** Rejects with CONFIG_INVALID for a connector that cannot serve its service as it is configured. */
export type CheckUpstreams = (
  upstreams: readonly (readonly [service: string, connector: UpstreamConnector])[],
) => Promise<void>;

export type OpenUpstream = (service: string, config: UpstreamConfig) => UpstreamConnector;

/**
 * A service whose entry has not changed, nor a file that it names, keeps its connection; calls of one that
 * went end before it closes.
 */
export class Upstreams implements Reloadable {
  readonly #check: CheckUpstreams;
  readonly #kept: KeptOpen<UpstreamConfig, UpstreamConnector>;

  /** @param open throws CONFIG_INVALID or FILE_UNREADABLE. */
  constructor(
    config: Pick<GatewayConfig, "upstreams">,
    open: OpenUpstream,
    check: CheckUpstreams = async () => undefined,
  ) {
    this.#check = check;
    this.#kept = new KeptOpen({
      schema: upstreamSchema,
      open,
      end: (connector) => connector.close(),
    });
    this.#kept.prepare(config.upstreams).commit();
  }

  get(service: string): UpstreamConnector | undefined {
    return this.#kept.get(service);
  }

  /** Every connector with its service. */
  entries(): readonly (readonly [service: string, connector: UpstreamConnector])[] {
    return this.#kept.entries();
  }

  async prepare({ upstreams }: GatewayConfig): Promise<Prepared> {
    const { added, commit, abandon } = this.#kept.prepare(upstreams);
    try {
      await this.#check(added);
    } catch (error) {
      await abandon();
      throw error;
    }
    return { commit, abandon: () => void abandon() };
  }

  async close(): Promise<void> {
    await Promise.all(this.entries().map(([, connector]) => connector.close()));
  }
}
