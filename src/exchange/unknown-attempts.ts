/**
 * Forgotten and invented attempts: a consumer answers every Opened, Receipt and Refusal that is final and
 * holds a token of its own but belongs to no attempt that it knows. Forgotten in a restart is
 * UNKNOWN_AFTER_RESTART; what this start cannot have forgotten, or does not verify, is DISPUTED.
 */
import { CausewayError } from "../base/errors.ts";
import { callTokenDigest, openCallToken } from "../credential/call-token.ts";
import type { Call } from "../gen/causeway/record/v1/parts_pb.ts";
import { openCallStatement, verifyCallPath } from "../record/call-tree.ts";
import { type LedgerRecord, openRecord } from "../record/record.ts";
import type { IncludedBatch } from "../ledger/ports.ts";
import { type AttemptName, encodeConsumerClosed } from "./consumer-records.ts";
import type { KnownAttempts } from "./known-attempts.ts";
import type { ExchangePorts } from "./ports.ts";
import { attemptKey } from "./used-attempts.ts";

export interface UnknownPorts extends ExchangePorts {
  /** Raw token keys that were ever this gateway's own. */
  ownTokenKeys(): readonly Uint8Array[];
}

interface Found {
  readonly name: AttemptName;
  readonly key: string;
  readonly issuedAt: number;
  /** Signature and path verify. */
  readonly genuine: boolean;
}

function callOf(
  record: LedgerRecord,
): { readonly call: Call; readonly closes: boolean } | undefined {
  const { body } = record;
  if (body.case === "opened" && body.value.begin?.call !== undefined) {
    return { call: body.value.begin.call, closes: false };
  }
  if (body.case === "receipt" && body.value.start.case === "begin") {
    const { call } = body.value.start.value;
    return call === undefined ? undefined : { call, closes: body.value.final };
  }
  if (body.case === "refusal" && body.value.call !== undefined) {
    return { call: body.value.call, closes: true };
  }
  return undefined;
}

/** Goes through what becomes final and answers what is unknown, once. */
export class UnknownAttempts {
  readonly #ports: UnknownPorts;
  readonly #known: KnownAttempts;
  #running: Promise<void> = Promise.resolve();

  constructor(ports: UnknownPorts, known: KnownAttempts) {
    this.#ports = ports;
    this.#known = known;
  }

  /** Scans up to the newest final size; one scan at a time. */
  scan(): Promise<void> {
    this.#running = this.#running.then(() => this.#scan());
    return this.#running;
  }

  async #scan(): Promise<void> {
    const { replica, self } = this.#ports;
    const size = replica.final()?.size ?? 0n;
    for (let index = this.#known.scanned; index < size; index++) {
      const batch = replica.batch(index);
      if (batch === undefined) return;
      if (batch.header.gateway !== self.gateway) await this.#scanBatch(batch);
      this.#known.scannedTo(index + 1n);
    }
  }

  async #scanBatch(batch: IncludedBatch): Promise<void> {
    for (const bytes of batch.records) {
      const held = callOf(openRecord(bytes));
      if (held === undefined) continue;
      const found = this.#read(held.call);
      if (found === undefined) continue;
      if (!this.#known.has(found.key)) await this.#answer(found);
      if (held.closes) this.#known.matched(found.key);
    }
  }

  /** What a recorded call says of an attempt of this gateway; `undefined` when it is another's. */
  #read(call: Call): Found | undefined {
    const { self, verifier } = this.#ports;
    try {
      const { claims, jws } = openCallToken(call.token);
      if (claims.iss !== self.gateway) return undefined;
      const statement = openCallStatement(call.statement);
      const tokenDigest = callTokenDigest(call.token);
      const { index, path } = call;
      const bound = verifyCallPath({
        statement: call.statement,
        index,
        count: claims.n,
        path,
        root: claims.root,
      });
      const signed = this.#ports
        .ownTokenKeys()
        .some((key) => verifier.verify(key, jws.signingInput, jws.signature));
      return {
        name: { xid: statement.xid, attempt: statement.attempt, tokenDigest, index },
        key: attemptKey(tokenDigest, index),
        issuedAt: claims.iat,
        genuine: bound && signed,
      };
    } catch (error) {
      // The structure of a batch lets any token text stand; what is no token names no attempt.
      if (error instanceof CausewayError) return undefined;
      throw error;
    }
  }

  async #answer(found: Found): Promise<void> {
    const { clock, sealer, self } = this.#ports;
    const forgotten = found.genuine && found.issuedAt * 1000 < self.startedAtMs;
    const record = encodeConsumerClosed({
      name: found.name,
      outcome: forgotten ? "unknown-after-restart" : "disputed",
      refusal: undefined,
      reason: undefined,
      source: "gateway",
      status: undefined,
      nextAttempt: 0,
    });
    const states = this.#known.closing(found.key);
    await sealer.seal({ kind: "evidence", record, decidedAtMs: clock.nowMs(), states });
  }
}
