/** A new configuration for a running gateway: all of what it can take, or nothing. */
import type { Logger } from "pino";
import { CausewayError } from "../src/base/errors.ts";
import { checkTogether } from "./config-checks.ts";
import { formatPath } from "./config-problems.ts";
import { changeOf } from "./config-reload.ts";
import type { GatewayConfig } from "./config-types.ts";

/** New values that wait for those of the other parts. Neither function fails. */
export interface Prepared {
  /** Puts the new values in force. */
  commit(): void;
  /** Closes what was opened for them, when another part cannot take its own. */
  abandon(): void;
}

/** A part of the gateway that takes new values. */
export interface Reloadable {
  /**
   * Reads and opens whatever may fail. A function alone is one that commits, of a part that opens nothing.
   * Rejects with CONFIG_INVALID or FILE_UNREADABLE.
   */
  prepare(config: GatewayConfig): Promise<Prepared | (() => void)> | Prepared | (() => void);
}

export interface ReloadAnswer {
  /** Keys with a new value, now in force. Files that the configuration names are read again in any case. */
  readonly taken: readonly string[];
  /** Keys whose new value waits for the next start. */
  readonly left: readonly string[];
}

export interface Reloader {
  /** The configuration in force. */
  readonly config: GatewayConfig;
  add(part: Reloadable): void;
  /**
   * Reads the configuration again and puts it in force, one at a time. Rejects with the reason why not; then
   * everything is as it was.
   */
  reload(): Promise<ReloadAnswer>;
}

/** Of what is wrong, in an answer whose trailers hold 8 KiB. */
const problemUnitsMax = 2000;

/** A status has the text of its reason alone: the problems go with it as a field. */
function told(error: unknown): unknown {
  if (!(error instanceof CausewayError)) return error;
  const { code, message } = error;
  const problem = message.slice(0, problemUnitsMax);
  return new CausewayError(code, message, { cause: error, fields: { problem } });
}

/** What is wrong with a configuration is for who writes it: where in the program it was found is not. */
function describeFault(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof CausewayError)) return { err: error };
  return { code: error.code, problems: error.message.split("\n") };
}

/** Of every part, or of none: rejects with what the first one to fail says. */
async function prepareAll(
  parts: readonly Reloadable[],
  config: GatewayConfig,
): Promise<readonly Prepared[]> {
  const outcomes = await Promise.allSettled(parts.map(async (part) => part.prepare(config)));
  const prepared = outcomes.flatMap((outcome) => {
    if (outcome.status === "rejected") return [];
    const { value } = outcome;
    return [typeof value === "function" ? { commit: value, abandon: () => undefined } : value];
  });
  const failed = outcomes.find(({ status }) => status === "rejected");
  if (failed === undefined) return prepared;
  for (const each of prepared) each.abandon();
  throw (failed as PromiseRejectedResult).reason;
}

/** @param reread the configuration as it stands in its file now; absent when there is no file. */
export function createReloader(
  initial: GatewayConfig,
  {
    reread,
    logger,
  }: { readonly reread?: (() => GatewayConfig) | undefined; readonly logger: Logger },
): Reloader {
  const parts: Reloadable[] = [];
  let current = initial;
  let running: Promise<unknown> = Promise.resolve();

  async function reloadNow(): Promise<ReloadAnswer> {
    if (reread === undefined) {
      throw new CausewayError("CONFIG_INVALID", "this gateway was not started from a file");
    }
    const { config, taken, left } = changeOf(current, reread());
    const [problem] = checkTogether(config);
    if (problem !== undefined) {
      const what = `${formatPath(problem.path)}: ${problem.text}, as long as ${left.join(", ")} is as it was`;
      throw new CausewayError("CONFIG_INVALID", what);
    }
    const prepared = await prepareAll(parts, config);
    for (const each of prepared) each.commit();
    current = config;
    return { taken, left };
  }

  return {
    get config() {
      return current;
    },
    add: (part) => void parts.push(part),
    reload: () => {
      const answer = running.then(reloadNow).catch((error: unknown) => {
        throw told(error);
      });
      running = answer.then(
        ({ taken, left }) =>
          logger.info({ event: "configuration reloaded", taken, left }, "configuration reloaded"),
        (error: unknown) =>
          logger.error(
            { event: "configuration refused", ...describeFault(error) },
            "the new configuration is not taken; the old one is in force",
          ),
      );
      return answer;
    },
  };
}
