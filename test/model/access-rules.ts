/** Services, policies, requests and what answers them. From DESIGN.md sections 4 and 5. */
import { agencyOf } from "../../src/base/ids.ts";
import type { Statement } from "../../src/credential/statements.ts";
import { type Fact, given, type History, newest, resting } from "./facts.ts";
import {
  type Against,
  administratorsAmong,
  assertAdministrator,
  assertAgency,
  assertRole,
  type Effect,
  type Ground,
  put,
  type Said,
} from "./rules.ts";

export function judgeService(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "service" }>;
  const { iss, sub } = claims;
  assertAdministrator(history, iss, "operator", said, ground, against);
  if (agencyOf(sub) !== iss) against("SIGNER_NOT_ALLOWED");
  assertRole(history, iss, "provider", ground, against);
  const before = newest(history, "service", sub);
  if (body.version !== ((before?.body["version"] as number | undefined) ?? 0) + 1) {
    against("VERSION_WRONG");
  }
  if (before?.suspendedBy !== undefined)
    against("SERVICE_UNKNOWN", "MEMBER_NOT_ACTIVE", "ALREADY_TAKEN");
  if (body.max_staleness_s > 900 || body.max_staleness_s < 30) against("OUTSIDE_BOUNDS");
  if (body.subject_paths.length > 0) against("NOT_SUPPORTED");
  return () => put(history, "service", sub, iss, said, ground);
}

export function judgePolicy(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "policy" }>;
  const { iss, sub } = claims;
  assertAdministrator(history, iss, "operator", said, ground, against);
  if (agencyOf(sub) !== iss) against("SIGNER_NOT_ALLOWED");
  if (resting(history, "service", sub, ground) === undefined) against("SERVICE_UNKNOWN");
  const before = newest(history, "policy", sub);
  if (body.version !== ((before?.body["version"] as number | undefined) ?? 0) + 1) {
    against("VERSION_WRONG");
  }
  return () => put(history, "policy", sub, iss, said, ground);
}

export function judgeRequest(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "request" }>;
  const { iss, sub } = claims;
  assertAdministrator(history, iss, "operator", said, ground, against);
  assertRole(history, iss, "consumer", ground, against);
  const service = resting(history, "service", sub, ground);
  if (service === undefined) against("SERVICE_UNKNOWN");
  else insideService(service, body.authorization_details, against);
  return () => put(history, "request", claims.jti, iss, said, ground);
}

export function judgeRevocation(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "revocation" }>;
  const { iss, sub } = claims;
  // To take away is easier than to give.
  assertAdministrator(history, iss, "any", said, ground, against);
  const grant = given(history, "grant", body.grant, ground);
  if (grant === undefined || grant.owner !== iss || grant.body["consumer"] !== sub) {
    against("GRANT_UNKNOWN", "SIGNER_NOT_ALLOWED");
  } else if (grant.until !== undefined) against("ALREADY_TAKEN");
  return () => {
    (grant as Fact).until = ground.place;
  };
}

type Grant = Extract<Statement, { name: "grant" }>["body"];
type Details = Extract<Statement, { name: "request" }>["body"]["authorization_details"];

function insideService(service: Fact, details: Details, against: Against): void {
  const [detail, ...more] = details;
  if (detail === undefined || more.length > 0) return against("NOT_SUPPORTED");
  const methods = (service.body["methods"] as readonly { readonly path: string }[]).map(
    ({ path }) => path,
  );
  const purposes = service.body["purposes"] as readonly string[];
  const isInside =
    detail.service === service.id &&
    detail.methods.every((path) => methods.includes(path)) &&
    detail.purposes.every((purpose) => purposes.includes(purpose));
  if (!isInside) against("OUTSIDE_REQUEST");
}

/** The request that a grant or denial answers. */
function askedFor(
  history: History,
  jti: string,
  said: Said,
  ground: Ground,
  against: Against,
): Fact | undefined {
  const { iss, sub } = said.statement.claims;
  if (isAnswered(history, jti)) against("ALREADY_TAKEN");
  const request = given(history, "request", jti, ground);
  if (request === undefined || request.owner !== sub) {
    against("REQUEST_UNKNOWN", "SIGNER_NOT_ALLOWED", "OUTSIDE_REQUEST");
    return undefined;
  }
  const [detail] = request.body["authorization_details"] as Details;
  if (detail !== undefined && agencyOf(detail.service) !== iss) {
    against("SIGNER_NOT_ALLOWED", "REQUEST_UNKNOWN");
  }
  if (request.exp !== undefined && request.exp <= ground.atS) against("REQUEST_UNKNOWN", "EXPIRED");
  return request;
}

/** A request is answered by a grant that is in force or was, or by a denial; not by one that waits. */
function isAnswered(history: History, jti: string): boolean {
  return history.facts.some(
    ({ kind, id, body, until }) =>
      (kind === "grant" && body["request"] === jti) ||
      (kind === "request" && id === jti && until !== undefined),
  );
}

