/** A disk that fails and a power cut, for a gateway that runs as a process of its own (see disk-shim.c). */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** What the disk does from now on. */
export type DiskMode = "well" | "fsync" | "write" | "full";

const modes: Readonly<Record<DiskMode, string>> = { well: "0", fsync: "S", write: "W", full: "F" };

/** Why a failing disk cannot be made here, or `undefined` when it can. */
export function whyNoFailingDisk(): string | undefined {
  if (process.platform !== "linux") return "a failing disk is made with LD_PRELOAD on Linux";
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no C compiler (cc) for the shim of a failing disk";
  }
}

export class FailingDisk {
  readonly #folder: string;
  readonly #synced: string;
  readonly #control: string;
  readonly #library: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "causeway-disk-"));
    this.#synced = join(this.#folder, "synced");
    this.#control = join(this.#folder, "control");
    this.#library = join(this.#folder, "shim.so");
    mkdirSync(this.#synced);
    this.become("well");
    const source = resolve("test/fault/disk-shim.c");
    execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", this.#library, source, "-ldl"]);
  }

  /** Environment of the process whose files in `folder` are on this disk; what is there has reached it. */
  environment(folder: string): Readonly<Record<string, string>> {
    for (const name of readdirSync(folder))
      copyFileSync(join(folder, name), join(this.#synced, name));
    return {
      LD_PRELOAD: this.#library,
      CAUSEWAY_DISK_MATCH: `${folder}/`,
      CAUSEWAY_DISK_SYNCED: this.#synced,
      CAUSEWAY_DISK_CONTROL: this.#control,
    };
  }

  become(mode: DiskMode): void {
    writeFileSync(this.#control, modes[mode], { flag: existsSync(this.#control) ? "r+" : "w" });
  }

  /** Leaves in `folder` what had reached the disk: the process is gone, and the page cache with it. */
  cutPower(folder: string): void {
    const synced = new Set(readdirSync(this.#synced));
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      if (synced.has(name)) copyFileSync(join(this.#synced, name), file);
      // Whatever was never synced need not be there at all. A lock file holds nothing.
      else if (!name.endsWith(".lock")) rmSync(file, { recursive: true });
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
