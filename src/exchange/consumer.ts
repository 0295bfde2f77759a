/**
 * The consumer's side: takes a call of an agency system, resolves it against the ledger, refuses it here
 * or carries it to the provider's gateway.
 */
import { parseHex, toHex, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { transcriptOf } from "../crypto/transcript.ts";
import { MetadataSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { Frame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { AnswerMask } from "./answer-mask.ts";
import { type CallMetadata, readCallMetadata, withoutReserved } from "./call-metadata.ts";
import type { Attempt, ConsumerPorts } from "./consumer-attempt.ts";
import { ConsumerExchange } from "./consumer-exchange.ts";
import { encodeAggregate, encodeConsumerRefusal } from "./consumer-records.ts";
import { acknowledgementOf } from "./consumer-sealing.ts";
import type { IncludedBatch, SealedRecord } from "../ledger/ports.ts";
import { kindOfBatch } from "../record/batch.ts";
import { formatHandle } from "../record/handle.ts";
import { ExpiryWatch } from "./expiry-watch.ts";
import { acknowledgementFrame } from "./frames.ts";
import { KnownAttempts } from "./known-attempts.ts";
import { LeafCache } from "./leaf-cache.ts";
import { LinkExchanges } from "./link-exchanges.ts";
import type { LinkEnd } from "./ports.ts";
import { areFrozen } from "./provider-gateways.ts";
import { RefusalLimiter } from "./refusal-limiter.ts";
import { commitToRefused } from "./refusal-openings.ts";
import {
  type AgencySystem,
  isStreaming,
  resolveCall,
  type ResolvedCall,
  type Unresolved,
} from "./resolve-call.ts";
import { statusOf } from "./status.ts";
import type { IncomingCall } from "./transport/ports.ts";
import { readUnary } from "./transport/read-unary.ts";

/** Bytes of an answer besides its message: metadata, status, and the record with its proof. */
const answerOverheadBytes = 1024 * 1024;

interface ReadRequest {
  readonly metadata: CallMetadata;
  /** Encoded Metadata without reserved entries. */
  readonly headers: Uint8Array;
}

export class ConsumerSide {
  readonly #ports: ConsumerPorts;
  readonly #known: KnownAttempts;
  readonly #limiter = new RefusalLimiter();
  readonly #leaves: LeafCache;
  readonly #links = new Map<LinkEnd, LinkExchanges>();
  readonly #open = new Set<ConsumerExchange>();
  readonly #expiry: ExpiryWatch;

  constructor(ports: ConsumerPorts, known: KnownAttempts) {
    this.#ports = ports;
    this.#known = known;
    this.#leaves = new LeafCache(ports.verifier);
    this.#expiry = new ExpiryWatch(ports, () => this.recheckOpen());
  }

  /** Exchanges that are under way. */
  get openExchanges(): number {
    return this.#open.size;
  }

  /** A frame of the provider on a link that `connect` gave. */
  onFrame(link: LinkEnd, frame: Frame): void {
    this.#links.get(link)?.onFrame(frame);
  }

  onLinkLost(link: LinkEnd): void {
    const exchanges = this.#links.get(link);
    this.#links.delete(link);
    exchanges?.lost();
  }

  /** A batch was included: what is open and rests on something that was taken away there ends. */
  onIncluded({ header }: Pick<IncludedBatch, "header">): void {
    if (kindOfBatch(header) === "governance") this.recheckOpen();
  }

  /** Authority was taken away, here or on the ledger, or its time is over: what is open and rests on it ends. */
  recheckOpen(): void {
    for (const exchange of [...this.#open]) exchange.recheck();
  }

  /** Watches no more over what is open. */
  close(): void {
    this.#expiry.close();
  }

  /** Carries one call of an agency system. Resolves when its status has been given to the transport. */
  async handle(call: IncomingCall, system: AgencySystem): Promise<void> {
    const request = this.#readMetadata(call);
    if ("reason" in request) return this.#refuse(call, system, request);
    const { clock, replica, self } = this.#ports;
    const resolved = resolveCall({
      view: replica.view(),
      gateway: self.gateway,
      agency: self.agency,
      system,
      path: call.path,
      service: request.metadata.service,
      purpose: request.metadata.purpose,
      evaluatedAt: Math.floor(clock.nowMs() / 1000),
    });
    if ("reason" in resolved) return this.#refuse(call, system, resolved);
    if (call.unsupported !== undefined) {
      return this.#refuse(call, system, catalogued(call.unsupported));
    }
    if (areFrozen(agencyOf(resolved.service.id), replica)) {
      const reason = "CHAIN_FROZEN";
      return this.#refuse(call, system, { stage: "evidence", reason, catalogued: true });
    }
    const mask = this.#maskOf(resolved);
    if (mask !== undefined && "reason" in mask) return this.#refuse(call, system, mask);
    const message = await this.#readRequest(call, resolved);
    if (message !== undefined && "reason" in message) return this.#refuse(call, system, message);
    const refused = await new Promise<ReasonCode | undefined>((done) => {
      const exchange = new ConsumerExchange({
        ports: this.#ports,
        known: this.#known,
        leaves: this.#leaves,
        exchangesOf: (link) => this.#exchangesOf(link),
        acknowledged: (attempt, sealed) => this.#acknowledged(attempt, sealed),
        incoming: call,
        system,
        resolved,
        ...request,
        mask,
        message: message?.bytes,
        standsUntil: (endsAtS) => this.#expiry.add(endsAtS),
        done: (reason) => {
          this.#open.delete(exchange);
          done(reason);
        },
      });
      this.#open.add(exchange);
      exchange.start();
    });
    if (refused === undefined) return;
    await this.#refuse(call, system, { stage: "grant", reason: refused, catalogued: true });
  }

  /** Seals what the refusals of the past window counted; to be called twice a second. */
  flushRefusals(all = false): void {
    const { clock, sealer, events, random } = this.#ports;
    const counts = all ? this.#limiter.drainAll() : this.#limiter.drain(clock.monotonicMs());
    for (const count of counts) {
      const record = encodeAggregate({
        side: "consumer",
        ...count,
        caller: { system: count.caller },
      });
      sealer
        .seal({ kind: "evidence", record, decidedAtMs: count.firstAtMs, states: [] })
        .catch((error: unknown) => events.internalError({ error, errorId: toHex(random(8)) }));
    }
  }

  #exchangesOf(link: LinkEnd): LinkExchanges {
    let exchanges = this.#links.get(link);
    if (exchanges === undefined) {
      const ports = this.#ports;
      exchanges = new LinkExchanges({
        link,
        issue: (root, n) => ports.issueToken(link, root, n),
        defer: (work) => ports.defer(work),
        answerBytesMax: () => ports.messageBytesMax + answerOverheadBytes,
      });
      this.#links.set(link, exchanges);
      // The link before it may have ended with acknowledgements on their way.
      for (const proof of ports.sent.forLink(link)) link.send(0n, acknowledgementFrame(proof));
    }
    return exchanges;
  }

  #readMetadata(call: IncomingCall): ReadRequest | Unresolved {
    try {
      const metadata = readCallMetadata(call.headers);
      const headers = encodeMessage(MetadataSchema, withoutReserved(call.headers));
      return { metadata, headers };
    } catch (error) {
      if (error instanceof CausewayError) return local(error.code);
      throw error;
    }
  }

  /** The mask of the grant, which the answer is held against here too. */
  #maskOf({ service, method, grant }: ResolvedCall): AnswerMask | Unresolved | undefined {
    const { fields, metadata = [] } = grant.detail;
    if (fields === undefined) return undefined;
    try {
      const descriptor = parseHex(service.body.descriptor) as Uint8Array;
      const messages = this.#ports.masks.get({ descriptor, method: method.path, paths: fields });
      return { messages, metadata };
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      return catalogued(error.code === "BLOB_MISSING" ? "LEDGER_BEHIND" : error.code);
    }
  }

  /** The only message of a unary call. What has to be whole of any other is read too. */
  async #readRequest(
    call: IncomingCall,
    { method }: ResolvedCall,
  ): Promise<{ readonly bytes: Uint8Array } | Unresolved | undefined> {
    try {
      if (isStreaming(method)) return await call.readAhead?.();
      const bytes = await readUnary(call);
      const tooLarge = bytes.length > this.#ports.messageBytesMax;
      return tooLarge ? catalogued("MESSAGE_TOO_LARGE") : { bytes };
    } catch (error) {
      if (error instanceof CausewayError) return catalogued(error.code);
      throw error;
    }
  }

  /** Tells the provider: any link to it takes it, and a stream may have ended with its last segment. */
  #acknowledged({ carriage, link, shares }: Attempt, sealed: SealedRecord): void {
    this.#ports.sent.add(link.peer, sealed);
    const frame = acknowledgementOf(sealed);
    if (shares) carriage.send(frame);
    else link.send(0n, frame);
  }

  /** Denies a call here: the refusal is durable before the answer, up to the limit of single records. */
  async #refuse(call: IncomingCall, system: AgencySystem, refused: Unresolved): Promise<void> {
    const { clock, events, openings, random, sealer } = this.#ports;
    const { stage, reason, catalogued } = refused;
    events.refused({ side: "consumer", reason });
    const now = { unixMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    if (this.#limiter.admit(system.id, reason, now)) {
      const headers = encodeMessage(MetadataSchema, call.headers);
      const { openings: kept, ...commitments } = commitToRefused({
        side: "consumer",
        seed: random(32),
        atMs: now.unixMs,
        call: transcriptOf(headers, []),
        method: catalogued ? undefined : utf8(call.path),
      });
      if (kept !== undefined) openings.put(kept);
      const record = encodeConsumerRefusal({
        stage,
        reason,
        system: system.id,
        ...commitments,
        method: catalogued ? call.path : undefined,
      });
      try {
        const queued = { kind: "evidence", record, decidedAtMs: now.unixMs, states: [] } as const;
        const sealed = await sealer.seal(queued);
        return call.end(statusOf(reason, recordField(sealed)));
      } catch (error) {
        if (!(error instanceof CausewayError)) throw error;
        return call.end(statusOf(error.code));
      }
    }
    call.end(statusOf(reason));
  }
}

/** The method stands in the catalogue: it may be recorded. */
function catalogued(reason: ReasonCode): Unresolved {
  return { stage: "local", reason, catalogued: true };
}

function local(reason: ReasonCode): Unresolved {
  return { stage: "local", reason, catalogued: false };
}

/** By it an operator finds what a caller complains about. One that the aggregate of its second counts has no record. */
function recordField(sealed: SealedRecord | undefined): Readonly<Record<string, string>> {
  return sealed === undefined ? {} : { record: formatHandle(sealed.leafHash, sealed.position) };
}
