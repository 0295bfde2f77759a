/** Suspension by the next higher authority, and resumption by whoever suspended. */
import { agencyOf, cityOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { SuspensionBody } from "../credential/statements.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { endChain, placeOf } from "./chain-stops.ts";
import type { OrderedMap } from "./ordered-map.ts";
import type { Rule, Said } from "./rule.ts";
import { type Ground, isSeen } from "./standing.ts";
import type { FactAddress, RegistryState, Standing } from "./state.ts";

interface Fact {
  readonly standing: Standing;
}

/** What is suspended and resumed: the facts of one id, and how they are put back. */
interface Subject {
  readonly facts: readonly Fact[] | undefined;
  /** Whether this city or agency is an authority over it. */
  isUnder(authority: string): boolean;
  put(state: RegistryState, facts: readonly Fact[]): RegistryState;
}

export const suspend: Rule<"suspension"> = (said, ground) => {
  const { claims, body, address } = said;
  const subject = subjectOf(body.what, claims.sub, ground.state);
  const { facts } = subject;
  if (facts === undefined || !facts.some(({ standing }) => isSeen(standing, ground))) {
    return body.what === "service" ? "SERVICE_UNKNOWN" : "MEMBER_UNKNOWN";
  }
  if (!subject.isUnder(claims.iss)) return "SIGNER_NOT_ALLOWED";
  const newest = facts.at(-1) as Fact;
  const isTaken = newest.standing.until !== undefined;
  // Its chain may go on draining after the suspension: a later statement names the last leaf.
  if (isTaken && body.last === undefined) return "ALREADY_TAKEN";
  const ended = body.last === undefined ? ground.state : endOf(said, ground.state);
  if (typeof ended === "string") return ended;
  const suspended = withStanding(newest, {
    ...newest.standing,
    until: address,
    suspendedBy: claims.iss,
  });
  return {
    state: isTaken ? ended : subject.put(ended, [...facts.slice(0, -1), suspended]),
    results: [{ kind: ResultKind.SUSPENDED, subject: claims.sub }],
  };
};

/** The fact is in force again from here on; what it holds was said where it was said. */
export const resume: Rule<"resumption"> = ({ claims, body, address }, ground) => {
  const subject = subjectOf(body.what, claims.sub, ground.state);
  const { facts } = subject;
  const newest = facts?.at(-1);
  if (facts === undefined || newest === undefined) {
    return body.what === "service" ? "SERVICE_UNKNOWN" : "MEMBER_UNKNOWN";
  }
  const { suspendedBy, until, ...standing } = newest.standing;
  if (suspendedBy === undefined || !isSeenTaking(until, ground)) return "ALREADY_TAKEN";
  if (suspendedBy !== claims.iss) return "SIGNER_NOT_ALLOWED";
  const resumed = withStanding(newest, { ...standing, since: address.index });
  return {
    state: subject.put(ground.state, [...facts, resumed]),
    results: [{ kind: ResultKind.RESUMED, subject: claims.sub }],
  };
};

/** A resumption rests on a suspension that its header has seen. */
function isSeenTaking(until: FactAddress | undefined, { index, seenSize }: Ground): boolean {
  return until !== undefined && (index === 0n || until.index < seenSize);
}

function endOf(
  { claims, body, address }: Said<"suspension">,
  state: RegistryState,
): RegistryState | ReasonCode {
  const last = body.last === undefined ? undefined : placeOf(body.last);
  if (last === undefined) return state;
  const keys = (state.gateways.get(claims.sub) ?? []).map(({ batchKey }) => batchKey);
  return endChain(state, claims.sub, { last, keys, address });
}

function subjectOf(what: SuspensionBody["what"], id: string, state: RegistryState): Subject {
  switch (what) {
    case "agency":
      return subject("agencies", id, state, [cityOf(id)]);
    case "gateway":
      return subject("gateways", id, state, [agencyOf(id), cityOf(id)]);
    case "service":
      return subject("services", id, state, [agencyOf(id)]);
    case "administrator":
      return subject("administrators", id, state, [
        state.administrators.get(id)?.[0]?.agency ?? "",
      ]);
  }
}

function subject(
  kept: "agencies" | "gateways" | "services" | "administrators",
  id: string,
  state: RegistryState,
  authorities: readonly string[],
): Subject {
  const kind = (of: RegistryState): OrderedMap<readonly Fact[]> => of[kept];
  return {
    facts: kind(state).get(id),
    isUnder: (authority) => authorities.includes(authority),
    put: (next, facts) => ({ ...next, [kept]: kind(next).with(id, facts) }),
  };
}

function withStanding(fact: Fact, standing: Standing): Fact {
  return { ...fact, standing };
}
