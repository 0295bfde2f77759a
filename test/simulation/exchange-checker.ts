/**
 * Sees both journals and everything that leaves, and takes no part. What it finds first ends the schedule; it is
 * kept and not thrown, because most of it is found inside of what is looked at.
 */
import { CausewayError } from "../../src/base/errors.ts";
import type { VerifiedStatement } from "../../src/credential/statements.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { ClosedBatch } from "../../src/ledger/journal/close-machine.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { formatHandle } from "../../src/record/handle.ts";
import { AttemptBooks, xidOf } from "./exchange-books.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import { OwedReceipts } from "./exchange-owed.ts";
import type { SimProcess } from "./exchange-process.ts";
import { readRecord } from "./exchange-records.ts";
import type { ExchangeSim } from "./exchange-sim.ts";
import type { SimMethod } from "./exchange-universe.ts";

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
  readonly attempts: AttemptBooks;
  /** Exchanges that stand on the provider's record as opened, and how often their method was called. */
  readonly #opened = new Set<string>();
  readonly #written = new Map<string, number>();
  /** Grants whose revocation the provider's gateway has accepted, with how many submissions stand. */
  readonly #revoked = new Map<string, number>();
  /** What honest gateways have recorded against a liar. */
  readonly doubts: string[] = [];
  readonly owed: OwedReceipts = new OwedReceipts();
  /** Of which two leaves stand at one place. */
  readonly forks: Set<string> = new Set();

  constructor(sim: ExchangeSim) {
    this.#sim = sim;
    this.attempts = new AttemptBooks(sim, this);
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

  forked(gateway: string, _leaf: Uint8Array): void {
    this.forks.add(gateway);
    if (this.#sim.gatewayOf(gateway).lies === undefined) this.fail(`${gateway} is seen to fork`);
    else this.doubts.push("fork");
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
      const grant = this.attempts.grantOf(body);
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
          this.attempts.begin(record, body.value.begin);
          if (body.value.begin !== undefined) this.#opened.add(xidOf(body.value.begin));
          break;
        case "receipt":
          this.attempts.receipt(
            gateway,
            { record, handle: formatHandle(leafHash, position) },
            body.value,
          );
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
            this.attempts.refused(body.value.call);
          }
          break;
        case "acknowledgement":
          this.attempts.acknowledge(gateway, body.value);
          break;
        case "closed":
          this.attempts.closed(gateway, body.value);
          break;
        default:
      }
    }
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
}

function grantOf(statement: VerifiedStatement["statement"]): string {
  return statement.name === "revocation" ? statement.body.grant : "";
}

function describe(error: unknown): string {
  if (error instanceof CausewayError) return `${error.code} ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
