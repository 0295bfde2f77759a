/** What the journals of both sides say of each attempt, and what callers have of it: kept beside the product. */
import { toHex } from "../../src/base/bytes.ts";
import { formatUuid } from "../../src/base/ids.ts";
import { callTokenDigest, openCallToken } from "../../src/credential/call-token.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import type { CallFrame } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import type { Begin, Call } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  Check,
  type Closed,
  Outcome,
  type Receipt,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { type LedgerRecord, recordHash } from "../../src/record/record.ts";
import type { SimCaller } from "./exchange-caller.ts";
import type { ExchangeChecker } from "./exchange-checker.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import type { SimProcess } from "./exchange-process.ts";
import { readRecord } from "./exchange-records.ts";
import type { ExchangeSim } from "./exchange-sim.ts";

/** What a provider's journal says of one attempt. */
interface Provided {
  readonly key: string;
  readonly issuer: string;
  readonly grant: string;
  readonly window: number;
  receipts: number;
  frames: bigint;
  closings: number;
}

/** What a consumer's journal says of one attempt. */
interface Consumed {
  acknowledged: number;
  closings: number;
  /** It ended with what the consumer says of an answer, and not with a caller or link that was gone. */
  isJudged: boolean;
}

/** What it let be handed over, by exchange. */
interface Acknowledged {
  frames: number;
  isFinal: boolean;
}

export class AttemptBooks {
  readonly #sim: ExchangeSim;
  readonly #checker: Pick<ExchangeChecker, "counts" | "doubts" | "fail" | "owed">;
  readonly #provided = new Map<string, Provided>();
  readonly #byRecord = new Map<string, Provided>();
  readonly #consumed = new Map<SimGateway, Map<string, Consumed>>();
  readonly #acknowledged = new Map<SimGateway, Map<string, Acknowledged>>();
  /** Frames that callers have, by exchange. */
  readonly #taken = new Map<string, number>();
  /** Exchanges whose answers pass a mask. */
  readonly #masked = new Set<string>();
  /** Whether what carries an attempt is lost for the consumer. */
  readonly #carried = new Map<string, () => boolean>();

  constructor(
    sim: ExchangeSim,
    checker: Pick<ExchangeChecker, "counts" | "doubts" | "fail" | "owed">,
  ) {
    this.#sim = sim;
    this.#checker = checker;
  }

  /** The attempt of an Opened or a receipt, which need not be durable. */
  attemptOf(record: Uint8Array): string | undefined {
    const { body } = readRecord(record);
    const { start } = body.case === "receipt" ? body.value : {};
    const begin = body.case === "opened" ? body.value.begin : undefined;
    const { call } = begin ?? (start?.case === "begin" ? start.value : {});
    if (call !== undefined) return keyOf(call.token, call.index);
    return start?.case === "prevRecord"
      ? this.#byRecord.get(toHex(start.value.hash))?.key
      : undefined;
  }

