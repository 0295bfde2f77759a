/**
 * What a governance record does: every reason against it, in no order, and its effect when there is
 * none. Written from DESIGN.md sections 3, 4 and 7, RECORDS.md and the comments of the statements.
 */
import { toHex } from "../../src/base/bytes.ts";
import { cityOf } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { parseKey } from "../../src/credential/key-text.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import type { Statement } from "../../src/credential/statements.ts";
import {
  type BoundKey,
  type Fact,
  factsOf,
  given,
  type History,
  newest,
  type Place,
  type Sight,
  speaking,
} from "./facts.ts";

/** A statement whose signatures are right, as the test that signed it knows. */
export interface Said {
  readonly statement: Statement;
  /** Thumbprints of those who signed. */
  readonly signers: readonly string[];
  /** SHA-256 of the payload, hex. */
  readonly payload: string;
  readonly recordHash: string;
}

export interface Ground extends Sight {
  readonly place: Place;
  readonly sealedAtMs: number;
  readonly skewS: number;
  /** Gateway, epoch and number of the batch. */
  readonly carrier: string;
  readonly epoch: number;
  readonly seq: number;
  readonly networkId: string;
}

/** Collects what speaks against a statement. */
export type Against = (reason: ReasonCode, ...others: readonly ReasonCode[]) => void;

const week = 7 * 24 * 3600 * 1000;

export const digestOf = (key: string): string => toHex(sha256(parseKey(key) as Uint8Array));
export const kidOf = (key: string): string => thumbprint(parseKey(key) as Uint8Array);

/** What is wrong with any statement, whatever it says. */
export function generalFaults(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): void {
  const { claims, name } = said.statement;
  if (name === "network") {
    against(said.payload === ground.networkId ? "REPLAYED" : "NETWORK_WRONG");
    return;
  }
  if (claims.net !== ground.networkId) against("NETWORK_WRONG");
  if (history.usedJti.includes(claims.jti)) against("REPLAYED");
  if (claims.iat * 1000 < ground.sealedAtMs - week) against("STALE");
  if (claims.iat > ground.atS + ground.skewS) against("NOT_YET_VALID");
  if (claims.nbf !== undefined && claims.nbf > ground.atS) against("NOT_YET_VALID");
  if (claims.exp !== undefined && claims.exp <= ground.atS) against("EXPIRED");
  const own = keysOf(said.statement).flatMap(({ kid }) => kid ?? []);
  const known = history.keys.flatMap(({ kid }) => kid ?? []);
  if (said.signers.some((kid) => !own.includes(kid) && !known.includes(kid))) {
    against("TOKEN_KEY_UNKNOWN");
  }
  if (own.some((kid) => !said.signers.includes(kid))) against("STATEMENT_SIGNER_MISSING");
  // An end is for members, requests and grants: nothing else is taken away by time.
  const lasting = ["agency", "gateway", "administrator", "request", "grant"];
  if (!lasting.includes(name) && (claims.nbf ?? claims.exp) !== undefined) against("NOT_SUPPORTED");
  keyFaults(history, said.statement, against);
}

/** The keys that a statement binds, the digests of next and TLS keys among them. */
export function keysOf({ name, claims, body }: Statement): readonly BoundKey[] {
  const signing = (key: string, use: string, owner: string): BoundKey => ({
    key: digestOf(key),
    use,
    owner,
    kid: kidOf(key),
  });
  switch (name) {
    case "city":
      return [
        ...("authority" in body
          ? [
              signing(body.authority, "authority", claims.sub),
              { key: body.next, use: "next-authority", owner: claims.sub },
            ]
          : []),
        ...("witness" in body
          ? [
              signing(body.witness, "witness", claims.sub),
              { key: body.witness_tls, use: "tls", owner: claims.sub },
            ]
          : []),
      ];
    case "agency":
      return [
        signing(body.authority, "authority", claims.sub),
        { key: body.next, use: "next-authority", owner: claims.sub },
      ];
    case "gateway":
      return [
        signing(body.batch, "batch", claims.sub),
        signing(body.token, "token", claims.sub),
        ...body.tls.map((key): BoundKey => ({ key, use: "tls", owner: claims.sub })),
      ];
    case "administrator":
      return [signing(body.key, "administrator", claims.iss)];
    case "vote":
      return body.on === "sequencer" ? [signing(body.log, "log", claims.sub)] : [];
    default:
      return [];
  }
}

/** One key, one use. A member may name again what is its own already, and make its next key its key. */
function keyFaults(history: History, statement: Statement, against: Against): void {
  const keys = keysOf(statement);
  if (new Set(keys.map(({ key }) => key)).size < keys.length) against("KEY_BOUND");
  for (const { key, use, owner } of keys) {
    for (const bound of history.keys.filter((one) => one.key === key)) {
      const isSame = bound.use === use && use !== "log";
      const isOwn = bound.owner === owner && (isSame || becomes(bound.use, use));
      if (!isOwn) against("KEY_BOUND");
    }
  }
}

