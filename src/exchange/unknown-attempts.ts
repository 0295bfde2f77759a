/**
 * Forgotten and invented attempts: a consumer answers every Opened, Receipt and Refusal that is final and
 * holds a token of its own but belongs to no attempt that it knows. Forgotten in a restart is
 * UNKNOWN_AFTER_RESTART; what this start cannot have forgotten, or does not verify, is DISPUTED.
 */
import { CausewayError } from "../base/errors.ts";
import { callTokenDigest, mayBeOf, openCallToken } from "../credential/call-token.ts";
import { defaultBounds } from "../credential/statements.ts";
import type { Call } from "../gen/causeway/record/v1/parts_pb.ts";
import { openCallStatement, verifyCallPath } from "../record/call-tree.ts";
import { type LedgerRecord, openRecord } from "../record/record.ts";
import type { IncludedBatch, StateChange } from "../ledger/ports.ts";
import { type AttemptName, encodeConsumerClosed } from "./consumer-records.ts";
import { type KnownAttempts, recordableMs } from "./known-attempts.ts";
import { type OwnJournal, wasClosed } from "./own-closings.ts";
import type { ExchangePorts } from "./ports.ts";
import { attemptKey } from "./used-attempts.ts";

export interface UnknownPorts extends ExchangePorts {
  /** Raw token keys that were ever this gateway's own. */
  ownTokenKeys(): readonly Uint8Array[];
  /** The own batches, in which an attempt may have been closed long ago. */
  readonly journal: OwnJournal;
}

interface Found {
  readonly key: string;
  /** Absent when the attempt is known. */
  readonly unknown: UnknownAttempt | undefined;
}

interface UnknownAttempt {
  readonly name: AttemptName;
  readonly issuedAt: number;
  /** Signature and path verify. */
  readonly genuine: boolean;
}

/**
 * The call in a record that puts an attempt on record at the provider. An attempt has one: what follows
 * an Opened names that record alone.
 */
function callOf({ body }: LedgerRecord): Call | undefined {
  switch (body.case) {
    case "opened":
      return body.value.begin?.call;
    case "receipt":
      return body.value.start.case === "begin" ? body.value.start.value.call : undefined;
    case "refusal":
      return body.value.call;
    default:
      return undefined;
  }
}

/** Batches that are looked through before everything else has its turn. */
const batchesBetweenTurns = 16n;

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
    const scan = (): Promise<void> => this.#scan();
    this.#running = this.#running.then(scan, scan);
    return this.#running;
  }

  async #scan(): Promise<void> {
    const { replica, self } = this.#ports;
    await this.#closeUnsealed();
    const final = replica.final();
    const size = final?.size ?? 0n;
    for (let index = this.#known.scanned; index < size; index++) {
      const batch = replica.batch(index);
      if (batch === undefined) return;
      if (batch.header.gateway !== self.gateway) await this.#scanBatch(batch);
      this.#known.scannedTo(index + 1n);
      // A long ledger is looked through beside the calls, not before them.
      if (index % batchesBetweenTurns === 0n) await this.#turn();
    }
    const bounds = replica.view().network?.bounds ?? defaultBounds;
    if (final !== undefined) this.#known.settled(final.timeMs - recordableMs(bounds));
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#ports.defer(resolve));
  }

  async #scanBatch(batch: IncludedBatch): Promise<void> {
    for (const bytes of batch.records) {
      const call = callOf(openRecord(bytes));
      const found = call === undefined ? undefined : this.#read(call);
      if (found === undefined) continue;
      if (found.unknown !== undefined) await this.#answer(found.key, found.unknown);
      this.#known.matched(found.key, batch.index);
    }
  }

  /** What a recorded call says of an attempt of this gateway; `undefined` when it is another's. */
  #read(call: Call): Found | undefined {
    const { self, verifier } = this.#ports;
    // Most of a ledger is of others: their tokens are not opened.
    if (!mayBeOf(call.token, self.gateway)) return undefined;
    try {
      const statement = openCallStatement(call.statement);
      const tokenDigest = callTokenDigest(call.token);
      const { index, path } = call;
      const key = attemptKey(tokenDigest, index);
      // The token of a known attempt is one that this gateway has signed.
      if (this.#known.has(key)) return { key, unknown: undefined };
      const { claims, jws } = openCallToken(call.token);
      if (claims.iss !== self.gateway) return undefined;
      const bound = verifyCallPath({
        statement: call.statement,
        index,
        count: claims.n,
        path,
        root: claims.root,
      });
      const signed = this.#ports
        .ownTokenKeys()
        .some((own) => verifier.verify(own, jws.signingInput, jws.signature));
      const name = { xid: statement.xid, attempt: statement.attempt, tokenDigest, index };
      return { key, unknown: { name, issuedAt: claims.iat, genuine: bound && signed } };
    } catch (error) {
      // The structure of a batch lets any token text stand; what is no token names no attempt.
      if (error instanceof CausewayError) return undefined;
      throw error;
    }
  }

  async #answer(key: string, { name, genuine, issuedAt }: UnknownAttempt): Promise<void> {
    if (genuine && (await this.#wasClosed(name, issuedAt))) return;
    const forgotten = genuine && issuedAt * 1000 < this.#ports.self.startedAtMs;
    const outcome = forgotten ? "unknown-after-restart" : "disputed";
    const states = this.#known.closing(key, this.#ports.clock.nowMs());
    try {
      await this.#seal(name, outcome, states);
    } catch (error) {
      this.#known.notSealed(key, states);
      throw error;
    }
  }

  /** A record that comes again is the provider's second one: this side has said what it has to say. */
  #wasClosed(name: AttemptName, issuedAt: number): Promise<boolean> {
    const { journal } = this.#ports;
    // Nothing about it was sealed before its token was issued, give or take a step of the clock.
    return wasClosed({ journal, turn: () => this.#turn() }, name, (issuedAt - 5) * 1000);
  }

  /** Closes what an earlier start left open, and what of this one found no way into the journal. */
  async #closeUnsealed(): Promise<void> {
    for (const { name, outcome, prevRecord } of this.#known.takeLeftOpen()) {
      const key = attemptKey(name.tokenDigest, name.index);
      const states = this.#known.closing(key, this.#ports.clock.nowMs());
      try {
        await this.#seal(name, outcome, states, prevRecord);
      } catch {
        // It is tried again with the next final checkpoint.
        this.#known.notSealed(key, states, name, outcome);
      }
    }
  }

  async #seal(
    name: AttemptName,
    outcome: "unknown-after-restart" | "disputed" | "gateway-error",
    states: readonly StateChange[],
    prevRecord?: Uint8Array,
  ): Promise<void> {
    const { clock, sealer } = this.#ports;
    const record = encodeConsumerClosed({
      name,
      outcome,
      refusal: undefined,
      reason: undefined,
      source: "gateway",
      status: undefined,
      nextAttempt: 0,
      prevRecord,
    });
    await sealer.seal({ kind: "evidence", record, decidedAtMs: clock.nowMs(), states });
    this.#known.sealed(states);
  }
}
