/** The rules of access: request, grant or denial, approval, revocation. */
import { assertInvariant } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { AuthorizationDetail, Claims } from "../credential/statements.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { formatAddress } from "../record/handle.ts";
import { memberFault } from "./authority.ts";
import type { Change, Rule, Said } from "./rule.ts";
import { gives, type Ground, inForce, isSeen, isValid, standingFrom, taken } from "./standing.ts";
import type {
  FactAddress,
  GrantFact,
  PendingGrantFact,
  RegistryState,
  RequestFact,
  ServiceFact,
} from "./state.ts";
import { isWithinRequest, isWithinService } from "./within.ts";

export const requestAccess: Rule<"request"> = ({ claims, body, address }, ground) => {
  const { state } = ground;
  const { iss: consumer, sub: service, jti } = claims;
  const offered = inForce(state.services.get(service), ground);
  if (offered === undefined) return "SERVICE_UNKNOWN";
  const details = body.authorization_details;
  const isOffered = details.every(
    (detail) => detail.service === service && isWithinService(detail, offered.body),
  );
  if (!isOffered) return "OUTSIDE_REQUEST";
  const standing = standingFrom(address, claims);
  const fact: RequestFact = { jti, consumer, service, details, standing };
  return {
    state: { ...state, requests: state.requests.with(jti, fact) },
    results: [{ kind: ResultKind.REQUESTED, subject: jti }],
  };
};

export const grantAccess: Rule<"grant"> = (said, ground) => {
  const { claims, body, address } = said;
  const request = openRequest(body.request, claims, ground);
  if (typeof request === "string") return request;
  const [detail] = body.authorization_details as readonly [AuthorizationDetail];
  const offered = offerOf(detail, request, ground);
  if (typeof offered === "string") return offered;
  const { jti, iss: provider, sub: consumer } = claims;
  const standing = standingFrom(address, claims);
  const grant: GrantFact = { jti, request: request.jti, consumer, provider, detail, standing };
  if (offered.body.approval.approvals === 1) return granted(ground.state, request, grant);
  const pending: PendingGrantFact = { ...grant, approver: approverOf(said) };
  return {
    state: { ...ground.state, pendingGrants: ground.state.pendingGrants.with(jti, pending) },
    results: [{ kind: ResultKind.APPROVED, subject: jti }],
  };
};

/** The second of two people: from here on the grant is in force, if it could still be made. */
export const approveAccess: Rule<"approval"> = (said, ground) => {
  const { claims, body, address } = said;
  const { state, atS } = ground;
  const pending = state.pendingGrants.get(body.grant);
  if (pending === undefined)
    return state.grants.has(body.grant) ? "ALREADY_TAKEN" : "GRANT_UNKNOWN";
  if (!isSeen(pending.standing, ground)) return "GRANT_UNKNOWN";
  if (pending.provider !== claims.iss) return "SIGNER_NOT_ALLOWED";
  if (pending.consumer !== claims.sub) return "GRANT_UNKNOWN";
  const { approver, ...grant } = pending;
  if (approverOf(said) === approver) return "SIGNER_NOT_ALLOWED";
  if (!isValid(grant.standing, atS)) return "EXPIRED";
  const request = openRequest(grant.request, claims, ground);
  if (typeof request === "string") return request;
  const offered = offerOf(grant.detail, request, ground);
  if (typeof offered === "string") return offered;
  const standing = { ...grant.standing, since: address.index };
  const withoutPending = { ...state, pendingGrants: state.pendingGrants.without(grant.jti) };
  const change = granted(withoutPending, request, { ...grant, standing }, address);
  return {
    ...change,
    results: [{ kind: ResultKind.APPROVED, subject: grant.jti }, ...change.results],
  };
};

/** Who signed a statement of an administrator: it has one signature. */
function approverOf({ signers }: Pick<Said<"grant">, "signers">): string {
  const [kid] = signers;
  assertInvariant(kid !== undefined && signers.length === 1, "an administrator's statement");
  return kid;
}

