/** One attempt of the consumer: what it is made from, what it commits to, what its receipt is held against. */
import { createMessage } from "../base/create-message.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { commit, commitUnderSeed, deriveSalt } from "../crypto/commitments.ts";
import { transcriptOf } from "../crypto/transcript.ts";
import { CallStatementSchema } from "../gen/causeway/record/v1/parts_pb.ts";
import type { SealedRecord } from "../ledger/ports.ts";
import { encodeCallStatement } from "../record/call-tree.ts";
import type { CallMetadata } from "./call-metadata.ts";
import type { AnswerMask } from "./answer-mask.ts";
import type { AttemptName } from "./consumer-records.ts";
import { callFrame } from "./frames.ts";
import type { KnownAttempts } from "./known-attempts.ts";
import type { LeafCache } from "./leaf-cache.ts";
import type { LinkExchanges } from "./link-exchanges.ts";
import type { MissingReceipts } from "./missing-receipts.ts";
import type { ConsumerRequest } from "./consumer-request.ts";
import type {
  AttemptOpenings,
  Carriage,
  CarriageListener,
  ExchangePorts,
  FrameBody,
  LinkEnd,
  OpeningItem,
} from "./ports.ts";
import type { SentCall } from "./receipt-check.ts";
import type { ReceivedAnswer } from "./received-answer.ts";
import type { LocalTakings } from "./recheck.ts";
import type { AgencySystem, ResolvedCall } from "./resolve-call.ts";
import type { SentAcknowledgements } from "./sent-acknowledgements.ts";
import type { IssuedCall } from "./token-batcher.ts";
import type { IncomingCall } from "./transport/ports.ts";

export interface ConsumerPorts extends ExchangePorts {
  /** A link to one of the gateways; rejects with PEER_UNAVAILABLE. */
  connect(gateways: readonly string[]): Promise<LinkEnd>;
  /** A stream of its own for one exchange, beside a link. */
  openStream(link: LinkEnd, listener: CarriageListener): Carriage;
  /** Signs a call token for a provider gateway under its boot. */
  issueToken(to: LinkEnd, root: Uint8Array, n: number): { token: string; issuedAt: number };
  /** What providers sent in-band, kept until it is final. */
  readonly held: Pick<MissingReceipts, "add">;
  readonly localTakings: LocalTakings;
  /** Own acknowledgements, to be sent again on a new link. */
  readonly sent: Pick<SentAcknowledgements, "add" | "forLink">;
}

export interface ExchangeOptions {
  readonly ports: ConsumerPorts;
  readonly known: KnownAttempts;
  readonly leaves: LeafCache;
  exchangesOf(link: LinkEnd): LinkExchanges;
  /** An acknowledgement of what came is durable: the provider is to be told. */
  acknowledged(attempt: Attempt, sealed: SealedRecord): void;
  readonly incoming: IncomingCall;
  readonly system: AgencySystem;
  readonly resolved: ResolvedCall;
  readonly metadata: CallMetadata;
  /** Encoded Metadata of the request, without reserved entries. */
  readonly headers: Uint8Array;
  /** Of a grant that names fields: what the answer may hold. */
  readonly mask: AnswerMask | undefined;
  /** The only message of a unary call; absent for an open one. */
  readonly message: Uint8Array | undefined;
  /** Unix seconds at which the first of what the call rests on ends by itself, if anything does. */
  standsUntil(endsAtS: number | undefined): void;
  /** `refused` says why the call is to be denied: it has no status then. */
  done(refused: ReasonCode | undefined): void;
}

/** What an attempt commits to, and the openings that travel with the call. */
export interface CommittedCall {
  /** Encoded call statement. */
  readonly statement: Uint8Array;
  readonly seed: Uint8Array;
  /** Of an open call only the salt: its commitments follow. */
  readonly requestSalt: Uint8Array;
  readonly requestCommitment: Uint8Array | undefined;
  readonly openings: readonly OpeningItem[];
}

