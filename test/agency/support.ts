/** The agency listener on a real socket, before a service that says who called with what. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import type {
  AgencyConfig,
  AgencySystemConfig,
  IssuerConfig,
} from "../../gateway/agency/config.ts";
import {
  type AgencyListener,
  type AgencyListenerConfig,
  openAgencyListener,
} from "../../gateway/agency/listener.ts";
import { systemScheduler } from "../../gateway/runtime.ts";
import type { Clock } from "../../src/base/clock.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { errorInfo } from "../support/agency-client.ts";
import { freeAddress } from "../support/free-port.ts";
import { createIdentity, type Identity } from "../transport/certificate.ts";
import { audience, issuer } from "./identity-provider.ts";

export interface Served {
  readonly system: string;
  readonly path: string;
  /** Values by key, in their order. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** A clock that a test can move. */
export class MovableClock implements Clock {
  #aheadMs = 0;

  nowMs(): number {
    return Date.now() + this.#aheadMs;
  }

  monotonicMs(): number {
    return performance.now() + this.#aheadMs;
  }

  move(ms: number): void {
    this.#aheadMs += ms;
  }
}

export interface Running {
  readonly address: string;
  readonly listener: AgencyListener;
  readonly served: Served[];
  readonly unauthenticated: string[];
  readonly keysUnavailable: string[];
  readonly clock: MovableClock;
  readonly config: AgencyListenerConfig;
  close(): Promise<void>;
}

/** An entry as the configuration's reader gives it. */
export function system(id: string, more: Partial<AgencySystemConfig>): AgencySystemConfig {
  return { id, loopback: false, ...more };
}

export function issuerConfig(more: Partial<IssuerConfig>): IssuerConfig {
  return {
    issuer,
    audiences: [audience],
    jwks_refresh_s: 900,
    algorithms: ["Ed25519", "EdDSA", "ES256"],
    types: ["at+jwt"],
    system_claim: "client_id",
    official_claim: "officer",
    age_max_s: 3600,
    skew_s: 30,
    ...more,
  };
}

/** Failures that no test of another thing comes near to. */
const manyFailures = { per_second: 1e6, burst: 1e6 };

export function agencyConfig(more: Partial<AgencyConfig>): AgencyConfig {
  return { issuers: [], failures: manyFailures, ...more };
}

export async function startListener(options: {
  readonly agency?: Partial<AgencyConfig>;
  readonly systems: readonly AgencySystemConfig[];
}): Promise<Running> {
  const served: Served[] = [];
  const unauthenticated: string[] = [];
  const keysUnavailable: string[] = [];
  const clock = new MovableClock();
  const address = await freeAddress();
  const config: AgencyListenerConfig = {
    listeners: { agency: address, peer: "", admin: "", http: "" },
    limits: { message_bytes_max: 4 * 1024 * 1024, drain_ms: 0 },
    agency: agencyConfig(options.agency ?? {}),
    agency_systems: options.systems,
  };
  const listener = await openAgencyListener(config, {
    clock,
    scheduler: systemScheduler,
    verifier: createNodeVerifier(),
    serve: (call, { id }) => {
      const headers: Record<string, string[]> = {};
      for (const { key, value } of call.headers.entries) {
        (headers[key] ??= []).push(Buffer.from(value).toString());
      }
      served.push({ system: id, path: call.path, headers });
      const status = create(StatusFrameSchema, { trailers: create(MetadataSchema) });
      call.answer(create(MetadataSchema), [Buffer.from(id)], status);
    },
    onUnauthenticated: (reason) => unauthenticated.push(reason),
    onKeysUnavailable: (_issuer, error) => keysUnavailable.push(String(error)),
    onError: (error) => {
      throw error;
    },
  });
  return {
    address,
    listener,
    served,
    unauthenticated,
    keysUnavailable,
    clock,
    config,
    close: () => listener.close(0),
  };
}

/** A folder of files that a configuration names. */
export class Files {
  readonly folder: string = mkdtempSync(join(tmpdir(), "causeway-"));

  write(name: string, text: string, mode = 0o600): string {
    const file = join(this.folder, name);
    writeFileSync(file, text, { mode });
    return file;
  }

  /** Certificate and key of the listener. */
  tls(identity: Identity): { certificate_file: string; key_file: string } {
    return {
      certificate_file: this.write("listener.pem", identity.certificate),
      key_file: this.write("listener.key", identity.privateKey),
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const listenerIdentity: Identity = createIdentity("gateway");

/** A channel over TLS, with a client certificate when one is given. */
export function channel(
  client?: Identity,
  server: Identity = listenerIdentity,
): ChannelCredentials {
  return credentials.createSsl(
    Buffer.from(server.certificate),
    client === undefined ? null : Buffer.from(client.privateKey),
    client === undefined ? null : Buffer.from(client.certificate),
    { checkServerIdentity: () => undefined },
  );
}

export interface Ended {
  readonly code: number;
  readonly reason: string | undefined;
  /** What the service answered: the system that it took the caller for. */
  readonly system: string | undefined;
}

/** One unary call of a stock client, on a connection of its own. */
export async function callOnce(
  address: string,
  options: {
    readonly channel?: ChannelCredentials;
    readonly metadata?: readonly (readonly [key: string, value: string | Buffer])[];
    readonly path?: string;
  } = {},
): Promise<Ended> {
  const client = new Client(address, options.channel ?? credentials.createInsecure(), {
    "grpc.enable_retries": 0,
    "grpc.use_local_subchannel_pool": 1,
  });
  try {
    return await call(client, options);
  } finally {
    client.close();
  }
}

export function call(
  client: Client,
  options: {
    readonly metadata?: readonly (readonly [key: string, value: string | Buffer])[];
    readonly path?: string;
  } = {},
): Promise<Ended> {
  const metadata = new Metadata();
  for (const [key, value] of options.metadata ?? []) metadata.add(key, value);
  return new Promise((resolve) => {
    let system: string | undefined;
    const running = client.makeUnaryRequest(
      options.path ?? "/example.v1.Service/Method",
      (value: Buffer) => value,
      (bytes: Buffer) => bytes.toString(),
      Buffer.from("request"),
      metadata,
      { deadline: Date.now() + 10_000 },
      (_error: ServiceError | null, value?: string) => {
        system = value;
      },
    );
    running.on("status", ({ code, metadata: trailers }: StatusObject) => {
      // The callback with the message runs in this same turn, behind the status.
      setImmediate(() => resolve({ code, reason: errorInfo(trailers)?.reason, system }));
    });
  });
}

export const bearer = (token: string): readonly [string, string] => [
  "authorization",
  `Bearer ${token}`,
];
