/** Statements on their way from machine to machine: read, signed and merged until every signer has signed. */
import { equalBytes, parseUtf8, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { statementBytesMax } from "../../src/base/limits.ts";
import {
  formatPayload,
  parsePayload,
  statementName,
  statementTyp,
} from "../../src/credential/payloads.ts";
import { verifySignature } from "../../src/credential/signature.ts";
import {
  boundKey,
  boundKeys,
  requiredSigners,
  type RequiredSigner,
} from "../../src/credential/signers.ts";
import { joinSignatures, openStatementJws, signPayload } from "../../src/credential/statement.ts";
import type { Claims, Statement } from "../../src/credential/statements.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Signer, Verifier } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import type { Keys } from "../keys/key-folder.ts";
import { readStatementFile, writeStatementFile } from "../statement-file.ts";
import type { Io } from "./io.ts";

/** A statement with the signatures that it has so far. */
export interface Draft {
  readonly statement: Statement;
  readonly payload: Uint8Array;
  /** Ascending by `kid`. */
  readonly jws: readonly string[];
}

/** One signature that a statement needs. */
export interface SignatureState {
  /** Who signs, for people: the owner and the use of the key. */
  readonly signer: string;
  readonly signed: boolean;
}

/** Claims of a statement that is made now. */
export function createClaims(
  claims: Omit<Claims, "jti" | "iat">,
  io: Pick<Io, "clock" | "random">,
): Claims {
  const nowMs = io.clock.nowMs();
  const jti = formatUuid(createUuidV7(nowMs, io.random(10)));
  return { ...claims, jti, iat: Math.floor(nowMs / 1000) };
}

/** A statement that nobody has signed yet. Throws STATEMENT_INVALID. */
export function createDraft(statement: Statement): Draft {
  return { statement, payload: formatPayload(statement), jws: [] };
}

/**
 * Reads a statement file. Every signature is of its payload, and those of keys that the statement binds
 * are right; whether the issuer's key has a say is known to the ledger alone.
 *
 * @throws CausewayError `FILE_UNREADABLE`, `STATEMENT_INVALID`, `NOT_CANONICAL`, `TOO_LARGE`,
 * `TOKEN_SIGNATURE_INVALID`, and what opening a JWS throws.
 */
export async function readDraft(
  file: string,
  verifier: Verifier = createNodeVerifier(),
): Promise<Draft> {
  const { typ, payload: text, jws } = readStatementFile(file);
  const name = statementName(typ);
  if (name === undefined)
    throw new CausewayError("STATEMENT_INVALID", `${file}: ${typ} is no type`);
  const payload = utf8(text);
  if (payload.length > statementBytesMax) {
    throw new CausewayError("TOO_LARGE", `${file}: the payload exceeds ${statementBytesMax} bytes`);
  }
  const statement = parsePayload(name, payload);
  for (const one of jws) {
    const { jws: opened } = openStatementJws(one, { name });
    if (!equalBytes(opened.payload, payload)) {
      throw new CausewayError("STATEMENT_INVALID", `${file}: a signature is over another payload`);
    }
    const key = boundKey(statement, opened.kid);
    if (key !== undefined) await verifySignature(opened, key, verifier);
  }
  return { statement, payload, jws: jws.length === 0 ? [] : joinSignatures(jws) };
}

export function writeDraft(file: string, { statement, payload, jws }: Draft): void {
  const text = parseUtf8(payload) as string;
  try {
    writeStatementFile(file, { typ: statementTyp(statement.name), payload: text, jws });
  } catch (cause) {
    throw new CausewayError("STORAGE_FAILED", `${file} cannot be written`, { cause });
  }
}

interface OwnKey {
  readonly signer: Signer;
  readonly isAuthority: boolean;
}

function keysThatSign(keys: Keys): readonly OwnKey[] {
  const plain = (signer: Signer): OwnKey => ({ signer, isAuthority: false });
  const authority = (signer: Signer): OwnKey => ({ signer, isAuthority: true });
  const next = (signer: Signer | undefined): readonly OwnKey[] =>
    signer === undefined ? [] : [plain(signer)];
  switch (keys.kind) {
    case "city":
      return [authority(keys.authority), ...next(keys.nextAuthority), plain(keys.witness)];
    case "agency":
      return [authority(keys.authority), ...next(keys.nextAuthority)];
    case "gateway":
      return [keys.batch, keys.token, ...keys.logs.values()].map(plain);
    case "administrator":
      return [plain(keys.key)];
  }
}

/** Whether a key of a folder is the signer that a statement needs. */
function isNeeded(required: RequiredSigner, { signer, isAuthority }: OwnKey, keys: Keys): boolean {
  if ("key" in required) return equalBytes(required.key, signer.publicKey);
  if ("authorityOf" in required) return isAuthority && keys.card.id === required.authorityOf;
  return (
    keys.kind === "administrator" &&
    keys.card.agency === required.administratorOf &&
    keys.card.roles.includes(required.role)
  );
}

/**
 * The draft with a signature of every key of the folder that it needs. Which authority key of a city or
 * agency is in force the ledger alone knows: a folder of earlier keys signs too, and the gateway refuses it.
 *
 * @throws CausewayError `SIGNER_NOT_ALLOWED` when it needs none of them.
 */
export function signDraft(draft: Draft, keys: Keys): Draft {
  const { statement, payload, jws } = draft;
  const required = requiredSigners(statement);
  const signers = keysThatSign(keys).filter((own) =>
    required.some((one) => isNeeded(one, own, keys)),
  );
  if (signers.length === 0) {
    throw new CausewayError(
      "SIGNER_NOT_ALLOWED",
      `the ${statement.name} statement needs no key of the ${keys.kind} ${keys.card.id}`,
    );
  }
  const added = signers.map(({ signer }) => signPayload({ name: statement.name, payload }, signer));
  return { ...draft, jws: joinSignatures([...jws, ...added]) };
}

/**
 * One statement with the signatures of all its copies.
 *
 * @throws CausewayError `STATEMENT_INVALID` when they are not copies of one statement.
 */
export function mergeDrafts(drafts: readonly Draft[]): Draft {
  const [first] = drafts;
  if (first === undefined) throw new RangeError("there is nothing to merge");
  for (const { statement, payload } of drafts) {
    if (statement.name === first.statement.name && equalBytes(payload, first.payload)) continue;
    throw new CausewayError("STATEMENT_INVALID", "the files are not copies of one statement");
  }
  const jws = drafts.flatMap((draft) => draft.jws);
  return { ...first, jws: jws.length === 0 ? [] : joinSignatures(jws) };
}

/** Every signature that the statement needs, and whether it is there. */
export function signatureStates({ statement, jws }: Draft): readonly SignatureState[] {
  const kids = jws.map((text) => openStatementJws(text).jws.kid);
  const bound = boundKeys(statement);
  const boundKids = bound.map(({ key }) => thumbprint(key));
  // The ledger alone knows the issuer's key: whoever else has signed is taken for the issuer here.
  const issuerSigned = kids.some((kid) => !boundKids.includes(kid));
  const issuer = requiredSigners(statement).flatMap((required): SignatureState[] => {
    if ("key" in required) return [];
    const signer =
      "authorityOf" in required
        ? `${required.authorityOf} authority`
        : `${required.administratorOf} ${required.role}`;
    return [{ signer, signed: issuerSigned }];
  });
  const own = bound.map(({ owner, use }, i): SignatureState => {
    return { signer: `${owner} ${use}`, signed: kids.includes(boundKids[i] as string) };
  });
  return [...issuer, ...own];
}

/** Who has not signed yet, for people. */
export function missingSignatures(draft: Draft): readonly string[] {
  return signatureStates(draft).flatMap(({ signer, signed }) => (signed ? [] : [signer]));
}

/** Throws STATEMENT_SIGNER_MISSING with the names of who is missing. */
export function assertComplete(draft: Draft, file: string): void {
  const missing = missingSignatures(draft);
  if (missing.length === 0) return;
  throw new CausewayError(
    "STATEMENT_SIGNER_MISSING",
    `${file} is not signed by ${missing.join(", ")}`,
  );
}
