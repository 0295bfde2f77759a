import { utf8 } from "../base/bytes.ts";
import { sha256 } from "../base/sha256.ts";
import { sortTexts } from "./canonical.ts";

/** `mask_digest` of a field mask: SHA-256 of its sorted paths, joined with LF. */
export function maskDigest(paths: readonly string[]): Uint8Array {
  return sha256(utf8(sortTexts(paths).join("\n")));
}