const becomes = (before: string, after: string): boolean =>
  before === "next-authority" && after === "authority";

/** The authority keys of a city or agency by which a record may be signed. */
export function authorityKids(history: History, id: string, sight: Sight): readonly string[] {
  if (id.includes("/")) {
    const [fact] = speaking(history, "agency", id, sight);
    return fact === undefined ? [] : [kidOf(fact.body["authority"] as string)];
  }
  const [fact, ...later] = activeCity(history, id, sight);
  // Old and new keys are valid meanwhile, but a stolen one is not.
  const isStolen = later.some(({ recovered }) => recovered === true);
  return fact === undefined || isStolen ? [] : [kidOf(fact.body["authority"] as string)];
}

/** The fact of a city that is seen and those after it; none when it was excluded since. */
function activeCity(history: History, id: string, sight: Sight): readonly Fact[] {
  const seen = given(history, "city", id, sight);
  const all = factsOf(history, "city", id);
  const active = seen === undefined ? [] : all.slice(all.indexOf(seen));
  return active.some(({ until }) => until !== undefined) ? [] : active;
}

/** What speaks for an agency that is a member: itself, and the city that admitted it is one. */
export function activeAgency(history: History, id: string, sight: Sight): readonly Fact[] {
  if (activeCity(history, cityOf(id), sight).length === 0) return [];
  return speaking(history, "agency", id, sight);
}

export function assertAgency(history: History, id: string, ground: Ground, against: Against): void {
  if (activeAgency(history, id, ground).length === 0)
    against("MEMBER_UNKNOWN", "MEMBER_NOT_ACTIVE");
}

const hasRole = ({ body }: Fact, role: string): boolean =>
  (body["roles"] as readonly string[]).includes(role);

/** Whether one of the signers is the authority of `id`. */
export function assertAuthority(
  history: History,
  id: string,
  said: Said,
  ground: Ground,
  against: Against,
): void {
  if (id.includes("/")) assertAgency(history, id, ground, against);
  const kids = authorityKids(history, id, ground);
  if (kids.length === 0) against("MEMBER_UNKNOWN", "MEMBER_NOT_ACTIVE", "SIGNER_NOT_ALLOWED");
  else if (!said.signers.some((kid) => kids.includes(kid))) {
    against("SIGNER_NOT_ALLOWED", "STATEMENT_SIGNER_MISSING");
  }
}

/** The signers that are administrators of the agency with this role. */
export function administratorsAmong(
  history: History,
  agency: string,
  role: string,
  said: Said,
  sight: Sight,
): readonly string[] {
  return said.signers.filter((kid) => {
    const facts = speaking(history, "administrator", kid, sight);
    const may = (fact: Fact): boolean =>
      role === "any"
        ? ["operator", "approver"].some((one) => hasRole(fact, one))
        : hasRole(fact, role);
    return facts.length > 0 && facts.every((fact) => fact.owner === agency && may(fact));
  });
}

export function assertAdministrator(
  history: History,
  agency: string,
  role: "operator" | "approver" | "any",
  said: Said,
  ground: Ground,
  against: Against,
): void {
  assertAgency(history, agency, ground, against);
  if (administratorsAmong(history, agency, role, said, ground).length === 0) {
    against(
      "SIGNER_NOT_ALLOWED",
      "STATEMENT_SIGNER_MISSING",
      "MEMBER_NOT_ACTIVE",
      "MEMBER_UNKNOWN",
    );
  }
}

/** Adds a fact; the one before it of the same id, if nothing took it yet, ends here. */
export function putFact(history: History, fact: Fact): void {
  const before = newest(history, fact.kind, fact.id);
  if (before !== undefined && before.until === undefined) before.until = fact.place;
  history.facts.push(fact);
}

export function bindKeys(history: History, statement: Statement): void {
  for (const key of keysOf(statement)) {
    const isKnown = history.keys.some((one) => one.key === key.key && one.use === key.use);
    if (!isKnown) history.keys.push(key);
  }
}

/** Puts a fact that a statement is, as it stands there. */
export function put(
  history: History,
  kind: Fact["kind"],
  id: string,
  owner: string,
  said: Said,
  ground: Ground,
): void {
  const { claims, body } = said.statement;
  putFact(history, {
    kind,
    id,
    owner,
    body: body as unknown as Fact["body"],
    place: ground.place,
    since: ground.index,
    nbf: claims.nbf,
    exp: claims.exp,
  });
  bindKeys(history, said.statement);
}

export type Effect = () => void;

export function assertRole(
  history: History,
  agency: string,
  role: string,
  ground: Ground,
  against: Against,
): void {
  const facts = activeAgency(history, agency, ground);
  if (!facts.every((fact) => hasRole(fact, role))) against("SIGNER_NOT_ALLOWED");
}
