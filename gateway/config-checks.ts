/** What a schema cannot say: keys of a configuration that do not go together. */
import { CausewayError } from "../src/base/errors.ts";
import { parseAttributeQuery } from "./attributes/attribute-query.ts";
import { isLoopback } from "./config-atoms.ts";
import type { Problem } from "./config-problems.ts";
import type { GatewayConfig } from "./config-types.ts";
import type { SqlDialect } from "./connectors/sql-query.ts";

/** Of a Unix socket on every system: longer ones are cut off without an error. */
const socketPathBytesMax = 103;

/** Paths are absolute by now. */
export function checkTogether(config: GatewayConfig): readonly Problem[] {
  return [
    ...checkListeners(config),
    ...checkIssuers(config),
    ...checkSystems(config),
    ...checkServices(config),
    ...checkClientTls(config),
    ...checkAttributes(config),
  ];
}

function checkListeners({ agency, listeners }: GatewayConfig): readonly Problem[] {
  const problems: Problem[] = [];
  if (agency.tls === undefined && !isLoopback(listeners.agency)) {
    problems.push({
      path: ["listeners", "agency"],
      text: "without agency.tls only a loopback address is allowed",
    });
  }
  if (
    agency.tls === undefined &&
    listeners.http_json !== undefined &&
    !isLoopback(listeners.http_json)
  ) {
    problems.push({
      path: ["listeners", "http_json"],
      text: "without agency.tls only a loopback address is allowed",
    });
  }
  if (Buffer.byteLength(listeners.admin) > socketPathBytesMax) {
    problems.push({
      path: ["listeners", "admin"],
      text: `${listeners.admin} is longer than the ${socketPathBytesMax} bytes of a Unix socket's path`,
    });
  }
  return problems;
}

function checkIssuers({ agency: { issuers } }: GatewayConfig): readonly Problem[] {
  return issuers.flatMap(({ issuer, jwks_file, jwks_url, jwks_ca_file }, i) => {
    const path = ["agency", "issuers", i];
    const problems: Problem[] = [];
    if ((jwks_file === undefined) === (jwks_url === undefined)) {
      problems.push({ path, text: "it has one of jwks_file and jwks_url" });
    }
    if (jwks_ca_file !== undefined && jwks_url === undefined) {
      problems.push({ path: [...path, "jwks_ca_file"], text: "it goes with jwks_url" });
    }
    if (issuers.findIndex((other) => other.issuer === issuer) < i) {
      problems.push({ path: [...path, "issuer"], text: `${issuer} is given twice` });
    }
    return problems;
  });
}

type Systems = GatewayConfig["agency_systems"];

function checkSystems(config: GatewayConfig): readonly Problem[] {
  const systems = config.agency_systems;
  return [
    ...systems.flatMap((system, i) => checkSystem(system, ["agency_systems", i], config)),
    ...repeated(systems, ({ id }) => [id], "id"),
    ...repeated(systems, ({ tls }) => tls?.spki_sha256 ?? [], "tls.spki_sha256"),
    ...repeated(systems, ({ tls }) => tls?.names ?? [], "tls.names"),
    ...repeated(
      systems,
      ({ jwt }) => jwt?.clients.map((client) => `${client} of ${jwt.issuer}`) ?? [],
      "jwt.clients",
    ),
    ...systems
      .flatMap(({ loopback }, i) => (loopback ? [i] : []))
      .slice(1)
      .map((i) => ({
        path: ["agency_systems", i, "loopback"],
        text: "it is another system's already: one may be the caller of what shows nothing",
      })),
  ];
}

function checkSystem(
  { loopback, tls, jwt }: Systems[number],
  path: readonly (string | number)[],
  { agency }: GatewayConfig,
): readonly Problem[] {
  const problems: Problem[] = [];
  const say = (key: string, text: string): void => {
    problems.push({ path: [...path, ...key.split(".")], text });
  };
  if (!loopback && tls === undefined && jwt === undefined) {
    problems.push({ path, text: "it has no way to authenticate: loopback, tls or jwt" });
  }
  if (loopback && agency.tls !== undefined) say("loopback", "it does not go with agency.tls");
  if (loopback && (tls !== undefined || jwt !== undefined)) {
    say("loopback", "it does not go with tls or jwt of the same system");
  }
  if (tls !== undefined) {
    if (agency.tls === undefined) say("tls", "the listener has no agency.tls");
    if (tls.spki_sha256 === undefined && tls.names === undefined) {
      say("tls", "it has spki_sha256 or names");
    }
    if (tls.names !== undefined && agency.tls?.client_ca_file === undefined) {
      say("tls.names", "names count only under agency.tls.client_ca_file");
    }
  }
  if (jwt !== undefined && !agency.issuers.some(({ issuer }) => issuer === jwt.issuer)) {
    say("jwt.issuer", `${jwt.issuer} is none of agency.issuers`);
  }
  return problems;
}

/** What names one system may not name another. */
function repeated(
  systems: Systems,
  valuesOf: (system: Systems[number]) => readonly string[],
  key: string,
): readonly Problem[] {
  const first = new Map<string, string>();
  return systems.flatMap((system, i) =>
    valuesOf(system).flatMap((value) => {
      const before = first.get(value);
      if (before === undefined) {
        first.set(value, system.id);
        return [];
      }
      const path = ["agency_systems", i, ...key.split(".")];
      return [{ path, text: `${value} is given twice, at ${before} before` }];
    }),
  );
}

function checkServices({ gateway, upstreams, attributes }: GatewayConfig): readonly Problem[] {
  const agency = gateway.slice(0, gateway.lastIndexOf("/"));
  const named = (key: string, services: object): readonly Problem[] =>
    Object.keys(services)
      .filter((service) => !service.startsWith(`${agency}/`))
      .map((service) => ({ path: [key, service], text: `it is no data service of ${agency}` }));
  return [...named("upstreams", upstreams), ...named("attributes", attributes)];
}

/** A certificate is shown with its key, or none is. */
function checkClientTls({ upstreams, databases }: GatewayConfig): readonly Problem[] {
  return Object.entries({ upstreams, databases }).flatMap(([section, entries]) =>
    Object.entries(entries).flatMap(([name, entry]) => {
      const { certificate_file, key_file } = ("tls" in entry ? entry.tls : undefined) ?? {};
      if ((certificate_file === undefined) === (key_file === undefined)) return [];
      const path = [section, name, "tls"];
      return [{ path, text: "certificate_file and key_file go together" }];
    }),
  );
}

function checkAttributes({ attributes, databases }: GatewayConfig): readonly Problem[] {
  return Object.entries(attributes).flatMap(([service, { queries }]) =>
    queries.flatMap(({ database, query }, i) => {
      const path = ["attributes", service, "queries", i];
      const config = Object.hasOwn(databases, database) ? databases[database] : undefined;
      if (config === undefined) {
        return [{ path: [...path, "database"], text: `${database} is none of databases` }];
      }
      const fault = faultOf(query, "sqlite" in config ? "sqlite" : "postgresql");
      return fault === undefined ? [] : [{ path: [...path, "query"], text: fault }];
    }),
  );
}

function faultOf(query: string, dialect: SqlDialect): string | undefined {
  try {
    parseAttributeQuery(query, dialect);
    return undefined;
  } catch (error) {
    if (error instanceof CausewayError) return error.message;
    throw error;
  }
}
