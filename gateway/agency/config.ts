/** How agency systems authenticate to their own gateway, and what each of them may do there. */
import { z } from "zod";
import {
  type AgencyTokenAlgorithm,
  agencyTokenAlgorithms,
} from "../../src/credential/agency-token.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import {
  described,
  filePath,
  flag,
  httpsUrl,
  integer,
  oneOf,
  rate,
  secretFile,
  serviceId,
  systemId,
  text256,
  token,
} from "../config-atoms.ts";

/** TLS of the agency listener. */
export interface AgencyTlsConfig {
  readonly certificate_file: string;
  readonly key_file: string;
  readonly client_ca_file?: string | undefined;
  readonly min_version: "TLSv1.2" | "TLSv1.3";
}

/** An identity provider of the agency. */
export interface IssuerConfig {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly jwks_file?: string | undefined;
  readonly jwks_url?: string | undefined;
  readonly jwks_ca_file?: string | undefined;
  readonly jwks_refresh_s: number;
  readonly algorithms: readonly AgencyTokenAlgorithm[];
  readonly types: readonly string[];
  readonly system_claim: string;
  readonly official_claim?: string | undefined;
  readonly age_max_s: number;
  readonly skew_s: number;
}

export interface AgencyConfig {
  readonly tls?: AgencyTlsConfig | undefined;
  readonly issuers: readonly IssuerConfig[];
  readonly failures: { readonly per_second: number; readonly burst: number };
}

/** An agency system: who it is, how it proves that, and what it may do. */
export interface AgencySystemConfig extends AgencySystem {
  readonly loopback: boolean;
  readonly tls?:
    | {
        readonly spki_sha256?: readonly string[] | undefined;
        readonly names?: readonly string[] | undefined;
      }
    | undefined;
  readonly jwt?: { readonly issuer: string; readonly clients: readonly string[] } | undefined;
}

/** A key digest in hex, as `openssl` prints it, colons and capitals allowed. */
const spki: z.ZodType<string> = described(
  z
    .string()
    .transform((text) => text.replaceAll(":", "").toLowerCase())
    .refine((text) => /^[0-9a-f]{64}$/.test(text), "it is a SHA-256 of 64 hex digits"),
  { type: "64 hex digits" },
);

const alternativeName: z.ZodType<string> = described(
  z
    .string()
    .max(256)
    .regex(/^(?:DNS|URI|email):[\x21\x23-\x2b\x2d-\x7e]+$/, "it is DNS:…, URI:… or email:…"),
  { type: "`DNS:…`, `URI:…` or `email:…`" },
);

const tls: z.ZodType<AgencyTlsConfig> = z.strictObject({
  certificate_file: described(filePath, {
    text: "Certificate of the agency listener with its chain, PEM.",
    reload: true,
  }),
  key_file: described(secretFile, { text: "Its private key, PEM.", reload: true }),
  client_ca_file: described(filePath, {
    text: "Authorities under which client certificates must stand, PEM. Without it a certificate counts by its pinned key alone.",
    reload: true,
  }).optional(),
  min_version: described(oneOf(["TLSv1.2", "TLSv1.3"]), {
    text: "Oldest TLS that is spoken; 1.3 is preferred in either case.",
    reload: true,
  }).default("TLSv1.2"),
});

