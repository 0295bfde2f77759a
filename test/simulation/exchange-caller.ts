/** An agency system with one call: patient or not, slow to give and to take, and sure to end it some time. */
import { utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { Metadata, StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import { readAnswer } from "./exchange-answers.ts";
import type { SimProcess } from "./exchange-process.ts";
import { metadataOf, textOf } from "./exchange-upstream.ts";
import { purpose, type SimMethod } from "./exchange-universe.ts";

export class SimCaller implements IncomingCall {
  readonly #process: SimProcess;
  readonly method: SimMethod;
  readonly path: string;
  readonly headers: Metadata;
  readonly timeoutMs: number | undefined;
  readonly peerCertificate = undefined;
  readonly #messages: number;
  #given = 0;
  #isGone = false;
  readonly #onCancelled: (() => void)[] = [];
  /** The gateway has given a status, and with `handle` has ended the call. */
  status: StatusFrame | undefined;
  isHandled = false;
  /** The gateway has to end the call before the caller does. */
  readonly #mustEnd: boolean;
  /** Frames of the upstream's answer that were handed over. */
  frames = 0;
  xid: string | undefined;

  constructor(process: SimProcess, method: SimMethod, mustEnd: boolean) {
    const { random } = process.sim.world;
    this.#process = process;
    this.method = method;
    this.path = method.path;
    const shared = random.chance(0.15) ? `k${random.int(3)}` : undefined;
    // What joined a call of the time of faults would wait for that one's answer, which may never come.
    const name = mustEnd && shared !== undefined ? "k-alone" : shared;
    const key = name === undefined ? {} : { "causeway-idempotency-key": name };
    const official = random.chance(0.3) ? { "causeway-official": "o-17" } : {};
    const headers = { "causeway-service": method.service, "causeway-purpose": purpose };
    this.headers = metadataOf({ ...headers, ...key, ...official, "x-caller": "registry" });
    this.#mustEnd = mustEnd;
    this.timeoutMs = !mustEnd && random.chance(0.5) ? random.between(300, 15_000) : undefined;
    this.#messages = method.client ? random.int(6) : 1;
    const patienceMs = !mustEnd && random.chance(0.15) ? random.int(3000) : 20_000;
    process.after(patienceMs, () => this.#leave());
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.method.client) await this.#pause(250);
    if (this.#isGone) throw new CausewayError("CANCELLED", "the caller has gone");
    if (this.#given === this.#messages) return undefined;
    return utf8(`request ${this.#given++}`);
  }

  sendHeaders(headers: Metadata): void {
    this.#expectFrom("headers", headers);
    this.frames = 1;
  }

  async sendMessage(message: Uint8Array, written?: () => void): Promise<void> {
    this.#take(message);
    written?.();
    await this.#pause(this.#process.sim.world.random.chance(0.2) ? 1500 : 20);
  }

  answer(headers: Metadata, messages: readonly Uint8Array[], status: StatusFrame): void {
    this.sendHeaders(headers);
    for (const message of messages) this.#take(message);
    this.end(status);
  }

  end(status: StatusFrame): void {
    if (this.status !== undefined) return;
    this.status = status;
    const upstream = textOf(status.trailers, "x-upstream");
    if (upstream === undefined) return;
    this.xid ??= upstream;
    this.#process.sim.checker.attempts.handedOver(this.#process, this, { isStatus: true });
  }

  onCancelled(listener: () => void): void {
    this.#onCancelled.push(listener);
  }

  #take(message: Uint8Array): void {
    const { said, isWhole } = readAnswer(this.method, message);
    const [xid, number] = said.split(" ") as [string, string];
    this.xid ??= xid;
    const { checker } = this.#process.sim;
    if (isWhole && this.#process.gateway.lies === undefined && checker.attempts.isMasked(xid)) {
      checker.fail(`${this.#process.gateway.name} handed over what a mask excludes`);
    }
    if (xid !== this.xid || Number(number) !== this.frames - 1) {
      checker.fail(`${this.#process.gateway.name} handed over a message of another place`);
    }
    this.frames += 1;
    checker.attempts.handedOver(this.#process, this, { isStatus: false });
  }

  #expectFrom(what: string, headers: Metadata): void {
    const isFirst = this.frames === 0 && this.status === undefined;
    if (!isFirst || headers.entries.some(({ key }) => key.startsWith("causeway-"))) {
      this.#process.sim.checker.fail(`${this.#process.gateway.name} handed over odd ${what}`);
    }
  }

  #leave(): void {
    if (this.#isGone || this.status !== undefined) return;
    this.#isGone = true;
    if (this.#mustEnd) {
      const { gateway, sim } = this.#process;
      sim.checker.fail(`${gateway.name} leaves a call without an answer`);
    }
    for (const listener of this.#onCancelled) listener();
  }

  #pause(mostMs: number): Promise<void> {
    const { random } = this.#process.sim.world;
    return new Promise((resolve) => this.#process.after(random.int(mostMs), resolve));
  }
}
