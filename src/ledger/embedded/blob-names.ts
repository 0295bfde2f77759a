import { parseHex } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { openStatement } from "../../credential/statement.ts";
import type { Statement } from "../../credential/statements.ts";
import { openRecord } from "../../record/record.ts";

/** A blob as a statement names it. */
export interface NamedBlob {
  readonly sha256: Uint8Array;
  readonly bytes: number;
}

/**
 * The blobs that the statements of a governance batch name. A statement that cannot be read names
 * none: it will be void. One that is void for its signers names its blobs all the same.
 */
export function namedBlobs(records: readonly Uint8Array[]): readonly NamedBlob[] {
  return records.flatMap((bytes) => {
    const { body } = openRecord(bytes);
    if (body.case !== "statement") return [];
    const statement = readStatement(body.value.jws);
    return statement === undefined ? [] : blobsOf(statement);
  });
}

function readStatement(jws: readonly string[]): Statement | undefined {
  try {
    return openStatement(jws).statement;
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

function blobsOf(statement: Statement): readonly NamedBlob[] {
  switch (statement.name) {
    case "service":
      return [named(statement.body.descriptor, statement.body.descriptor_bytes)];
    case "policy":
      return [
        named(statement.body.policy, statement.body.policy_bytes),
        named(statement.body.schema, statement.body.schema_bytes),
      ];
    default:
      return [];
  }
}

function named(digest: string, bytes: number): NamedBlob {
  return { sha256: parseHex(digest) as Uint8Array, bytes };
}
