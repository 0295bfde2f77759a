/**
 * What the provider makes of a call frame before anything else happens: token, statement, single use,
 * catalogue, the values sent, the age of the ledger, grant and policy. Each failing step has its reason.
 */
import { agencyOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { CausewayError } from "../base/errors.ts";
import type { VerifiedCallToken } from "../credential/call-token.ts";
import type { ServiceMethod } from "../credential/statements.ts";
import type { CallFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { CallStatement, Decision, Obligations } from "../gen/causeway/record/v1/parts_pb.ts";
import {
  type Attempt as DecidedAttempt,
  checkGrant,
  type EarlyTaking,
} from "../policy/grant-check.ts";
import type { CallFacts } from "../policy/call-attributes.ts";
import type { DecisionOutcome } from "../policy/decide.ts";
import type { Reservation } from "../policy/quota.ts";
import type { RegistryView, ServiceFact } from "../registry/state.ts";
import type { ExchangePorts, LinkEnd, OpeningItem } from "./ports.ts";
import { isFrozen } from "./provider-gateways.ts";
import type { DenialStage, VerifiedCall } from "./provider-records.ts";
import { isStreaming } from "./resolve-call.ts";
import { checkSentValues, readCallStatement, type SentValues } from "./received-call.ts";
import type { LocalTakings } from "./recheck.ts";
import type { UnacknowledgedReceipts } from "./unacknowledged.ts";
import { metadataFault } from "./upstream-frames.ts";
import { attemptKey, type UsedAttempts } from "./used-attempts.ts";

export interface JudgePorts extends ExchangePorts {
  /**
   * Verifies a call token that the peer sent, in the order of RFC 8725; the reason of the step that
   * failed is the code of the CausewayError. Remembers signatures that verified.
   */
  verifyToken(token: string, issuer: string): Promise<VerifiedCallToken>;
  /**
   * What this gateway itself says of a call, for attributes of source `provider`; nothing without it. Rejects
   * with ATTRIBUTES_UNAVAILABLE, MALFORMED, BLOB_MISSING.
   */
  attributesOf?(
    service: ServiceFact,
    call: Pick<CallStatement, "method" | "purpose"> & { readonly facts: SentFacts },
    signal: AbortSignal,
  ): Promise<CallFacts["provider"]> | CallFacts["provider"];
  /** Decides under the newest final view; throws BLOB_MISSING. */
  decide(
    view: RegistryView,
    attempt: DecidedAttempt,
    early: readonly EarlyTaking[],
    call: CallFacts,
  ): DecisionOutcome;
  readonly localTakings: LocalTakings;
  /** Receipts that were released and wait for their acknowledgement. */
  readonly unacknowledged: Pick<UnacknowledgedReceipts, "overdue">;
}

/** What a call itself brings to its decision. */
export type SentFacts = Omit<CallFacts, "provider">;

/** How far the judging of a call came; a later member is set only when the earlier ones are. */
export interface Judged {
  /** Names the attempt once its token verified. */
  key: string;
  call: VerifiedCall | undefined;
  statement: CallStatement | undefined;
  /** Set when service and method stand in the catalogue. */
  service: ServiceFact | undefined;
  method: ServiceMethod | undefined;
  sent: SentValues | undefined;
  decision: Decision | undefined;
  obligations: Obligations | undefined;
  /** Of personal attributes that the decision rests on. */
  attributeOpenings: readonly OpeningItem[];
  /** Of a permit under a quota: ends with the attempt. */
  reservation: Reservation | undefined;
}

export type Judgement =
  | { readonly kind: "permitted" }
  | { readonly kind: "denied"; readonly stage: DenialStage; readonly reason: ReasonCode }
  /** Negotiation: nothing is recorded. */
  | { readonly kind: "nonce-stale" }
  | { readonly kind: "turned-away"; readonly reason: ReasonCode };

export function createJudged(): Judged {
  return {
    key: "",
    call: undefined,
    statement: undefined,
    service: undefined,
    method: undefined,
    sent: undefined,
    decision: undefined,
    obligations: undefined,
    attributeOpenings: [],
    reservation: undefined,
  };
}

function denied(stage: DenialStage, reason: ReasonCode): Judgement {
  return { kind: "denied", stage, reason };
}

/** How long a call waits at most for the replica to reach the grant that it names. */
const replicaWaitMsMax = 5000;

/** Waits until the final size reaches `size`; `false` when that took too long or the call ended. */
function reached(
  size: bigint,
  { replica, scheduler }: ExchangePorts,
  signal: AbortSignal,
): Promise<boolean> {
  if ((replica.final()?.size ?? 0n) >= size) return Promise.resolve(true);
  return new Promise((resolve) => {
    const finish = (result: boolean): void => {
      stop();
      cancelTimer();
      resolve(result);
    };
    const stop = replica.onFinal((final) => {
      if (final.size >= size) finish(true);
    });
    const cancelTimer = scheduler.after(replicaWaitMsMax, () => finish(false));
    signal.addEventListener("abort", () => finish(false), { once: true });
  });
}

/** Judges one call. What was established on the way is left in `judged`, for the record. */
export async function judgeCall(options: {
  readonly ports: JudgePorts;
  readonly used: UsedAttempts;
  readonly link: LinkEnd;
  readonly frame: CallFrame;
  readonly judged: Judged;
  /** Largest message that the carriage of the call may bring. */
  readonly requestBytesMax: number;
  readonly signal: AbortSignal;
}): Promise<Judgement> {
  const { ports, link, frame, judged } = options;
  let token: VerifiedCallToken;
  try {
    token = await ports.verifyToken(frame.token, link.peer);
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    return error.code === "NONCE_STALE" ? { kind: "nonce-stale" } : denied("token", error.code);
  }
  const statement = readCallStatement(frame, token.claims);
  if (statement === undefined) return denied("token", "CALL_STATEMENT_INVALID");
  const taken = takeUse(options, token);
  if (taken !== undefined) return denied("token", taken);
  judged.statement = statement;
  judged.call = {
    token: frame.token,
    statement: frame.statement,
    index: frame.index,
    path: frame.path,
  };
  const grantIndex = statement.grant?.index ?? 0n;
  const isReached = await reached(grantIndex + 1n, ports, options.signal);
  // A call that has ended meanwhile is decided no more: nothing would end what a permit reserves.
  if (!isReached || options.signal.aborted) {
    return { kind: "turned-away", reason: "LEDGER_BEHIND" };
  }
  return judgeAsPublished(options, statement);
}

/** How often the attributes of one call are looked up, where its service is published anew meanwhile. */
const lookupsMax = 3;

/** Judges the call by one publication of its service, from its method to its decision. */
async function judgeAsPublished(
  options: Parameters<typeof judgeCall>[0],
  statement: CallStatement,
): Promise<Judgement> {
  for (let lookups = 0; lookups < lookupsMax; lookups++) {
    const established = establishCall(options, statement);
    if (established.kind !== "established") return established;
    const { facts } = established;
    try {
      const provider = attributesOf(options, statement, facts);
      const said = provider instanceof Promise ? await provider : provider;
      if (isPublishedAnew(options)) continue;
      return decideCall(options, statement, { ...facts, provider: said });
    } catch (error) {
      if (!isPublishedAnew(options)) return judgementOf(error);
    }
  }
  return { kind: "turned-away", reason: "LEDGER_BEHIND" };
}

/** Whether the service is another one now than the call was established under. */
function isPublishedAnew({ ports, judged }: Parameters<typeof judgeCall>[0]): boolean {
  const before = (judged.service as ServiceFact).standing.address;
  const now = ports.replica.view().service((judged.service as ServiceFact).id)?.standing.address;
  return now?.index !== before.index || now.position !== before.position;
}

function takeUse(
  { ports, used, frame, judged }: Parameters<typeof judgeCall>[0],
  token: VerifiedCallToken,
): ReasonCode | undefined {
  const { clock, replica } = ports;
  const skewS = replica.view().network?.bounds.skew_s ?? 0;
  const lifeMs = (token.claims.exp + skewS) * 1000 - clock.nowMs();
  judged.key = attemptKey(token.digest, frame.index);
  const use = used.use(judged.key, clock.monotonicMs(), Math.max(0, lifeMs));
  if (use === "used") return "TOKEN_REPLAYED";
  return use === "full" ? "BUSY" : undefined;
}

type Established = { readonly kind: "established"; readonly facts: SentFacts };

/** What does not rest on the moment: service and method, the values sent, sizes. */
function establishCall(
  { ports, link, frame, judged, requestBytesMax }: Parameters<typeof judgeCall>[0],
  statement: CallStatement,
): Established | Judgement {
  const unknown = findMethod(ports, statement, judged);
  if (unknown !== undefined) return denied("grant", unknown);
  if (statement.open !== isStreaming(judged.method as ServiceMethod)) {
    return denied("token", "CALL_STATEMENT_INVALID");
  }
  const sent = checkSentValues(frame, statement);
  if (typeof sent === "string") return denied("token", sent);
  judged.sent = sent;
  if (frame.message.length > requestBytesMax) return denied("limit", "MESSAGE_TOO_LARGE");
  const consumer = agencyOf(link.peer);
  const fault = metadataFault({ received: frame.headers, statement, consumer, sent });
  if (fault !== undefined) return denied("limit", fault);
  const facts = {
    consumerGateway: link.peer,
    attempt: statement.attempt,
    case: sent.case,
    official: sent.official,
    idempotency: sent.idempotency,
    request: statement.open ? undefined : frame.message,
  };
  return { kind: "established", facts };
}

/** Finds service and method in the newest final view; or why there are none. */
function findMethod(
  { replica, self }: JudgePorts,
  statement: CallStatement,
  judged: Judged,
): ReasonCode | undefined {
  const service = replica.view().service(statement.service);
  if (service === undefined || agencyOf(service.id) !== self.agency) return "SERVICE_UNKNOWN";
  const method = service.body.methods.find(({ path }) => path === statement.method);
  if (method === undefined) return "METHOD_UNKNOWN";
  judged.service = service;
  judged.method = method;
  return undefined;
}

/** What is looked up for a call; nothing for one that is denied without it. */
function attributesOf(
  { ports, judged, signal }: Parameters<typeof judgeCall>[0],
  statement: CallStatement,
  facts: SentFacts,
): ReturnType<NonNullable<JudgePorts["attributesOf"]>> {
  const service = judged.service as ServiceFact;
  if (!service.body.attributes.some(({ source }) => source === "provider")) return {};
  const { attempt, early } = attemptOf(ports, statement, facts);
  if (checkGrant(ports.replica.view(), attempt, early).reason !== undefined) return {};
  const { method, purpose } = statement;
  return ports.attributesOf?.(service, { method, purpose, facts }, signal) ?? {};
}

/** The attempt as it is decided now, with the takings that only this gateway knows of. */
function attemptOf(
  { clock, localTakings, replica }: JudgePorts,
  { grant: named, service, method, purpose }: CallStatement,
  { consumerGateway }: SentFacts,
): { readonly attempt: DecidedAttempt; readonly early: readonly EarlyTaking[] } {
  const grant = { index: named?.index ?? 0n, position: named?.position ?? 0 };
  const fact = replica.view().grantAt(grant);
  const record = fact === undefined ? undefined : localTakings.get(fact.jti);
  const evaluatedAtS = Math.floor(clock.nowMs() / 1000);
  return {
    attempt: { consumerGateway, service, method, purpose, grant, evaluatedAtS },
    early: record === undefined ? [] : [{ taken: grant, record }],
  };
}

/** What was looked up may have taken its time: all else that rests on the moment is looked at from here on. */
function decideCall(
  { ports, judged, signal }: Parameters<typeof judgeCall>[0],
  statement: CallStatement,
  call: CallFacts,
): Judgement {
  if (signal.aborted) return { kind: "turned-away", reason: "LEDGER_BEHIND" };
  const { clock, replica } = ports;
  const { max_staleness_s } = (judged.service as ServiceFact).body;
  const nowMs = clock.nowMs();
  const final = replica.final();
  if (final === undefined || nowMs - final.timeMs > max_staleness_s * 1000) {
    return denied("evidence", "STALE_REPLICA");
  }
  if (isFrozen(replica.state(), call.consumerGateway)) return denied("evidence", "CHAIN_FROZEN");
  if (ports.unacknowledged.overdue(agencyOf(call.consumerGateway), nowMs)) {
    return denied("evidence", "ACKNOWLEDGEMENT_OVERDUE");
  }
  const { attempt, early } = attemptOf(ports, statement, call);
  const outcome = ports.decide(replica.view(), attempt, early, call);
  judged.decision = outcome.decision;
  judged.obligations = outcome.obligations;
  judged.attributeOpenings = outcome.openings ?? [];
  judged.reservation = outcome.reservation;
  if (outcome.verdict === "permit" && outcome.obligations !== undefined)
    return { kind: "permitted" };
  return denied(outcome.stage, outcome.reason ?? "POLICY_DENIED");
}

/** What it means for a call that its attributes or its decision could not be had. */
function judgementOf(error: unknown): Judgement {
  if (!(error instanceof CausewayError)) throw error;
  switch (error.code) {
    case "MALFORMED":
      return denied("limit", "MALFORMED");
    case "ATTRIBUTES_UNAVAILABLE":
      return denied("policy", "ATTRIBUTES_UNAVAILABLE");
    // A blob that is missing here is no verdict on the caller.
    case "BLOB_MISSING":
      return { kind: "turned-away", reason: "LEDGER_BEHIND" };
    // Nor is a publication whose descriptors do not hold its methods.
    case "DESCRIPTOR_INVALID":
      return { kind: "turned-away", reason: "DESCRIPTOR_INVALID" };
    default:
      throw error;
  }
}