/** The service that a grant of this detail rests on, when it gives no more than was asked for and is offered. */
function offerOf(
  detail: AuthorizationDetail,
  request: RequestFact,
  ground: Ground,
): ServiceFact | ReasonCode {
  const consumerFault = memberFault(request.consumer, ground);
  if (consumerFault !== undefined) return consumerFault;
  const offered = inForce(ground.state.services.get(request.service), ground);
  if (offered === undefined) return "SERVICE_UNKNOWN";
  const isAskedFor = request.details.some((asked) => isWithinRequest(detail, asked));
  const isShared = offered.body.sharing !== "not-shared";
  const isWithin = isAskedFor && isShared && isWithinService(detail, offered.body);
  return isWithin ? offered : "OUTSIDE_REQUEST";
}

/** The request is answered by the record at `by`, which puts the grant in force. */
function granted(
  state: RegistryState,
  request: RequestFact,
  grant: GrantFact,
  by: FactAddress = grant.standing.address,
): Change {
  return {
    state: withGrant(answered(state, request, { kind: "granted", address: by }), grant),
    results: [{ kind: ResultKind.GRANTED, subject: grant.jti }],
  };
}

export const denyAccess: Rule<"denial"> = ({ claims, body, address }, ground) => {
  const request = openRequest(body.request, claims, ground);
  if (typeof request === "string") return request;
  return {
    state: answered(ground.state, request, { kind: "denied", address }),
    results: [{ kind: ResultKind.DENIED, subject: request.jti }],
  };
};

/** A grant may be revoked also after its period: clocks differ, and a taking is never too late to say. */
export const revokeAccess: Rule<"revocation"> = (said, ground) => {
  const { claims, body, address, recordHash } = said;
  const { state } = ground;
  const grant = state.grants.get(body.grant) ?? state.pendingGrants.get(body.grant);
  if (grant === undefined || !isSeen(grant.standing, ground)) return "GRANT_UNKNOWN";
  if (grant.provider !== claims.iss) return "SIGNER_NOT_ALLOWED";
  if (grant.consumer !== claims.sub) return "GRANT_UNKNOWN";
  if (grant.standing.until !== undefined) return "ALREADY_TAKEN";
  const results = [{ kind: ResultKind.REVOKED, subject: grant.jti }];
  // What was never in force leaves nothing behind: an approval that comes later finds no grant.
  if (!state.grants.has(grant.jti)) {
    return { state: { ...state, pendingGrants: state.pendingGrants.without(grant.jti) }, results };
  }
  const revoked: GrantFact = { ...taken(grant, address), revocation: recordHash };
  return { state: { ...state, grants: state.grants.with(grant.jti, revoked) }, results };
};

/** The request that a provider's answer is about, when it can still be answered by this issuer. */
function openRequest(jti: string, claims: Claims, ground: Ground): RequestFact | ReasonCode {
  const request = ground.state.requests.get(jti);
  if (request === undefined) return "REQUEST_UNKNOWN";
  if (agencyOf(request.service) !== claims.iss) return "SIGNER_NOT_ALLOWED";
  if (request.consumer !== claims.sub) return "REQUEST_UNKNOWN";
  if (request.answer !== undefined) return "ALREADY_TAKEN";
  return gives(request.standing, ground) ? request : "REQUEST_UNKNOWN";
}

function answered(
  state: RegistryState,
  request: RequestFact,
  answer: NonNullable<RequestFact["answer"]>,
): RegistryState {
  const fact: RequestFact = { ...taken(request, answer.address), answer };
  return { ...state, requests: state.requests.with(request.jti, fact) };
}

function withGrant(state: RegistryState, grant: GrantFact): RegistryState {
  const { jti, consumer, standing } = grant;
  const { index, position } = standing.address;
  return {
    ...state,
    grants: state.grants.with(jti, grant),
    grantsByAddress: state.grantsByAddress.with(formatAddress(index, position), jti),
    grantsByConsumer: state.grantsByConsumer.with(`${consumer} ${jti}`, jti),
  };
}
