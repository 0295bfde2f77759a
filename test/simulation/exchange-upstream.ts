/** A data service behind the provider's gateway: quick or slow, failing, silent, and streaming in each direction. */
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  type Metadata,
  MetadataEntrySchema,
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type {
  UnaryAnswer,
  UpstreamCall,
  UpstreamConnector,
  UpstreamListener,
  UpstreamStream,
  UpstreamStreamCall,
} from "../../src/exchange/transport/ports.ts";
import { answerOf } from "./exchange-answers.ts";
import type { SimProcess } from "./exchange-process.ts";
import type { SimMethod } from "./exchange-universe.ts";

export function textOf(metadata: Metadata | undefined, key: string): string | undefined {
  const entry = metadata?.entries.find((one) => one.key === key);
  return entry && new TextDecoder().decode(entry.value);
}

export function metadataOf(entries: Readonly<Record<string, string>>): Metadata {
  return create(MetadataSchema, {
    entries: Object.entries(entries).map(([key, value]) =>
      create(MetadataEntrySchema, { key, value: utf8(value) }),
    ),
  });
}

/** A status of the upstream says of which exchange it is: nothing else of an answer does in every case. */
function statusOf(code: number, xid: string): StatusFrame {
  return create(StatusFrameSchema, {
    code,
    message: utf8(code === 0 ? "" : "no such division"),
    trailers: metadataOf({ "x-upstream": xid }),
  });
}

/** Largest message, in bytes: some answers on a link go in parts, under credit. */
export const answerBytesMax: number = 512 * 1024;
const padding = utf8("x".repeat(answerBytesMax));

export class SimUpstream implements UpstreamConnector {
  readonly kind = "grpc";
  readonly #process: SimProcess;
  readonly #methods: ReadonlyMap<string, SimMethod>;

  constructor(process: SimProcess) {
    this.#process = process;
    const { methods } = process.sim.universe;
    this.#methods = new Map(methods.map((method) => [method.path, method]));
  }

  callUnary({ path, headers, timeoutMs, signal }: UpstreamCall): Promise<UnaryAnswer> {
    const process = this.#process;
    const { random } = process.sim.world;
    const xid = this.#begun(path, headers);
    const method = this.#methods.get(path) as SimMethod;
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (error: () => CausewayError): void => {
        if (!isOver) reject(error());
        isOver = true;
      };
      this.#bound(signal, timeoutMs, end);
      const { isCalm } = process.sim;
      const kind = isCalm ? 100 : random.int(100);
      if (kind < 6) return;
      const isSlow = random.chance(0.15);
      process.after(random.between(0, isSlow ? 6000 : 150), () => {
        if (isOver) return;
        if (kind < 14) return end(unavailable);
        if (kind < 18) return end(tooLarge);
        const isError = kind < 28;
        const isLarge = isCalm || random.chance(0.15);
        const kib = isCalm ? 300 : random.between(60, 500);
        isOver = true;
        const more = isLarge ? padding.subarray(0, kib * 1024) : undefined;
        resolve({
          headers: metadataOf({ "x-from": "upstream" }),
          messages: isError ? [] : [answerOf(method, `${xid} 0`, more)],
          status: statusOf(isError ? 5 : 0, xid),
        });
      });
    });
  }

  open(
    { path, headers, timeoutMs, signal }: UpstreamStreamCall,
    listener: UpstreamListener,
  ): UpstreamStream {
    const xid = this.#begun(path, headers);
    const script = new Script(this.#process, this.#methods.get(path) as SimMethod, xid, listener);
    this.#bound(signal, timeoutMs, (error) => script.fail(error));
    script.start();
    return script;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #begun(path: string, headers: Metadata): string {
    const xid = textOf(headers, "causeway-exchange-id") ?? "";
    const method = this.#methods.get(path) as SimMethod;
    this.#process.sim.checker.upstreamCalled(this.#process, xid, method);
    return xid;
  }

  #bound(
    signal: AbortSignal,
    timeoutMs: number | undefined,
    end: (error: () => CausewayError) => void,
  ): void {
    signal.addEventListener("abort", () => end(cancelled), { once: true });
    if (timeoutMs !== undefined) this.#process.after(timeoutMs, () => end(late));
  }
}

// Most calls are over by the time that they are cancelled, and an error costs as much as the rest of an end.
const cancelled = (): CausewayError => new CausewayError("CANCELLED", "the call was cancelled");
const late = (): CausewayError => new CausewayError("DEADLINE", "the time is over");
const tooLarge = (): CausewayError => new CausewayError("MESSAGE_TOO_LARGE", "more than is taken");

function unavailable(): CausewayError {
  return new CausewayError("UPSTREAM_UNAVAILABLE", "the connection broke");
}

/** What the upstream does in one streaming call. */
class Script implements UpstreamStream {
  readonly #process: SimProcess;
  readonly #method: SimMethod;
  readonly #xid: string;
  readonly #listener: UpstreamListener;
  readonly #queue: (() => void)[] = [];
  #isTaking = true;
  #isRunning = false;
  #ended = false;
  #spoke = false;
  #said = 0;

  constructor(process: SimProcess, method: SimMethod, xid: string, listener: UpstreamListener) {
    this.#process = process;
    this.#method = method;
    this.#xid = xid;
    this.#listener = listener;
  }

  start(): void {
    const { random } = this.#process.sim.world;
    const speaksFirst = this.#method.path.endsWith("/Speak");
    if (speaksFirst) for (let i = random.int(4); i > 0; i--) this.#say();
    if (random.chance(0.08)) this.#process.after(random.int(3000), () => this.fail(unavailable));
    // It may end before it has taken the whole request.
    if (random.chance(0.05)) this.#process.after(random.int(2000), () => this.#end(5));
  }

  write(): Promise<void> {
    const { random } = this.#process.sim.world;
    if (this.#method.server && this.#method.client) this.#say();
    return new Promise((resolve) => this.#process.after(random.int(40), resolve));
  }

  halfClose(): void {
    const { random } = this.#process.sim.world;
    const { client, server } = this.#method;
    if (random.chance(0.05)) return;
    const count = !server ? 1 : client ? random.int(3) : random.int(14);
    const isError = random.chance(0.1);
    if (server || !isError) for (let i = 0; i < count; i++) this.#say();
    this.#then(() => this.#end(isError ? 5 : 0));
  }

  take(taking: boolean): void {
    this.#isTaking = taking;
    this.#run();
  }

  fail(error: () => CausewayError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#process.after(0, () => this.#listener.onFailed(error()));
  }

  #end(code: number): void {
    if (this.#ended) return;
    this.#ended = true;
    // A method with one answer gives it with OK alone.
    const isGiven = !this.#method.server && this.#said > 0;
    this.#listener.onEnd(statusOf(isGiven ? 0 : code, this.#xid));
  }

  #say(): void {
    this.#then(() => {
      if (!this.#spoke) this.#listener.onHeaders(metadataOf({ "x-from": "upstream" }));
      this.#spoke = true;
      this.#listener.onMessage(utf8(`${this.#xid} ${this.#said++}`));
    });
  }

  #then(work: () => void): void {
    this.#queue.push(work);
    this.#run();
  }

  #run(): void {
    if (this.#isRunning || !this.#isTaking || this.#queue.length === 0 || this.#ended) return;
    this.#isRunning = true;
    const { random } = this.#process.sim.world;
    const delayMs = random.chance(0.5) ? random.int(4) : random.int(400);
    this.#process.after(delayMs, () => {
      this.#isRunning = false;
      if (this.#isTaking && !this.#ended) this.#queue.shift()?.();
      this.#run();
    });
  }
}