/** What belongs to one attempt. */
export interface Attempt extends CommittedCall {
  readonly link: LinkEnd;
  readonly carriage: Carriage;
  /** The carriage is a number on the link. */
  readonly shares: boolean;
  readonly received: ReceivedAnswer;
  readonly issued: IssuedCall;
  readonly name: AttemptName;
  readonly key: string;
}

/** Encodes the statement of an attempt under a new seed, so that no two attempts share a commitment. */
export function commitToCall(
  call: Pick<ExchangeOptions, "ports" | "resolved" | "headers" | "message" | "metadata"> & {
    readonly xid: Uint8Array;
    readonly attempt: number;
  },
): CommittedCall {
  const { resolved, headers, message, metadata, xid, attempt } = call;
  const seed = call.ports.random(32);
  const requestSalt = deriveSalt(seed, "request");
  const openings: OpeningItem[] = [
    { label: "request", salt: requestSalt, value: new Uint8Array() },
  ];
  const requestCommitment =
    message === undefined
      ? undefined
      : commit({ label: "request", salt: requestSalt, value: transcriptOf(headers, [message]) });
  const committed: { case?: Uint8Array; official?: Uint8Array; idempotency?: Uint8Array } = {};
  for (const label of ["case", "official", "idempotency"] as const) {
    const sent = metadata[label];
    if (sent === undefined) continue;
    const { salt, commitment } = commitUnderSeed({ seed, label, value: sent });
    committed[label] = commitment;
    openings.push({ label, salt, value: sent });
  }
  const statement = encodeCallStatement(
    createMessage(CallStatementSchema, {
      xid,
      attempt,
      service: resolved.service.id,
      method: resolved.method.path,
      grant: { ...resolved.grant.standing.address },
      purpose: resolved.purpose,
      ...(requestCommitment === undefined ? { open: true } : { request: requestCommitment }),
      ...committed,
    }),
  );
  return { statement, seed, requestSalt, requestCommitment, openings };
}

/** What makes the call at the provider. */
export function frameOfCall(
  { issued, openings }: Attempt,
  { headers, incoming, message }: Pick<ExchangeOptions, "headers" | "incoming" | "message">,
  { elapsedMs, trace }: { readonly elapsedMs: number; readonly trace: string },
): FrameBody {
  const { timeoutMs } = incoming;
  return callFrame({
    call: issued.call,
    headers,
    message: message ?? new Uint8Array(),
    timeoutMs: timeoutMs === undefined ? 0 : Math.max(1, timeoutMs - Math.round(elapsedMs)),
    openings,
    trace,
  });
}

/** What the consumer keeps of an attempt to open its commitments; of a request that is still to come nothing but the salt. */
export function openingsOfCall(
  { name, openings, seed }: Attempt,
  headers: Uint8Array,
  message: Uint8Array | undefined,
): AttemptOpenings {
  const items = openings.map((item) =>
    item.label === "request" && message !== undefined
      ? { ...item, value: transcriptOf(headers, [message]) }
      : item,
  );
  return { xid: name.xid, attempt: name.attempt, side: "consumer", seed, items };
}

/** What the receipt of an attempt is checked against. */
export function sentCall(
  attempt: Attempt,
  request: ConsumerRequest | undefined,
  { resolved, ports }: Pick<ExchangeOptions, "resolved" | "ports">,
): SentCall {
  const { requestCommitment, requestSalt: salt } = attempt;
  const requestAt = (frames: bigint): Uint8Array | undefined => {
    if (request === undefined) return frames === 2n ? requestCommitment : undefined;
    const value = request.transcriptAt(Number(frames));
    return value === undefined ? undefined : commit({ label: "request", salt, value });
  };
  return {
    call: attempt.issued.call,
    oneAnswer: !resolved.method.server_streaming,
    unary: request === undefined,
    requestAt,
    grantJti: resolved.grant.jti,
    issuedAt: attempt.issued.issuedAt,
    maxStalenessMs: resolved.service.body.max_staleness_s * 1000,
    skewMs: (ports.replica.view().network?.bounds.skew_s ?? 0) * 1000,
  };
}
