/** What the admin service lists of the registry: services, access requests and grants, as final here. */
import { create } from "@bufbuild/protobuf";
import {
  type AccessRequestEntry,
  AccessRequestEntrySchema,
  type GrantEntry,
  GrantEntrySchema,
  type ServiceEntry,
  ServiceEntrySchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { formatAddress } from "../../src/record/handle.ts";
import type {
  GrantFact,
  RegistryView,
  RequestFact,
  ServiceFact,
} from "../../src/registry/state.ts";

function addressText({
  index,
  position,
}: {
  readonly index: bigint;
  readonly position: number;
}): string {
  return formatAddress(index, position);
}

export function serviceEntry(service: ServiceFact, view: RegistryView): ServiceEntry {
  const { body, id, standing } = service;
  const policy = view.policy(id);
  return create(ServiceEntrySchema, {
    id,
    version: BigInt(body.version),
    sharing: body.sharing,
    methods: body.methods.map(({ path }) => path),
    purposes: [...body.purposes],
    address: addressText(standing.address),
    policyAddress: policy === undefined ? "" : addressText(policy.standing.address),
  });
}

export function requestEntry(request: RequestFact): AccessRequestEntry {
  const { jti, consumer, service, details, answer, standing } = request;
  const states = { granted: "GRANTED", denied: "DENIED" } as const;
  return create(AccessRequestEntrySchema, {
    jti,
    consumer,
    service,
    methods: details.flatMap(({ methods }) => methods),
    purposes: details.flatMap(({ purposes }) => purposes),
    state: answer === undefined ? "OPEN" : states[answer.kind],
    address: addressText(standing.address),
    payload: JSON.stringify(details),
  });
}

function grantState({ standing }: GrantFact, nowS: number): string {
  if (standing.until !== undefined) return "REVOKED";
  if (standing.nbf !== undefined && nowS < standing.nbf) return "NOT_YET";
  if (standing.exp !== undefined && nowS >= standing.exp) return "EXPIRED";
  return "IN_FORCE";
}

export function grantEntry(grant: GrantFact, nowS: number): GrantEntry {
  const { jti, consumer, provider, detail, standing } = grant;
  return create(GrantEntrySchema, {
    jti,
    consumer,
    provider,
    service: detail.service,
    methods: [...detail.methods],
    purposes: [...detail.purposes],
    notBefore: BigInt(standing.nbf ?? 0),
    expires: BigInt(standing.exp ?? 0),
    state: grantState(grant, nowS),
    address: addressText(standing.address),
    revokedBy: standing.until === undefined ? "" : addressText(standing.until),
    payload: JSON.stringify(detail),
  });
}
