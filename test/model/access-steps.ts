/** Services, policies, requests, and what answers them. */
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { agencyOf } from "../../src/base/ids.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { AuthorizationDetail, ServiceBody } from "../../src/credential/statements.ts";
import { newest } from "./facts.ts";
import { administrator, factsOfKind, pick, recent, speak, type Step } from "./step.ts";
import type { Spoken, World } from "./world.ts";

const method = "/causeway.demo.v1.DivisionService/GetDivision";
const other = "/causeway.demo.v1.DivisionService/ReportCorrection";
const day = 24 * 3600;

export function access(world: World, step: Step): Spoken | undefined {
  switch (step.verb) {
    case "service":
      return service(world, step);
    case "policy":
      return policy(world, step);
    case "request":
      return request(world, step);
    case "grant":
    case "denial":
      return answer(world, step);
    case "approval":
      return approval(world, step);
    default:
      return revocation(world, step);
  }
}

function services(world: World): readonly string[] {
  return [...new Set(factsOfKind(world, "service").map(({ id }) => id))];
}

/** The version after the newest one, and now and then a later one. */
function nextVersion(world: World, kind: "service" | "policy", id: string, { c }: Step): number {
  const version = newest(world.history, kind, id)?.body["version"];
  return ((version as number | undefined) ?? 0) + (c === 10 ? 2 : 1);
}

function service(world: World, step: Step): Spoken {
  const { a, b, c } = step;
  const known = pick(services(world), b);
  const fresh = `${pick(world.agencies, a)}/s${b % 2}`;
  const sub = c % 3 !== 0 && known !== undefined ? known : fresh;
  const iss = agencyOf(sub);
  const flags = { writes: false, client_streaming: false, server_streaming: false };
  const body: ServiceBody = {
    version: nextVersion(world, "service", sub, step),
    descriptor: toHex(sha256(utf8("descriptor"))),
    descriptor_bytes: 10,
    methods: (c % 4 === 3 ? [method] : [method, other]).map((path) => ({ path, ...flags })),
    sharing: b === 11 ? "not-shared" : "conditional",
    purposes: ["address-check", "statistics"],
    subject_paths: [],
    attributes: [],
    approval: { approvals: a % 2 === 0 ? 1 : 2 },
    deadline: { name: "standard", check_days: 2, answer_days: 5 },
    max_staleness_s: c === 11 ? 901 : 600,
  };
  return speak(world, step, "service", { iss, sub, body }, [administrator(world, iss, b)]);
}

function policy(world: World, step: Step): Spoken | undefined {
  const sub = pick(services(world), step.b);
  if (sub === undefined) return undefined;
  const iss = agencyOf(sub);
  const digest = toHex(sha256(utf8("policy")));
  const body = {
    version: nextVersion(world, "policy", sub, step),
    policy: digest,
    policy_bytes: 6,
    schema: digest,
    schema_bytes: 6,
  };
  return speak(world, step, "policy", { iss, sub, body }, [administrator(world, iss, step.a)]);
}

function detail(of: string, { b, c }: Step): AuthorizationDetail {
  return {
    type: "causeway-service",
    service: of,
    methods: b % 3 === 0 ? [method, other] : [method],
    purposes: c % 5 === 4 ? ["address-check", "statistics"] : ["address-check"],
    legal_basis: "GB/T-2260",
    ...limits[(b + c) % limits.length],
  };
}

/** Masks, quotas and bounds of different width. */
const limits: readonly Partial<AuthorizationDetail>[] = [
  {},
  {},
  { fields: ["division"], metadata: ["etag"] },
  { fields: ["division.name"] },
  { fields: ["division.name", "parent"], metadata: ["age", "etag"] },
  { quota: { limit: 10, period_s: 60 }, durability: "ledger" },
  { quota: { limit: 9, period_s: 60 } },
  { quota: { limit: 9, period_s: 3600 }, messages_max: 5 },
  { messages_max: 6, bytes_max: 1000 },
  { bytes_max: 1001, durability: "journal" },
];

function request(world: World, step: Step): Spoken | undefined {
  const { a, b, c } = step;
  const sub = pick(services(world), b);
  const iss = pick(world.agencies, a) as string;
  if (sub === undefined) return undefined;
  const body = { authorization_details: [detail(sub, step)] };
  const end = c === 9 ? { exp: world.nowS + 600 } : {};
  return speak(world, step, "request", { iss, sub, body, ...end }, [administrator(world, iss, b)]);
}

function answer(world: World, step: Step): Spoken | undefined {
  const { a, b, c } = step;
  const asked = recent(factsOfKind(world, "request"), a);
  if (asked === undefined) return undefined;
  const [of] = asked.body["authorization_details"] as readonly [AuthorizationDetail];
  const iss = agencyOf(of.service);
  const signers = [administrator(world, iss, b)];
  if (step.verb === "denial") {
    const body = { request: asked.id, reason: "legal-basis-missing" };
    return speak(world, step, "denial", { iss, sub: asked.owner, body }, signers);
  }
  const granted = c < 9 ? of : detail(of.service, step);
  const body = { request: asked.id, authorization_details: [granted] };
  const times = { nbf: world.nowS - 5, exp: world.nowS + (c === 3 ? 900 : day) };
  return speak(world, step, "grant", { iss, sub: asked.owner, body, ...times }, signers);
}

function approval(world: World, step: Step): Spoken | undefined {
  const { a, b } = step;
  const { pending } = world.history;
  const grant = recent(pending, a) ?? recent(factsOfKind(world, "grant"), a);
  if (grant === undefined) return undefined;
  const wording = {
    iss: grant.owner,
    sub: grant.body["consumer"] as string,
    body: { grant: grant.id },
  };
  return speak(world, step, "approval", wording, [administrator(world, grant.owner, b)]);
}

function revocation(world: World, step: Step): Spoken | undefined {
  const grant = recent(factsOfKind(world, "grant"), step.a);
  if (grant === undefined) return undefined;
  const wording = {
    iss: grant.owner,
    sub: grant.body["consumer"] as string,
    body: { grant: grant.id, reason: "purpose-ended" },
  };
  return speak(world, step, "revocation", wording, [administrator(world, grant.owner, step.b)]);
}
