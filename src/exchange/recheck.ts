/**
 * The check in the turn that closes a batch: whether what a queued Opened or receipt rests on still
 * stands. It is the linearisation point of a revocation: what is accepted later counts from the next batch.
 */
import { createMessage } from "../base/create-message.ts";
import { agencyOf, cityOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { type Fact, FactSchema } from "../gen/causeway/record/v1/parts_pb.ts";
import type { Replica, Seen } from "../ledger/ports.ts";
import { emptyRoot } from "../merkle/hash.ts";
import { recordHash } from "../record/record.ts";
import { activeFacts, type Ground, isSeen } from "../registry/standing.ts";
import type { FactAddress, RegistryState, Standing } from "../registry/state.ts";
import type { FailedRecheck } from "./provider-records.ts";

/** What one attempt rests on. */
export interface Foundations {
  readonly grantJti: string;
  readonly grantAddress: FactAddress;
  readonly service: string;
  readonly consumerGateway: string;
  readonly consumerAgency: string;
  /** Absent where none is chosen yet. */
  readonly providerGateway: string | undefined;
  readonly maxStalenessMs: number;
}

/** Revocations that this gateway has accepted and that the ledger does not hold yet. */
export interface LocalTakings {
  /** Record hash of the revocation of a grant, by the grant's `jti`. */
  get(grantJti: string): Uint8Array | undefined;
}

function addressed(address: FactAddress): Fact {
  return createMessage(FactSchema, {
    name: { case: "address", value: { index: address.index, position: address.position } },
  });
}

function recorded(hash: Uint8Array): Fact {
  return createMessage(FactSchema, { name: { case: "record", value: { hash } } });
}

/** What is included is named by its address once final, before that by its record hash. */
function nameOf(
  address: FactAddress,
  seen: Seen,
  hashOf: (address: FactAddress) => Uint8Array | undefined,
): Fact {
  const hash = address.index < seen.size ? undefined : hashOf(address);
  return hash === undefined ? addressed(address) : recorded(hash);
}

interface Failure {
  readonly reason: ReasonCode;
  readonly fact: Fact;
}

function grantFailure(
  foundations: Foundations,
  replica: Replica,
  localTakings: LocalTakings,
  seen: Seen,
  closedAtMs: number,
): Failure | undefined {
  const { grantJti, grantAddress } = foundations;
  const local = localTakings.get(grantJti);
  const grant = replica.state().grants.get(grantJti);
  if (grant === undefined) return { reason: "GRANT_MISSING", fact: addressed(grantAddress) };
  const { until, exp } = grant.standing;
  if (until !== undefined) {
    return { reason: "GRANT_REVOKED", fact: nameOf(until, seen, () => grant.revocation) };
  }
  if (local !== undefined) return { reason: "GRANT_REVOKED", fact: recorded(local) };
  if (exp !== undefined && Math.floor(closedAtMs / 1000) >= exp) {
    return { reason: "GRANT_EXPIRED", fact: addressed(grantAddress) };
  }
  return undefined;
}

type Active = readonly [
  kind: "cities" | "agencies" | "gateways" | "services",
  id: string,
  reason: ReasonCode,
];

/** What is given back acts when it is final, what is taken away at once; a new version takes nothing away. */
function activeFailure(
  [kind, id, reason]: Active,
  ground: Ground,
  name: (address: FactAddress) => Fact,
  otherwise: FactAddress,
): Failure | undefined {
  const history: readonly { readonly standing: Standing }[] | undefined =
    ground.state[kind].get(id);
  if (activeFacts(history, ground).length > 0) return undefined;
  const standing = history?.findLast((fact) => isSeen(fact.standing, ground))?.standing;
  return { reason, fact: name(standing?.until ?? standing?.address ?? otherwise) };
}

/** What one side seals on a chain that is frozen never stands on the ledger: nothing more is exchanged with it. */
function frozenFailure(
  { consumerGateway, providerGateway }: Foundations,
  { chainStops }: Pick<RegistryState, "chainStops">,
  name: (address: FactAddress) => Fact,
): Failure | undefined {
  for (const gateway of [consumerGateway, providerGateway]) {
    const frozen = gateway === undefined ? undefined : chainStops.get(gateway)?.frozen;
    if (frozen !== undefined) return { reason: "CHAIN_FROZEN", fact: name(frozen) };
  }
  return undefined;
}

/** What has to be active on both sides: an agency is a member as long as the city that admitted it. */
function activesOf({
  service,
  consumerAgency,
  consumerGateway,
  providerGateway,
}: Foundations): readonly Active[] {
  const providerAgency = agencyOf(providerGateway ?? service);
  return [
    ["cities", cityOf(consumerAgency), "MEMBER_NOT_ACTIVE"],
    ["agencies", consumerAgency, "MEMBER_NOT_ACTIVE"],
    ["gateways", consumerGateway, "MEMBER_NOT_ACTIVE"],
    ["cities", cityOf(providerAgency), "MEMBER_NOT_ACTIVE"],
    ["agencies", providerAgency, "MEMBER_NOT_ACTIVE"],
    ...(providerGateway === undefined
      ? []
      : [["gateways", providerGateway, "MEMBER_NOT_ACTIVE"] as const]),
    ["services", service, "SERVICE_UNKNOWN"],
  ];
}

function groundOf(state: RegistryState, { size }: Seen, sealedAtMs: number): Ground {
  const atS = Math.floor(sealedAtMs / 1000);
  return { state, index: state.size, seenSize: size, sealedAtMs, atS };
}

/** What fails now, or `undefined` when everything stands. */
export function recheck(options: {
  readonly foundations: Foundations;
  readonly replica: Replica;
  readonly localTakings: LocalTakings;
  readonly seen: Seen;
  readonly closedAtMs: number;
}): FailedRecheck | undefined {
  const { foundations, replica, seen, closedAtMs } = options;
  const state = replica.state();
  const final = replica.final();
  const ground = groundOf(state, seen, closedAtMs);
  const hashOf = ({ index, position }: FactAddress): Uint8Array | undefined => {
    const record = replica.batch(index)?.records[position];
    return record && recordHash(record);
  };
  const name = (address: FactAddress): Fact => nameOf(address, seen, hashOf);
  const failure =
    grantFailure(foundations, replica, options.localTakings, seen, closedAtMs) ??
    activesOf(foundations)
      .map((active) => activeFailure(active, ground, name, foundations.grantAddress))
      .find((found) => found !== undefined) ??
    frozenFailure(foundations, state, name);
  if (failure !== undefined) return { ...failure, seenSize: seen.size };
  if (final === undefined || closedAtMs - final.timeMs > foundations.maxStalenessMs) {
    return {
      reason: "STALE_REPLICA",
      seenSize: seen.size,
      fact: addressed(foundations.grantAddress),
    };
  }
  return undefined;
}

/** How what an open attempt rests on stands between its seals. */
export interface Stand {
  /** Why it does not stand any more. */
  readonly taken: ReasonCode | undefined;
  /** Unix seconds at which the first of what stands ends by itself; absent when nothing does. */
  readonly endsAtS: number | undefined;
}

const nothingSeen: Seen = { size: 0n, root: emptyRoot };

/** Whether everything stands at this Unix time in milliseconds. How old the replica is, is asked at a seal alone. */
export function standAt(options: {
  readonly foundations: Foundations;
  readonly replica: Replica;
  readonly localTakings: LocalTakings;
  readonly atMs: number;
}): Stand {
  const { foundations, replica, localTakings, atMs } = options;
  const seen = replica.final() ?? nothingSeen;
  const failed = recheck({ foundations, replica, localTakings, seen, closedAtMs: atMs });
  if (failed !== undefined && failed.reason !== "STALE_REPLICA") {
    return { taken: failed.reason, endsAtS: undefined };
  }
  return { taken: undefined, endsAtS: endOf(foundations, groundOf(replica.state(), seen, atMs)) };
}

function endOf(foundations: Foundations, ground: Ground): number | undefined {
  const { state } = ground;
  let first = state.grants.get(foundations.grantJti)?.standing.exp ?? Infinity;
  for (const [kind, id] of activesOf(foundations)) {
    const history: readonly { readonly standing: Standing }[] | undefined = state[kind].get(id);
    for (const { standing } of activeFacts(history, ground)) {
      if (standing.exp !== undefined && standing.exp < first) first = standing.exp;
    }
  }
  return first === Infinity ? undefined : first;
}
