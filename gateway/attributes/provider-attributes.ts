/** What this gateway itself says of calls: attributes of source `provider`, from its configuration and databases. */
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { AttributeDatum } from "../../src/policy/attributes.ts";
import type { DescriptorSets } from "../../src/policy/descriptors.ts";
import type { RegistryView, ServiceFact } from "../../src/registry/state.ts";
import type { GatewayConfig } from "../config-types.ts";
import { databaseSchema, type DatabaseConfig } from "../connectors/config.ts";
import type { SqlDatabase } from "../connectors/sql-database.ts";
import { KeptOpen } from "../kept-open.ts";
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

type Databases = ReadonlyMap<string, LookupDatabase>;
type Services = ReadonlyMap<string, ServiceAttributes>;

export class ProviderAttributes implements Reloadable {
  readonly #ports: ProviderAttributesPorts;
  readonly #databases: KeptOpen<DatabaseConfig, LookupDatabase>;
  #services: Services = new Map();

  private constructor(ports: ProviderAttributesPorts) {
    this.#ports = ports;
    this.#databases = new KeptOpen({
      schema: databaseSchema,
      open: (_name, config) => new LookupDatabase(ports.open(config), ports.scheduler),
      end: async (database) => database.retire(),
    });
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
    const { things, commit, abandon } = this.#databases.prepare(config.databases);
    try {
      const services = this.#servicesOf(config, things);
      await this.#check(services);
      return {
        commit: () => {
          commit();
          this.#services = services;
        },
        abandon: () => void abandon(),
      };
    } catch (error) {
      await abandon();
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
    await Promise.all(this.#databases.entries().map(([, database]) => database.close()));
  }

  #servicesOf({ attributes }: ProviderAttributesConfig, databases: Databases): Services {
    const ports = this.#ports;
    const services = Object.entries(attributes).map(([service, config]) => {
      const made = new ServiceAttributes(config, {
        descriptors: ports.descriptors,
        database: (name) => {
          const database = databases.get(name);
          if (database !== undefined) return database;
          throw new CausewayError("CONFIG_INVALID", `there is no database ${name}`);
        },
        onFault: (what) => ports.onFault(service, what),
      });
      return [service, made] as const;
    });
    return new Map(services);
  }
}
