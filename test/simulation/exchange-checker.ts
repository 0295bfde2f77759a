/**
 * Sees both journals and everything that leaves, and takes no part. What it finds first ends the schedule; it is
 * kept and not thrown, because most of it is found inside of what is looked at.
 */
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { formatUuid } from "../../src/base/ids.ts";
import { callTokenDigest, openCallToken } from "../../src/credential/call-token.ts";
import type { VerifiedStatement } from "../../src/credential/statements.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import type { CallFrame } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import type { Begin } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  Check,
  type Closed,
  Outcome,
  type Receipt,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { ClosedBatch } from "../../src/ledger/journal/close-machine.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { formatHandle } from "../../src/record/handle.ts";
import { type LedgerRecord, recordHash } from "../../src/record/record.ts";
import type { SimCaller } from "./exchange-caller.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import { OwedReceipts } from "./exchange-owed.ts";
import type { SimProcess } from "./exchange-process.ts";
import { readRecord } from "./exchange-records.ts";
import type { ExchangeSim } from "./exchange-sim.ts";
import type { SimMethod } from "./exchange-universe.ts";

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

export interface ExchangeCounts {
  calls: number;
  acknowledged: number;
  receipts: number;
  readonly ends: Map<string, number>;
}

export class ExchangeChecker {
  readonly #sim: ExchangeSim;
  violation: string | undefined;
  readonly counts: ExchangeCounts = { calls: 0, acknowledged: 0, receipts: 0, ends: new Map() };
  readonly #provided = new Map<string, Provided>();
  readonly #byRecord = new Map<string, Provided>();
  readonly #consumed = new Map<SimGateway, Map<string, Consumed>>();
  readonly #acknowledged = new Map<SimGateway, Map<string, Acknowledged>>();
  /** Frames that callers have, by exchange. */
  readonly #taken = new Map<string, number>();
  /** Exchanges that stand on the provider's record as opened, and how often their method was called. */
  readonly #opened = new Set<string>();
  readonly #written = new Map<string, number>();
  /** Exchanges whose answers pass a mask. */
  readonly #masked = new Set<string>();
  /** Grants whose revocation the provider's gateway has accepted, with how many submissions stand. */
  readonly #revoked = new Map<string, number>();
  /** What honest gateways have recorded against a liar. */
  readonly doubts: string[] = [];
  readonly owed: OwedReceipts = new OwedReceipts();
  /** Whether what carries an attempt is lost for the consumer. */
  readonly #carried = new Map<string, () => boolean>();
  /** Of which two leaves stand at one place. */
  readonly forks: Set<string> = new Set();

  constructor(sim: ExchangeSim) {
    this.#sim = sim;
  }

  fail(what: string): void {
    if (this.violation !== undefined) return;
    this.violation = what;
    this.#sim.world.note(`VIOLATION ${what}`);
  }

  internalError({ gateway }: SimProcess, error: unknown): void {
    if (gateway.lies !== undefined) return;
    this.fail(`${gateway.name} has an internal error: ${describe(error)}`);
  }

  ended({ name, lies }: SimGateway, outcome: string): void {
    const { ends } = this.counts;
    if (outcome === "PROTOCOL_ERROR" && lies === undefined && !this.#sim.isLying) {
      this.fail(`${name} takes what an honest provider sends for no protocol`);
    }
    ends.set(outcome, (ends.get(outcome) ?? 0) + 1);
    this.#sim.world.note(`${name}: an end, ${outcome}`);
  }

