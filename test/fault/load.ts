/** Callers of the consumer's agency system, who never stop. */
import { eventually } from "../support/admin-client.ts";
import type { Answer } from "../support/agency-client.ts";
import type { FaultNetwork } from "./processes.ts";

export class Load {
  readonly answers: Answer<unknown>[] = [];
  readonly #callers: readonly Promise<void>[];
  #stopped = false;

  /** With `writes`, every third call is of the method that writes; `pauseMs` lie between two calls of one caller. */
  constructor(
    { client }: Pick<FaultNetwork, "client">,
    options: { readonly callers: number; readonly writes?: boolean; readonly pauseMs?: number },
  ) {
    const { callers, writes = false, pauseMs = 0 } = options;
    const caller = async (number: number): Promise<void> => {
      for (let i = number; !this.#stopped; i++) {
        const isWrite = writes && i % 3 === 0;
        const call = isWrite ? client.reportCorrection("330106") : client.getDivision("330106");
        const answer = await call;
        this.answers.push(answer);
        // A gateway that is down answers at once.
        const delayMs = answer.code === 0 ? pauseMs : Math.max(pauseMs, 20);
        if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    };
    this.#callers = Array.from({ length: callers }, (_, number) => caller(number));
  }

  get answered(): number {
    return this.answers.filter(({ code }) => code === 0).length;
  }

  /** Resolves when so many more calls have succeeded. */
  async goesOn(calls: number): Promise<void> {
    const before = this.answered;
    const isSoFar = (): boolean => this.answered >= before + calls;
    await eventually("exchanges go on", isSoFar, 30_000).catch((cause: unknown) => {
      const last = this.answers.findLast(({ code }) => code !== 0);
      throw new Error(`${String(cause)}: ${last?.code} ${last?.reason} ${last?.details}`, {
        cause,
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#callers);
  }
}
