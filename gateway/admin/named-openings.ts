/** Where the openings are kept that an administrator names: by the exchange, or by one record. */
import { CausewayError } from "../../src/base/errors.ts";
import { formatUuid } from "../../src/base/ids.ts";
import { refusalIds, refusedAttempt } from "../../src/exchange/refusal-openings.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { openRecord } from "../../src/record/record.ts";
import { attemptPrefix } from "../openings.ts";
import { attemptOf } from "./exchange-parts.ts";
import { type FindPorts, namingRecord } from "./find-exchange.ts";
import { getRecord } from "./records.ts";

export interface NamedOpenings {
  /** As the log says it. */
  readonly name: string;
  /** Of exchanges, by their ids, and of refusals alone. Any of them may have none. */
  readonly ids: readonly Uint8Array[];
}

const xidBytes = 16;

/** The openings of an exchange. Throws RECORD_UNKNOWN. */
export function openingsOfExchange(xid: Uint8Array): NamedOpenings {
  if (xid.length !== xidBytes) {
    throw new CausewayError("RECORD_UNKNOWN", "an exchange is named by 16 bytes");
  }
  return { name: formatUuid(xid), ids: [xid] };
}

/**
 * The openings of the refusal, or else of the exchange, of a record that is named by its handle or address. A refusal
 * is one of this gateway: what another one has recorded as its commitment opens and erases nothing here. Throws
 * RECORD_UNKNOWN, also for a record that belongs to neither.
 */
export function openingsOfRecord(name: string, ports: FindPorts): NamedOpenings {
  const { record, leaf } = getRecord(name, ports);
  const opened = openRecord(record);
  const { header, leafHash } = openLeaf(leaf);
  const isOwn = ports.journal.batchByLeafHash(leafHash) !== undefined;
  const refused =
    isOwn && opened.body.case === "refusal" ? refusalIds(opened.body.value, header) : [];
  const own = refused.map((id) => attemptPrefix(id, refusedAttempt));
  const naming = namingRecord(opened, leaf, ports);
  const xid = naming === undefined ? undefined : attemptOf(naming)?.xid;
  const ids = xid === undefined ? own : [...own, xid];
  if (ids.length > 0 || opened.body.case === "refusal") return { name, ids };
  throw new CausewayError("RECORD_UNKNOWN", `${name} is a record of no exchange`, {
    fields: { name },
  });
}
