/**
 * What an agency system asks for, against the catalogue and the grants that this replica knows. A gateway
 * signs no call statement and records no string of a caller unless service, method, grant and purpose
 * stand on the ledger.
 */
import { isMethodPath } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { checkGrant, includedTakings } from "../policy/grant-check.ts";
import type { ServiceMethod } from "../credential/statements.ts";
import type { GrantFact, RegistryView, ServiceFact } from "../registry/state.ts";
import type { DenialStage } from "./provider-records.ts";

/** A program inside the agency, as the configuration names it. */
export interface AgencySystem {
  readonly id: string;
  /** What it may use; absent for everything that is granted to the agency. */
  readonly services?: readonly string[] | undefined;
  readonly purposes?: readonly string[] | undefined;
  /** What holds for a call that does not say. */
  readonly defaults?:
    | {
        readonly service?: string | undefined;
        readonly purpose?: string | undefined;
        /** Put into the call's metadata before the consumer's side takes it, as `official` is. */
        readonly case?: string | undefined;
        readonly official?: string | undefined;
      }
    | undefined;
}

/** Whether request or answer of a method is a stream: then its call statement is open. */
export function isStreaming(method: ServiceMethod): boolean {
  return method.client_streaming || method.server_streaming;
}

export interface ResolvedCall {
  readonly service: ServiceFact;
  readonly method: ServiceMethod;
  readonly grant: GrantFact;
  readonly purpose: string;
}

export interface Unresolved {
  readonly stage: DenialStage;
  readonly reason: ReasonCode;
  /** Service and method stand in the catalogue, so that the method may be recorded. */
  readonly catalogued: boolean;
}

// The furthest that any grant of the agency came is the reason that helps most.
const rank: readonly ReasonCode[] = [
  "GRANT_MISSING",
  "METHOD_NOT_GRANTED",
  "PURPOSE_NOT_GRANTED",
  "GRANT_EXPIRED",
  "GRANT_NOT_YET",
  "GRANT_REVOKED",
  "MEMBER_NOT_ACTIVE",
];

function hasMethod({ body }: ServiceFact, path: string): boolean {
  return body.methods.some((method) => method.path === path);
}

/** What was ever granted to the agency, each once. */
function grantedServices({ view, agency }: Pick<Asked, "view" | "agency">): readonly ServiceFact[] {
  const ids = new Set(view.grantsOf(agency).map(({ detail }) => detail.service));
  return [...ids].flatMap((id) => view.service(id) ?? []);
}

interface Asked {
  readonly view: RegistryView;
  readonly gateway: string;
  readonly agency: string;
  readonly path: string;
  readonly evaluatedAt: number;
}

/** The agency's grants for a service, the newest first. */
function grantsFor({ view, agency }: Asked, service: ServiceFact): readonly GrantFact[] {
  return view
    .grantsOf(agency)
    .filter(({ detail }) => detail.service === service.id)
    .toReversed();
}

/** Why a grant does not cover a call for this purpose now; `undefined` when it does. */
function failureOf(asked: Asked, grant: GrantFact, purpose: string): ReasonCode | undefined {
  const { view } = asked;
  const attempt = {
    consumerGateway: asked.gateway,
    service: grant.detail.service,
    method: asked.path,
    purpose,
    grant: grant.standing.address,
    evaluatedAtS: asked.evaluatedAt,
  };
  return checkGrant(view, attempt, includedTakings(view, attempt)).reason;
}

function chooseGrant(asked: Asked, service: ServiceFact, purpose: string): GrantFact | ReasonCode {
  let furthest: ReasonCode = "GRANT_MISSING";
  for (const grant of grantsFor(asked, service)) {
    const failure = failureOf(asked, grant, purpose);
    if (failure === undefined) return grant;
    if (rank.indexOf(failure) > rank.indexOf(furthest)) furthest = failure;
  }
  return furthest;
}

/** Whether a grant in force covers the method, for whatever purpose. */
function isGrantedNow(asked: Asked, service: ServiceFact): boolean {
  return grantsFor(asked, service).some(
    (grant) => failureOf(asked, grant, grant.detail.purposes[0] ?? "") === undefined,
  );
}

function no(stage: DenialStage, reason: ReasonCode, catalogued: boolean): Unresolved {
  return { stage, reason, catalogued };
}

/** The service, method, grant and purpose of a call, or why it is refused here. */
export function resolveCall(options: {
  readonly view: RegistryView;
  readonly gateway: string;
  readonly agency: string;
  readonly system: AgencySystem;
  readonly path: string;
  readonly service: string | undefined;
  readonly purpose: string | undefined;
  /** Unix seconds. */
  readonly evaluatedAt: number;
}): ResolvedCall | Unresolved {
  const { view, system, path } = options;
  const named = options.service ?? system.defaults?.service;
  const isMeant = (service: ServiceFact): boolean =>
    (named === undefined || service.id === named) && hasMethod(service, path);
  const granted = isMethodPath(path) ? grantedServices(options).filter(isMeant) : [];
  if (granted.length === 0) {
    // The whole catalogue is looked through for what is refused alone.
    if (isMethodPath(path) && view.services().some(isMeant)) {
      return no("grant", "GRANT_MISSING", true);
    }
    const unknown = named !== undefined && view.service(named) === undefined;
    return no("local", unknown ? "SERVICE_UNKNOWN" : "METHOD_UNKNOWN", false);
  }
  const usable = granted.filter(({ id }) => system.services?.includes(id) ?? true);
  // What was granted once and is no more does not make a path ambiguous.
  const meant = usable.length > 1 ? usable.filter((each) => isGrantedNow(options, each)) : usable;
  if (usable.length > 1 && meant.length !== 1) return no("local", "SERVICE_AMBIGUOUS", true);
  const [service] = meant;
  if (service === undefined) return no("local", "CALLER_NOT_ALLOWED", true);
  const purpose = options.purpose ?? system.defaults?.purpose;
  if (purpose === undefined) return no("local", "PURPOSE_MISSING", true);
  if (!(system.purposes?.includes(purpose) ?? true)) return no("local", "CALLER_NOT_ALLOWED", true);
  const grant = chooseGrant(options, service, purpose);
  if (typeof grant === "string") return no("grant", grant, true);
  const method = service.body.methods.find((candidate) => candidate.path === path) as ServiceMethod;
  return { service, method, grant, purpose };
}
