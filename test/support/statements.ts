/** The statements of a flow between the two agencies of a test network, each with one call. */
import { parseBase64url, toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type {
  AuthorizationDetail,
  Claims,
  ServiceBody,
  StatementBodies,
  StatementName,
  VoteBody,
} from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { formatNote } from "../../src/note/note.ts";
import { signCheckpoint } from "../../src/note/sign.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import type { SignedStatement, TestAgency, TestCity, TestGateway, TestNetwork } from "./network.ts";

function details(service: string): readonly AuthorizationDetail[] {
  return [
    {
      type: "causeway-service",
      service,
      methods: ["/causeway.demo.v1.DivisionService/GetDivision"],
      purposes: ["address-check"],
      legal_basis: "GB/T-2260",
    },
  ];
}

/** What a test changes of a statement made by `administrator`, or by the one in `by`. */
export interface Change<N extends StatementName> {
  readonly claims?: Partial<Claims>;
  readonly body?: Partial<StatementBodies[N]>;
  readonly by?: readonly Signer[];
}

function saying<N extends StatementName>(
  network: TestNetwork,
  {
    name,
    agency,
    sub,
    body,
  }: { name: N; agency: TestAgency; sub: string; body: StatementBodies[N] },
  change: Change<N>,
): SignedStatement<N> {
  const merged = { ...(body as object), ...change.body } as StatementBodies[N];
  const wording = { iss: agency.id, sub, body: merged, ...change.claims };
  return network.say(name, wording, change.by ?? [agency.administrator]);
}

/** The provider publishes `<agency>/divisions`, or the `sub` of the claims. */
export function sayService(
  network: TestNetwork,
  change: Change<"service"> = {},
): SignedStatement<"service"> {
  const body: ServiceBody = {
    version: 1,
    descriptor: toHex(sha256(utf8("descriptor"))),
    descriptor_bytes: 10,
    methods: [
      {
        path: "/causeway.demo.v1.DivisionService/GetDivision",
        writes: false,
        client_streaming: false,
        server_streaming: false,
      },
      {
        path: "/causeway.demo.v1.DivisionService/ReportError",
        writes: true,
        client_streaming: false,
        server_streaming: false,
      },
    ],
    sharing: "unconditional",
    purposes: ["address-check", "statistics"],
    subject_paths: [],
    attributes: [],
    approval: { approvals: 1 },
    deadline: { name: "gaoping-2024", check_days: 2, answer_days: 5 },
    max_staleness_s: 600,
  };
  const agency = network.provider;
  return saying(network, { name: "service", agency, sub: divisions(network), body }, change);
}

export function sayPolicy(
  network: TestNetwork,
  change: Change<"policy"> = {},
): SignedStatement<"policy"> {
  const body: StatementBodies["policy"] = {
    version: 1,
    policy: toHex(sha256(utf8("policy"))),
    policy_bytes: 6,
    schema: toHex(sha256(utf8("schema"))),
    schema_bytes: 6,
  };
  const agency = network.provider;
  return saying(network, { name: "policy", agency, sub: divisions(network), body }, change);
}

/** The consumer asks for one method and one purpose of the provider's service. */
export function sayRequest(
  network: TestNetwork,
  change: Change<"request"> = {},
): SignedStatement<"request"> {
  const body = { authorization_details: details(divisions(network)) };
  const agency = network.consumer;
  return saying(network, { name: "request", agency, sub: divisions(network), body }, change);
}

/** The provider grants what was asked for, for 30 days. */
export function sayGrant(
  network: TestNetwork,
  request: Pick<SignedStatement<"request">, "claims" | "body">,
  change: Change<"grant"> = {},
): SignedStatement<"grant"> {
  const nbf = Math.floor(network.startMs / 1000);
  const { jti, iss: sub } = request.claims;
  const body = { request: jti, authorization_details: request.body.authorization_details };
  const claims = { nbf, exp: nbf + 30 * 24 * 3600, ...change.claims };
  const agency = network.provider;
  return saying(network, { name: "grant", agency, sub, body }, { ...change, claims });
}

export function sayDenial(
  network: TestNetwork,
  request: Pick<SignedStatement<"request">, "claims">,
  change: Change<"denial"> = {},
): SignedStatement<"denial"> {
  const { jti, iss: sub } = request.claims;
  const body = { request: jti, reason: "legal-basis-missing" };
  return saying(network, { name: "denial", agency: network.provider, sub, body }, change);
}

export function sayRevocation(
  network: TestNetwork,
  grant: Pick<SignedStatement<"grant">, "claims">,
  change: Change<"revocation"> = {},
): SignedStatement<"revocation"> {
  const { jti, sub } = grant.claims;
  const body = { grant: jti, reason: "purpose-ended" };
  return saying(network, { name: "revocation", agency: network.provider, sub, body }, change);
}

/** Id of the provider's service. */
export function divisions(network: Pick<TestNetwork, "provider">): string {
  return `${network.provider.id}/divisions`;
}

/** What a city says by its authority key alone. */
export function sayCity<N extends "suspension" | "resumption" | "vote">(
  network: TestNetwork,
  name: N,
  city: Pick<TestCity, "id" | "authority">,
  said: Partial<Claims> & { readonly sub: string; readonly body: StatementBodies[N] },
): SignedStatement<N> {
  return network.say(name, { iss: city.id, ...said }, [city.authority]);
}

/** A city's vote; one on a sequencer needs the log key's signature too. */
export function sayVote(
  network: TestNetwork,
  city: Pick<TestCity, "id" | "authority">,
  { sub, body }: { readonly sub: string; readonly body: VoteBody },
  { by = [], ...claims }: Partial<Claims> & { readonly by?: readonly Signer[] } = {},
): SignedStatement<"vote"> {
  return network.say("vote", { iss: city.id, sub, body, ...claims }, [city.authority, ...by]);
}

/** Keys of a city that asks to be admitted, or that renews its own. */
export interface CityKeys {
  readonly authority: Signer;
  readonly next: Signer;
}

/** A city that is no member asks to be one. */
export function sayCandidacy(
  network: TestNetwork,
  city: Pick<TestCity, "id" | "authority" | "next" | "witness" | "division">,
  claims: Partial<Claims> = {},
): SignedStatement<"city"> {
  const { id, authority, next, witness, division } = city;
  const body: StatementBodies["city"] = {
    change: "candidacy",
    ...keysOf({ authority, next }),
    witness: formatKey(witness.publicKey),
    witness_address: `${id}.test:7443`,
    witness_tls: toHex(sha256(utf8(`${id} witness tls ${formatKey(witness.publicKey)}`))),
    division,
  };
  return network.say("city", { iss: id, sub: id, body, ...claims }, [authority, witness]);
}

/** A city's next key takes the place of the one in force: with its signature, or in a recovery without. */
export function sayRenewal(
  network: TestNetwork,
  city: Pick<TestCity, "id" | "authority">,
  change: "rotation" | "recovery",
  keys: CityKeys,
  by: readonly Signer[] = change === "rotation"
    ? [city.authority, keys.authority]
    : [keys.authority],
): SignedStatement<"city"> {
  const body = { change, ...keysOf(keys) };
  return network.say("city", { iss: city.id, sub: city.id, body }, by);
}

export function sayWitness(
  network: TestNetwork,
  city: Pick<TestCity, "id" | "authority">,
  witness: Signer,
): SignedStatement<"city"> {
  const body: StatementBodies["city"] = {
    change: "witness",
    witness: formatKey(witness.publicKey),
    witness_address: `${city.id}.test:8443`,
    witness_tls: toHex(sha256(utf8(`${formatKey(witness.publicKey)} tls`))),
  };
  const claims = { iss: city.id, sub: city.id };
  return network.say("city", { ...claims, body }, [city.authority, witness]);
}

function keysOf({ authority, next }: CityKeys): {
  readonly authority: string;
  readonly next: string;
} {
  return { authority: formatKey(authority.publicKey), next: toHex(sha256(next.publicKey)) };
}

/** What a vote on an admission names. */
export function candidacyDigest({ jws }: Pick<SignedStatement, "jws">): string {
  const [, payload = ""] = (jws[0] ?? "").split(".");
  return toHex(sha256(parseBase64url(payload) ?? new Uint8Array()));
}

/** An agency's authority or administrators suspend, resume, approve and open epochs. */
export function sayOfAgency<N extends "suspension" | "resumption" | "approval" | "epoch">(
  network: TestNetwork,
  name: N,
  agency: Pick<TestAgency, "id" | "authority" | "administrator">,
  said: Partial<Claims> & { readonly sub: string; readonly body: StatementBodies[N] },
  by?: Signer,
): SignedStatement<N> {
  const byAuthority = name === "suspension" || name === "epoch";
  const signer = by ?? (byAuthority ? agency.authority : agency.administrator);
  return network.say(name, { iss: agency.id, ...said }, [signer]);
}

/** A term that gateway `id` is to open, with a log key of its own. */
export interface AppointedTerm {
  readonly gateway: Pick<TestGateway, "id" | "body">;
  readonly term: number;
  readonly log: Signer;
}

/** A city's vote on a sequencer, with the highest checkpoint that its witness has cosigned. */
export function sayAppointment(
  network: TestNetwork,
  city: Pick<TestCity, "id" | "authority">,
  { gateway, term, log }: AppointedTerm,
  checkpoint: Uint8Array,
): SignedStatement<"vote"> {
  const body: VoteBody = {
    on: "sequencer",
    term,
    address: gateway.body.endpoints.peer,
    tls: gateway.body.tls[0] as string,
    log: formatKey(log.publicKey),
    checkpoint: toBase64(checkpoint),
  };
  return sayVote(network, city, { sub: gateway.id, body }, { by: [log] });
}

/** A checkpoint as the log of a term signs it. */
export function signedHead(
  network: Pick<TestNetwork, "id" | "log">,
  { size, root }: { readonly size: bigint; readonly root: Uint8Array },
  { term = 0n, log = network.log }: { readonly term?: bigint; readonly log?: Signer } = {},
): Uint8Array {
  const origin = originOf(network.id, term);
  return formatNote(signCheckpoint({ origin, size, root, extensions: [] }, log));
}
