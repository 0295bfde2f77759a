/** The provider's side of calls that come over multiplexed links. */
import { toBinary } from "@bufbuild/protobuf";
import { toHex } from "../base/bytes.ts";
import { StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { Frame, Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import { linkExchangesMax } from "../base/limits.ts";
import { encodeAggregate } from "./consumer-records.ts";
import { failedFrame } from "./frames.ts";
import { LeafCache } from "./leaf-cache.ts";
import { isOpenStateKey, openStateKey, parseOpenAttempt } from "./open-attempts.ts";
import type { LinkEnd } from "./ports.ts";
import { ProviderAttempt } from "./provider-attempt.ts";
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

export class ProviderSide {
  readonly #ports: ProviderPorts;
  readonly #used = new UsedAttempts();
  readonly #limiter = new RefusalLimiter();
  readonly #open = new Set<ProviderAttempt>();
  readonly #tlsKeys = new Map<string, Uint8Array>();
  readonly #leaves: LeafCache;
  /** State keys of attempts of this start whose closing could not be sealed. */
  readonly #unsealed = new Set<string>();

  constructor(ports: ProviderPorts) {
    this.#ports = ports;
    this.#leaves = new LeafCache(ports.verifier);
  }

  /** Receipts that were released and are not acknowledged. */
  get unacknowledgedReceipts(): number {
    return this.#ports.unacknowledged.count;
  }

  /** Attempts that are under way. */
  get openAttempts(): number {
    return this.#open.size;
  }

  serve(link: LinkEnd): LinkHandler {
    const attempts = new Map<bigint, ProviderAttempt>();
    this.#tlsKeys.set(link.peer, link.peerTlsKey);
    return {
      onFrame: ({ exchange, body }) => {
        if (body.case === "cancel") return attempts.get(exchange)?.interrupt("cancelled");
        if (body.case === "acknowledgement") return this.#acknowledged(link, body.value.proof);
        if (body.case !== "call" || attempts.has(exchange)) return;
        if (attempts.size >= linkExchangesMax) return link.send(exchange, failedFrame("BUSY"));
        const attempt = new ProviderAttempt({
          ports: this.#ports,
          used: this.#used,
          limiter: this.#limiter,
          link,
          exchange,
          frame: body.value,
          released: (sealed, key) =>
            this.#ports.unacknowledged.released(link.peer, sealed, undefined, key),
          unsealed: (key) => this.#unsealed.add(openStateKey(key)),
          done: () => {
            attempts.delete(exchange);
            this.#open.delete(attempt);
          },
        });
        attempts.set(exchange, attempt);
        this.#open.add(attempt);
        attempt.start();
      },
      onLost: () => {
        for (const attempt of [...attempts.values()]) attempt.interrupt("peer-lost");
      },
    };
  }

  #acknowledged(link: LinkEnd, proof: Proof | undefined): void {
    const { events, replica } = this.#ports;
    const context = { replica, leaves: this.#leaves };
    if (!this.#ports.unacknowledged.acknowledged(proof, link, context)) {
      events.refused({ side: "provider", reason: "ACKNOWLEDGEMENT_INVALID" });
    }
  }

  /** Ends every attempt that is still open, at shutdown. */
  interruptAll(): void {
    for (const attempt of [...this.#open]) attempt.interrupt("shutdown");
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
        // Opened was durable, so that the upstream may have been called.
        upstreamCalled: true,
        reason: "NO_ANSWER",
        status: toBinary(StatusFrameSchema, statusOf("NO_ANSWER")),
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
