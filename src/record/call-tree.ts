/** The tree over the call statements of one call token (DESIGN.md section 4). */
import { callStatementsMax } from "../base/limits.ts";
import type { CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import { CallStatementSchema } from "../gen/causeway/record/v1/parts_pb.ts";
import type { TreeWithPaths } from "../merkle/batch-tree.ts";
import { treeWithPaths } from "../merkle/batch-tree.ts";
import { leafHash } from "../merkle/hash.ts";
import { decodeCanonical, encodeCanonical } from "./canonical.ts";
import { isIncluded } from "./inclusion.ts";

/** Bytes of an encoded call statement, as the contract bounds it in a call. */
export const callStatementBytesMax: number = 4096;

/** The canonical encoding of a call statement. Throws RangeError for one that has none. */
export function encodeCallStatement(statement: CallStatement): Uint8Array {
  return encodeCanonical(CallStatementSchema, statement);
}

/** Reads an encoded call statement. Throws TOO_LARGE, MALFORMED or NOT_CANONICAL. */
export function openCallStatement(bytes: Uint8Array): CallStatement {
  return decodeCanonical(CallStatementSchema, bytes, { maxBytes: callStatementBytesMax });
}

/** `root` of a call token and the path of each of its 1 to 64 encoded statements. */
export function callPaths(statements: readonly Uint8Array[]): TreeWithPaths {
  if (statements.length < 1 || statements.length > callStatementsMax) {
    throw new RangeError(`a call token is over 1 to ${callStatementsMax} statements`);
  }
  return treeWithPaths(statements.map(leafHash));
}

/** Whether an encoded statement stands at `index` of the tree that a token names by its `root` and `n`. */
export function verifyCallPath(options: {
  readonly statement: Uint8Array;
  readonly index: number;
  /** The token's `n`: at most 64, so that a path of more than 6 hashes is never the right one. */
  readonly count: number;
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}): boolean {
  const { statement, index, count, path, root } = options;
  return count <= callStatementsMax && isIncluded({ data: statement, index, count, path, root });
}
