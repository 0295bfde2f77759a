/** What an agency's identity provider says: tokens and key sets, which are of no canonical form. */
import { toBase64url, utf8 } from "../../src/base/bytes.ts";
import { openAgencyToken } from "../../src/credential/agency-token.ts";
import { parseKeySet } from "../../src/credential/key-set.ts";
import { parseUniqueJson } from "../../src/credential/unique-json.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { parseYaml } from "../../gateway/config-yaml.ts";
import { type Target, textOf } from "./target.ts";

const header = { alg: "EdDSA", kid: "2026-07", typ: "at+jwt", "x5t#S256": "AAAA" };
const claims = {
  iss: "https://idp.example",
  aud: ["urn:gateway", "urn:other"],
  client_id: "case-desk",
  iat: 1_790_000_000,
  exp: 1_790_000_300.5,
  nested: { a: [1, true, null, "\u00e9"] },
};
const segment = (part: object): string => toBase64url(utf8(JSON.stringify(part)));
const token = `${segment(header)}.${segment(claims)}.${toBase64url(new Uint8Array(64))}`;

// The key of RFC 8037 appendix A, and that of RFC 7517 appendix A.1.
const keySet = {
  keys: [
    { kty: "OKP", crv: "Ed25519", kid: "ed", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    {
      kty: "EC",
      crv: "P-256",
      kid: "ec",
      use: "sig",
      x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
      y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    },
  ],
};
const verifier = createNobleVerifier();

export const agencyTargets: readonly Target[] = [
  {
    name: "a token of an identity provider",
    covers: ["src/credential/agency-token.ts openAgencyToken"],
    samples: [utf8(token)],
    text: true,
    read: (input) => openAgencyToken(textOf(input)),
    reasons: [
      "TOKEN_TOO_LARGE",
      "TOKEN_MALFORMED",
      "TOKEN_HEADER_INVALID",
      "TOKEN_ALG_NOT_ALLOWED",
      "TOKEN_CLAIMS_INVALID",
    ],
  },
  {
    name: "a JWK set",
    covers: ["src/credential/key-set.ts parseKeySet"],
    samples: [utf8(JSON.stringify(keySet))],
    read: (input) => parseKeySet(input, verifier),
    reasons: ["MALFORMED", "TOO_LARGE", "KEY_NOT_ACCEPTED"],
    oneIn: 4,
  },
  {
    name: "JSON with each member once",
    covers: ["src/credential/unique-json.ts parseUniqueJson"],
    samples: [utf8(JSON.stringify({ ...claims, header }))],
    read: (input) => parseUniqueJson(input),
    reasons: ["MALFORMED"],
  },
  {
    name: "YAML",
    covers: ["gateway/config-yaml.ts parseYaml"],
    samples: [utf8("a: &x {b: [1, 'two']}\nc: *x\nd:\n  - |\n    text\n  - 3\n")],
    text: true,
    read: (input) => parseYaml(textOf(input), "gateway.yaml").lineOf(["d", 0]),
    reasons: ["CONFIG_INVALID"],
    oneIn: 8,
  },
];
