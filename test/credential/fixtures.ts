import assert from "node:assert/strict";
import { toBase64url, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import {
  defaultBounds,
  type Claims,
  type Statement,
  type StatementBodies,
  type StatementName,
} from "../../src/credential/statements.ts";
import { importSigner } from "../../src/crypto/node.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";

/** The signer whose seed is the SHA-256 of a name. */
export function signerOf(name: string): Signer {
  return importSigner(sha256(utf8(name)));
}

/** Signs with its own key and claims the key of another. */
export function forgerOf(victim: Signer): Signer {
  const own = signerOf("forger");
  return { publicKey: victim.publicKey, sign: (message) => own.sign(message) };
}

/** Looks a thumbprint up among the keys of these signers. */
export function keyOfSigners(...names: readonly string[]): (kid: string) => Uint8Array | undefined {
  const keys = new Map(
    names.map((name) => signerOf(name).publicKey).map((k) => [thumbprint(k), k]),
  );
  return (kid) => keys.get(kid);
}

export const networkHex: string = "ab".repeat(32);

const keyText = (name: string): string => formatKey(signerOf(name).publicKey);
const digestText = (name: string): string => toHex(sha256(utf8(name)));
const city = (id: string, division: string): StatementBodies["network"]["cities"][number] => ({
  id,
  authority: keyText(`${id} authority`),
  next: digestText(`${id} next`),
  witness: keyText(`${id} witness`),
  witness_address: `${id}.example:7443`,
  witness_tls: digestText(`${id} witness tls`),
  division,
});

const claims: Omit<Claims, "iss" | "sub"> = {
  net: networkHex,
  jti: "0192f0c1-2b3c-7d4e-8f50-617283940a1b",
  iat: 1_795_219_200,
};
const { net: _net, ...networkClaims } = claims;

const details: StatementBodies["grant"]["authorization_details"] = [
  {
    type: "causeway-service",
    service: "hangzhou/civil-affairs/divisions",
    methods: ["/causeway.demo.v1.Divisions/GetDivision"],
    purposes: ["address-check"],
    legal_basis: "GB/T-2260",
    fields: ["division.code", "division.name"],
    quota: { limit: 1000, period_s: 86_400 },
  },
];
const jti = "0192f0c1-2b3c-7d4e-8f50-617283940a1c";
const provider = "hangzhou/civil-affairs";
const consumer = "shenzhen/market-regulation";
const service = "hangzhou/civil-affairs/divisions";

const statements: { readonly [N in StatementName]: Statement & { readonly name: N } } = {
  network: {
    name: "network",
    claims: { iss: "两城 Two Cities", sub: "两城 Two Cities", ...networkClaims },
    body: {
      name: "两城 Two Cities",
      cities: [city("hangzhou", "330100"), city("shenzhen", "440300")],
      quorum: 2,
      faults: 0,
      bounds: defaultBounds,
      rules: 1,
      calendar: {
        years: [{ year: 2026, off: ["2026-01-01", "2026-10-01"], on: ["2026-10-10"] }],
      },
      sequencer: {
        gateway: "hangzhou/civil-affairs/gw1",
        address: "gw1.hangzhou.example:7443",
        tls: digestText("gw1 tls"),
        log: keyText("log 0"),
      },
    },
  },
  city: {
    name: "city",
    claims: { iss: "hangzhou", sub: "hangzhou", ...claims },
    body: {
      change: "witness",
      witness: keyText("hangzhou witness 2"),
      witness_address: "witness.hangzhou.example:8443",
      witness_tls: digestText("hangzhou witness 2 tls"),
    },
  },
  vote: {
    name: "vote",
    claims: { iss: "hangzhou", sub: "shenzhen/housing/gw1", ...claims },
    body: {
      on: "sequencer",
      term: 1,
      address: "gw1.shenzhen.example:7443",
      tls: digestText("gw1 shenzhen tls"),
      log: keyText("log 1"),
      checkpoint: "bm90ZQ==",
    },
  },
  agency: {
    name: "agency",
    claims: { iss: "hangzhou", sub: provider, ...claims, nbf: 1_795_219_300, exp: 1_826_755_200 },
    body: {
      name: "杭州市民政局",
      authority: keyText("civil-affairs authority"),
      next: digestText("civil-affairs next"),
      roles: ["data-authority", "provider"],
    },
  },
  gateway: {
    name: "gateway",
    claims: { iss: provider, sub: `${provider}/gw1`, ...claims },
    body: {
      batch: keyText("gw1 batch"),
      token: keyText("gw1 token"),
      certificates: ["MAA=", "MAEA"],
      tls: [digestText("tls 1"), digestText("tls 0")],
      endpoints: { peer: "gw1.hangzhou.example:7443", http: "[::1]:8080" },
    },
  },
  administrator: {
    name: "administrator",
    claims: { iss: provider, sub: thumbprint(signerOf("admin").publicKey), ...claims },
    body: { key: keyText("admin"), roles: ["approver", "operator"] },
  },
  epoch: {
    name: "epoch",
    claims: { iss: provider, sub: `${provider}/gw1`, ...claims },
    body: {
      epoch: 2,
      last: { epoch: 1, seq: 41, leaf: digestText("leaf 41") },
      reason: "disk-lost",
      lost_from: 1_795_219_200,
      lost_to: 1_795_219_260,
    },
  },
  service: {
    name: "service",
    claims: { iss: provider, sub: service, ...claims },
    body: {
      version: 1,
      descriptor: digestText("descriptor"),
      descriptor_bytes: 1234,
      methods: [
        {
          path: "/causeway.demo.v1.Divisions/GetDivision",
          writes: false,
          client_streaming: false,
          server_streaming: false,
        },
      ],
      sharing: "conditional",
      purposes: ["address-check", "licence-check"],
      subject_paths: ["division.code"],
      attributes: [{ name: "purpose", type: "text", personal: false, source: "token" }],
      approval: { approvals: 1 },
      deadline: { name: "standard", check_days: 2, answer_days: 10 },
      max_staleness_s: 600,
    },
  },
  policy: {
    name: "policy",
    claims: { iss: provider, sub: service, ...claims },
    body: {
      version: 3,
      policy: digestText("policy"),
      policy_bytes: 12,
      schema: digestText("schema"),
      schema_bytes: 13,
    },
  },
  request: {
    name: "request",
    claims: { iss: consumer, sub: service, ...claims },
    body: { authorization_details: details },
  },
  grant: {
    name: "grant",
    claims: { iss: provider, sub: consumer, ...claims, nbf: 1_795_219_200, exp: 1_826_755_200 },
    body: { request: jti, authorization_details: details },
  },
  denial: {
    name: "denial",
    claims: { iss: provider, sub: consumer, ...claims },
    body: { request: jti, reason: "no-legal-basis", text: digestText("text") },
  },
  approval: {
    name: "approval",
    claims: { iss: provider, sub: consumer, ...claims },
    body: { grant: jti },
  },
  revocation: {
    name: "revocation",
    claims: { iss: provider, sub: consumer, ...claims },
    body: { grant: jti, reason: "purpose-ended" },
  },
  resumption: {
    name: "resumption",
    claims: { iss: provider, sub: service, ...claims },
    body: { what: "service", reason: "repaired" },
  },
  suspension: {
    name: "suspension",
    claims: { iss: "hangzhou", sub: provider, ...claims },
    body: { what: "agency", reason: "under-inquiry" },
  },
};

/** A well-formed statement of each type. */
export const statementFixtures: typeof statements = statements;

/** A compact JWS of any header and payload, well signed. */
export function signAnything(header: unknown, payload: unknown, signer: Signer): string {
  const segment = (value: unknown): string =>
    toBase64url(utf8(typeof value === "string" ? value : JSON.stringify(value)));
  const signingInput = `${segment(header)}.${segment(payload)}`;
  return `${signingInput}.${toBase64url(signer.sign(utf8(signingInput)))}`;
}

/** Asserts that `run` throws a CausewayError with exactly this code. */
export function assertCode(run: () => unknown, code: ReasonCode): CausewayError {
  let caught: unknown;
  try {
    run();
  } catch (error) {
    caught = error;
  }
  return assertIsCode(caught, code);
}

/** Asserts that `promise` rejects with a CausewayError of exactly this code. */
export async function assertRejects(
  promise: Promise<unknown>,
  code: ReasonCode,
): Promise<CausewayError> {
  let caught: unknown;
  try {
    await promise;
  } catch (error) {
    caught = error;
  }
  return assertIsCode(caught, code);
}

function assertIsCode(caught: unknown, code: ReasonCode): CausewayError {
  assert.ok(caught instanceof CausewayError, `expected ${code}, got ${String(caught)}`);
  assert.equal(caught.code, code);
  return caught;
}
