/** The rules of data services and their policies: a new version takes the place of the newest one. */
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import type { Rule } from "./rule.ts";
import { inForce, replacing, standingFrom } from "./standing.ts";
import type { ServiceFact, Standing } from "./state.ts";

/**
 * The facts of one id with the next version at their end and the newest until now taken by it, or
 * `undefined` when `next` is not the version that follows. The newest counts as soon as it is
 * included, seen or not: two versions that were sealed without knowing of each other never both stand.
 */
function nextVersion<
  F extends { readonly body: { readonly version: number }; readonly standing: Standing },
>(facts: readonly F[], next: F): readonly F[] | undefined {
  const follows = next.body.version === (facts.at(-1)?.body.version ?? 0) + 1;
  return follows ? replacing(facts, next) : undefined;
}

/** A service that is suspended comes back by its resumption alone. */
function isSuspended(facts: readonly ServiceFact[] | undefined): boolean {
  return facts?.at(-1)?.standing.suspendedBy !== undefined;
}

export const publishService: Rule<"service"> = ({ claims, body, address }, { state }) => {
  const id = claims.sub;
  const staleness = state.network?.bounds.max_staleness_s ?? 0;
  if (body.max_staleness_s > staleness) return "OUTSIDE_BOUNDS";
  if (isSuspended(state.services.get(id))) return "SERVICE_UNKNOWN";
  const fact = { id, body, standing: standingFrom(address, {}) };
  const facts = nextVersion(state.services.get(id) ?? [], fact);
  if (facts === undefined) return "VERSION_WRONG";
  return {
    state: { ...state, services: state.services.with(id, facts) },
    results: [{ kind: ResultKind.SERVICE_PUBLISHED, subject: id }],
  };
};

export const publishPolicy: Rule<"policy"> = ({ claims, body, address }, ground) => {
  const { state } = ground;
  const service = claims.sub;
  if (inForce(state.services.get(service), ground) === undefined) return "SERVICE_UNKNOWN";
  const fact = { service, body, standing: standingFrom(address, {}) };
  const facts = nextVersion(state.policies.get(service) ?? [], fact);
  if (facts === undefined) return "VERSION_WRONG";
  return {
    state: { ...state, policies: state.policies.with(service, facts) },
    results: [{ kind: ResultKind.POLICY_PUBLISHED, subject: service }],
  };
};