const issuer: z.ZodType<IssuerConfig> = z.strictObject({
  issuer: described(token, { text: "The `iss` of its tokens, to the letter.", reload: true }),
  audiences: described(z.array(token).min(1), {
    type: "list of texts",
    text: "A token names one of these in `aud`.",
    reload: true,
  }),
  jwks_file: described(filePath, {
    text: "Its keys as a JWK set. One of `jwks_file` and `jwks_url`.",
    reload: true,
  }).optional(),
  jwks_url: described(httpsUrl, {
    text: "Where its keys are fetched: when they are needed first, when they are old, and at most once a minute for a `kid` that is not known. While it does not answer, the keys fetched last hold.",
    reload: true,
  }).optional(),
  jwks_ca_file: described(filePath, {
    text: "Authorities for `jwks_url`, PEM; those of the system without it.",
    reload: true,
  }).optional(),
  jwks_refresh_s: described(integer(60, 86_400), {
    text: "Seconds after which fetched keys are fetched again beside the calls; at twice the age calls wait for it. While the issuer answers, a withdrawn key is believed no longer than that.",
    reload: true,
  }).default(900),
  algorithms: described(z.array(oneOf(agencyTokenAlgorithms)).min(1), {
    type: "list of `Ed25519`, `EdDSA` (the older name of the same), `ES256`",
    text: "Signature algorithms that are accepted.",
    reload: true,
  }).default([...agencyTokenAlgorithms]),
  types: described(z.array(token).min(1), {
    type: "list of texts",
    text: "Accepted `typ` of a token, without `application/`. `JWT` lets in every token of an issuer that types none: leave it out where you can.",
    reload: true,
  }).default(["at+jwt"]),
  system_claim: described(token, {
    text: "The claim that names the agency system.",
    reload: true,
  }).default("client_id"),
  official_claim: described(token, {
    text: "The claim that names the official. It goes as `causeway-official` of the call; metadata that names another is refused.",
    reload: true,
  }).optional(),
  age_max_s: described(integer(1, 86_400), {
    text: "Seconds after its `iat` that a token is accepted, whatever its `exp` says.",
    reload: true,
  }).default(3600),
  skew_s: described(integer(0, 300), {
    text: "Seconds that the issuer's clock may be off.",
    reload: true,
  }).default(30),
});

export const agencySchema: z.ZodType<AgencyConfig> = z.strictObject({
  tls: tls.optional(),
  issuers: described(z.array(issuer), {
    type: "list",
    text: "Identity providers whose tokens are accepted in `authorization: Bearer`. With one of them that header is the gateway's and is never passed on; without any it passes as other metadata does.",
    reload: true,
  }).default([]),
  failures: z
    .strictObject({
      per_second: described(rate, {
        text: "Calls of one remote address that do not authenticate, in the long run. Above it a token that was not verified before is answered `BUSY` unread.",
        reload: true,
      }).default(5),
      burst: described(integer(1, 10_000), {
        text: "The same at once after a pause.",
        reload: true,
      }).default(20),
    })
    .prefault({}),
});

export const agencySystemsSchema: z.ZodType<readonly AgencySystemConfig[]> = described(
  z.array(
    z.strictObject({
      id: described(systemId, { text: "Its name, which stands in its refusals.", reload: true }),
      loopback: described(flag, {
        text: "It is the caller of every call that shows neither certificate nor token. For one system, and only on a loopback listener without TLS.",
        reload: true,
      }).default(false),
      tls: z
        .strictObject({
          spki_sha256: described(z.array(spki).min(1), {
            type: "list of 64 hex digits",
            text: "SHA-256 of the public key (SubjectPublicKeyInfo) of each of its client certificates.",
            reload: true,
          }).optional(),
          names: described(z.array(alternativeName).min(1), {
            type: "list of `DNS:…`, `URI:…`, `email:…`",
            text: "Subject alternative names, to the letter, of its certificates under `agency.tls.client_ca_file`.",
            reload: true,
          }).optional(),
        })
        .optional(),
      jwt: z
        .strictObject({
          issuer: described(token, { text: "One of `agency.issuers`.", reload: true }),
          clients: described(z.array(token).min(1), {
            type: "list of texts",
            text: "Values of the issuer's `system_claim` that are this system. A system with `tls` and `jwt` shows both.",
            reload: true,
          }),
        })
        .optional(),
      services: described(z.array(serviceId), {
        type: "list of city/agency/service",
        text: "Data services that it may use; everything granted to the agency without it.",
        reload: true,
      }).optional(),
      purposes: described(z.array(token), {
        type: "list of texts",
        text: "Purposes that it may name; every granted one without it.",
        reload: true,
      }).optional(),
      defaults: z
        .strictObject({
          service: described(serviceId, {
            text: "Data service of a call that names none.",
            reload: true,
          }).optional(),
          purpose: described(token, {
            text: "Purpose of a call that names none.",
            reload: true,
          }).optional(),
          case: described(text256, {
            text: "Case of a call that names none.",
            reload: true,
          }).optional(),
          official: described(text256, {
            text: "Official of a call that names none.",
            reload: true,
          }).optional(),
        })
        .optional(),
    }),
  ),
  {
    type: "list",
    text: "Programs inside the agency that may call. One that authenticates otherwise, or not at all, is answered `UNAUTHENTICATED`.",
    reload: true,
  },
);
