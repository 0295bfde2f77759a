import { compareText, equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { statementBytesMax, statementSignersMax } from "../base/limits.ts";
import { sha256 } from "../base/sha256.ts";
import type { Signer, Verifier } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { createCompact, openCompact, type CompactJws } from "./compact.ts";
import { formatPayload, parsePayload, statementName, statementTyp } from "./payloads.ts";
import { verifySignature } from "./signature.ts";
import { boundKey } from "./signers.ts";
import type { Statement, StatementName, VerifiedStatement } from "./statements.ts";

// Base64url of the payload, and a header, a signature and two full stops with room to spare.
const jwsBytesMax = Math.ceil(statementBytesMax / 3) * 4 + 512;

/** A statement that is well-formed; nothing about its signatures is known yet. */
export interface OpenedStatement {
  readonly statement: Statement;
  /** The bytes that every signer signed. */
  readonly payload: Uint8Array;
  /** One JWS for each signer, ascending by `kid`. */
  readonly signatures: readonly CompactJws[];
}

/**
 * Opens one JWS of a statement: the strict compact form, the size of the payload and a type of ours.
 * The payload is not read.
 *
 * @throws CausewayError as {@link openCompact}; `STATEMENT_INVALID` when `typ` names no statement.
 */
export function openStatementJws(
  text: string,
  expected: { readonly name?: StatementName } = {},
): { readonly name: StatementName; readonly jws: CompactJws } {
  const typ = expected.name === undefined ? {} : { typ: statementTyp(expected.name) };
  const jws = openCompact(text, { ...typ, bytesMax: jwsBytesMax });
  if (jws.payload.length > statementBytesMax) {
    throw new CausewayError("TOKEN_TOO_LARGE", `the payload exceeds ${statementBytesMax} bytes`);
  }
  const name = statementName(jws.typ);
  if (name === undefined) throw new CausewayError("STATEMENT_INVALID", "typ names no statement");
  return { name, jws };
}

/** One statement has one list of signatures: one type, one payload, ascending by kid, none twice. */
function assertOneStatement(signatures: readonly CompactJws[]): void {
  for (const [i, jws] of signatures.entries()) {
    const before = signatures[i - 1];
    if (before === undefined) continue;
    if (!equalBytes(jws.payload, before.payload)) {
      throw new CausewayError("STATEMENT_INVALID", "the signatures are over different payloads");
    }
    if (compareText(before.kid, jws.kid) >= 0) {
      throw new CausewayError("NOT_CANONICAL", "the signatures are not ascending by kid");
    }
  }
}

/**
 * Opens a statement as it stands in its record.
 *
 * @throws CausewayError as {@link openStatementJws} and {@link parsePayload}; `TOO_LARGE` above 64
 * signatures; `TOKEN_TYP_WRONG` when they have different types; `STATEMENT_INVALID` when there is no
 * signature or the payloads differ; `NOT_CANONICAL` when the signatures are not ascending by `kid`.
 */
export function openStatement(jws: readonly string[]): OpenedStatement {
  const [first] = jws;
  if (first === undefined) throw new CausewayError("STATEMENT_INVALID", "no signature");
  if (jws.length > statementSignersMax) {
    throw new CausewayError("TOO_LARGE", `more than ${statementSignersMax} signatures`);
  }
  const { name } = openStatementJws(first);
  const signatures = jws.map((text) => openStatementJws(text, { name }).jws);
  assertOneStatement(signatures);
  const { payload } = signatures[0] as CompactJws;
  return { statement: parsePayload(name, payload), payload, signatures };
}

/**
 * Verifies every signature of a statement. A signature more than needed must verify too; whether the
 * needed ones are there, and whether their keys have the authority, is the registry's to decide.
 *
 * @param keyOf the raw key that the ledger binds to a thumbprint. Keys that the statement binds itself
 * need not be known to it.
 * @throws CausewayError `TOKEN_KEY_UNKNOWN`, `KEY_NOT_ACCEPTED` or `TOKEN_SIGNATURE_INVALID`.
 */
export async function verifyStatement(
  opened: OpenedStatement,
  keyOf: (kid: string) => Uint8Array | undefined,
  verifier: Verifier,
): Promise<VerifiedStatement> {
  const { statement, payload, signatures } = opened;
  for (const jws of signatures) {
    const key = keyOf(jws.kid) ?? boundKey(statement, jws.kid);
    if (key === undefined) throw new CausewayError("TOKEN_KEY_UNKNOWN", "a signer is not known");
    await verifySignature(jws, key, verifier);
  }
  return { statement, signers: signatures.map(({ kid }) => kid), payload };
}

/** One signer's JWS over a payload made elsewhere: each city signs the network on its own machine. */
export function signPayload(
  { name, payload }: { readonly name: StatementName; readonly payload: Uint8Array },
  signer: Signer,
): string {
  parsePayload(name, payload);
  return createCompact(statementTyp(name), payload, signer);
}

/**
 * Puts the signatures of several machines together in their one order; the same one twice counts once.
 *
 * @throws CausewayError as {@link openStatement}.
 */
export function joinSignatures(jws: readonly string[]): readonly string[] {
  const sorted = [...new Set(jws)]
    .map((text) => openStatementJws(text).jws)
    .sort((a, b) => compareText(a.kid, b.kid))
    .map(({ text }) => text);
  openStatement(sorted);
  return sorted;
}

/**
 * Signs a statement with every signer: one byte-identical payload, the JWS ascending by `kid`.
 *
 * @throws CausewayError `STATEMENT_INVALID` when the statement is not as its type asks.
 * @throws RangeError without a signer, with more than 64, or with one twice.
 */
export function createStatement(
  statement: Statement,
  signers: readonly Signer[],
): readonly string[] {
  const kids = new Set(signers.map(({ publicKey }) => thumbprint(publicKey)));
  if (kids.size === 0 || kids.size > statementSignersMax || kids.size !== signers.length) {
    throw new RangeError("a statement has 1 to 64 different signers");
  }
  const { name } = statement;
  const payload = formatPayload(statement);
  return joinSignatures(signers.map((signer) => signPayload({ name, payload }, signer)));
}

/** The id of a network: SHA-256 of the payload of its founding document. */
export function networkId(payload: Uint8Array): Uint8Array {
  return sha256(payload);
}
