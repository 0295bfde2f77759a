/** What every token of ours refuses before its signature is looked at, in the order of RFC 8725. */
import { describe, test } from "node:test";
import { toBase64url, utf8 } from "../../src/base/bytes.ts";
import { callTokenBytesMax } from "../../src/base/limits.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { openCallToken } from "../../src/credential/call-token.ts";
import { formatJcs } from "../../src/credential/jcs.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { header, kid, signer, token, verify, wire } from "./call-token-fixture.ts";
import { assertCode, assertRejects, signAnything } from "./fixtures.ts";

describe("a header is refused: ", () => {
  const headers: readonly (readonly [string, unknown, ReasonCode])[] = [
    ["alg none", { ...header, alg: "none" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg None", { ...header, alg: "None" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg EdDSA", { ...header, alg: "EdDSA" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg HS256", { ...header, alg: "HS256" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg RS256", { ...header, alg: "RS256" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg ES256", { ...header, alg: "ES256" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg in another case", { ...header, alg: "ed25519" }, "TOKEN_ALG_NOT_ALLOWED"],
    ["alg a list", { ...header, alg: ["Ed25519"] }, "TOKEN_HEADER_INVALID"],
    ["no alg", { kid, typ: header.typ }, "TOKEN_HEADER_INVALID"],
    ["typ JWT", { ...header, typ: "JWT" }, "TOKEN_TYP_WRONG"],
    ["typ of a hello", { ...header, typ: "causeway-hello+jwt" }, "TOKEN_TYP_WRONG"],
    ["typ of a grant", { ...header, typ: "causeway-grant+jwt" }, "TOKEN_TYP_WRONG"],
    ["typ with its media type", { ...header, typ: `application/${header.typ}` }, "TOKEN_TYP_WRONG"],
    ["no typ", { alg: "Ed25519", kid }, "TOKEN_HEADER_INVALID"],
    ["no kid", { alg: "Ed25519", typ: header.typ }, "TOKEN_HEADER_INVALID"],
    ["kid a path", { ...header, kid: "../../keys/hangzhou.pem" }, "TOKEN_HEADER_INVALID"],
    ["kid an SQL fragment", { ...header, kid: "' OR 1=1 --" }, "TOKEN_HEADER_INVALID"],
    ["kid a URL", { ...header, kid: "https://keys.example/1" }, "TOKEN_HEADER_INVALID"],
    ["kid with another spelling", { ...header, kid: `${kid}=` }, "TOKEN_HEADER_INVALID"],
    ["kid empty", { ...header, kid: "" }, "TOKEN_HEADER_INVALID"],
    ["kid a number", { ...header, kid: 1 }, "TOKEN_HEADER_INVALID"],
    [
      "an embedded key",
      {
        alg: "Ed25519",
        jwk: { crv: "Ed25519", kty: "OKP", x: formatKey(signer.publicKey) },
        kid,
        typ: header.typ,
      },
      "TOKEN_HEADER_INVALID",
    ],
    [
      "a key set's URL",
      { alg: "Ed25519", jku: "https://a.example", kid, typ: header.typ },
      "TOKEN_HEADER_INVALID",
    ],
    [
      "a certificate chain",
      { alg: "Ed25519", kid, typ: header.typ, x5c: ["MAA="] },
      "TOKEN_HEADER_INVALID",
    ],
    [
      "a certificate's URL",
      { alg: "Ed25519", kid, typ: header.typ, x5u: "https://a.example" },
      "TOKEN_HEADER_INVALID",
    ],
    ["crit", { alg: "Ed25519", crit: ["exp"], kid, typ: header.typ }, "TOKEN_HEADER_INVALID"],
    ["b64", { alg: "Ed25519", b64: false, kid, typ: header.typ }, "TOKEN_HEADER_INVALID"],
    ["zip", { alg: "Ed25519", kid, typ: header.typ, zip: "DEF" }, "TOKEN_HEADER_INVALID"],
    ["cty", { alg: "Ed25519", cty: "JWT", kid, typ: header.typ }, "TOKEN_HEADER_INVALID"],
    [
      "members not sorted",
      `{"typ":"${header.typ}","alg":"Ed25519","kid":"${kid}"}`,
      "TOKEN_HEADER_INVALID",
    ],
    [
      "white space",
      `{"alg": "Ed25519","kid":"${kid}","typ":"${header.typ}"}`,
      "TOKEN_HEADER_INVALID",
    ],
    [
      "alg twice",
      `{"alg":"none","alg":"Ed25519","kid":"${kid}","typ":"${header.typ}"}`,
      "TOKEN_HEADER_INVALID",
    ],
    ["no object", "[]", "TOKEN_HEADER_INVALID"],
    ["no JSON", "Ed25519", "TOKEN_HEADER_INVALID"],
    ["nothing", "", "TOKEN_HEADER_INVALID"],
  ];
  for (const [name, value, code] of headers) {
    test(name, async () => {
      const forged = signAnything(value, formatJcs(wire), signer);
      await assertRejects(verify(forged), code);
      assertCode(() => openCallToken(forged), code);
    });
  }

  test("alg none without a signature", async () => {
    const [, body] = token.split(".") as [string, string];
    const none = toBase64url(utf8(formatJcs({ ...header, alg: "none" })));
    await assertRejects(verify(`${none}.${body}.`), "TOKEN_ALG_NOT_ALLOWED");
  });
});

describe("the form is refused: ", () => {
  const [head, body, signature] = token.split(".") as [string, string, string];
  const forms: readonly (readonly [string, string, ReasonCode])[] = [
    ["nothing", "", "TOKEN_MALFORMED"],
    ["two segments", `${head}.${body}`, "TOKEN_MALFORMED"],
    ["four segments", `${token}.`, "TOKEN_MALFORMED"],
    [
      "five segments of an encrypted token",
      `${head}.${body}.${body}.${body}.${body}`,
      "TOKEN_MALFORMED",
    ],
    ["padding of the signature", `${token}==`, "TOKEN_MALFORMED"],
    ["padding of the header", `${head}=.${body}.${signature}`, "TOKEN_MALFORMED"],
    ["standard base64", `${head}.${body}.${signature.slice(0, 85)}+`, "TOKEN_MALFORMED"],
    [
      "unused bits set",
      `${token.slice(0, -1)}${token.at(-1) === "B" ? "C" : "B"}`,
      "TOKEN_MALFORMED",
    ],
    ["a trailing line feed", `${token}\n`, "TOKEN_MALFORMED"],
    ["a leading space", ` ${token}`, "TOKEN_MALFORMED"],
    [
      "a line feed in the payload",
      `${head}.${body.slice(0, 8)}\n${body.slice(8)}.${signature}`,
      "TOKEN_MALFORMED",
    ],
    [
      "the JSON form of a JWS",
      JSON.stringify({ payload: body, protected: head, signature }),
      "TOKEN_MALFORMED",
    ],
    ["no signature", `${head}.${body}.`, "TOKEN_SIGNATURE_INVALID"],
    ["half a signature", `${head}.${body}.${signature.slice(0, 43)}`, "TOKEN_MALFORMED"],
    [
      "32 bytes of signature",
      `${head}.${body}.${toBase64url(new Uint8Array(32))}`,
      "TOKEN_SIGNATURE_INVALID",
    ],
    [
      "65 bytes of signature",
      `${head}.${body}.${toBase64url(new Uint8Array(65))}`,
      "TOKEN_SIGNATURE_INVALID",
    ],
    ["the limit exceeded", "A".repeat(callTokenBytesMax + 1), "TOKEN_TOO_LARGE"],
    ["the limit reached", "A".repeat(callTokenBytesMax), "TOKEN_MALFORMED"],
  ];
  for (const [name, text, code] of forms) {
    test(name, async () => {
      await assertRejects(verify(text), code);
    });
  }
});