  /** The fold takes no batch of an honest gateway amiss. */
  refused({ gateway }: SimProcess, reason: string): void {
    if (gateway.lies === undefined) this.fail(`a batch of ${gateway.name} is refused: ${reason}`);
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

  forked(gateway: string, _leaf: Uint8Array): void {
    this.forks.add(gateway);
    if (this.#sim.gatewayOf(gateway).lies === undefined) this.fail(`${gateway} is seen to fork`);
    else this.doubts.push("fork");
  }

  isMasked(xid: string): boolean {
    return this.#masked.has(xid);
  }

  isRevoked(grant: string): boolean {
    return (this.#revoked.get(grant) ?? 0) > 0;
  }

  revoked({ statement }: VerifiedStatement): void {
    const grant = grantOf(statement);
    this.#revoked.set(grant, (this.#revoked.get(grant) ?? 0) + 1);
  }

  withdrawn({ statement }: VerifiedStatement): void {
    const grant = grantOf(statement);
    this.#revoked.set(grant, (this.#revoked.get(grant) ?? 1) - 1);
  }

  /** A consumer calls on what may be lost later. */
  called({ token, index }: CallFrame, isLost: () => boolean): void {
    this.#carried.set(keyOf(token, index), isLost);
  }

  /** A start of the provider has looked for the receipts without an answer. */
  lookedBack({ gateway }: SimProcess, missed: number): void {
    if (missed === 0 || gateway.lies !== undefined) return;
    this.fail(
      `${gateway.name} does not find ${missed} receipts that it has sent without an answer`,
    );
  }

  /** Something leaves: what it rests on is durable. */
  sends({ gateway }: SimProcess, body: FrameBody): void {
    switch (body.case) {
      case "answer":
      case "refused":
      case "acknowledgement":
        for (const proof of [
          body.value.proof,
          "opened" in body.value ? body.value.opened : undefined,
        ]) {
          if (proof === undefined || gateway.disk.holds(leafHash(proof.leaf))) continue;
          this.fail(`${gateway.name} sent ${body.case} with a record that is not durable`);
        }
        if (body.case !== "answer") return;
        if (body.value.proof === undefined) {
          this.fail(`${gateway.name} sent an answer without a receipt`);
        } else this.owed.sent(body.value.proof);
        return;
      default:
        return;
    }
  }

  /** The turn in which a batch is closed, at the instant of its rechecks. */
  closed(process: SimProcess, { records }: ClosedBatch<unknown>): void {
    const { gateway, replica } = process;
    if (gateway !== this.#sim.provider || gateway.lies !== undefined) return;
    for (const { record } of records) {
      const { body } = readRecord(record);
      if (body.case !== "opened" && body.case !== "receipt") continue;
      const grant = this.#grantOf(body);
      if (grant === undefined) continue;
      const until = replica.state().grants.get(grant)?.standing.until;
      if ((this.#revoked.get(grant) ?? 0) > 0 || until !== undefined) {
        this.fail(`${gateway.name} seals ${body.case} under grant ${grant} after its revocation`);
      }
      const exp = replica.state().grants.get(grant)?.standing.exp;
      if (exp !== undefined && gateway.nowMs >= exp * 1000) {
        this.fail(`${gateway.name} seals ${body.case} under grant ${grant} after its end`);
      }
      const ageMs = gateway.nowMs - replica.final().timeMs;
      if (ageMs > 30_000)
        this.fail(`${gateway.name} seals ${body.case} ${ageMs} ms after its final`);
    }
  }

  /** A batch is durable. */
  committed({ gateway }: SimProcess, { leafHash, records }: CreatedBatch): void {
    for (const [position, record] of records.entries()) {
      const { body } = readRecord(record);
      this.#sim.world.note(`${gateway.name} has ${body.case ?? ""} on record`);
      switch (body.case) {
        case "opened":
          this.#begin(record, body.value.begin);
          if (body.value.begin !== undefined) this.#opened.add(xidOf(body.value.begin));
          break;
        case "receipt":
          this.#receipt(gateway, { record, handle: formatHandle(leafHash, position) }, body.value);
          break;
        case "receiptMissing":
          if (this.#sim.provider.lies !== undefined) this.doubts.push("receipt missing");
          else this.fail(`${gateway.name} misses a record of an honest gateway`);
          break;
        case "refusal":
          if (
            body.value.reason === "TOKEN_REPLAYED" &&
            body.value.caller.case === "peer" &&
            this.#sim.gatewayOf(body.value.caller.value.gateway).lies !== undefined
          ) {
            this.doubts.push("token replayed");
          }
          if (body.value.side === Side.PROVIDER && body.value.call !== undefined) {
            const { token, index } = body.value.call;
            this.#closeProvided(this.#provide(keyOf(token, index), token, "", 0));
          }
          break;
        case "acknowledgement":
          this.#acknowledge(gateway, body.value);
          break;
        case "closed":
          this.#closedRecord(gateway, body.value);
          break;
        default:
      }
    }
  }

  #grantOf(
    body: Extract<LedgerRecord["body"], { case: "opened" | "receipt" }>,
  ): string | undefined {
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
      if (this.#sim.provider.lies === undefined) this.fail(`the provider begins ${key} twice`);
      return known;
    }
    const { iss: issuer } = openCallToken(token).claims;
    const made = { key, issuer, grant, window, receipts: 0, frames: 0n, closings: 0 };
    this.#provided.set(key, made);
    return made;
  }

  #begin(record: Uint8Array, begin: Begin | undefined): Provided | undefined {
    const { call, decision, obligations } = begin ?? {};
    if (call === undefined) return undefined;
    const key = keyOf(call.token, call.index);
    if ((obligations?.maskPaths.length ?? 0) > 0) this.#masked.add(xidOf({ call }));
    const window = obligations?.window ?? 0;
    const provided = this.#provide(key, call.token, decision?.grantJti ?? "", window);
    this.#byRecord.set(toHex(recordHash(record)), provided);
    return provided;
  }

  #receipt(
    gateway: SimGateway,
    { record, handle }: { readonly record: Uint8Array; readonly handle: string },
    { start, progress, final }: Receipt,
  ): void {
    this.counts.receipts += 1;
    const provided =
      start.case === "begin"
        ? this.#begin(record, start.value)
        : start.case === "prevRecord"
          ? this.#byRecord.get(toHex(start.value.hash))
          : undefined;
    if (provided === undefined) {
      if (gateway.lies === undefined)
        this.fail(`${gateway.name} has a receipt that follows nothing`);
      return;
    }
    this.#byRecord.set(toHex(recordHash(record)), provided);
    provided.receipts += 1;
    provided.frames = progress?.framesEnd ?? 0n;
    const { key: attempt, issuer: peer } = provided;
    this.owed.sealed({ handle, attempt, peer });
    if (final) this.#closeProvided(provided);
    const consumer = this.#sim.gatewayOf(provided.issuer);
    const acknowledged = this.#consumedOf(consumer).get(provided.key)?.acknowledged ?? 0;
    const ahead = provided.receipts - acknowledged;
    if (gateway.lies === undefined && ahead > Math.max(1, provided.window)) {
      this.fail(`${gateway.name} is ${ahead} segments ahead of what is acknowledged`);
    }
  }

  #closeProvided(provided: Provided): void {
    provided.closings += 1;
    if (provided.closings > 1 && this.#sim.provider.lies === undefined) {
      this.fail(`the provider closed ${provided.key} twice`);
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
      this.fail(`${gateway.name} closed an attempt twice`);
    }
  }

  #acknowledge(gateway: SimGateway, said: Acknowledgement): void {
    const consumed = this.#consume(gateway, said);
    consumed.acknowledged += 1;
    this.counts.acknowledged += 1;
    const isMatch = said.check === Check.MATCH;
    if (consumed.closings > 0 && gateway.lies === undefined) {
      this.fail(`${gateway.name} acknowledged what it had closed`);
    }
    if (said.final || !isMatch) {
      consumed.isJudged = true;
      this.#closeConsumed(gateway, consumed);
    }
    if (!isMatch) {
      if (this.#sim.provider.lies === undefined) {
        if (gateway.lies === undefined)
          this.fail(`${gateway.name} doubts an honest provider: ${said.check}`);
      } else this.doubts.push(`check ${said.check}`);
      return;
    }
    const provided = this.#provided.get(attemptKey(said.tokenDigest, said.index));
    const framesEnd = said.progress?.framesEnd ?? 0n;
    if (!this.#sim.isLying && (provided === undefined || provided.frames < framesEnd)) {
      this.fail(`${gateway.name} acknowledged more than is receipted`);
    }
    const exchanges = this.#acknowledged.get(gateway) ?? new Map<string, Acknowledged>();
    this.#acknowledged.set(gateway, exchanges);
    exchanges.set(formatUuid(said.xid), { frames: Number(framesEnd), isFinal: said.final });
  }

  #closedRecord(gateway: SimGateway, closed: Closed): void {
    if (closed.side === Side.CONSUMER) {
      const isProofInvalid = closed.outcome === Outcome.PROOF_INVALID;
      if (isProofInvalid && gateway.lies === undefined) {
        if (this.#sim.provider.lies !== undefined) this.doubts.push("proof invalid");
        else this.fail(`${gateway.name} takes the proof of an honest provider for invalid`);
      }
      const isLost = this.#carried.get(attemptKey(closed.tokenDigest, closed.index));
      if (
        closed.outcome === Outcome.NO_ANSWER &&
        isLost?.() === false &&
        gateway.lies === undefined
      )
        this.fail(`${gateway.name} says that there was no answer where it could still come`);
      // Nothing tells of headers alone whose they are.
      const taken = this.#taken.get(formatUuid(closed.xid)) ?? 1;
      if (closed.frames > BigInt(taken) && gateway.lies === undefined) {
        this.fail(`${gateway.name} says that it has handed over more than it has`);
      }
      const consumed = this.#consume(gateway, closed);
      consumed.isJudged = isProofInvalid;
      this.#closeConsumed(gateway, consumed);
      return;
    }
    const provided = this.#byRecord.get(toHex(closed.prevRecord));
    if (provided !== undefined) this.#closeProvided(provided);
    else if (gateway.lies === undefined) this.fail(`${gateway.name} closed what it had not begun`);
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
    if (!isCovered) this.fail(`${gateway.name} handed over what it had not acknowledged`);
  }

  upstreamCalled({ gateway }: SimProcess, xid: string, method: SimMethod): void {
    this.#sim.world.note(`${gateway.name} calls ${method.path} for ${xid}`);
    if (!method.writes || gateway.lies !== undefined) return;
    if (!this.#opened.has(xid))
      this.fail(`${gateway.name} called a method that writes before Opened`);
    const count = (this.#written.get(xid) ?? 0) + 1;
    this.#written.set(xid, count);
    if (count > 1 && !this.#sim.isLying) this.fail(`${xid} has written twice`);
  }

  /** What is still missing once the faults have stopped. */
  missing(): string | undefined {
    const { gateways, isLying, isProbed, ledger } = this.#sim;
    if (!isLying && !isProbed) return "nobody has called since";
    if (ledger.final.size < BigInt(ledger.size)) return "the ledger has batches that are not final";
    for (const gateway of gateways) {
      const { process, disk, name, applied } = gateway;
      if (process === undefined) return `${name} is down`;
      if (gateway.lies === undefined && disk.submitted < disk.batches.length) {
        return `${name} has batches that the ledger lacks`;
      }
      if (applied.next < ledger.events.length) return `${name} is behind`;
      if (!process.journal.isIdle) return `${name} is sealing`;
      const open = process.provider.openAttempts + process.consumer.openExchanges;
      if (open > 0) return `${name} has ${open} attempts under way`;
      for (const caller of process.callers) {
        if (caller.status === undefined) return `a call at ${name} has no end`;
        if (!caller.isHandled) return `a call at ${name} is not done with`;
      }
      if (gateway.lies !== undefined) continue;
      const kept = [...disk.states.keys()].find((key) => key.includes("/open/"));
      if (kept !== undefined) return `${name} keeps ${kept}`;
      if (this.#sim.isLying) continue;
      const { unacknowledged, sent, joined, leaves } = process;
      if (unacknowledged.count > 0) return `${name} waits for ${unacknowledged.count} answers`;
      if (sent.count > 0) return `${name} keeps ${sent.count} acknowledgements`;
      if (joined.count > 0) return `${name} keeps ${joined.count} calls that are joined`;
      if (leaves.count > 0) return `${name} keeps ${leaves.count} leaves`;
      if (gateway.heldDisk.records.size > 0) return `${name} keeps records that are final`;
    }
    return this.#unclosed();
  }

  #unclosed(): string | undefined {
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

function xidOf({ call }: Pick<Begin, "call">): string {
  return formatUuid(openCallStatement(call?.statement ?? new Uint8Array()).xid);
}

function grantOf(statement: VerifiedStatement["statement"]): string {
  return statement.name === "revocation" ? statement.body.grant : "";
}

function describe(error: unknown): string {
  if (error instanceof CausewayError) return `${error.code} ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
