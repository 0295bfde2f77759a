/** Which records of a chain use up a quota: the first receipt of each attempt that was decided under one. */
import { mapKey } from "../base/bytes.ts";
import type { Decision } from "../gen/causeway/record/v1/parts_pb.ts";
import type { LedgerRecord } from "../record/record.ts";

/**
 * Follows the evidence of one chain. An attempt stands once, whether its receipt begins it or follows an
 * Opened; later receipts of a stream follow a receipt, and use nothing.
 */
export class ReceiptedAttempts {
  /** Decisions under a quota whose attempt is opened and has neither receipt nor end. */
  readonly #opened: Map<string, Decision> = new Map();

  /** The decision whose quota the next record of the chain uses up; `undefined` when it uses none. */
  take({ body }: LedgerRecord, recordHash: () => Uint8Array): Decision | undefined {
    switch (body.case) {
      case "opened": {
        const decision = limited(body.value.begin?.decision);
        if (decision !== undefined) this.#opened.set(mapKey(recordHash()), decision);
        return undefined;
      }
      case "receipt": {
        const { start } = body.value;
        if (start.case === "begin") return limited(start.value.decision);
        return start.case === "prevRecord" ? this.#end(start.value.hash) : undefined;
      }
      case "closed":
        this.#end(body.value.prevRecord);
        return undefined;
      default:
        return undefined;
    }
  }

  #end(record: Uint8Array): Decision | undefined {
    if (this.#opened.size === 0) return undefined;
    const key = mapKey(record);
    const decision = this.#opened.get(key);
    this.#opened.delete(key);
    return decision;
  }
}

function limited(decision: Decision | undefined): Decision | undefined {
  return decision?.quota === undefined ? undefined : decision;
}
