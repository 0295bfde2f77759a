import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseHex, parseUtf8, toHex, utf8 } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatJcs, parseJcs } from "../../src/credential/jcs.ts";
import {
  agencyId,
  digest,
  memberId,
  methodPath,
  unixTime,
  uuidV7,
} from "../../src/credential/atoms.ts";
import { parsePayload } from "../../src/credential/payloads.ts";
import {
  conform,
  list,
  object,
  oneOf,
  optional,
  text,
  type Shape,
} from "../../src/credential/shape.ts";
import { verifySignature } from "../../src/credential/signature.ts";
import { openStatementJws } from "../../src/credential/statement.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { assertCode, assertRejects, signAnything, signerOf } from "./fixtures.ts";

interface Vectors {
  readonly typ: string;
  readonly publicKey: string;
  readonly kid: string;
  readonly payload: string;
  readonly jws: string;
  readonly digest: string;
  readonly refused: readonly { readonly name: string; readonly jws: string }[];
}

const vectors = JSON.parse(readFileSync("test/vectors/statements.json", "utf8")) as Vectors;
const publicKey = parseHex(vectors.publicKey) as Uint8Array;

interface ReferencePayload {
  readonly iss: string;
  readonly sub: string;
  readonly net: string;
  readonly jti: string;
  readonly iat: number;
  readonly nbf?: number;
  readonly exp?: number;
  readonly grant: {
    readonly authorization_details: readonly {
      readonly type: "causeway-service";
      readonly service: string;
      readonly methods: readonly string[];
      readonly purposes: readonly string[];
      readonly label: string;
    }[];
  };
}

// The reference's grant has the members of the layer below: a label for the sake of its characters,
// and no request.
const referenceShape: Shape<ReferencePayload> = object<ReferencePayload>({
  iss: agencyId,
  sub: agencyId,
  net: digest,
  jti: uuidV7,
  iat: unixTime,
  nbf: optional(unixTime),
  exp: optional(unixTime),
  grant: object<ReferencePayload["grant"]>({
    authorization_details: list(
      object<ReferencePayload["grant"]["authorization_details"][number]>({
        type: oneOf("causeway-service"),
        service: memberId,
        methods: list(methodPath, { min: 1, max: 8 }),
        purposes: list(text(/^[a-z-]+$/), { min: 1, max: 8 }),
        label: text(() => true),
      }),
      { min: 1, max: 8 },
    ),
  }),
});

function open(jws: string): ReferencePayload {
  const opened = openStatementJws(jws, { name: "grant" });
  return conform(parseJcs(opened.jws.payload), referenceShape, {
    code: "STATEMENT_INVALID",
    root: "payload",
  });
}

const reasons: Readonly<Record<string, ReasonCode>> = {
  "unused bits of the last character set": "TOKEN_MALFORMED",
  padding: "TOKEN_MALFORMED",
  "trailing line feed": "TOKEN_MALFORMED",
  "leading space": "TOKEN_MALFORMED",
  "four segments": "TOKEN_MALFORMED",
  "members not sorted, well signed": "NOT_CANONICAL",
  "white space, well signed": "NOT_CANONICAL",
  "member twice, well signed": "NOT_CANONICAL",
  "number with a fraction, well signed": "NOT_CANONICAL",
  "number above 2^53 - 1, well signed": "NOT_CANONICAL",
  "negative number, well signed": "NOT_CANONICAL",
  "escaped lone surrogate, well signed": "NOT_CANONICAL",
  "escaped character that needs none, well signed": "NOT_CANONICAL",
  // The reference also puts its unknown member at an unsorted place, which is found first; the closed
  // members are tried with a sorted one below.
  "unknown member, well signed": "NOT_CANONICAL",
  "alg EdDSA": "TOKEN_ALG_NOT_ALLOWED",
  "alg none": "TOKEN_ALG_NOT_ALLOWED",
  "wrong typ": "TOKEN_TYP_WRONG",
  "embedded key": "TOKEN_HEADER_INVALID",
  crit: "TOKEN_HEADER_INVALID",
  "no kid": "TOKEN_HEADER_INVALID",
};

describe("the reference statement", () => {
  test("is opened, and its payload is the reference's", () => {
    const { jws } = openStatementJws(vectors.jws, { name: "grant" });
    assert.equal(jws.typ, vectors.typ);
    assert.equal(parseUtf8(jws.payload), vectors.payload);
    assert.deepEqual(open(vectors.jws), JSON.parse(vectors.payload));
  });

  test("has the reference's key id and digest", () => {
    assert.equal(thumbprint(publicKey), vectors.kid);
    assert.equal(openStatementJws(vectors.jws).jws.kid, vectors.kid);
    assert.equal(toHex(sha256(utf8(vectors.jws))), vectors.digest);
  });

  for (const [port, verifier] of [
    ["node", createNodeVerifier()],
    ["noble", createNobleVerifier()],
  ] as const) {
    test(`verifies behind the key check of the ${port} port`, async () => {
      const { jws } = openStatementJws(vectors.jws);
      await verifySignature(jws, publicKey, verifier);
      assert.ok(verifier.verify(publicKey, jws.signingInput, jws.signature));
    });
  }

  test("does not verify under another key", async () => {
    const { jws } = openStatementJws(vectors.jws);
    const other = createNodeVerifier();
    const wrong = parseHex(
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ) as Uint8Array;
    await assertRejects(verifySignature(jws, wrong, other), "TOKEN_KEY_UNKNOWN");
  });

  test("has a body that is not of this release's grant", () => {
    const { jws } = openStatementJws(vectors.jws);
    assertCode(() => parsePayload("grant", jws.payload), "STATEMENT_INVALID");
  });
});

test("the reference's payload with an unknown member at its sorted place is refused", () => {
  const signer = signerOf("anyone");
  const header = formatJcs({ alg: "Ed25519", kid: thumbprint(signer.publicKey), typ: vectors.typ });
  const payload = JSON.parse(vectors.payload) as Record<string, unknown>;
  assert.deepEqual(open(signAnything(header, formatJcs(payload), signer)), payload);
  const extended = signAnything(header, formatJcs({ ...payload, extra: 1 }), signer);
  assertCode(() => open(extended), "STATEMENT_INVALID");
});

describe("every reference statement that must be refused is, with its reason", () => {
  assert.equal(vectors.refused.length, 20);
  for (const { name, jws } of vectors.refused) {
    test(name, () => {
      assertCode(() => open(jws), reasons[name] as ReasonCode);
    });
  }
});
