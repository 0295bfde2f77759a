/** The provider's side of calls that come over links, and over streams beside them. */
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { CallFrame, Frame, Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import { exchangeHeldBytes, linkExchangesMax, linkRequestBytesMax } from "../base/limits.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import type { IncludedBatch } from "../ledger/ports.ts";
import { kindOfBatch } from "../record/batch.ts";
import { attemptsClosedIn } from "./consumer-closings.ts";
import { encodeAggregate } from "./consumer-records.ts";
import { failedFrame } from "./frames.ts";
import { ExpiryWatch } from "./expiry-watch.ts";
import { LeafCache } from "./leaf-cache.ts";
import { isOpenStateKey, openStateKey, parseOpenAttempt } from "./open-attempts.ts";
import { type LinkCarriage, linkCarriage } from "./link-carriage.ts";
import { Holding, PeerMemories } from "./peer-memory.ts";
import type { Carriage, CarriageListener, LinkEnd } from "./ports.ts";
import { ProviderAttempt } from "./provider-attempt.ts";
import { createJudged, type Judged } from "./provider-judge.ts";
import type { ProviderPorts } from "./provider-ports.ts";
import { encodeProviderClosed } from "./provider-records.ts";
import { RefusalLimiter } from "./refusal-limiter.ts";
import { statusOf } from "./status.ts";
import { UsedAttempts } from "./used-attempts.ts";

export type { ProviderPorts } from "./provider-ports.ts";

/** Handles what comes over one link. */
export interface LinkHandler {
  onFrame(frame: Frame): void;
  onLost(): void;
}

/** An entry of the journal's own state. */
interface OpenState {
  readonly key: string;
  readonly value: Uint8Array;
}

/** A consumer that says it has taken what was not sent gets no more of that answer. */
function creditParts(carriage: LinkCarriage, bytes: bigint): void {
  try {
    carriage.credit(bytes);
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    carriage.send(failedFrame(error.code));
    carriage.dropParts();
  }
}

export class ProviderSide {
  readonly #ports: ProviderPorts;
  readonly #used = new UsedAttempts();
  readonly #limiter = new RefusalLimiter();
  /** What is under way, with the peer's gateway and how far the call is judged. */
  readonly #open = new Map<ProviderAttempt, { readonly peer: string; readonly judged: Judged }>();
  readonly #tlsKeys = new Map<string, Uint8Array>();
  readonly #leaves: LeafCache;
  readonly #memories: PeerMemories;
  /** State keys of attempts of this start whose closing could not be sealed. */
  readonly #unsealed = new Set<string>();
  readonly #expiry: ExpiryWatch;

  constructor(ports: ProviderPorts, memories: PeerMemories = new PeerMemories()) {
    this.#ports = ports;
    this.#memories = memories;
    this.#leaves = new LeafCache(ports.verifier);
    this.#expiry = new ExpiryWatch(ports, () => this.recheckOpen());
  }

  /** Receipts that were released and are not acknowledged. */
  get unacknowledgedReceipts(): number {
    return this.#ports.unacknowledged.count;
  }

  /** Attempts that are under way. */
  get openAttempts(): number {
    return this.#open.size;
  }

  /** Takes the exchanges that come over a link. */
  serve(link: LinkEnd): LinkHandler {
    const attempts = new Map<bigint, CarriageListener>();
    this.#tlsKeys.set(link.peer, link.peerTlsKey);
    return {
      onFrame: ({ exchange, body }) => {
        if (body.case === undefined) return;
        // An acknowledgement may come when its attempt has ended, and on another link.
        if (body.case === "acknowledgement") return this.#acknowledged(link, body.value.proof);
        const begun = attempts.get(exchange);
        if (begun !== undefined) return begun.onFrame(body);
        if (body.case !== "call") return;
        const hasRoom = attempts.size < linkExchangesMax;
        // What is refused for want of room takes no place, and gives none back: its number may be another's by then.
        const closed = (): boolean => hasRoom && attempts.delete(exchange);
        const carriage = linkCarriage(link, exchange, closed);
        const attempt = this.#attempt(carriage, body.value, linkRequestBytesMax, hasRoom);
        if (!hasRoom) return attempt.start();
        attempts.set(exchange, {
          onFrame: (later) => {
            if (later.case === "credit") return creditParts(carriage, later.value.bytes);
            attempt.onFrame(later);
            // The attempt may have ended with an answer that is still on its way.
            if (later.case === "cancel") carriage.dropParts();
          },
          onLost: () => {
            attempt.onLost();
            carriage.lost();
          },
        });
        attempt.start();
      },
      onLost: () => {
        for (const attempt of [...attempts.values()]) attempt.onLost();
        attempts.clear();
      },
    };
  }

  /** Takes one exchange that has a stream of its own beside a link. */
  serveStream(carriage: Carriage): CarriageListener {
    let attempt: ProviderAttempt | undefined;
    return {
      onFrame: (body) => {
        if (attempt !== undefined) return attempt.onFrame(body);
        if (body.case !== "call") return;
        attempt = this.#attempt(carriage, body.value, this.#ports.messageBytesMax);
        attempt.start();
      },
      onLost: () => attempt?.onLost(),
    };
  }

  /**
   * A stream beside a link was refused for want of a place, before its call was read: to read it would be to
   * give it the place. There is no call to record, and it counts in the aggregate of its second.
   */
  streamRefused({ peer }: Pick<LinkEnd, "peer">): void {
    const { clock, events } = this.#ports;
    const reason = "BUSY";
    events.refused({ side: "provider", reason });
    const now = { unixMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    this.#limiter.count(peer, reason, now);
  }

  #attempt(
    carriage: Carriage,
    frame: CallFrame,
    requestBytesMax: number,
    hasPlace = true,
  ): ProviderAttempt {
    const { link } = carriage;
    const holding = new Holding(this.#memories.of(link.peer));
    const bytes = exchangeHeldBytes + frame.headers.length + frame.message.length;
    const hasRoom = hasPlace && holding.take(bytes);
    const judged = createJudged();
    const waits = this.#ports.unacknowledged.begun(link.peer);
    const attempt = new ProviderAttempt({
      ports: this.#ports,
      judged,
      used: this.#used,
      limiter: this.#limiter,
      carriage,
      frame,
      requestBytesMax,
      hasRoom,
      holding,
      released: (sealed, key, acknowledged) => waits.released(sealed, key, acknowledged),
      acknowledged: (proof) => this.#acknowledged(link, proof),
      unsealed: (key) => this.#unsealed.add(openStateKey(key)),
      standsUntil: (endsAtS) => this.#expiry.add(endsAtS),
      done: () => {
        this.#open.delete(attempt);
        waits.over();
        holding.end();
        carriage.close();
      },
    });
    this.#open.set(attempt, { peer: link.peer, judged });
    return attempt;
  }

  #acknowledged(link: LinkEnd, proof: Proof | undefined): void {
    const { events, replica } = this.#ports;
    const context = { replica, leaves: this.#leaves };
    if (!this.#ports.unacknowledged.acknowledged(proof, link, context)) {
      events.refused({ side: "provider", reason: "ACKNOWLEDGEMENT_INVALID" });
    }
  }

  /**
   * A batch was included. What its gateway has closed there and is open here ends: that gateway waits for nothing
   * more, whatever became of its cancellation, and what it has closed is to be closed on this side too. What rests on
   * something that was taken away there ends as well.
   */
  onIncluded({ header, records }: Pick<IncludedBatch, "header" | "records">): void {
    if (kindOfBatch(header) === "governance") this.recheckOpen();
    const closed = attemptsClosedIn(records);
    if (closed.size === 0) return;
    for (const [attempt, { peer, judged }] of [...this.#open]) {
      if (peer === header.gateway && closed.has(judged.key)) attempt.interrupt("peer-lost");
    }
  }

  /** Authority was taken away, here or on the ledger, or its time is over: what is open and rests on it ends. */
  recheckOpen(): void {
    for (const attempt of [...this.#open.keys()]) attempt.recheck();
  }

  /** Ends every attempt that is still open, at shutdown. */
  interruptAll(): void {
    for (const attempt of [...this.#open.keys()]) attempt.interrupt("shutdown");
  }

  /** Watches no more over what is open. */
  close(): void {
    this.#expiry.close();
  }

  /** Seals what the refusals of the past window counted; to be called twice a second. */
  flushRefusals(all = false): void {
    const { clock, events, random, sealer } = this.#ports;
    const counts = all ? this.#limiter.drainAll() : this.#limiter.drain(clock.monotonicMs());
    for (const count of counts) {
      const tlsKey = this.#tlsKeys.get(count.caller);
      if (tlsKey === undefined) continue;
      const caller = { peer: count.caller, tlsKey };
      const record = encodeAggregate({ ...count, side: "provider", caller });
      sealer
        .seal({ kind: "evidence", record, decidedAtMs: count.firstAtMs, states: [] })
        .catch((error: unknown) => events.internalError({ error, errorId: toHex(random(8)) }));
    }
  }

  /** Closes GATEWAY_RESTARTED what an earlier start of this gateway has opened and not closed. */
  async closeAfterRestart(states: Iterable<OpenState>): Promise<void> {
    await this.#closeLeft(states, "gateway-restarted");
  }

  /** Closes GATEWAY_ERROR, of these open attempts, those of this start whose closing could not be sealed. */
  async closeUnsealed(states: Iterable<OpenState>): Promise<void> {
    const unsealed = [...states].filter(({ key }) => this.#unsealed.has(key));
    await this.#closeLeft(unsealed, "gateway-error");
    for (const { key } of unsealed) this.#unsealed.delete(key);
  }

  /** Whether `closeUnsealed` has anything to do. */
  get hasUnsealed(): boolean {
    return this.#unsealed.size > 0;
  }

  async #closeLeft(
    states: Iterable<OpenState>,
    outcome: "gateway-restarted" | "gateway-error",
  ): Promise<void> {
    const { clock, random, sealer } = this.#ports;
    const sealing: Promise<unknown>[] = [];
    for (const { key, value } of states) {
      if (!isOpenStateKey(key)) continue;
      const record = encodeProviderClosed({
        ...parseOpenAttempt(value),
        outcome,
        decision: undefined,
        recheck: undefined,
        // How much of what was sealed has left is not known.
        frames: 0,
        // A record was durable, so that the upstream may have been called.
        upstreamCalled: true,
        reason: "NO_ANSWER",
        status: encodeMessage(StatusFrameSchema, statusOf("NO_ANSWER")),
        seed: random(32),
      });
      sealing.push(
        sealer.seal({ kind: "evidence", record, decidedAtMs: clock.nowMs(), states: [{ key }] }),
      );
    }
    // All of them have ended before it is tried again: none is sealed twice.
    const failed = (await Promise.allSettled(sealing)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }
}
