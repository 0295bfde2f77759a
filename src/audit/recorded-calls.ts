/** Calls as they stand in a provider's records: token, statement, path, and whom they are from and for. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { auditTokensRememberedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { callTokenDigest, type OpenedCallToken, openCallToken } from "../credential/call-token.ts";
import type { Verifier } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Call, CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import { openCallStatement, verifyCallPath } from "../record/call-tree.ts";
import type { GatewayFact, RegistryView } from "../registry/state.ts";
import { findingAt, type Place, type Report } from "./findings.ts";
import { type CallGround, judgedFact } from "./judged-keys.ts";

/** A call whose token and statement could be read; `genuine` when both verify. */
export interface RecordedCall {
  readonly tokenDigest: Uint8Array;
  readonly index: number;
  readonly issuer: string;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly statement: CallStatement;
  readonly genuine: boolean;
  /** Its token is for the gateway in whose record it stands. */
  readonly isOwn: boolean;
}

interface KnownToken {
  readonly opened: OpenedCallToken;
  readonly digest: Uint8Array;
  /** Raw key under which the signature was verified, and whether it matched. */
  verified?: { readonly key: Uint8Array; readonly matches: boolean };
}

export class RecordedCalls {
  readonly #tokens: Lru<string, KnownToken> = new Lru(auditTokensRememberedMax);
  /** Calls of one turn share their token and mostly stand together. */
  #newest: KnownToken | undefined;
  readonly #thumbprints = new Map<string, string>();
  readonly #verifier: Verifier;
  readonly #report: Report;
  readonly #network: string;

  constructor(networkId: Uint8Array, verifier: Verifier, report: Report) {
    this.#network = toHex(networkId);
    this.#verifier = verifier;
    this.#report = report;
  }

  /**
   * Checks a call in a record of a batch under the registry that the record rests on.
   * `undefined` when it names no attempt at all.
   */
  check(
    call: Call,
    at: Place,
    batch: CallGround & { readonly header: Header },
    view: RegistryView,
  ): RecordedCall | undefined {
    const { header } = batch;
    const token = this.#open(call.token);
    if (typeof token === "string") {
      this.#report(findingAt(at, "TOKEN_INVALID", { reason: token }));
      return undefined;
    }
    const { claims } = token.opened;
    const statement = statementOf(call);
    const bound = statement !== undefined && isBound(call, statement, token.opened);
    if (!bound) this.#report(findingAt(at, "CALL_STATEMENT_INVALID"));
    if (statement === undefined) return undefined;
    const signed = this.#checkSignature(token, at, view, batch);
    const misuse = this.#misuseOf(token.opened, header);
    if (misuse !== undefined) this.#report(findingAt(at, "TOKEN_MISUSED", { member: misuse }));
    return {
      tokenDigest: token.digest,
      index: call.index,
      issuer: claims.iss,
      issuedAt: claims.iat,
      expiresAt: claims.exp,
      statement,
      genuine: signed && bound,
      isOwn: claims.aud === header.gateway,
    };
  }

  #open(text: string): KnownToken | ReasonCode {
    if (this.#newest?.opened.jws.text === text) return this.#newest;
    const known = this.#tokens.get(text);
    if (known !== undefined) return (this.#newest = known);
    try {
      const token = { opened: openCallToken(text), digest: callTokenDigest(text) };
      this.#tokens.set(text, token);
      return (this.#newest = token);
    } catch (cause) {
      if (cause instanceof CausewayError) return cause.code;
      throw cause;
    }
  }

  /** A signature is verified once for its key; that the key is in force is looked up each time. */
  #checkSignature(token: KnownToken, at: Place, view: RegistryView, ground: CallGround): boolean {
    const { claims, jws } = token.opened;
    const call = { issuer: claims.iss, issuedAt: claims.iat };
    const hasKey = ({ tokenKey }: GatewayFact): boolean => this.#thumbprintOf(tokenKey) === jws.kid;
    const key = judgedFact(call, hasKey, view, ground)?.tokenKey;
    if (key === undefined) {
      this.#report(findingAt(at, "TOKEN_INVALID", { reason: "TOKEN_KEY_UNKNOWN" }));
      return false;
    }
    if (token.verified === undefined || !equalBytes(token.verified.key, key)) {
      const matches = this.#verifier.verify(key, jws.signingInput, jws.signature);
      token.verified = { key, matches };
    }
    if (!token.verified.matches) {
      this.#report(findingAt(at, "TOKEN_INVALID", { reason: "TOKEN_SIGNATURE_INVALID" }));
    }
    return token.verified.matches;
  }

  /** The claim that says that the token is not for this gateway and start. */
  #misuseOf({ claims }: OpenedCallToken, header: Header): string | undefined {
    if (claims.aud !== header.gateway) return "aud";
    if (claims.iss === header.gateway) return "iss";
    if (claims.net !== this.#network) return "net";
    return equalBytes(claims.nonce, header.boot) ? undefined : "nonce";
  }

  #thumbprintOf(key: Uint8Array): string {
    const id = toHex(key);
    const known = this.#thumbprints.get(id);
    if (known !== undefined) return known;
    const kid = thumbprint(key);
    this.#thumbprints.set(id, kid);
    return kid;
  }
}

/** Whether a statement is in order and stands under its token's root. */
function isBound(
  { statement: bytes, index, path }: Call,
  { attempt, open, request }: CallStatement,
  { claims }: OpenedCallToken,
): boolean {
  if (attempt === 0 || open === request.length > 0) return false;
  return verifyCallPath({ statement: bytes, index, path, count: claims.n, root: claims.root });
}

function statementOf(call: Call): CallStatement | undefined {
  try {
    return openCallStatement(call.statement);
  } catch (cause) {
    if (cause instanceof CausewayError) return undefined;
    throw cause;
  }
}
