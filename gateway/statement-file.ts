/**
 * A statement as a file that people pass around until every signer has signed it: the payload as text,
 * and one compact JWS for each signature so far. A founding document is such a file, complete.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { CausewayError } from "../src/base/errors.ts";

export interface StatementFile {
  /** Such as `causeway-network+jwt`. */
  readonly typ: string;
  /** RFC 8785 JSON. */
  readonly payload: string;
  /** Ascending by the bytes of `kid`. */
  readonly jws: readonly string[];
}

const schema: z.ZodType<StatementFile> = z.strictObject({
  typ: z.string(),
  payload: z.string(),
  jws: z.array(z.string()),
});

/** Throws FILE_UNREADABLE, or STATEMENT_INVALID for a file of another form. */
export function readStatementFile(file: string): StatementFile {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CausewayError("STATEMENT_INVALID", `${file} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    throw new CausewayError("STATEMENT_INVALID", `${file} is not a statement file`, {
      cause: parsed.error,
    });
  }
  return parsed.data;
}

export function writeStatementFile(file: string, statement: StatementFile): void {
  writeFileSync(file, `${JSON.stringify(statement, undefined, 2)}\n`);
}
