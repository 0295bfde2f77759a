/** What this gateway itself says of calls: attributes of source `provider`, from its configuration and databases. */
import { isDeepStrictEqual } from "node:util";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { AttributeDatum } from "../../src/policy/attributes.ts";
import type { DescriptorSets } from "../../src/policy/descriptors.ts";
import type { RegistryView, ServiceFact } from "../../src/registry/state.ts";
import { contentsOf } from "../config-files.ts";
import type { GatewayConfig } from "../config-types.ts";
import { databaseSchema, type DatabaseConfig } from "../connectors/config.ts";
import type { SqlDatabase } from "../connectors/sql-database.ts";
import type { Prepared, Reloadable } from "../reload.ts";
import type { AskedCall } from "./attribute-query.ts";
import { LookupDatabase } from "./lookup-database.ts";
import { ServiceAttributes, type Unfit } from "./service-attributes.ts";

export type ProviderAttributesConfig = Pick<GatewayConfig, "databases" | "attributes">;

export interface ProviderAttributesPorts {
  readonly scheduler: Scheduler;
  readonly descriptors: DescriptorSets;
  view(): RegistryView;
  /** Throws FILE_UNREADABLE. */
  open(config: DatabaseConfig): SqlDatabase;
  /** A lookup failed; no value of a call or row stands in `what`. */
  onFault(service: string, what: string): void;
  /** What is configured and what is published differ, and calls go on. */
  onUnfit(service: string, unfit: Unfit): void;
  /** A database cannot be asked for its columns yet. */
  onAway(service: string, error: CausewayError): void;
}

interface Opened {
  readonly config: DatabaseConfig;
  /** Of the files that it names. */
  readonly contents: readonly string[];
  readonly database: LookupDatabase;
}

type Databases = ReadonlyMap<string, Opened>;
type Services = ReadonlyMap<string, ServiceAttributes>;

export class ProviderAttributes implements Reloadable {
  readonly #ports: ProviderAttributesPorts;
  #databases: Databases = new Map();
  #services: Services = new Map();

  private constructor(ports: ProviderAttributesPorts) {
    this.#ports = ports;
  }

  /** Rejects with FILE_UNREADABLE, and CONFIG_INVALID for a query that does not fit what is published. */
  static async open(
    config: ProviderAttributesConfig,
    ports: ProviderAttributesPorts,
  ): Promise<ProviderAttributes> {
    const attributes = new ProviderAttributes(ports);
    (await attributes.prepare(config)).commit();
    return attributes;
  }

  /**
   * What this gateway says of a call, by the attribute's name. Rejects with ATTRIBUTES_UNAVAILABLE when that
   * cannot be found out, and as `gatherAttributes` does.
   */
  of(
    service: ServiceFact,
    call: AskedCall,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, AttributeDatum>>> | Readonly<Record<string, AttributeDatum>> {
    const { body } = service;
    if (!body.attributes.some(({ source }) => source === "provider")) return {};
    return this.#services.get(service.id)?.of(body, call, signal) ?? {};
  }

  async prepare(config: ProviderAttributesConfig): Promise<Prepared> {
    const before = this.#databases;
    const databases = this.#openAll(config, before);
    const added = [...databases.values()].filter(
      (opened) => ![...before.values()].includes(opened),
    );
    const abandon = (): void => {
      for (const { database } of added) database.retire();
    };
    try {
      const services = this.#servicesOf(config, databases);
      await this.#check(services);
      return {
        commit: () => {
          this.#databases = databases;
          this.#services = services;
          const kept = new Set(databases.values());
          for (const gone of before.values()) if (!kept.has(gone)) gone.database.retire();
        },
        abandon,
      };
    } catch (error) {
      abandon();
      throw error;
    }
  }

  /** Looks at what is configured and published: rejects with CONFIG_INVALID. */
  async #check(services: Services): Promise<void> {
    const ports = this.#ports;
    for (const [service, attributes] of services) {
      try {
        const unfit = await attributes.check(ports.view().service(service)?.body);
        if (unfit.unused.length + unfit.missing.length > 0) ports.onUnfit(service, unfit);
      } catch (error) {
        if (!(error instanceof CausewayError)) throw error;
        if (error.code === "UPSTREAM_UNAVAILABLE" || error.code === "BUSY")
          ports.onAway(service, error);
        else
          throw new CausewayError(error.code, `attributes.${service}: ${error.message}`, {
            cause: error,
          });
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#databases.values()].map(({ database }) => database.close()));
  }

  #openAll({ databases }: ProviderAttributesConfig, before: Databases): Databases {
    const after = new Map<string, Opened>();
    try {
      for (const [name, config] of Object.entries(databases)) {
        const contents = contentsOf(config, databaseSchema);
        const known = before.get(name);
        const isKept =
          known !== undefined &&
          isDeepStrictEqual([known.config, known.contents], [config, contents]);
        const opened = (): Opened => ({
          config,
          contents,
          database: new LookupDatabase(this.#ports.open(config), this.#ports.scheduler),
        });
        after.set(name, isKept ? known : opened());
      }
    } catch (error) {
      for (const [name, opened] of after) {
        if (before.get(name) !== opened) opened.database.retire();
      }
      throw error;
    }
    return after;
  }

  #servicesOf({ attributes }: ProviderAttributesConfig, databases: Databases): Services {
    const ports = this.#ports;
    const services = Object.entries(attributes).map(([service, config]) => {
      const made = new ServiceAttributes(config, {
        descriptors: ports.descriptors,
        database: (name) => {
          const opened = databases.get(name);
          if (opened !== undefined) return opened.database;
          throw new CausewayError("CONFIG_INVALID", `there is no database ${name}`);
        },
        onFault: (what) => ports.onFault(service, what),
      });
      return [service, made] as const;
    });
    return new Map(services);
  }
}