  /** Whether a consumer has ended this attempt with what it says of an answer. */
  hasJudged(attempt: string): boolean {
    return [...this.#consumed.values()].some((attempts) => attempts.get(attempt)?.isJudged);
  }

  isMasked(xid: string): boolean {
    return this.#masked.has(xid);
  }

  /** A consumer calls on what may be lost later. */
  called({ token, index }: CallFrame, isLost: () => boolean): void {
    this.#carried.set(keyOf(token, index), isLost);
  }

  /** The grant of a record that is sealed, or is to be. */
  grantOf(body: Extract<LedgerRecord["body"], { case: "opened" | "receipt" }>): string | undefined {
    if (body.case === "opened") return body.value.begin?.decision?.grantJti;
    const { start } = body.value;
    if (start.case === "begin") return start.value.decision?.grantJti;
    return start.case === "prevRecord"
      ? this.#byRecord.get(toHex(start.value.hash))?.grant
      : undefined;
  }

  #provide(key: string, token: string, grant: string, window: number): Provided {
    const known = this.#provided.get(key);
    if (known !== undefined) {
      if (this.#sim.provider.lies === undefined)
        this.#checker.fail(`the provider begins ${key} twice`);
      return known;
    }
    const { iss: issuer } = openCallToken(token).claims;
    const made = { key, issuer, grant, window, receipts: 0, frames: 0n, closings: 0 };
    this.#provided.set(key, made);
    return made;
  }

  /** An Opened, or the first receipt. */
  begin(record: Uint8Array, begin: Begin | undefined): Provided | undefined {
    const { call, decision, obligations } = begin ?? {};
    if (call === undefined) return undefined;
    const key = keyOf(call.token, call.index);
    if ((obligations?.maskPaths.length ?? 0) > 0) this.#masked.add(xidOf({ call }));
    const window = obligations?.window ?? 0;
    const provided = this.#provide(key, call.token, decision?.grantJti ?? "", window);
    this.#byRecord.set(toHex(recordHash(record)), provided);
    return provided;
  }

  receipt(
    gateway: SimGateway,
    { record, handle }: { readonly record: Uint8Array; readonly handle: string },
    { start, progress, final }: Receipt,
  ): void {
    this.#checker.counts.receipts += 1;
    const provided =
      start.case === "begin"
        ? this.begin(record, start.value)
        : start.case === "prevRecord"
          ? this.#byRecord.get(toHex(start.value.hash))
          : undefined;
    if (provided === undefined) {
      if (gateway.lies === undefined)
        this.#checker.fail(`${gateway.name} has a receipt that follows nothing`);
      return;
    }
    this.#byRecord.set(toHex(recordHash(record)), provided);
    provided.receipts += 1;
    provided.frames = progress?.framesEnd ?? 0n;
    const { key: attempt, issuer: peer } = provided;
    this.#checker.owed.sealed({ handle, attempt, peer });
    if (final) this.#closeProvided(provided);
    const consumer = this.#sim.gatewayOf(provided.issuer);
    const acknowledged = this.#consumedOf(consumer).get(provided.key)?.acknowledged ?? 0;
    const ahead = provided.receipts - acknowledged;
    if (gateway.lies === undefined && ahead > Math.max(1, provided.window)) {
      this.#checker.fail(`${gateway.name} is ${ahead} segments ahead of what is acknowledged`);
    }
  }

  /** The provider refuses a call before it has it on record. */
  refused({ token, index }: Pick<Call, "token" | "index">): void {
    this.#closeProvided(this.#provide(keyOf(token, index), token, "", 0));
  }

  #closeProvided(provided: Provided): void {
    provided.closings += 1;
    if (provided.closings > 1 && this.#sim.provider.lies === undefined) {
      this.#checker.fail(`the provider closed ${provided.key} twice`);
    }
  }

