/** Files of a key folder: read within a bound, written so that a crash leaves all of them or none. */
import { randomBytes } from "node:crypto";
import { link, mkdir, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { CausewayError } from "../../src/base/errors.ts";

function errno(cause: unknown): string {
  return String((cause as { readonly code?: unknown } | undefined)?.code);
}

async function readUpTo(file: FileHandle, bytesMax: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytesMax);
  let filled = 0;
  while (filled < bytesMax) {
    const { bytesRead } = await file.read(buffer, filled, bytesMax - filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.slice(0, filled);
}

/**
 * The bytes of a file of at most `bytesMax`; a pipe is read to its end.
 *
 * @throws CausewayError `FILE_UNREADABLE`; `TOO_LARGE` when it is longer.
 */
export async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  let bytes: Uint8Array;
  try {
    file = await open(path, "r");
    bytes = await readUpTo(file, bytesMax + 1);
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `cannot read ${path}: ${errno(cause)}`, { cause });
  } finally {
    await file?.close();
  }
  if (bytes.length > bytesMax) {
    throw new CausewayError("TOO_LARGE", `${path} is longer than ${bytesMax} bytes`);
  }
  return bytes;
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeNew(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws CausewayError `FOLDER_NOT_EMPTY` when `folder` is there and is anything but an empty folder. */
export async function assertFolderFree(folder: string): Promise<void> {
  let entries: readonly string[];
  try {
    entries = await readdir(folder);
  } catch (cause) {
    if (errno(cause) === "ENOENT") return;
    throw notFree(folder, cause);
  }
  if (entries.length > 0) throw notFree(folder);
}

function notFree(folder: string, cause?: unknown): CausewayError {
  return new CausewayError("FOLDER_NOT_EMPTY", `${folder} is not an empty folder`, { cause });
}

/**
 * Creates `folder` (0700) with these files (0600), durably and all at once: they are written and synced
 * beside it, and one rename puts them in place. A crash before it leaves a folder `<folder>.new-…`, which
 * holds no key that anyone has seen and may be deleted. The rename replaces nothing but an empty folder.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY`; `STORAGE_FAILED` when the disk refuses.
 */
export async function createFolder(
  folder: string,
  files: ReadonlyMap<string, string | Uint8Array>,
): Promise<void> {
  const target = resolve(folder);
  const staging = `${target}.new-${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await mkdir(staging, { mode: 0o700 });
    for (const [name, content] of files) await writeNew(join(staging, name), content);
    await sync(staging);
    await rename(staging, target);
    await sync(dirname(target));
  } catch (cause) {
    await rm(staging, { recursive: true, force: true });
    if (["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(errno(cause))) throw notFree(folder, cause);
    throw new CausewayError("STORAGE_FAILED", `cannot create ${folder}: ${errno(cause)}`, {
      cause,
    });
  }
}

/**
 * Adds one file (0600) to a folder, durably; it appears whole or not at all, and never replaces another.
 * What a crash left half written is replaced.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY` when there is a file of that name; `STORAGE_FAILED`.
 */
export async function addFile(
  folder: string,
  name: string,
  content: string | Uint8Array,
): Promise<void> {
  const path = join(folder, name);
  const staging = `${path}.new`;
  try {
    await rm(staging, { force: true });
    await writeNew(staging, content);
    // A link, unlike a rename, fails where the name is taken.
    await link(staging, path);
    await rm(staging);
    await sync(folder);
  } catch (cause) {
    if (errno(cause) === "EEXIST") {
      throw new CausewayError("FOLDER_NOT_EMPTY", `${path} is there already`, { cause });
    }
    throw new CausewayError("STORAGE_FAILED", `cannot write ${path}: ${errno(cause)}`, { cause });
  }
}
