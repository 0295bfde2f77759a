/** Who may say what: the signatures of a statement against the authority that the registry gives. */
import { agencyOf, cityOf, isId } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { requiredSigners, type RequiredSigner } from "../credential/signers.ts";
import type {
  AdministratorRole,
  AgencyRole,
  Statement,
  StatementName,
  VerifiedStatement,
} from "../credential/statements.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { rawKey } from "./keys.ts";
import { gives, type Ground, inForce } from "./standing.ts";
import type { Standing } from "./state.ts";

type IssuerSigner = Exclude<RequiredSigner, { readonly key: Uint8Array }>;

/**
 * Why a statement does not speak for its issuer, or `undefined` when it does: the issuer is active and
 * may speak about this subject, every signature that is needed is there, and no other.
 */
export function authorityFault(
  { statement, signers }: VerifiedStatement,
  ground: Ground,
): ReasonCode | undefined {
  const required = requiredSigners(statement);
  const issuer = required.find((signer): signer is IssuerSigner => !("key" in signer));
  const own = required.flatMap((signer) => ("key" in signer ? [thumbprint(signer.key)] : []));
  if (!own.every((kid) => signers.includes(kid))) return "STATEMENT_SIGNER_MISSING";
  const others = signers.filter((kid) => !own.includes(kid));
  if (issuer === undefined) return others.length === 0 ? undefined : "SIGNER_NOT_ALLOWED";
  return (
    memberFault(statement.claims.iss, ground) ??
    issuerFault(statement, ground) ??
    signatureFault(statement.name, { issuer, signers, others }, ground)
  );
}

/** Why a city or agency has no say now. */
export function memberFault(id: string, ground: Ground): ReasonCode | undefined {
  const facts: readonly { readonly standing: Standing }[] | undefined = isId(id, 1)
    ? ground.state.cities.get(id)
    : ground.state.agencies.get(id);
  if (facts === undefined) return "MEMBER_UNKNOWN";
  if (inForce(facts, ground) === undefined) return "MEMBER_NOT_ACTIVE";
  return isId(id, 1) ? undefined : memberFault(cityOf(id), ground);
}

/** Whether the gateway that carries a batch is active: a draining one carries no governance. */
export function carrierFault(gateway: string, ground: Ground): ReasonCode | undefined {
  const fact = inForce(ground.state.gateways.get(gateway), ground);
  const fault = memberFault(agencyOf(gateway), ground);
  return fact === undefined || fault !== undefined ? "MEMBER_NOT_ACTIVE" : undefined;
}

const roleOfIssuer: Partial<Record<StatementName, AgencyRole>> = {
  service: "provider",
  policy: "provider",
  grant: "provider",
  request: "consumer",
};

/** Whether the issuer may speak about the subject at all. Grants, denials and revocations are judged by their request. */
function issuerFault(statement: Statement, ground: Ground): ReasonCode | undefined {
  const { name, claims } = statement;
  const { iss, sub } = claims;
  const isForeign =
    (name === "agency" && iss !== cityOf(sub)) ||
    ((name === "gateway" || name === "service" || name === "policy") && iss !== agencyOf(sub));
  const role = roleOfIssuer[name];
  const agency = inForce(ground.state.agencies.get(iss), ground);
  const hasRole = role === undefined || agency?.body.roles.includes(role) === true;
  return isForeign || !hasRole ? "SIGNER_NOT_ALLOWED" : undefined;
}

function signatureFault(
  name: StatementName,
  {
    issuer,
    signers,
    others,
  }: {
    readonly issuer: IssuerSigner;
    readonly signers: readonly string[];
    /** Those of the signers that the statement does not bind itself. */
    readonly others: readonly string[];
  },
  ground: Ground,
): ReasonCode | undefined {
  const speaks = (kid: string): boolean =>
    "authorityOf" in issuer
      ? isAuthority(kid, issuer.authorityOf, ground)
      : isAdministrator(kid, issuer.administratorOf, rolesFor(name, issuer.role), ground);
  if (others.length > 1 || !others.every(speaks)) return "SIGNER_NOT_ALLOWED";
  return signers.some(speaks) ? undefined : "STATEMENT_SIGNER_MISSING";
}

function isAuthority(kid: string, member: string, ground: Ground): boolean {
  const authority = isId(member, 1)
    ? inForce(ground.state.cities.get(member), ground)?.city.authority
    : inForce(ground.state.agencies.get(member), ground)?.body.authority;
  return authority !== undefined && thumbprint(rawKey(authority)) === kid;
}

// Taking away must not wait for a second office: an operator may revoke what an approver granted.
function rolesFor(name: StatementName, role: AdministratorRole): readonly string[] {
  return name === "revocation" ? [role, "operator"] : [role];
}

function isAdministrator(
  kid: string,
  agency: string,
  roles: readonly string[],
  ground: Ground,
): boolean {
  const facts = ground.state.administrators.get(kid) ?? [];
  return facts.some(
    (fact) =>
      fact.agency === agency &&
      fact.roles.some((role) => roles.includes(role)) &&
      gives(fact.standing, ground),
  );
}
