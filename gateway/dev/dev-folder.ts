/** The folder of a place to try: a temporary one is removed in the end, one that was named or kept stays. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CausewayError } from "../../src/base/errors.ts";

export interface DevFolder {
  readonly path: string;
  readonly isKept: boolean;
  /** Removes it, unless it is kept. */
  close(): void;
}

/**
 * Makes the folder.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY` when something stands in it; `STORAGE_FAILED` when it cannot be made.
 */
export function createDevFolder(options: {
  readonly folder?: string | undefined;
  readonly keep?: boolean | undefined;
}): DevFolder {
  const path = makeFolder(options.folder);
  const isKept = options.keep === true || options.folder !== undefined;
  const remove = (): void => {
    if (!isKept) rmSync(path, { recursive: true, force: true });
  };
  // The last resort of a process that is ended without waiting.
  process.once("exit", remove);
  return {
    path,
    isKept,
    close: () => {
      process.off("exit", remove);
      remove();
    },
  };
}

function makeFolder(named: string | undefined): string {
  try {
    if (named === undefined) return mkdtempSync(join(tmpdir(), "causeway-dev-"));
    const path = resolve(named);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (readdirSync(path).length === 0) return path;
  } catch (cause) {
    const message = `the folder ${named ?? tmpdir()} cannot be made`;
    throw new CausewayError("STORAGE_FAILED", message, { cause });
  }
  throw new CausewayError(
    "FOLDER_NOT_EMPTY",
    `${named} is not empty: a new network needs a folder of its own`,
  );
}
