import { parseBase64url, toBase64url, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Signer } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { formatJcs, isObject, parseJcs, type JsonValue } from "./jcs.ts";
import { parseKey } from "./key-text.ts";

/** The only signature algorithm of our own tokens and statements (RFC 9864). */
export const algorithm = "Ed25519" as const;

const signatureBytes = 64;

/** A compact JWS in its one form; nothing about its signature is known yet. */
export interface CompactJws {
  readonly text: string;
  /** Thumbprint (RFC 7638) of the key that it claims. */
  readonly kid: string;
  readonly typ: string;
  readonly payload: Uint8Array;
  /** What the signature covers. */
  readonly signingInput: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

interface Header {
  readonly alg: string;
  readonly kid: string;
  readonly typ: string;
}

function headerOf(bytes: Uint8Array): Header {
  let json: JsonValue;
  try {
    json = parseJcs(bytes);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw new CausewayError("TOKEN_HEADER_INVALID", "the header is not canonical JSON", { cause });
  }
  if (isObject(json) && Object.keys(json).length === 3) {
    const { alg, kid, typ } = json;
    if (typeof alg === "string" && typeof kid === "string" && typeof typ === "string") {
      if (parseKey(kid) !== undefined) return { alg, kid, typ };
    }
  }
  throw new CausewayError("TOKEN_HEADER_INVALID", "the header is not exactly alg, kid and typ");
}

/**
 * Opens a compact JWS strictly: three segments of canonical base64url, a header of exactly `alg`, `kid`
 * and `typ` in RFC 8785, `alg` Ed25519. jose accepts more; this comes before it (DESIGN section 4).
 *
 * @param expected.typ the one type that is accepted; without it any type is.
 * @param expected.bytesMax the longest text that is read.
 * @throws CausewayError in the order of RFC 8725: `TOKEN_TOO_LARGE`, `TOKEN_MALFORMED`,
 * `TOKEN_HEADER_INVALID`, `TOKEN_ALG_NOT_ALLOWED`, `TOKEN_TYP_WRONG`, `TOKEN_SIGNATURE_INVALID` (its length).
 */
export function openCompact(
  text: string,
  expected: { readonly typ?: string; readonly bytesMax: number },
): CompactJws {
  if (text.length > expected.bytesMax) {
    throw new CausewayError("TOKEN_TOO_LARGE", `longer than ${expected.bytesMax} bytes`);
  }
  const segments = text.split(".", 4).map(parseBase64url);
  const [headerBytes, payload, signature] = segments;
  if (
    segments.length !== 3 ||
    headerBytes === undefined ||
    payload === undefined ||
    signature === undefined
  ) {
    throw new CausewayError("TOKEN_MALFORMED", "not three segments of canonical base64url");
  }
  const { alg, kid, typ } = headerOf(headerBytes);
  if (alg !== algorithm) throw new CausewayError("TOKEN_ALG_NOT_ALLOWED", "alg is not Ed25519");
  if (expected.typ !== undefined && typ !== expected.typ) {
    throw new CausewayError("TOKEN_TYP_WRONG", `typ is not ${expected.typ}`);
  }
  if (signature.length !== signatureBytes) {
    throw new CausewayError("TOKEN_SIGNATURE_INVALID", "a signature has 64 bytes");
  }
  const signingInput = utf8(text.slice(0, text.lastIndexOf(".")));
  return { text, kid, typ, payload, signingInput, signature };
}

/** Signs `payload` as a compact JWS of type `typ`; its `kid` is the thumbprint of the signer's key. */
export function createCompact(typ: string, payload: Uint8Array, signer: Signer): string {
  const header = formatJcs({ alg: algorithm, kid: thumbprint(signer.publicKey), typ });
  const signingInput = `${toBase64url(utf8(header))}.${toBase64url(payload)}`;
  return `${signingInput}.${toBase64url(signer.sign(utf8(signingInput)))}`;
}
