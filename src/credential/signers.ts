import { isId } from "../base/ids.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { parseKey } from "./key-text.ts";
import type { AdministratorRole, CityBody, NetworkBody, Statement } from "./statements.ts";

/** A key that a statement binds, so that it signs the statement too: proof that its owner holds it. */
export interface BoundKey {
  /** Raw 32 bytes. */
  readonly key: Uint8Array;
  readonly use: "authority" | "witness" | "log" | "batch" | "token" | "administrator";
  /** Id of the city, agency or gateway whose key it is; for an administrator its agency's id. */
  readonly owner: string;
}

/** One signature that a statement needs. Whether the authority may say it is the registry's to decide. */
export type RequiredSigner =
  /** This very key. */
  | { readonly key: Uint8Array }
  /** The authority key, as the ledger has it, of this city or agency. */
  | { readonly authorityOf: string }
  /** Any one administrator of this agency who has the role. */
  | { readonly administratorOf: string; readonly role: AdministratorRole };

function raw(key: string): Uint8Array {
  const bytes = parseKey(key);
  if (bytes === undefined) throw new TypeError("not the base64url of a 32-byte key");
  return bytes;
}

function networkKeys({ cities, sequencer }: NetworkBody): readonly BoundKey[] {
  return [
    ...cities.flatMap(({ id, authority, witness }): BoundKey[] => [
      { key: raw(authority), use: "authority", owner: id },
      { key: raw(witness), use: "witness", owner: id },
    ]),
    { key: raw(sequencer.log), use: "log", owner: sequencer.gateway },
  ];
}

function cityBodyKeys(body: CityBody, owner: string): readonly BoundKey[] {
  return [
    ...("authority" in body
      ? [{ key: raw(body.authority), use: "authority", owner } as const]
      : []),
    ...("witness" in body ? [{ key: raw(body.witness), use: "witness", owner } as const] : []),
  ];
}

/**
 * The raw keys that a statement binds itself. Each of them must sign it (DESIGN section 4). A `network`
 * binds the authority and the witness key of every founding city and the log key of term 0. Digests of
 * next keys and of TLS keys bind nothing that could sign.
 */
export function boundKeys(statement: Statement): readonly BoundKey[] {
  const { name, claims, body } = statement;
  switch (name) {
    case "network":
      return networkKeys(body);
    case "city":
      return cityBodyKeys(body, claims.sub);
    case "vote":
      return body.on === "sequencer" ? [{ key: raw(body.log), use: "log", owner: claims.sub }] : [];
    case "agency":
      return [{ key: raw(body.authority), use: "authority", owner: claims.sub }];
    case "gateway":
      return [
        { key: raw(body.batch), use: "batch", owner: claims.sub },
        { key: raw(body.token), use: "token", owner: claims.sub },
      ];
    case "administrator":
      return [{ key: raw(body.key), use: "administrator", owner: claims.iss }];
    default:
      return [];
  }
}

/**
 * Who speaks for the issuer of a statement. A `network`, a candidacy and a recovery have none but the
 * keys that they bind.
 */
function issuerSigner({ name, claims: { iss }, body }: Statement): readonly RequiredSigner[] {
  switch (name) {
    case "network":
      return [];
    case "city":
      return body.change === "candidacy" || body.change === "recovery"
        ? []
        : [{ authorityOf: iss }];
    case "vote":
    case "agency":
    case "gateway":
    case "administrator":
    case "epoch":
    case "suspension":
      return [{ authorityOf: iss }];
    case "service":
    case "policy":
    case "request":
      return [{ administratorOf: iss, role: "operator" }];
    case "grant":
    case "denial":
    case "approval":
    case "revocation":
      return [{ administratorOf: iss, role: "approver" }];
    case "resumption":
      return [isId(iss, 1) ? { authorityOf: iss } : { administratorOf: iss, role: "approver" }];
  }
}

/** Every signature that a statement needs, as data: the issuer's side first, then the keys that it binds. */
export function requiredSigners(statement: Statement): readonly RequiredSigner[] {
  return [...issuerSigner(statement), ...boundKeys(statement).map(({ key }) => ({ key }))];
}

/**
 * The required signers that are not among `signers`, the thumbprints of keys whose signatures verified.
 *
 * @param speaksFor whether the key with this thumbprint is the authority, or an administrator with the
 * role, that a requirement names, as the ledger has it.
 */
export function missingSigners(
  statement: Statement,
  signers: readonly string[],
  speaksFor: (
    kid: string,
    required: Exclude<RequiredSigner, { readonly key: Uint8Array }>,
  ) => boolean,
): readonly RequiredSigner[] {
  return requiredSigners(statement).filter((required) =>
    "key" in required
      ? !signers.includes(thumbprint(required.key))
      : !signers.some((kid) => speaksFor(kid, required)),
  );
}

/** The key with thumbprint `kid` among those that the statement binds itself. */
export function boundKey(statement: Statement, kid: string): Uint8Array | undefined {
  return boundKeys(statement).find(({ key }) => thumbprint(key) === kid)?.key;
}
