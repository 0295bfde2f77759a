/** The statements of a flow between the two agencies of a test network, each with one call. */
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type {
  AuthorizationDetail,
  Claims,
  ServiceBody,
  StatementBodies,
  StatementName,
} from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import type { SignedStatement, TestAgency, TestNetwork } from "./network.ts";

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