  #consumedOf(gateway: SimGateway): Map<string, Consumed> {
    const known = this.#consumed.get(gateway) ?? new Map<string, Consumed>();
    this.#consumed.set(gateway, known);
    return known;
  }

  #consume(gateway: SimGateway, { tokenDigest, index }: Acknowledgement | Closed): Consumed {
    const attempts = this.#consumedOf(gateway);
    const key = attemptKey(tokenDigest, index);
    const known = attempts.get(key) ?? { acknowledged: 0, closings: 0, isJudged: false };
    attempts.set(key, known);
    return known;
  }

  #closeConsumed(gateway: SimGateway, consumed: Consumed): void {
    consumed.closings += 1;
    if (consumed.closings > 1 && gateway.lies === undefined) {
      this.#checker.fail(`${gateway.name} closed an attempt twice`);
    }
  }

  acknowledge(gateway: SimGateway, said: Acknowledgement): void {
    const consumed = this.#consume(gateway, said);
    consumed.acknowledged += 1;
    this.#checker.counts.acknowledged += 1;
    const isMatch = said.check === Check.MATCH;
    if (consumed.closings > 0 && gateway.lies === undefined) {
      this.#checker.fail(`${gateway.name} acknowledged what it had closed`);
    }
    if (said.final || !isMatch) {
      consumed.isJudged = true;
      this.#closeConsumed(gateway, consumed);
    }
    if (!isMatch) {
      if (this.#sim.provider.lies === undefined) {
        if (gateway.lies === undefined)
          this.#checker.fail(`${gateway.name} doubts an honest provider: ${said.check}`);
      } else this.#checker.doubts.push(`check ${said.check}`);
      return;
    }
    const provided = this.#provided.get(attemptKey(said.tokenDigest, said.index));
    const framesEnd = said.progress?.framesEnd ?? 0n;
    if (!this.#sim.isLying && (provided === undefined || provided.frames < framesEnd)) {
      this.#checker.fail(`${gateway.name} acknowledged more than is receipted`);
    }
    const exchanges = this.#acknowledged.get(gateway) ?? new Map<string, Acknowledged>();
    this.#acknowledged.set(gateway, exchanges);
    exchanges.set(formatUuid(said.xid), { frames: Number(framesEnd), isFinal: said.final });
  }

  closed(gateway: SimGateway, closed: Closed): void {
    if (closed.side === Side.CONSUMER) {
      const isProofInvalid = closed.outcome === Outcome.PROOF_INVALID;
      if (isProofInvalid && gateway.lies === undefined) {
        if (this.#sim.provider.lies !== undefined) this.#checker.doubts.push("proof invalid");
        else
          this.#checker.fail(`${gateway.name} takes the proof of an honest provider for invalid`);
      }
      const isLost = this.#carried.get(attemptKey(closed.tokenDigest, closed.index));
      if (
        closed.outcome === Outcome.NO_ANSWER &&
        isLost?.() === false &&
        gateway.lies === undefined
      )
        this.#checker.fail(
          `${gateway.name} says that there was no answer where it could still come`,
        );
      // Nothing tells of headers alone whose they are.
      const taken = this.#taken.get(formatUuid(closed.xid)) ?? 1;
      if (closed.frames > BigInt(taken) && gateway.lies === undefined) {
        this.#checker.fail(`${gateway.name} says that it has handed over more than it has`);
      }
      const consumed = this.#consume(gateway, closed);
      consumed.isJudged = isProofInvalid;
      this.#closeConsumed(gateway, consumed);
      return;
    }
    const provided = this.#byRecord.get(toHex(closed.prevRecord));
    if (provided !== undefined) this.#closeProvided(provided);
    else if (gateway.lies === undefined)
      this.#checker.fail(`${gateway.name} closed what it had not begun`);
  }

  /** The caller has something of the upstream's answer. */
  handedOver(
    { gateway }: SimProcess,
    caller: Pick<SimCaller, "frames" | "xid">,
    what: { readonly isStatus: boolean },
  ): void {
    this.#taken.set(caller.xid ?? "", caller.frames);
    if (gateway.lies !== undefined) return;
    const said = this.#acknowledged.get(gateway)?.get(caller.xid ?? "");
    const isCovered = what.isStatus ? said?.isFinal === true : (said?.frames ?? 0) >= caller.frames;
    if (!isCovered) this.#checker.fail(`${gateway.name} handed over what it had not acknowledged`);
  }

  /** What somebody has not closed. */
  unclosed(): string | undefined {
    const { provider, consumers } = this.#sim;
    for (const { key, closings, issuer } of this.#provided.values()) {
      if (closings === 0 && provider.lies === undefined)
        return `the provider has not closed ${key}`;
      const consumer = this.#sim.gatewayOf(issuer);
      const consumed = this.#consumedOf(consumer).get(key);
      if (this.#sim.isLying || (consumed?.closings ?? 0) > 0) continue;
      return `${consumer.name} has not closed ${key}, which is on the provider's record`;
    }
    for (const consumer of consumers) {
      if (consumer.lies !== undefined) continue;
      for (const [key, { closings }] of this.#consumedOf(consumer)) {
        if (closings === 0) return `${consumer.name} has not closed ${key}`;
      }
    }
    return undefined;
  }
}

function keyOf(token: string, index: number): string {
  return attemptKey(callTokenDigest(token), index);
}

export function xidOf({ call }: Pick<Begin, "call">): string {
  return formatUuid(openCallStatement(call?.statement ?? new Uint8Array()).xid);
}
