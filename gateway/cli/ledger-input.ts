/** What the offline commands read: exports, network ids, notes and openings. */
import { createReadStream, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import type { Command } from "commander";
import { z } from "zod";
import { parseBase64, parseHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { decodeExport, type ExportEntry } from "../../src/audit/export-file.ts";
import type { EvidenceOpening } from "../../src/evidence/package.ts";

const readBytes = 1024 * 1024;

/**
 * The items of an export file. Throws FILE_UNREADABLE, and as `decodeExport` does.
 * `onBytes` is told how many bytes have been read, of how many.
 */
export async function* readExportFile(
  file: string,
  onBytes: (read: number, total: number) => void = () => undefined,
): AsyncGenerator<ExportEntry, void, undefined> {
  const total = await sizeOfFile(file);
  yield* decodeExport(counted(file, (read) => onBytes(read, total)));
}

async function* counted(file: string, onBytes: (read: number) => void): AsyncGenerator<Uint8Array> {
  let read = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: readBytes })) {
    read += (chunk as Uint8Array).length;
    onBytes(read);
    yield chunk as Uint8Array;
  }
}

async function sizeOfFile(file: string): Promise<number> {
  try {
    const stats = await stat(file);
    if (stats.isFile()) return stats.size;
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
  throw new CausewayError("FILE_UNREADABLE", `${file} is not a file`);
}

/** Throws FILE_UNREADABLE. */
export function readWhole(file: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(file));
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
}

/** The 32 bytes of a network id. Throws USAGE_INVALID for anything but 64 lower-case hex digits. */
export function parseNetworkId(text: string): Uint8Array {
  const id = parseHex(text);
  if (id?.length === 32) return id;
  throw new CausewayError("USAGE_INVALID", "a network id is 64 lower-case hex digits");
}

/** `host:port` of a listener that is named with or without `http://`. */
export function httpAddress(text: string): string {
  return text.replace(/^http:\/\//, "").replace(/\/$/, "");
}

const openingsSchema = z.array(
  z.object({ label: z.string(), salt: z.string(), value: z.string() }),
);

/** A list of `{label, salt, value}`, salt and value in base64, as `opening show --output json` prints it. Throws FILE_UNREADABLE or MALFORMED. */
export function readOpenings(file: string): readonly EvidenceOpening[] {
  const parsed = openingsSchema.safeParse(parseJson(new TextDecoder().decode(readWhole(file))));
  if (!parsed.success) throw new CausewayError("MALFORMED", `${file} is not a list of openings`);
  return parsed.data.map(({ label, salt, value }) => ({
    label,
    salt: base64(salt, file),
    value: base64(value, file),
  }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function base64(text: string, file: string): Uint8Array {
  const bytes = parseBase64(text);
  if (bytes !== undefined) return bytes;
  throw new CausewayError("MALFORMED", `${file}: salt and value are canonical base64`);
}

/** The command group `name` of a program, made unless it is there. */
export function childOf(program: Command, name: string, description: string): Command {
  const known = program.commands.find((command) => command.name() === name);
  return known ?? program.command(name).description(description);
}
