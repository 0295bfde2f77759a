/** Everything that the demonstration starts or writes, and its end: nothing of it is left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const readyMs = 30_000;
const stopMs = 8_000;
const logBytesMax = 64 * 1024;

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Launch {
  readonly argv: readonly string[];
  readonly folder: string;
}

/** A temporary folder, and the child processes that work in it. */
export class Stage {
  readonly folder: string;
  /** Aborted when the demonstration is to end early. */
  readonly signal: AbortSignal;
  readonly #home = process.cwd();
  readonly #children = new Map<ChildProcess, Promise<void>>();
  readonly #closers: (() => Promise<void> | void)[] = [];
  readonly #abort = new AbortController();
  readonly #lastResort = (): void => this.#removeNow();

  constructor() {
    this.signal = this.#abort.signal;
    this.folder = mkdtempSync(join(tmpdir(), "causeway-demo-"));
    process.once("exit", this.#lastResort);
  }

  /** Ends the command that runs, so that whoever waits for it fails. The rest ends with `close`. */
  interrupt(): void {
    this.#abort.abort();
  }

  /** Runs at the end, before the folder is removed. */
  onClose(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  /** Runs a program of Node to its end. */
  async run(launch: Launch): Promise<Finished> {
    const child = this.#spawn(launch);
    const stop = (): void => void child.kill("SIGTERM");
    this.signal.addEventListener("abort", stop, { once: true });
    let [stdout, stderr] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    await this.#children.get(child);
    this.signal.removeEventListener("abort", stop);
    return { code: child.exitCode ?? 1, stdout, stderr };
  }

  /** Starts a program of Node that goes on; resolves once its standard error holds `ready`. */
  async start(launch: Launch & { readonly ready: string }): Promise<void> {
    const child = this.#spawn(launch);
    let said = "";
    const isReady = new Promise<true>((resolve) => {
      const listen = (chunk: Buffer): void => {
        said = (said + chunk.toString("utf8")).slice(-logBytesMax);
        if (said.includes(launch.ready)) resolve(true);
      };
      child.stdout?.on("data", listen);
      child.stderr?.on("data", listen);
    });
    const ended = this.#children.get(child)?.then(() => false);
    let timer: NodeJS.Timeout | undefined;
    const gaveUp = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), readyMs);
      this.signal.addEventListener("abort", () => resolve(false), { once: true });
    });
    const first = await Promise.race([isReady, ended, gaveUp]);
    clearTimeout(timer);
    this.signal.throwIfAborted();
    if (first !== true) {
      throw new Error(
        `${launch.argv.slice(1).join(" ")} did not get ready (exit code ${child.exitCode})\n${said}`,
      );
    }
    child.once("exit", (code) => {
      if (this.#closing || this.signal.aborted) return;
      process.stderr.write(`a gateway ended with ${code}\n${said}\n`);
    });
  }

  #closing = false;

  /** Ends the child processes and removes the folder. */
  async close(): Promise<void> {
    this.#closing = true;
    process.chdir(this.#home);
    for (const close of this.#closers.toReversed()) await close();
    const late = setTimeout(() => this.#kill(), stopMs);
    for (const child of this.#children.keys()) child.kill("SIGTERM");
    await Promise.all(this.#children.values());
    clearTimeout(late);
    rmSync(this.folder, { recursive: true, force: true });
    process.off("exit", this.#lastResort);
  }

  #spawn({ argv, folder }: Launch): ChildProcess {
    this.signal.throwIfAborted();
    const child = spawn(process.execPath, [...argv], {
      cwd: folder,
      env: { ...process.env, CAUSEWAY_PASSPHRASE_FILE: "passphrase" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise<void>((resolve) => {
      const end = (): void => {
        this.#children.delete(child);
        resolve();
      };
      child.once("close", end);
      child.once("error", end);
    });
    this.#children.set(child, ended);
    return child;
  }

  #kill(): void {
    for (const child of this.#children.keys()) child.kill("SIGKILL");
  }

  #removeNow(): void {
    this.#kill();
    process.chdir(this.#home);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
