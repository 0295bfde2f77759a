/** What an honest consumer's gateway goes on with: nothing under a grant that it knows to be taken, or whose time is over. */
import { callTokenDigest } from "../../src/credential/call-token.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import type { CallFrame } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { Check, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { formatAddress } from "../../src/record/handle.ts";
import type { GrantFact } from "../../src/registry/state.ts";
import type { SimProcess } from "./exchange-process.ts";
import { readRecord } from "./exchange-records.ts";

interface OpenCall {
  /** Address of the grant. */
  readonly grant: string;
  /** Acknowledgements that are being sealed: what follows them waits. */
  sealing: number;
}

/** Timers of the same instant run in any order. */
const sameInstantMs = 1;
/** What ends later is not waited for. */
const scheduleMs = 300_000;

export class StandingCalls {
  readonly #process: SimProcess;
  readonly #open = new Map<string, OpenCall>();

  constructor(process: SimProcess) {
    this.#process = process;
  }

  /** A call has left. */
  called({ token, index, statement }: CallFrame): void {
    const { grant } = openCallStatement(statement);
    const key = attemptKey(callTokenDigest(token), index);
    const address = formatAddress(grant?.index ?? 0n, grant?.position ?? 0);
    this.#open.set(key, { grant: address, sealing: 0 });
    this.#expectStanding(address, "calls");
    const leftMs = this.#endsMs(address) - this.#process.gateway.nowMs;
    if (leftMs < scheduleMs) this.#process.after(leftMs + 2 * sameInstantMs, () => this.look());
  }

  /** A record is to be sealed; `settled` resolves once it is, or cannot be. */
  queued(record: Uint8Array, settled: Promise<unknown>): void {
    const { body } = readRecord(record);
    if (body.case === "closed" && body.value.side === Side.CONSUMER) {
      this.#open.delete(attemptKey(body.value.tokenDigest, body.value.index));
    }
    if (body.case !== "acknowledgement") return;
    const { tokenDigest, index, check, final } = body.value;
    const key = attemptKey(tokenDigest, index);
    const call = this.#open.get(key);
    if (call === undefined) return;
    if (check === Check.MATCH) this.#expectStanding(call.grant, "acknowledges");
    if (final || check !== Check.MATCH) {
      this.#open.delete(key);
      return;
    }
    call.sealing += 1;
    settled.then(
      () => {
        call.sealing -= 1;
        this.#process.after(0, () => this.look());
      },
      // What cannot be sealed ends the exchange; who closes it is another matter.
      () => this.#open.delete(key),
    );
  }

  /** In the turn in which something is included, or is over: all that rested on it has ended. */
  look(): void {
    for (const { grant, sealing } of this.#open.values()) {
      if (sealing === 0) this.#expectStanding(grant, "goes on");
    }
  }

  #expectStanding(grant: string, what: string): void {
    const isTaken = this.#grantAt(grant)?.standing.until !== undefined;
    const isOver = this.#process.gateway.nowMs > this.#endsMs(grant) + sameInstantMs;
    if (isTaken || isOver) this.#fail(what, grant);
  }

  #endsMs(grant: string): number {
    return (this.#grantAt(grant)?.standing.exp ?? Infinity) * 1000;
  }

  #grantAt(address: string): GrantFact | undefined {
    const { grants, grantsByAddress } = this.#process.replica.state();
    return grants.get(grantsByAddress.get(address) ?? "");
  }

  #fail(what: string, grant: string): void {
    const { gateway, sim } = this.#process;
    sim.checker.fail(`${gateway.name} ${what} under grant ${grant}, which it knows to have ended`);
  }
}
