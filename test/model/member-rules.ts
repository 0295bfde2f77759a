/** Agencies, gateways, administrators and cities, and how they are taken and come back. From DESIGN.md sections 3 and 4. */
import { agencyOf, cityOf } from "../../src/base/ids.ts";
import type { Statement } from "../../src/credential/statements.ts";
import { type Fact, given, type History, newest } from "./facts.ts";
import {
  type Against,
  assertAdministrator,
  assertAuthority,
  bindKeys,
  digestOf,
  type Effect,
  type Ground,
  put,
  type Said,
} from "./rules.ts";

export function judgeAgency(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "agency" }>;
  const { iss, sub } = claims;
  assertAuthority(history, iss, said, ground, against);
  if (cityOf(sub) !== iss) against("SIGNER_NOT_ALLOWED");
  const before = newest(history, "agency", sub);
  if (before !== undefined && !isCommitted(before, body)) against("KEY_NOT_COMMITTED");
  if (before?.suspendedBy !== undefined) against("MEMBER_NOT_ACTIVE", "ALREADY_TAKEN");
  return () => put(history, "agency", sub, iss, said, ground);
}

export function judgeAdministrator(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims } = said.statement as Extract<Statement, { name: "administrator" }>;
  const { iss, sub } = claims;
  assertAuthority(history, iss, said, ground, against);
  const before = newest(history, "administrator", sub);
  if (before?.suspendedBy !== undefined) against("MEMBER_NOT_ACTIVE", "ALREADY_TAKEN");
  return () => put(history, "administrator", sub, iss, said, ground);
}

/** The same keys again, or the one that was committed to with a new commitment. */
function isCommitted(
  { body }: Fact,
  next: { readonly authority: string; readonly next: string },
): boolean {
  const isSame = body["authority"] === next.authority && body["next"] === next.next;
  return isSame || body["next"] === digestOf(next.authority);
}

export function judgeGateway(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "gateway" }>;
  const { iss, sub } = claims;
  assertAuthority(history, iss, said, ground, against);
  if (agencyOf(sub) !== iss) against("SIGNER_NOT_ALLOWED");
  const before = newest(history, "gateway", sub);
  if (before?.suspendedBy !== undefined) against("MEMBER_NOT_ACTIVE", "ALREADY_TAKEN");
  if (before === undefined && body.last !== undefined) against("NOT_SUPPORTED");
  return () => {
    const keys = history.facts
      .filter(({ kind, id }) => kind === "gateway" && id === sub)
      .map((fact) => fact.body["batch"] as string)
      .filter((key) => key !== body.batch);
    if (body.last !== undefined) history.endings.push({ gateway: sub, keys, ...body.last });
    put(history, "gateway", sub, iss, said, ground);
  };
}

/** Kinds of a suspension's `what` are kinds of facts. */
export function judgeSuspension(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "suspension" }>;
  const { iss, sub } = claims;
  assertAuthority(history, iss, said, ground, against);
  const fact = given(history, body.what, sub, ground);
  if (fact === undefined) {
    against("MEMBER_UNKNOWN", "SERVICE_UNKNOWN");
    return () => undefined;
  }
  if (!mayTake(iss, fact)) against("SIGNER_NOT_ALLOWED", "MEMBER_UNKNOWN");
  const current = newest(history, body.what, sub) as Fact;
  if (current.until !== undefined) against("ALREADY_TAKEN");
  return () => {
    current.until = ground.place;
    current.suspendedBy = iss;
    if (body.last === undefined) return;
    const keys = history.facts
      .filter(({ kind, id }) => kind === "gateway" && id === sub)
      .map((one) => one.body["batch"] as string);
    history.endings.push({ gateway: sub, keys, ...body.last });
  };
}

/** The next higher authority: the city of an agency or gateway; the agency of what is its own. */
function mayTake(iss: string, { kind, id, owner }: Fact): boolean {
  if (kind === "agency") return cityOf(id) === iss;
  if (kind === "gateway") return iss === cityOf(id) || iss === agencyOf(id);
  return iss === owner;
}

export function judgeResumption(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "resumption" }>;
  const { iss, sub } = claims;
  if (iss.includes("/")) assertAdministrator(history, iss, "approver", said, ground, against);
  else assertAuthority(history, iss, said, ground, against);
  const current = newest(history, body.what, sub);
  if (current === undefined || current.since >= ground.seenSize) {
    against("MEMBER_UNKNOWN", "SERVICE_UNKNOWN");
    if (current === undefined) return () => undefined;
  }
  if (current.suspendedBy === undefined) against("ALREADY_TAKEN");
  else if (current.suspendedBy !== iss) against("SIGNER_NOT_ALLOWED");
  // A resumption answers a suspension that its header has seen.
  else if ((current.until?.index ?? 0) >= ground.seenSize) against("ALREADY_TAKEN");
  return () => {
    const { until: _, suspendedBy: __, ...fact } = current;
    history.facts.push({ ...fact, since: ground.index });
  };
}

export function judgeEpoch(history: History, said: Said, ground: Ground, against: Against): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "epoch" }>;
  assertAuthority(history, claims.iss, said, ground, against);
  if (agencyOf(claims.sub) !== claims.iss) against("SIGNER_NOT_ALLOWED");
  // Anywhere but as the first record of the epoch that it opens it opens none.
  const { place, carrier, epoch, seq } = ground;
  const opens = place.position === 0 && claims.sub === carrier && epoch === body.epoch && seq === 0;
  if (!opens) against("NOT_SUPPORTED", "ALREADY_TAKEN", "CHAIN_GAP", "CHAIN_FORK");
  return () => undefined;
}

export function judgeCity(history: History, said: Said, ground: Ground, against: Against): Effect {
  const { claims, body } = said.statement as Extract<Statement, { name: "city" }>;
  const { sub } = claims;
  const current = newest(history, "city", sub);
  if (body.change === "candidacy") {
    if (current !== undefined && current.until === undefined) against("ALREADY_TAKEN");
    const { change: _, ...city } = body;
    return () => {
      history.candidacies.push({
        payload: said.payload,
        id: sub,
        body: city as unknown as Fact["body"],
        since: ground.index,
      });
    };
  }
  if (current === undefined || given(history, "city", sub, ground) === undefined) {
    against("MEMBER_UNKNOWN", "SIGNER_NOT_ALLOWED", "KEY_NOT_COMMITTED");
    return () => undefined;
  }
  if (current.until !== undefined) against("MEMBER_NOT_ACTIVE", "MEMBER_UNKNOWN", "ALREADY_TAKEN");
  if (body.change !== "recovery") assertAuthority(history, sub, said, ground, against);
  if (body.change !== "witness" && current.body["next"] !== digestOf(body.authority)) {
    against("KEY_NOT_COMMITTED");
  }
  const { change, ...members } = body;
  return () => {
    const next: Fact = {
      kind: "city",
      id: sub,
      owner: sub,
      body: { ...current.body, ...members } as Fact["body"],
      place: ground.place,
      since: ground.index,
      recovered: change === "recovery",
    };
    // A city goes on being one: its newest fact follows the one before without an end.
    history.facts.push(next);
    bindKeys(history, said.statement);
  };
}
