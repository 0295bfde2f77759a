/** What the files that a part of the configuration names hold: a new certificate is news though its path is not. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { z } from "zod";
import { CausewayError } from "../src/base/errors.ts";
import { mapTexts } from "./config-walk.ts";

/** A digest for each file, in the order of the keys. Throws FILE_UNREADABLE. */
export function contentsOf(value: unknown, schema: z.ZodType): readonly string[] {
  const contents: string[] = [];
  mapTexts(value, schema, (file, meta) => {
    if (meta.path === true && meta.type?.startsWith("file") === true) contents.push(digestOf(file));
    return file;
  });
  return contents;
}

function digestOf(file: string): string {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
}