/** What a grant rests on, when it is said and again when it comes into force. */
function assertGrantable(
  history: History,
  { request: jti, authorization_details: details }: Grant,
  said: Said,
  ground: Ground,
  against: Against,
): Fact | undefined {
  assertAgency(history, said.statement.claims.sub, ground, against);
  const request = askedFor(history, jti, said, ground, against);
  const [granted] = details;
  const service =
    granted === undefined ? undefined : resting(history, "service", granted.service, ground);
  if (service?.body["sharing"] === "not-shared") against("OUTSIDE_REQUEST");
  if (service === undefined) against("SERVICE_UNKNOWN", "OUTSIDE_REQUEST");
  else insideService(service, details, against);
  const [asked] = (request?.body["authorization_details"] ?? []) as Details;
  if (asked !== undefined && granted !== undefined) {
    const isInside =
      asked.service === granted.service &&
      asked.legal_basis === granted.legal_basis &&
      granted.methods.every((path) => asked.methods.includes(path)) &&
      granted.purposes.every((purpose) => asked.purposes.includes(purpose)) &&
      isNarrowed(asked, granted);
    if (!isInside) against("OUTSIDE_REQUEST");
  }
  return service;
}

/** Whatever the request limits, the grant limits at least as much. */
function isNarrowed(asked: Details[number], granted: Details[number]): boolean {
  const { fields, metadata = [], quota, messages_max: messages, bytes_max: bytes } = asked;
  if (fields !== undefined) {
    const names = (granted.fields ?? [""]).map((path) => path.split("."));
    const isAskedFor = (path: readonly string[]): boolean =>
      path.some((_, i) => fields.includes(path.slice(0, i + 1).join(".")));
    if (!names.every(isAskedFor)) return false;
    if (new Set([...metadata, ...(granted.metadata ?? [])]).size > metadata.length) return false;
  }
  if (quota !== undefined) {
    const { limit = Infinity, period_s: period = 0 } = granted.quota ?? {};
    if (limit > quota.limit || period !== quota.period_s) return false;
  }
  if ((granted.messages_max ?? Infinity) > (messages ?? Infinity)) return false;
  if ((granted.bytes_max ?? Infinity) > (bytes ?? Infinity)) return false;
  return !(asked.durability === "ledger" && granted.durability !== "ledger");
}

export function judgeGrant(history: History, said: Said, ground: Ground, against: Against): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "grant" }>;
  const { iss, sub } = claims;
  assertAdministrator(history, iss, "approver", said, ground, against);
  const service = assertGrantable(history, body, said, ground, against);
  const rule = service?.body["approval"] as { readonly approvals: number } | undefined;
  const [approver = ""] = administratorsAmong(history, iss, "approver", said, ground);
  return () => {
    const fact = {
      kind: "grant" as const,
      id: claims.jti,
      owner: iss,
      body: { ...body, consumer: sub } as unknown as Fact["body"],
      place: ground.place,
      since: ground.index,
      nbf: claims.nbf,
      exp: claims.exp,
    };
    if (rule?.approvals === 2) history.pending.push({ ...fact, approver });
    else history.facts.push(fact);
  };
}

export function judgeDenial(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "denial" }>;
  assertAdministrator(history, claims.iss, "approver", said, ground, against);
  const request = askedFor(history, body.request, said, ground, against);
  return () => {
    (request as Fact).until = ground.place;
  };
}

export function judgeApproval(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "approval" }>;
  const { iss, sub } = claims;
  assertAdministrator(history, iss, "approver", said, ground, against);
  const pending = history.pending.find(({ id }) => id === body.grant);
  if (pending === undefined) {
    const isKnown = given(history, "grant", body.grant, ground) !== undefined;
    const isThere = newest(history, "grant", body.grant) !== undefined;
    if (isKnown || isThere) against("ALREADY_TAKEN", "GRANT_UNKNOWN");
    else against("GRANT_UNKNOWN");
    return () => undefined;
  }
  if (
    pending.owner !== iss ||
    pending.body["consumer"] !== sub ||
    pending.since >= ground.seenSize
  ) {
    against("GRANT_UNKNOWN", "SIGNER_NOT_ALLOWED");
  }
  if (pending.exp !== undefined && pending.exp <= ground.atS)
    against("EXPIRED", "GRANT_UNKNOWN", "ALREADY_TAKEN");
  assertGrantable(history, pending.body as unknown as Grant, said, ground, against);
  const others = administratorsAmong(history, iss, "approver", said, ground).filter(
    (kid) => kid !== pending.approver,
  );
  if (others.length === 0) against("SIGNER_NOT_ALLOWED");
  return () => {
    history.pending = history.pending.filter((one) => one !== pending);
    const { approver: _, ...fact } = pending;
    history.facts.push({ ...fact, since: ground.index });
  };
}
