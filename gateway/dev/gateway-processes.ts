/** The gateway processes of a place to try: started, watched and ended. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CausewayError } from "../../src/base/errors.ts";

/** What a gateway prints goes to this file of its folder. */
const logFile = "gateway.log";
const configFile = "gateway.yaml";
const tailLines = 20;
const stopMs = 15_000;

const program: string = fileURLToPath(new URL("gateway-process.js", import.meta.url));

/** Child processes that end with this process, however it ends. */
export class GatewayProcesses {
  readonly #children = new Map<ChildProcess, string>();
  readonly #ended: Promise<never>;
  #reject!: (error: CausewayError) => void;
  #stopping = false;
  readonly #kill = (): void => {
    for (const child of this.#children.keys()) child.kill("SIGKILL");
  };

  constructor() {
    this.#ended = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.#ended.catch(() => undefined);
    process.once("exit", this.#kill);
  }

  /** Rejects with GATEWAY_UNAVAILABLE, and the end of its log, once a gateway ends by itself. */
  get ended(): Promise<never> {
    return this.#ended;
  }

  /** Starts the gateway whose `gateway.yaml` stands in `folder`. */
  start(folder: string): void {
    const log = openSync(join(folder, logFile), "a", 0o600);
    // In a group of its own: the Ctrl-C of a terminal reaches this process alone, which ends the others in order.
    const child = fork(program, [configFile], {
      cwd: folder,
      detached: true,
      execArgv: [],
      stdio: ["ignore", log, log, "ipc"],
    });
    closeSync(log);
    this.#children.set(child, folder);
    child.channel?.unref();
    const gone = (what: string): void => {
      this.#children.delete(child);
      if (!this.#stopping) this.#reject(endedError(folder, what));
    };
    child.once("error", (error) => gone(error.message));
    child.once("exit", (code, signal) => gone(signal ?? `exit code ${code}`));
  }

  /** Ends every gateway in order; resolves when none is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const late = setTimeout(this.#kill, stopMs);
    const ends = [...this.#children.keys()].map(async (child) => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    });
    await Promise.all(ends);
    clearTimeout(late);
    process.off("exit", this.#kill);
  }
}

function endedError(folder: string, what: string): CausewayError {
  const log = join(folder, logFile);
  const tail = readFileSync(log, "utf8").trimEnd().split("\n").slice(-tailLines).join("\n");
  return new CausewayError(
    "GATEWAY_UNAVAILABLE",
    `the gateway of ${folder} ended (${what})\n${tail}`,
  );
}
