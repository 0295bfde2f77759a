/** Secrets stand in files of their own, which only their owner may read. */
import { readFileSync, statSync } from "node:fs";
import { CausewayError } from "../src/base/errors.ts";
import type { Problem } from "./config-problems.ts";
import { configSchema } from "./config-schema.ts";
import type { GatewayConfig } from "./config-types.ts";
import { mapTexts } from "./config-walk.ts";

/** Reads a secret that a file holds, without its last line feed. Refused when others than its owner can read it. */
export function readSecretFile(file: string): string {
  try {
    if ((statSync(file).mode & 0o077) !== 0) {
      throw new CausewayError(
        "FILE_UNREADABLE",
        `${file} can be read by others: set its mode to 0600`,
      );
    }
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw new CausewayError("FILE_UNREADABLE", `the secret ${file} cannot be read`, { cause });
  }
}

/** Every file of the configuration that a gateway could not read, and every secret that others can. */
export function checkFiles(config: GatewayConfig): readonly Problem[] {
  const problems: Problem[] = [];
  mapTexts(config, configSchema, (file, meta, path) => {
    if (meta.path === true && meta.type?.startsWith("file") === true) {
      const text = problemOf(file, meta.secret === true);
      if (text !== undefined) problems.push({ path, text });
    }
    return file;
  });
  return problems;
}

function problemOf(file: string, isSecret: boolean): string | undefined {
  try {
    if (isSecret) readSecretFile(file);
    else readFileSync(file);
    return undefined;
  } catch (error) {
    if (error instanceof CausewayError) return error.message;
    return `${file} cannot be read`;
  }
}
