/** Programs that other people wrote, as `scripts/optional.mjs go` builds them. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

/** Path of a built program. */
export function built(name: string): string {
  return resolve(".cache/optional/go", name);
}

/** Why a test is skipped that needs these programs; `false` when all of them are there. */
export function missing(...names: readonly string[]): string | false {
  const absent = names.filter((name) => !existsSync(built(name)));
  if (absent.length === 0) return false;
  return `${absent.join(", ")} not built: node scripts/optional.mjs go`;
}
