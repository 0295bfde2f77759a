import { parseUtf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";

/**
 * Parses JSON of others, in any form but with each member once: of two members of one name a second
 * reader could take the other one.
 *
 * @throws CausewayError `MALFORMED` for what is no UTF-8, no JSON, or names a member twice.
 */
export function parseUniqueJson(bytes: Uint8Array): unknown {
  const text = parseUtf8(bytes);
  if (text === undefined) throw new CausewayError("MALFORMED", "it is not UTF-8");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CausewayError("MALFORMED", "it is not JSON", { cause });
  }
  if (namesMemberTwice(text)) throw new CausewayError("MALFORMED", "it names a member twice");
  return json;
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/g;

/** `text` is JSON. Names are compared as they read, whatever escapes they are written with. */
function namesMemberTwice(text: string): boolean {
  // The names of each object that is open; nothing for a list.
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  for (const [token] of text.matchAll(tokens)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    const names = open.at(-1);
    if (isName && token.startsWith('"') && names !== undefined) {
      const name = JSON.parse(token) as string;
      if (names.has(name)) return true;
      names.add(name);
    }
    isName = token === "{" || (token === "," && names !== undefined);
  }
  return false;
}

/** The members of a JSON object, or `undefined` for any other value. */
export function membersOf(json: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  return Object.assign(Object.create(null) as Record<string, unknown>, json);
}
