/** Who may say what: the signatures of a statement against the authority that the registry gives. */
import { equalBytes } from "../base/bytes.ts";
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
import { activeFacts, type Carrier, type Ground } from "./standing.ts";
import type { CityFact, Standing } from "./state.ts";

/** A signer that a statement needs besides the keys that it binds. */
export type IssuerSigner = Exclude<RequiredSigner, { readonly key: Uint8Array }>;

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
  const isCity = isId(id, 1);
  const facts: readonly { readonly standing: Standing }[] | undefined = isCity
    ? ground.state.cities.get(id)
    : ground.state.agencies.get(id);
  if (facts === undefined) return "MEMBER_UNKNOWN";
  if (activeFacts(facts, ground).length === 0) return "MEMBER_NOT_ACTIVE";
  return isCity ? undefined : memberFault(cityOf(id), ground);
}

/**
 * Whether the gateway that carries a batch is active, under the key that is in force: what drains carries
 * no governance.
 */
export function carrierFault(
  { gateway, batchKey }: Pick<Carrier, "gateway" | "batchKey">,
  ground: Ground,
): ReasonCode | undefined {
  const [fact] = activeFacts(ground.state.gateways.get(gateway), ground);
  const isInForce = fact !== undefined && equalBytes(fact.batchKey, batchKey);
  const isActive = isInForce && memberFault(agencyOf(gateway), ground) === undefined;
  return isActive ? undefined : "MEMBER_NOT_ACTIVE";
}

const roleOfIssuer: Partial<Record<StatementName, AgencyRole>> = {
  service: "provider",
  policy: "provider",
  grant: "provider",
  approval: "provider",
  request: "consumer",
};

// Whose authority an issuer must be, where the subject says it: the city of an agency, the agency of a gateway.
const isForeign: Partial<Record<StatementName, (iss: string, sub: string) => boolean>> = {
  agency: (iss, sub) => iss !== cityOf(sub),
  gateway: (iss, sub) => iss !== agencyOf(sub),
  epoch: (iss, sub) => iss !== agencyOf(sub),
  service: (iss, sub) => iss !== agencyOf(sub),
  policy: (iss, sub) => iss !== agencyOf(sub),
};

/**
 * Whether the issuer may speak about the subject at all. Grants, approvals, denials and revocations are
 * judged by their request or grant, suspensions and resumptions by what they are about.
 */
function issuerFault({ name, claims }: Statement, ground: Ground): ReasonCode | undefined {
  const { iss, sub } = claims;
  if (isForeign[name]?.(iss, sub) === true) return "SIGNER_NOT_ALLOWED";
  const role = roleOfIssuer[name];
  if (role === undefined) return undefined;
  const agency = activeFacts(ground.state.agencies.get(iss), ground);
  return agency.every(({ body }) => body.roles.includes(role)) ? undefined : "SIGNER_NOT_ALLOWED";
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
  const speaks = (kid: string): boolean => speaksFor(kid, issuer, name, ground);
  if (others.length > 1 || !others.every(speaks)) return "SIGNER_NOT_ALLOWED";
  return signers.some(speaks) ? undefined : "STATEMENT_SIGNER_MISSING";
}

/** Whether the key with this thumbprint speaks for the issuer in a statement of this name. */
export function speaksFor(
  kid: string,
  issuer: IssuerSigner,
  name: StatementName,
  ground: Ground,
): boolean {
  return "authorityOf" in issuer
    ? isAuthority(kid, issuer.authorityOf, ground)
    : isAdministrator(kid, issuer.administratorOf, rolesFor(name, issuer.role), ground);
}

function isAuthority(kid: string, member: string, ground: Ground): boolean {
  const authority = isId(member, 1)
    ? authorityOfCity(activeFacts(ground.state.cities.get(member), ground))
    : activeFacts(ground.state.agencies.get(member), ground)[0]?.body.authority;
  return authority !== undefined && thumbprint(rawKey(authority)) === kid;
}

/** A key that was rotated out speaks until the rotation is seen; one that was stolen does not. */
function authorityOfCity([seen, ...later]: readonly CityFact[]): string | undefined {
  return later.some(({ recovered }) => recovered === true) ? undefined : seen?.city.authority;
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
  const facts = activeFacts(ground.state.administrators.get(kid), ground);
  return (
    facts[0]?.agency === agency &&
    roles.some((role) => facts.every((fact) => fact.roles.includes(role)))
  );
}
