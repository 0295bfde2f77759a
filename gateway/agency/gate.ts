/**
 * Who calls: certificate and token of a call against the configuration. Pure but for keys that are
 * fetched; what was found of a connection or a token is remembered.
 */
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { parseUtf8 } from "../../src/base/bytes.ts";
import type { Clock } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { agencyTokensRememberedMax } from "../../src/base/limits.ts";
import { Lru } from "../../src/base/lru.ts";
import {
  type AgencyToken,
  type AgencyTokenRules,
  openAgencyToken,
  verifyAgencyToken,
} from "../../src/credential/agency-token.ts";
import type { CallerConnection } from "../../src/exchange/transport/ports.ts";
import type { Metadata } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { type ClientCertificate, clientCertificate } from "./client-certificate.ts";
import type { AgencyConfig, AgencySystemConfig, IssuerConfig } from "./config.ts";
import { type KeySource, type KeySourcePorts, openKeySource } from "./key-source.ts";

/** An agency system that has authenticated. */
export interface Caller {
  readonly system: AgencySystemConfig;
  /** The official that its token names. */
  readonly official: string | undefined;
}

export interface GateConfig {
  readonly agency: AgencyConfig;
  readonly agency_systems: readonly AgencySystemConfig[];
}

export interface GatePorts extends KeySourcePorts {
  readonly clock: Clock;
}

interface Issuer {
  readonly config: IssuerConfig;
  readonly rules: AgencyTokenRules;
  readonly source: KeySource;
}

interface RememberedToken {
  readonly token: AgencyToken;
  readonly source: KeySource;
  readonly generation: number;
}

/** One configuration's answer to who calls; a reload makes another gate. */
export class AgencyGate {
  readonly #clock: Clock;
  readonly #config: GateConfig;
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #byCertificate: ReadonlyMap<string, AgencySystemConfig>;
  readonly #byClient: ReadonlyMap<string, AgencySystemConfig>;
  readonly #loopback: AgencySystemConfig | undefined;
  readonly #certificates = new WeakMap<CallerConnection, ClientCertificate>();
  readonly #tokens = new Lru<string, RememberedToken>(agencyTokensRememberedMax);

