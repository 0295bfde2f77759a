/** What a configuration says, once it has been read. */
import type { AgencyConfig, AgencySystemConfig } from "./agency/config.ts";
import type { AttributesConfig, DatabasesConfig } from "./attributes/config.ts";
import type {
  ConnectorTlsConfig,
  HttpUpstreamConfig,
  SqlUpstreamConfig,
} from "./connectors/config.ts";
import type { TelemetryConfig } from "./telemetry-config.ts";

/** Paths are absolute. */
export interface GatewayConfig {
  readonly gateway: string;
  readonly keys: string;
  readonly passphrase_file: string;
  readonly founding: string;
  readonly data: string;
  readonly listeners: {
    readonly agency: string;
    readonly peer: string;
    readonly admin: string;
    readonly http: string;
    readonly http_json?: string | undefined;
  };
  readonly witness?:
    | { readonly keys: string; readonly passphrase_file: string; readonly listen: string }
    | undefined;
  readonly agency: AgencyConfig;
  readonly agency_systems: readonly AgencySystemConfig[];
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly databases: DatabasesConfig;
  /** By data service id. */
  readonly attributes: AttributesConfig;
  readonly limits: LimitsConfig;
  readonly links: LinksConfig;
  readonly ledger?: LedgerConfig | undefined;
  readonly http?: HttpConfig | undefined;
  readonly telemetry?: TelemetryConfig | undefined;
  /** Seconds between two status records of this gateway on the ledger. */
  readonly status_every_s?: number | undefined;
  readonly log: LogLevel;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Where a data service answers: one kind of upstream. */
export type UpstreamConfig = GrpcUpstreamConfig | HttpUpstreamConfig | SqlUpstreamConfig;

export interface GrpcUpstreamConfig {
  /** `host:port`. */
  readonly grpc: string;
  readonly compression?: "gzip" | undefined;
  readonly tls?: ConnectorTlsConfig | undefined;
}

export interface LimitsConfig {
  /** Largest message of a caller or an upstream, in bytes. */
  readonly message_bytes_max: number;
  /** How long a gateway that ends waits for its open calls. */
  readonly drain_ms: number;
}

/** Between gateways. */
export interface LinksConfig {
  /** That this gateway opens to each other one. */
  readonly per_peer: number;
}

/** The read-only HTTP listener. */
export interface HttpConfig {
  /** Of one remote address in the long run. */
  readonly requests_per_second: number;
  /** Of one remote address at once after a pause. */
  readonly burst: number;
  /** Leaves below it are not served any more. */
  readonly minimum_index: number;
}

/** What an export of a large ledger needs, and far less than one address can keep a gateway busy with. */
export const httpDefaults: HttpConfig = {
  requests_per_second: 1000,
  burst: 4000,
  minimum_index: 0,
};

/** Of the gateway that sequences the ledger. */
export interface LedgerConfig {
  readonly quiet_ms?: number | undefined;
  readonly outside_witnesses?: readonly OutsideWitnessConfig[] | undefined;
}

export interface OutsideWitnessConfig {
  readonly name: string;
  /** Verifier key as C2SP writes it. */
  readonly vkey: string;
  readonly url: string;
}
