/** The payload of each statement: closed claims and one member named like the type. */
import { utf8 } from "../base/bytes.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import {
  agencyId,
  anySubject,
  authorityId,
  cityId,
  digest,
  displayName,
  key,
  memberId,
  unixTime,
  uuidV7,
} from "./atoms.ts";
import { bodyShapes } from "./bodies.ts";
import { formatJcs, parseJcs } from "./jcs.ts";
import { parseKey } from "./key-text.ts";
import {
  conform,
  misfitError,
  object,
  oneOf,
  optional,
  type Members,
  type Shape,
} from "./shape.ts";
import type {
  Claims,
  Statement,
  StatementBodies,
  StatementName,
  SuspensionBody,
  VoteBody,
} from "./statements.ts";

/** The kinds of id in `iss` and `sub`. Who may speak about whom is the registry's to say. */
const parties: { readonly [N in StatementName]: readonly [Shape<string>, Shape<string>] } = {
  network: [displayName, displayName],
  city: [cityId, cityId],
  vote: [cityId, anySubject],
  agency: [cityId, agencyId],
  gateway: [agencyId, memberId],
  administrator: [agencyId, key],
  epoch: [agencyId, memberId],
  service: [agencyId, memberId],
  policy: [agencyId, memberId],
  request: [agencyId, memberId],
  grant: [agencyId, agencyId],
  denial: [agencyId, agencyId],
  approval: [agencyId, agencyId],
  revocation: [agencyId, agencyId],
  resumption: [authorityId, anySubject],
  suspension: [authorityId, anySubject],
};

const common = {
  jti: uuidV7,
  iat: unixTime,
  nbf: optional(unixTime),
  exp: optional(unixTime),
};

type Payload<N extends StatementName> = Claims & { readonly [K in N]: StatementBodies[N] };

function payloadShape<N extends StatementName>(name: N): Shape<Payload<N>> {
  const [iss, sub] = parties[name];
  const net = name === "network" ? {} : { net: digest };
  const members = { iss, sub, ...net, ...common, [name]: bodyShapes[name] };
  return object(members as unknown as Members<Payload<N>>);
}

/** Every name of a statement. */
export const statementNames: readonly StatementName[] = Object.keys(bodyShapes) as StatementName[];

const shapes: ReadonlyMap<StatementName, Shape<Payload<StatementName>>> = new Map(
  statementNames.map((name) => [name, payloadShape(name)]),
);

const namesByTyp: ReadonlyMap<string, StatementName> = new Map(
  statementNames.map((name) => [statementTyp(name), name]),
);

/** The `typ` of a statement. */
export function statementTyp(name: StatementName): string {
  return `causeway-${name}+jwt`;
}

/** The statement that `typ` names, or `undefined`. */
export function statementName(typ: string): StatementName | undefined {
  return namesByTyp.get(typ);
}

/** The claim that contradicts another member of the same payload. */
function contradiction({ name, claims, body }: Statement): keyof Claims | undefined {
  const { iss, sub, iat, nbf, exp } = claims;
  if (exp !== undefined && exp <= Math.max(nbf ?? 0, iat)) return "exp";
  if (name === "network" && iss !== body.name) return "iss";
  if (name === "network" && sub !== body.name) return "sub";
  if (name === "city" && sub !== iss) return "sub";
  if (name === "grant" && nbf === undefined) return "nbf";
  if (name === "grant" && exp === undefined) return "exp";
  if (name === "administrator" && sub !== thumbprint(parseKey(body.key) as Uint8Array))
    return "sub";
  if (name === "vote" && !isSubjectOf(votedOn(body.on, claims), sub)) return "sub";
  if (name === "suspension" || name === "resumption") {
    return isSubjectOf(suspendable[body.what], sub) ? undefined : "sub";
  }
  return undefined;
}

const suspendable: Readonly<Record<SuspensionBody["what"], Shape<string>>> = {
  agency: agencyId,
  gateway: memberId,
  administrator: key,
  service: memberId,
};

/** What a vote is about: a city, a gateway, or the network. */
function votedOn(on: VoteBody["on"], { net }: Claims): Shape<string> {
  if (on === "admission" || on === "exclusion") return cityId;
  return on === "sequencer" ? memberId : oneOf(net ?? "");
}

function isSubjectOf(kind: Shape<string>, sub: string): boolean {
  return kind.misfit(sub, "") === undefined;
}

/**
 * The statement that a payload holds.
 *
 * @throws CausewayError `MALFORMED` or `NOT_CANONICAL` as {@link parseJcs}; `STATEMENT_INVALID` when a
 * member is missing, unknown or not as documented, with the field `path`.
 */
export function parsePayload(name: StatementName, payload: Uint8Array): Statement {
  const shape = shapes.get(name) as Shape<Payload<StatementName>>;
  const conforming = conform(parseJcs(payload), shape, {
    code: "STATEMENT_INVALID",
    root: "payload",
  });
  const { [name]: body, ...claims } = conforming;
  const statement = { name, claims, body } as unknown as Statement;
  const claim = contradiction(statement);
  if (claim !== undefined) throw misfitError("STATEMENT_INVALID", `payload.${claim}`);
  return statement;
}

/**
 * The payload of a statement in RFC 8785: what every signer signs.
 *
 * @throws CausewayError `STATEMENT_INVALID` when the statement is not as its type asks.
 * @throws TypeError when it holds what JSON of statements excludes, such as a fraction or `undefined`.
 */
export function formatPayload(statement: Statement): Uint8Array {
  const payload = utf8(formatJcs({ ...statement.claims, [statement.name]: statement.body }));
  parsePayload(statement.name, payload);
  return payload;
}