  private constructor(config: GateConfig, issuers: ReadonlyMap<string, Issuer>, clock: Clock) {
    const systems = config.agency_systems;
    this.#config = config;
    this.#issuers = issuers;
    this.#clock = clock;
    this.#loopback = systems.find(({ loopback }) => loopback);
    this.#byCertificate = new Map(
      systems.flatMap((system) =>
        [...(system.tls?.spki_sha256 ?? []), ...(system.tls?.names ?? [])].map(
          (name) => [name, system] as const,
        ),
      ),
    );
    this.#byClient = new Map(
      systems.flatMap((system) =>
        (system.jwt?.clients ?? []).map(
          (client) => [clientKey(system.jwt?.issuer ?? "", client), system] as const,
        ),
      ),
    );
  }

  /**
   * Reads what the configuration names. Keys that were fetched for the gate before hold on where the issuer's
   * entry has not changed. Throws FILE_UNREADABLE, CONFIG_INVALID.
   */
  static async open(
    config: GateConfig,
    ports: GatePorts,
    before?: AgencyGate,
  ): Promise<AgencyGate> {
    const issuers = new Map<string, Issuer>();
    for (const issuer of config.agency.issuers) {
      const known = before && before.#issuers.get(issuer.issuer);
      const isKept = issuer.jwks_url !== undefined && isDeepStrictEqual(known?.config, issuer);
      const source = isKept && known ? known.source : await openKeySource(issuer, ports);
      issuers.set(issuer.issuer, { config: issuer, rules: rulesOf(issuer), source });
    }
    return new AgencyGate(config, issuers, ports.clock);
  }

  /** `authorization` is the gateway's: it is read here and goes no further. */
  get takesTokens(): boolean {
    return this.#issuers.size > 0;
  }

  /**
   * The agency system that calls. Answers at once unless a token is to be verified.
   * Throws, or rejects, with the reason that the caller is told.
   */
  callerOf(headers: Metadata, connection: CallerConnection): Caller | Promise<Caller> {
    const text = this.takesTokens ? bearerOf(headers) : undefined;
    if (text === undefined) return this.#callerOfConnection(connection);
    const remembered = this.#rememberedToken(text);
    if (remembered !== undefined) return this.#callerOfToken(remembered, connection);
    return this.#verify(text).then((token) => this.#callerOfToken(token, connection));
  }

  /** Whether to find out who calls costs a verification. */
  isCostly(headers: Metadata): boolean {
    if (!this.takesTokens) return false;
    const entry = headers.entries.find(({ key }) => key === "authorization");
    const text = entry === undefined ? undefined : parseUtf8(entry.value);
    return (
      text !== undefined && this.#rememberedToken(text.slice(bearerPrefix.length)) === undefined
    );
  }

  #callerOfConnection(connection: CallerConnection): Caller {
    const system =
      connection.certificate === undefined
        ? connection.isOfPage === true
          ? undefined
          : this.#loopback
        : this.#systemOfCertificate(connection, connection.certificate);
    if (system === undefined) {
      throw connection.certificate === undefined
        ? new CausewayError("CREDENTIALS_MISSING", "the caller shows neither certificate nor token")
        : new CausewayError("CALLER_UNKNOWN", "the certificate is of no configured system");
    }
    if (system.jwt !== undefined) throw differ("the system's token is missing");
    return { system, official: undefined };
  }

  #systemOfCertificate(
    connection: CallerConnection,
    der: Uint8Array,
  ): AgencySystemConfig | undefined {
    const certificate = this.#certificateOf(connection, der);
    const nowMs = this.#clock.nowMs();
    const { tls } = this.#config.agency;
    const isTrusted = tls?.client_ca_file === undefined || connection.isAuthorized;
    if (
      certificate === undefined ||
      !isTrusted ||
      nowMs < certificate.notBeforeMs ||
      nowMs > certificate.notAfterMs
    ) {
      throw new CausewayError("CERTIFICATE_INVALID", "the client certificate does not count");
    }
    const systems = [certificate.spki, ...certificate.names].flatMap(
      (name) => this.#byCertificate.get(name) ?? [],
    );
    // A certificate whose key is one system's and whose name another's is neither's.
    return systems.every((system) => system === systems[0]) ? systems[0] : undefined;
  }

  #certificateOf(connection: CallerConnection, der: Uint8Array): ClientCertificate | undefined {
    const known = this.#certificates.get(connection);
    if (known !== undefined) return known;
    const certificate = clientCertificate(der);
    if (certificate !== undefined) this.#certificates.set(connection, certificate);
    return certificate;
  }

  #callerOfToken(token: AgencyToken, connection: CallerConnection): Caller {
    const system = this.#byClient.get(clientKey(token.issuer, token.client));
    if (system === undefined) {
      throw new CausewayError("CALLER_UNKNOWN", "the token's client is no configured system");
    }
    const der = connection.certificate;
    if (token.certificateDigest !== undefined && token.certificateDigest !== digestOf(der)) {
      throw differ("the token is bound to another certificate");
    }
    if (der === undefined) {
      if (system.tls !== undefined) throw differ("the system's certificate is missing");
      return { system, official: token.official };
    }
    // A certificate of nobody says nothing; one of a system, or one that is needed, has to be this system's.
    const shown = this.#systemOfCertificate(connection, der);
    const isItsOwn = shown === system || (shown === undefined && system.tls === undefined);
    if (!isItsOwn) throw differ("certificate and token are of two systems");
    return { system, official: token.official };
  }

  #rememberedToken(text: string): AgencyToken | undefined {
    const remembered = this.#tokens.get(text);
    if (remembered === undefined) return undefined;
    const { token, source, generation } = remembered;
    const holds =
      !source.isOverdue() &&
      generation === source.generation &&
      this.#clock.nowMs() < token.acceptedUntilMs;
    if (!holds) this.#tokens.delete(text);
    return holds ? token : undefined;
  }

  async #verify(text: string): Promise<AgencyToken> {
    const opened = openAgencyToken(text);
    const issuer = this.#issuers.get(opened.claimedIssuer);
    if (issuer === undefined) {
      throw new CausewayError("TOKEN_ISSUER_WRONG", "iss is no configured identity provider");
    }
    const { rules, source } = issuer;
    const keys = await source.keysFor(opened.kid);
    const { generation } = source;
    const nowMs = this.#clock.nowMs();
    const token = await verifyAgencyToken({ token: opened, rules, keys, nowMs });
    this.#tokens.set(text, { token, source, generation });
    return token;
  }
}

const bearerPrefix = "Bearer ";

/** The token of the one `authorization` entry. Throws TOKEN_MALFORMED for what is not exactly one bearer token. */
function bearerOf(headers: Metadata): string | undefined {
  const entries = headers.entries.filter(({ key }) => key === "authorization");
  const [entry] = entries;
  if (entry === undefined) return undefined;
  const text = parseUtf8(entry.value);
  if (entries.length > 1 || text === undefined || !/^Bearer [^ ]+$/i.test(text)) {
    throw new CausewayError("TOKEN_MALFORMED", "authorization is not exactly one bearer token");
  }
  return text.slice(bearerPrefix.length);
}

function clientKey(issuer: string, client: string): string {
  return JSON.stringify([issuer, client]);
}

function digestOf(der: Uint8Array | undefined): string | undefined {
  return der === undefined ? undefined : createHash("sha256").update(der).digest("base64url");
}

function differ(what: string): CausewayError {
  return new CausewayError("CREDENTIALS_DIFFER", what);
}

function rulesOf(issuer: IssuerConfig): AgencyTokenRules {
  return {
    issuer: issuer.issuer,
    audiences: issuer.audiences,
    algorithms: issuer.algorithms,
    types: issuer.types,
    systemClaim: issuer.system_claim,
    officialClaim: issuer.official_claim,
    ageMaxS: issuer.age_max_s,
    skewS: issuer.skew_s,
  };
}
