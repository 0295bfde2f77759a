/** What a consumer's gateway says on the ledger of attempts that it has closed. */
import { type Outcome, Side } from "../gen/causeway/record/v1/record_pb.ts";
import { type LedgerRecord, openRecord } from "../record/record.ts";
import { attemptKey } from "./used-attempts.ts";

/** Which attempt, as `attemptKey` names it, a record closes for the side that called. */
export function attemptClosedBy(
  body: LedgerRecord["body"],
): { readonly attempt: string; readonly outcome: Outcome } | undefined {
  if (body.case !== "closed" || body.value.side !== Side.CONSUMER) return undefined;
  const { index, outcome, tokenDigest } = body.value;
  return { attempt: attemptKey(tokenDigest, index), outcome };
}

/** The tag that an encoded record of a closing begins with: field 20 of its envelope, length-delimited. */
const closedTag = [0xa2, 0x01] as const;

/** Names of the attempts, as `attemptKey` gives them, that a batch closes for the side that called. */
export function attemptsClosedIn(records: readonly Uint8Array[]): ReadonlySet<string> {
  const closed = new Set<string>();
  for (const bytes of records) {
    // Nearly all are acknowledgements, which cost more to decode than to pass by.
    if (bytes[0] !== closedTag[0] || bytes[1] !== closedTag[1]) continue;
    const { attempt } = attemptClosedBy(openRecord(bytes).body) ?? {};
    if (attempt !== undefined) closed.add(attempt);
  }
  return closed;
}
