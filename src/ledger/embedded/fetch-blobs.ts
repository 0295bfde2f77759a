import { CausewayError } from "../../base/errors.ts";
import { kindOfBatch } from "../../record/batch.ts";
import { openLeaf } from "../../record/leaf.ts";
import type { SealedBatch } from "../ports.ts";
import { type NamedBlob, namedBlobs } from "./blob-names.ts";
import type { LedgerClient } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";

/** Stores the blobs that the batch names; `false` when one cannot have the size that it is announced with. */
export async function fetchBlobs(
  batch: SealedBatch,
  { replica, client }: { readonly replica: LedgerReplica; readonly client: LedgerClient },
): Promise<boolean> {
  for (const { sha256, bytes } of blobsOf(batch)) {
    if (replica.reader.blobSize(sha256) === undefined) {
      replica.putBlob(sha256, await client.getBlob(sha256));
    }
    if (replica.reader.blobSize(sha256) !== bytes) return false;
  }
  return true;
}

function blobsOf(batch: SealedBatch): readonly NamedBlob[] {
  try {
    const isGovernance = kindOfBatch(openLeaf(batch.leaf).header) === "governance";
    return isGovernance ? namedBlobs(batch.records) : [];
  } catch (error) {
    // A batch that cannot be read is refused when it is folded.
    if (error instanceof CausewayError) return [];
    throw error;
  }
}
