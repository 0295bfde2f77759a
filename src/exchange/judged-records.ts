/** What a provider records of a call as far as it was judged: what an attempt rests on, and its refusal. */
import { utf8 } from "../base/bytes.ts";
import { agencyOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { Decision } from "../gen/causeway/record/v1/parts_pb.ts";
import type { ServiceFact } from "../registry/state.ts";
import type { AttemptOpenings, LinkEnd } from "./ports.ts";
import type { Judged } from "./provider-judge.ts";
import { type DenialStage, encodeProviderRefusal, type FailedRecheck } from "./provider-records.ts";
import type { Foundations } from "./recheck.ts";
import { commitToRefused } from "./refusal-openings.ts";

export interface Denial {
  readonly stage: DenialStage;
  readonly reason: ReasonCode;
}

/** What a permitted attempt rests on between two gateways. */
export function foundationsOf(
  { statement, decision, service }: Judged,
  consumerGateway: string,
  providerGateway: string,
): Foundations {
  return {
    grantJti: (decision as Decision).grantJti,
    grantAddress: {
      index: statement?.grant?.index ?? 0n,
      position: statement?.grant?.position ?? 0,
    },
    service: (service as ServiceFact).id,
    consumerGateway,
    consumerAgency: agencyOf(consumerGateway),
    providerGateway,
    maxStalenessMs: (service as ServiceFact).body.max_staleness_s * 1000,
  };
}

/** A refusal, encoded, and what opens what it commits to. */
export interface EncodedRefusal {
  readonly record: Uint8Array;
  readonly openings: AttemptOpenings | undefined;
}

/** Encodes the refusal of a call: what did not verify, or does not stand in the catalogue, is only committed to. */
export function encodeRefusalOf(refused: {
  readonly judged: Judged;
  /** The call token as it came. */
  readonly token: string;
  readonly link: LinkEnd;
  readonly seed: Uint8Array;
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly denial: Denial;
  readonly recheck: FailedRecheck | undefined;
  readonly upstreamCalled: boolean;
}): EncodedRefusal {
  const { link, seed, atMs, denial, recheck, upstreamCalled } = refused;
  const { call, statement, service, decision } = refused.judged;
  const hidden = statement !== undefined && service === undefined;
  const { openings, ...commitments } = commitToRefused({
    side: "provider",
    seed,
    atMs,
    call: call === undefined ? utf8(refused.token) : undefined,
    method: hidden ? utf8(statement.method) : undefined,
    xid: statement?.xid,
  });
  const record = encodeProviderRefusal({
    ...denial,
    ...commitments,
    peer: { gateway: link.peer, tlsKey: link.peerTlsKey },
    call,
    method: service === undefined ? undefined : statement?.method,
    decision,
    recheck,
    upstreamCalled,
  });
  return { record, openings };
}
