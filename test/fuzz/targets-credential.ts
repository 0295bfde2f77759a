/** Compact JWS, statements of every type, call tokens, hellos. */
import { toBase64, utf8 } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import {
  type CallTokenClaims,
  createCallToken,
  openCallToken,
  verifyCallToken,
  verifyCallTokenSignature,
} from "../../src/credential/call-token.ts";
import { type CompactJws, openCompact } from "../../src/credential/compact.ts";
import { createHelloToken, verifyHelloToken } from "../../src/credential/hello-token.ts";
import { formatJcs, isJson, type JsonValue, parseJcs } from "../../src/credential/jcs.ts";
import { formatKey, parseKey } from "../../src/credential/key-text.ts";
import { formatPayload, parsePayload, statementNames } from "../../src/credential/payloads.ts";

import { boundKeys } from "../../src/credential/signers.ts";
import {
  joinSignatures,
  openStatement,
  openStatementJws,
  verifyStatement,
} from "../../src/credential/statement.ts";
import type { Statement } from "../../src/credential/statements.ts";
import { anySubject } from "../../src/credential/atoms.ts";
import { parseClaims } from "../../src/credential/token-claims.ts";
import { object, type Shape } from "../../src/credential/shape.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { acceptHello, createHello } from "../../src/exchange/hello.ts";
import type { Self } from "../../src/exchange/ports.ts";
import { HelloSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { toBinary } from "@bufbuild/protobuf";
import * as callFixture from "../credential/call-token-fixture.ts";
import { statementFixtures } from "../credential/fixtures.ts";
import { openRecord } from "../../src/record/record.ts";
import { audit, leaves, note } from "./samples.ts";
import { type Target, textOf } from "./target.ts";

const { network } = audit;
const { verifier } = network;
const ofCompact: readonly ReasonCode[] = [
  "TOKEN_TOO_LARGE",
  "TOKEN_MALFORMED",
  "TOKEN_HEADER_INVALID",
  "TOKEN_ALG_NOT_ALLOWED",
  "TOKEN_TYP_WRONG",
  "TOKEN_SIGNATURE_INVALID",
];
const ofPayload: readonly ReasonCode[] = ["MALFORMED", "NOT_CANONICAL", "STATEMENT_INVALID"];
const ofStatement: readonly ReasonCode[] = [...ofCompact, ...ofPayload, "TOO_LARGE"];
const ofVerified: readonly ReasonCode[] = ["TOKEN_KEY_UNKNOWN", "KEY_NOT_ACCEPTED"];

/** The signed statements of a founded ledger, as lines of one JWS each. */
const statements: readonly Uint8Array[] = audit.ledger.batches.flatMap(({ records }) =>
  records.flatMap((record) => {
    const { body } = openRecord(record);
    return body.case === "statement" ? [utf8(body.value.jws.join("\n"))] : [];
  }),
);
const founding = statements[0] as Uint8Array;

const signers: readonly Signer[] = network.cities.flatMap(({ authority, witness, agency }) => [
  authority,
  witness,
  agency.authority,
  agency.administrator,
]);
const keys = new Map(signers.map(({ publicKey }) => [thumbprint(publicKey), publicKey]));
const keyOf = (kid: string): Uint8Array | undefined => keys.get(kid);

const self: Self = {
  gateway: network.provider.gateway.id,
  agency: network.provider.id,
  boot: network.provider.gateway.boot,
  startedAtMs: network.startMs,
  network: network.id,
};
const peer = network.consumer.gateway;
const hello = createHello({
  self: { ...self, gateway: peer.id, agency: network.consumer.id },
  peer: self.gateway,
  clockMs: network.startMs,
  checkpoint: note,
  leafOfPeer: leaves[0],
  signer: peer.token,
});
const tokenKeyOf = (kid: string): Uint8Array | undefined =>
  kid === thumbprint(peer.token.publicKey) ? peer.token.publicKey : undefined;
const helloToken = createHelloToken(
  { iss: peer.id, aud: self.gateway, net: network.idHex, boot: peer.boot, clock: network.startMs },
  peer.token,
);
const ofToken: readonly ReasonCode[] = [
  ...ofCompact,
  ...ofVerified,
  "TOKEN_CLAIMS_INVALID",
  "TOKEN_ISSUER_WRONG",
  "TOKEN_AUDIENCE_WRONG",
  "TOKEN_NETWORK_WRONG",
];
const subjectShape: Shape<{ readonly sub: string }> = object({ sub: anySubject });

const payloads: readonly Target[] = statementNames.map((name) => ({
  name: `the payload of a ${name} statement`,
  covers: ["src/credential/payloads.ts parsePayload", "src/credential/signers.ts boundKeys"],
  samples: [formatPayload(statementFixtures[name])],
  read: (input) => {
    const statement = parsePayload(name, input);
    boundKeys(statement);
    return statement;
  },
  print: (statement: Statement) => formatPayload(statement),
  reasons: ofPayload,
}));

export const credentialTargets: readonly Target[] = [
  ...payloads,
  {
    name: "canonical JSON",
    covers: ["src/credential/jcs.ts parseJcs"],
    samples: statementNames.map((name) => formatPayload(statementFixtures[name])),
    read: (input) => ({ value: parseJcs(input) }),
    print: ({ value }: { readonly value: JsonValue }) => utf8(formatJcs(value)),
    reasons: ["MALFORMED", "NOT_CANONICAL"],
  },
  {
    name: "JSON of any form",
    covers: ["src/credential/jcs.ts isJson"],
    samples: [formatPayload(statementFixtures.network)],
    text: true,
    read: (input) => {
      let value: unknown;
      try {
        value = JSON.parse(textOf(input));
      } catch {
        return false;
      }
      return isJson(value);
    },
    isRefusal: (value) => value === false,
    reasons: [],
  },
  {
    name: "a key's text",
    covers: ["src/credential/key-text.ts parseKey"],
    samples: signers.map(({ publicKey }) => utf8(formatKey(publicKey))),
    text: true,
    read: (input) => parseKey(textOf(input)),
    print: (key: Uint8Array) => utf8(formatKey(key)),
    reasons: [],
  },
  {
    name: "a compact JWS",
    covers: ["src/credential/compact.ts openCompact"],
    samples: [utf8(callFixture.token), utf8(helloToken)],
    text: true,
    read: (input) => openCompact(textOf(input), { bytesMax: 8192 }),
    print: ({ text }: CompactJws) => utf8(text),
    reasons: ofCompact,
  },
  {
    name: "one JWS of a statement",
    covers: ["src/credential/statement.ts openStatementJws"],
    samples: statements.map((lines) => utf8(textOf(lines).split("\n")[0] as string)),
    text: true,
    read: (input) => openStatementJws(textOf(input)),
    print: ({ jws }: { readonly jws: CompactJws }) => utf8(jws.text),
    reasons: ofStatement,
  },
  {
    name: "a statement with all its signatures",
    covers: [
      "src/credential/statement.ts openStatement",
      "src/credential/statement.ts joinSignatures",
    ],
    samples: statements,
    text: true,
    read: (input) => {
      const lines = textOf(input).split("\n");
      joinSignatures(lines);
      return openStatement(lines);
    },
    print: ({ signatures }: { readonly signatures: readonly CompactJws[] }) =>
      utf8(signatures.map(({ text }) => text).join("\n")),
    reasons: ofStatement,
  },
  {
    name: "a statement whose signatures are verified",
    covers: [
      "src/credential/statement.ts verifyStatement",
      "src/credential/signature.ts verifySignature",
    ],
    samples: [utf8(textOf(founding))],
    text: true,
    read: (input) => verifyStatement(openStatement(textOf(input).split("\n")), keyOf, verifier),
    // A signature may be left out: the registry asks for those that are needed.
    reasons: [...ofStatement, ...ofVerified],
    oneIn: 2,
  },
  {
    name: "the claims of a token",
    covers: ["src/credential/token-claims.ts parseClaims"],
    samples: [utf8('{"sub":"anyone"}')],
    read: (input) => parseClaims(input, subjectShape),
    reasons: ["TOKEN_CLAIMS_INVALID"],
  },
  {
    name: "a call token",
    covers: ["src/credential/call-token.ts openCallToken"],
    samples: [utf8(callFixture.token), utf8(createCallToken(callFixture.claims, peer.token))],
    text: true,
    read: (input) => openCallToken(textOf(input)),
    print: ({ jws }: { readonly claims: CallTokenClaims; readonly jws: CompactJws }) =>
      utf8(jws.text),
    reasons: [...ofCompact, "TOKEN_CLAIMS_INVALID"],
  },
  {
    name: "a call token that is verified",
    covers: [
      "src/credential/call-token.ts verifyCallToken",
      "src/credential/call-token.ts verifyCallTokenSignature",
    ],
    samples: [utf8(callFixture.token)],
    text: true,
    read: async (input) => {
      const text = textOf(input);
      const { expected, kid, signer } = callFixture;
      await verifyCallTokenSignature(text, signer.publicKey, verifier);
      const key = (asked: string): Uint8Array | undefined =>
        asked === kid ? signer.publicKey : undefined;
      return verifyCallToken({ token: text, expected, keyOf: key, verifier });
    },
    sealed: true,
    reasons: ofToken,
  },
  {
    name: "a hello token",
    covers: ["src/credential/hello-token.ts verifyHelloToken"],
    samples: [utf8(helloToken)],
    text: true,
    read: (input) => {
      const expected = { issuer: peer.id, audience: self.gateway, network: network.idHex };
      return verifyHelloToken({ token: textOf(input), expected, keyOf: tokenKeyOf, verifier });
    },
    sealed: true,
    reasons: ofToken,
  },
  {
    name: "a Hello",
    covers: ["src/exchange/hello.ts acceptHello"],
    samples: [toBinary(HelloSchema, hello)],
    read: (input) =>
      acceptHello({
        hello: decodeMessage(HelloSchema, input),
        self,
        peer: peer.id,
        keyOf: tokenKeyOf,
        ownBatchKeys: [network.provider.gateway.batch.publicKey],
        verifier,
      }),
    reasons: [...ofToken, "MALFORMED"],
  },
  {
    name: "a founding document's payload",
    covers: ["src/ledger/embedded/network.ts readLedgerNetwork"],
    samples: [network.payload],
    read: (input) => readLedgerNetwork(input),
    reasons: ofPayload,
  },
];

/** For the tests of files: a statement as people pass it around. */
export const statementFileSamples: readonly Uint8Array[] = statements.slice(0, 6).map((lines) => {
  const jws = textOf(lines).split("\n");
  const { statement, payload } = openStatement(jws);
  const typ = `causeway-${statement.name}+jwt`;
  return utf8(`${JSON.stringify({ typ, payload: textOf(payload), jws }, undefined, 2)}\n`);
});

/** Payload of a city card; standard base64 of bytes stands for its certificate. */
export const certificateText: string = toBase64(utf8("certificate"));
