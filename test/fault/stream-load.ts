/** Callers of the consumer's agency system who open one stream after the other and never stop. */
import type { Client } from "@grpc/grpc-js";
import { eventually } from "../support/admin-client.ts";
import type { StreamMethod } from "../support/stream-service.ts";
import type { Moments } from "./rounds.ts";
import { StreamCall } from "./stream-calls.ts";

const methods: readonly StreamMethod[] = ["chat", "collect", "expand", "speak", "unary"];
const pauseMaxMs = 40;
const messagesMax = 30;
/** A gateway that is down answers at once. */
const afterFailureMs = 250;
/** A gateway that was away is dialled, and follows the ledger, with delays that have grown. */
const goesOnMsMax = 60_000;

export interface StreamLoadOptions {
  readonly client: Client;
  readonly callers: number;
  readonly purposes: readonly string[];
  readonly moments: Moments;
}

export class StreamLoad {
  readonly calls: StreamCall[] = [];
  readonly #o: StreamLoadOptions;
  readonly #callers: readonly Promise<void>[];
  #stopped = false;

  constructor(options: StreamLoadOptions) {
    this.#o = options;
    this.#callers = Array.from({ length: options.callers }, (_, number) => this.#caller(number));
  }

  /** Calls that ended OK. */
  get whole(): number {
    return this.calls.filter(({ status }) => status?.code === 0).length;
  }

  /** Resolves when so many more calls have ended OK. */
  async goesOn(calls: number): Promise<void> {
    const before = this.whole;
    const isSoFar = (): boolean => this.whole >= before + calls;
    await eventually("streams go on", isSoFar, goesOnMsMax).catch((cause: unknown) => {
      const open = this.calls.filter(({ status }) => status === undefined);
      const waiting = open.map(({ method, received }) => `${method} with ${received}`).join(", ");
      const last = this.calls.findLast(({ status }) => (status?.code ?? 0) !== 0);
      const told = `open are ${waiting}; the last that failed: ${last?.status?.details}`;
      throw new Error(`${String(cause)}: ${told}`, { cause });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#callers);
  }

  async #caller(from: number): Promise<void> {
    for (let i = from; !this.#stopped; i++) {
      const call = this.#open(methods[i % methods.length] as StreamMethod);
      await this.#converse(call).catch(() => undefined);
      const { code } = await call.ended;
      if (code !== 0) await wait(afterFailureMs);
    }
  }

  #open(method: StreamMethod): StreamCall {
    const { client, purposes, moments } = this.#o;
    const purpose = purposes[this.calls.length % purposes.length] as string;
    const count = Math.ceil(moments.below(20 * messagesMax));
    const call = new StreamCall(client, method, purpose, { count, size: 2000 });
    this.calls.push(call);
    return call;
  }

  /** Rejects when the call ends meanwhile. */
  async #converse(call: StreamCall): Promise<void> {
    const { moments } = this.#o;
    const { method } = call;
    if (method === "speak") await call.has(1);
    const messages = method === "unary" ? 1 : Math.ceil(moments.below(messagesMax));
    const isCancelled = moments.below(6) < 1;
    for (let sent = 1; sent <= messages && method !== "expand"; sent++) {
      call.send();
      if (method === "chat") await call.has(sent);
      await moments.wait(pauseMaxMs);
      if (isCancelled && sent > messages / 2) return call.cancel();
    }
    if (method !== "expand") return call.end();
    // A caller that takes its time holds the upstream up.
    await call.has(1);
    call.raw.pause();
    await moments.wait(10 * pauseMaxMs);
    call.raw.resume();
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
