import { concatBytes, u32be } from "../../base/bytes.ts";
import { assertInvariant } from "../../base/errors.ts";

/** The body of a batch as it is stored and served: for each record u32be length ‖ record. */
export function formatBody(records: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...records.flatMap((record) => [u32be(record.length), record]));
}

/** The records of a stored body, as views of it. */
export function parseBody(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const records: Uint8Array[] = [];
  let at = 0;
  while (at < body.length) {
    const end = at + 4 + view.getUint32(at);
    assertInvariant(end <= body.length, "a stored record ends after its body");
    records.push(body.subarray(at + 4, end));
    at = end;
  }
  return records;
}
