/** The first step of a decision: what the grant and the membership say, in code (DESIGN section 5). */
import type { ReasonCode } from "../base/reasons.ts";
import { agencyOf, cityOf } from "../base/ids.ts";
import type { ServiceMethod } from "../credential/statements.ts";
import type {
  FactAddress,
  GrantFact,
  RegistryView,
  ServiceFact,
  Standing,
} from "../registry/state.ts";

/** What the consumer gateway asks for in one attempt. */
export interface Attempt {
  /** Gateway id of the verified peer. */
  readonly consumerGateway: string;
  readonly service: string;
  /** Full method path. */
  readonly method: string;
  readonly purpose: string;
  readonly grant: FactAddress;
  /** Unix seconds, an integer. */
  readonly evaluatedAtS: number;
}

/** A verified taking of a fact that is not final yet, and that acts all the same. */
export interface EarlyTaking {
  /** Address of the fact that is taken away. */
  readonly taken: FactAddress;
  /** Record hash of the statement that takes it, 32 bytes. */
  readonly record: Uint8Array;
}

/** What the check found on its way; a member is absent when the check did not come that far. */
export interface GrantCheck {
  /** Why the call is denied; `undefined` when this step permits it. */
  readonly reason: ReasonCode | undefined;
  readonly service: ServiceFact | undefined;
  readonly method: ServiceMethod | undefined;
  readonly grant: GrantFact | undefined;
  /** The early takings that decided. */
  readonly early: readonly EarlyTaking[];
}

function sameAddress(a: FactAddress, b: FactAddress): boolean {
  return a.index === b.index && a.position === b.position;
}

/**
 * The early taking of the attempt's grant that the view itself holds: a revocation that is included
 * and not yet final.
 */
export function includedTakings(view: RegistryView, attempt: Attempt): readonly EarlyTaking[] {
  const grant = view.grantAt(attempt.grant);
  const until = grant?.standing.until;
  if (grant?.revocation === undefined || until === undefined || until.index < view.seenSize) {
    return [];
  }
  return [{ taken: grant.standing.address, record: grant.revocation }];
}

/**
 * Whether the grant that the attempt names lets this consumer call this method for this purpose,
 * under the facts of `view` and the early takings. The first check that fails gives the reason.
 */
export function checkGrant(
  view: RegistryView,
  attempt: Attempt,
  earlyTakings: readonly EarlyTaking[] = [],
): GrantCheck {
  const { evaluatedAtS } = attempt;
  const early: EarlyTaking[] = [];
  const service = view.service(attempt.service);
  const method = service?.body.methods.find(({ path }) => path === attempt.method);
  const grant = view.grantAt(attempt.grant);

  /** Early takings count as soon as they are verified, final ones below the seen size. */
  function isTaken(standing: Standing): boolean {
    if (standing.until !== undefined && standing.until.index < view.seenSize) return true;
    const taking = earlyTakings.find(({ taken }) => sameAddress(taken, standing.address));
    if (taking !== undefined) early.push(taking);
    return taking !== undefined;
  }
  function isActive(fact: { readonly standing: Standing } | undefined): boolean {
    if (fact === undefined || isTaken(fact.standing)) return false;
    const { nbf, exp } = fact.standing;
    return (nbf === undefined || nbf <= evaluatedAtS) && (exp === undefined || evaluatedAtS < exp);
  }
  /** An agency is a member as long as the city that admitted it. */
  function isMember(id: string): boolean {
    return isActive(view.agency(id)) && isActive(view.city(cityOf(id)));
  }
  function reasonOf(): ReasonCode | undefined {
    if (service === undefined || isTaken(service.standing)) return "SERVICE_UNKNOWN";
    if (method === undefined) return "METHOD_UNKNOWN";
    const consumer = agencyOf(attempt.consumerGateway);
    if (!isMember(consumer)) return "MEMBER_NOT_ACTIVE";
    if (!isActive(view.gateway(attempt.consumerGateway))) return "MEMBER_NOT_ACTIVE";
    if (!isMember(agencyOf(attempt.service))) return "MEMBER_NOT_ACTIVE";
    if (grant === undefined) return "GRANT_MISSING";
    if (grant.consumer !== consumer || grant.detail.service !== attempt.service) {
      return "GRANT_OF_ANOTHER";
    }
    if (isTaken(grant.standing)) return "GRANT_REVOKED";
    return periodReason(grant, evaluatedAtS) ?? scopeReason(grant, attempt);
  }

  const reason = reasonOf();
  return { reason, service, method, grant, early };
}

function periodReason({ standing }: GrantFact, evaluatedAtS: number): ReasonCode | undefined {
  // A grant without both ends is none: the fold takes no such statement.
  if (standing.nbf === undefined || standing.exp === undefined) return "NOT_SUPPORTED";
  if (evaluatedAtS < standing.nbf) return "GRANT_NOT_YET";
  if (evaluatedAtS >= standing.exp) return "GRANT_EXPIRED";
  return undefined;
}

function scopeReason({ detail }: GrantFact, attempt: Attempt): ReasonCode | undefined {
  if (!detail.methods.includes(attempt.method)) return "METHOD_NOT_GRANTED";
  if (!detail.purposes.includes(attempt.purpose)) return "PURPOSE_NOT_GRANTED";
  return undefined;
}
