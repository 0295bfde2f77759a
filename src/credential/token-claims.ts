/** What call and hello tokens have in common: closed claims, and whom they are from and for. */
import { CausewayError } from "../base/errors.ts";
import { parseJcs, type JsonValue } from "./jcs.ts";
import { conform, type Shape } from "./shape.ts";

/** Whom a verifier expects a token to be from and for. */
export interface ExpectedParties {
  /** Gateway id of the peer that sent it, as its certificate says. */
  readonly issuer: string;
  /** Gateway id of the receiver. */
  readonly audience: string;
  /** Network id, 64 hex digits. */
  readonly network: string;
}

interface Parties {
  readonly iss: string;
  readonly aud: string;
  readonly net: string;
}

/** @throws CausewayError `TOKEN_CLAIMS_INVALID` when the payload is not canonical JSON of exactly these claims. */
export function parseClaims<T>(payload: Uint8Array, shape: Shape<T>): T {
  let json: JsonValue;
  try {
    json = parseJcs(payload);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw new CausewayError("TOKEN_CLAIMS_INVALID", "the claims are not canonical JSON", { cause });
  }
  return conform(json, shape, { code: "TOKEN_CLAIMS_INVALID", root: "claims" });
}

/** @throws CausewayError `TOKEN_ISSUER_WRONG`, `TOKEN_AUDIENCE_WRONG` or `TOKEN_NETWORK_WRONG`, in this order. */
export function assertParties({ iss, aud, net }: Parties, expected: ExpectedParties): void {
  if (iss !== expected.issuer) {
    throw new CausewayError("TOKEN_ISSUER_WRONG", "iss is not the peer that sent it");
  }
  if (aud !== expected.audience) {
    throw new CausewayError("TOKEN_AUDIENCE_WRONG", "aud is not this gateway");
  }
  if (net !== expected.network) {
    throw new CausewayError("TOKEN_NETWORK_WRONG", "net is not this network");
  }
}
