/** A small registry by hand: Hangzhou provides divisions, Shenzhen may read them for one purpose. */
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { cityOf } from "../../src/base/ids.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { PolicyBody, ServiceAttribute, ServiceBody } from "../../src/credential/statements.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import { file_causeway_demo_v1_division } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import {
  type CallStatement,
  CallStatementSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { DecisionFacts } from "../../src/policy/decide.ts";
import type { Attempt } from "../../src/policy/grant-check.ts";
import type { PolicyBlobs } from "../../src/policy/ports.ts";
import { standardPolicyText, standardSchema } from "../../src/policy/standard.ts";
import type {
  AgencyFact,
  CityFact,
  FactAddress,
  GatewayFact,
  GrantFact,
  PolicyFact,
  RegistryView,
  ServiceFact,
  Standing,
} from "../../src/registry/state.ts";

export const consumer = "shenzhen/market-regulation";
export const consumerGateway: string = `${consumer}/gw1`;
export const provider = "hangzhou/civil-affairs";
export const providerGateway: string = `${provider}/gw1`;
export const serviceId: string = `${provider}/divisions`;
export const getDivision = "/causeway.demo.v1.DivisionService/GetDivision";
export const reportCorrection = "/causeway.demo.v1.DivisionService/ReportCorrection";
export const purpose = "address-verification";

/** Period of the grant, and a second inside of it. */
export const notBefore = 1_800_000_000;
export const expires = 1_800_086_400;
export const inside = 1_800_000_100;

export const descriptorSet: Uint8Array = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, { file: [file_causeway_demo_v1_division.proto] }),
);

export function standing(index: bigint, more: Partial<Standing> = {}): Standing {
  return { address: { index, position: 0 }, since: index, ...more };
}

export interface Registry {
  seenSize: bigint;
  cities: CityFact[];
  agencies: AgencyFact[];
  gateways: GatewayFact[];
  service: ServiceFact | undefined;
  policy: PolicyFact | undefined;
  grants: GrantFact[];
  blobs: Map<string, Uint8Array>;
}

export function digestOf(content: Uint8Array): string {
  return toHex(sha256(content));
}

export function blobsOf(
  policyText: string = standardPolicyText,
  attributes: readonly ServiceAttribute[] = [],
): PolicyBlobs {
  return { policy: utf8(policyText), schema: utf8(standardSchema(attributes)) };
}

export function policyBodyOf({ policy, schema }: PolicyBlobs): PolicyBody {
  return {
    version: 1,
    policy: digestOf(policy),
    policy_bytes: policy.length,
    schema: digestOf(schema),
    schema_bytes: schema.length,
  };
}

export function serviceBody(more: Partial<ServiceBody> = {}): ServiceBody {
  const call = { client_streaming: false, server_streaming: false };
  return {
    version: 3,
    descriptor: digestOf(descriptorSet),
    descriptor_bytes: descriptorSet.length,
    methods: [
      { path: getDivision, writes: false, ...call },
      { path: reportCorrection, writes: true, ...call },
    ],
    sharing: "unconditional",
    purposes: [purpose, "statistics"],
    subject_paths: [],
    attributes: [],
    approval: { approvals: 1 },
    deadline: { name: "two-days", check_days: 2, answer_days: 5 },
    max_staleness_s: 900,
    ...more,
  };
}

function city(id: string): CityFact {
  const keys = { authority: "", next: "", witness: "", witness_address: "", witness_tls: "" };
  return { id, city: { id, division: "000000", ...keys }, standing: standing(0n) };
}

function agency(id: string, index: bigint): AgencyFact {
  const body = { name: id, authority: "", next: "", roles: ["consumer", "provider"] as const };
  return { id, body, standing: standing(index) };
}

