/** The connectors to the data services of this agency, by service id. */
import { isDeepStrictEqual } from "node:util";
import type { UpstreamConnector } from "../src/exchange/transport/ports.ts";
import { contentsOf } from "./config-files.ts";
import { upstreamSchema } from "./config-schema.ts";
import type { GatewayConfig, UpstreamConfig } from "./config-types.ts";
import type { Prepared, Reloadable } from "./reload.ts";

interface Opened {
  readonly config: UpstreamConfig;
  /** Of the files that it names. */
  readonly contents: readonly string[];
  readonly connector: UpstreamConnector;
}

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
  readonly #open: OpenUpstream;
  readonly #check: CheckUpstreams;
  #opened: ReadonlyMap<string, Opened>;

  /** @param open throws CONFIG_INVALID or FILE_UNREADABLE. */
  constructor(
    config: Pick<GatewayConfig, "upstreams">,
    open: OpenUpstream,
    check: CheckUpstreams = async () => undefined,
  ) {
    this.#open = open;
    this.#check = check;
    this.#opened = this.#openAll(config, new Map());
  }

  get(service: string): UpstreamConnector | undefined {
    return this.#opened.get(service)?.connector;
  }

  /** Every connector with its service. */
  entries(): readonly (readonly [service: string, connector: UpstreamConnector])[] {
    return [...this.#opened].map(([service, { connector }]) => [service, connector] as const);
  }

  async prepare(config: GatewayConfig): Promise<Prepared> {
    const before = this.#opened;
    const after = this.#openAll(config, before);
    const known = new Set(before.values());
    const added = [...after].filter(([, opened]) => !known.has(opened));
    const abandon = (): Promise<unknown> =>
      Promise.all(added.map(([, { connector }]) => connector.close()));
    try {
      await this.#check(added.map(([service, { connector }]) => [service, connector] as const));
    } catch (error) {
      await abandon();
      throw error;
    }
    return {
      commit: () => {
        this.#opened = after;
        const kept = new Set(after.values());
        for (const gone of before.values()) {
          if (!kept.has(gone)) void gone.connector.close();
        }
      },
      abandon: () => void abandon(),
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ connector }) => connector.close()));
  }

  #openAll(
    { upstreams }: Pick<GatewayConfig, "upstreams">,
    before: ReadonlyMap<string, Opened>,
  ): ReadonlyMap<string, Opened> {
    const after = new Map<string, Opened>();
    try {
      for (const [service, config] of Object.entries(upstreams)) {
        const known = before.get(service);
        const contents = contentsOf(config, upstreamSchema);
        const isKept =
          known !== undefined &&
          isDeepStrictEqual([known.config, known.contents], [config, contents]);
        const opened = (): Opened => ({
          config,
          contents,
          connector: this.#open(service, config),
        });
        after.set(service, isKept ? known : opened());
      }
    } catch (error) {
      for (const [service, opened] of after) {
        if (before.get(service) !== opened) void opened.connector.close();
      }
      throw error;
    }
    return after;
  }
}
