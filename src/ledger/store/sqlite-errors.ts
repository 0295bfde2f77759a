import Database from "better-sqlite3";
import { CausewayError } from "../../base/errors.ts";

/** Runs a storage operation; what the driver throws becomes STORAGE_FAILED, by its code alone. */
export function storing<T>(operation: () => T): T {
  try {
    return operation();
  } catch (cause) {
    if (!(cause instanceof Database.SqliteError)) throw cause;
    throw new CausewayError("STORAGE_FAILED", `the ledger's store failed: ${cause.code}`, {
      cause,
      fields: { sqlite: cause.code },
    });
  }
}