/** A registry in which the plain attempt is permitted. Tests change one thing. */
export function registry(
  options: { policyText?: string; attributes?: readonly ServiceAttribute[] } = {},
): Registry {
  const blobs = blobsOf(options.policyText, options.attributes);
  return {
    seenSize: 20n,
    cities: [city(cityOf(consumer)), city(cityOf(provider))],
    agencies: [agency(consumer, 1n), agency(provider, 2n)],
    gateways: [
      {
        id: consumerGateway,
        body: {
          batch: "",
          token: "",
          certificates: [],
          tls: [],
          endpoints: { peer: "127.0.0.1:1", http: "127.0.0.1:2" },
        },
        batchKey: new Uint8Array(32),
        tokenKey: new Uint8Array(32),
        standing: standing(3n),
      },
    ],
    service: {
      id: serviceId,
      body: serviceBody({ attributes: options.attributes ?? [] }),
      standing: standing(4n),
    },
    policy: { service: serviceId, body: policyBodyOf(blobs), standing: standing(5n) },
    grants: [grantFact()],
    blobs: new Map([blobs.policy, blobs.schema].map((blob) => [digestOf(blob), blob])),
  };
}

export function grantFact(more: Partial<GrantFact> = {}): GrantFact {
  return {
    jti: "019a0000-0000-7000-8000-000000000001",
    request: "019a0000-0000-7000-8000-000000000000",
    consumer,
    provider,
    detail: {
      type: "causeway-service",
      service: serviceId,
      methods: [getDivision, reportCorrection],
      purposes: [purpose],
      legal_basis: "order-809",
    },
    standing: standing(6n, { nbf: notBefore, exp: expires }),
    ...more,
  };
}

function find<T extends { readonly id: string }>(facts: readonly T[], id: string): T | undefined {
  return facts.find((fact) => fact.id === id);
}

/** The registry as a view. What the decision does not ask is not there. */
export function viewOf(facts: Registry): RegistryView {
  const gives = <T extends { readonly standing: Standing }>(fact: T | undefined): T | undefined =>
    fact !== undefined && fact.standing.since < facts.seenSize ? fact : undefined;
  const unasked = (): never => assertUnasked();
  return {
    seenSize: facts.seenSize,
    network: {
      id: new Uint8Array(32),
      name: "demo",
      bounds: { ...defaultBounds, window_segments: 7 },
      body: undefined as never,
    },
    city: (id) => gives(find(facts.cities, id)),
    agency: (id) => gives(find(facts.agencies, id)),
    gateway: (id) => gives(find(facts.gateways, id)),
    service: (id) => gives(facts.service?.id === id ? facts.service : undefined),
    policy: (service) => gives(facts.policy?.service === service ? facts.policy : undefined),
    grantAt: (address) =>
      gives(facts.grants.find(({ standing: at }) => sameAddress(at.address, address))),
    administrator: unasked,
    request: unasked,
    grant: unasked,
    grantsOf: unasked,
    grants: unasked,
    services: unasked,
    requests: unasked,
    batchKey: unasked,
    gatewayOfTlsKey: unasked,
  };
}

function assertUnasked(): never {
  throw new Error("the decision asked for a fact that it does not rest on");
}

function sameAddress(a: FactAddress, b: FactAddress): boolean {
  return a.index === b.index && a.position === b.position;
}

export const plainAttempt: Attempt = {
  consumerGateway,
  service: serviceId,
  method: getDivision,
  purpose,
  grant: { index: 6n, position: 0 },
  evaluatedAtS: inside,
};

export function factsOf(facts: Registry, more: Partial<Attempt> = {}): DecisionFacts {
  return {
    view: viewOf(facts),
    attempt: { ...plainAttempt, ...more },
    blob: (digest) => facts.blobs.get(toHex(digest)),
  };
}

/** The call statement of an attempt. */
export function statementOf(attempt: Attempt): CallStatement {
  const { service, method, purpose: why, grant } = attempt;
  return create(CallStatementSchema, {
    xid: new Uint8Array(16).fill(7),
    attempt: 1,
    service,
    method,
    purpose: why,
    grant: { index: grant.index, position: grant.position },
    request: new Uint8Array(32).fill(9),
  });
}
