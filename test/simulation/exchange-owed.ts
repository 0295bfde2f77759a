/** The receipts of the provider's journal, and who owes an answer to which: kept beside the product, of all that was seen. */
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import type { Proof } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { type Acknowledgement, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { formatHandle } from "../../src/record/handle.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import { readRecord } from "./exchange-records.ts";

export interface Owed {
  readonly handle: string;
  readonly attempt: string;
  /** Gateway id of the consumer. */
  readonly peer: string;
}

export class OwedReceipts {
  readonly #sealed: Owed[] = [];
  readonly #sent = new Set<string>();

  sealed(receipt: Owed): void {
    this.#sealed.push(receipt);
  }

  /** The provider lets an answer leave. */
  sent({ leaf, position }: Proof): void {
    this.#sent.add(formatHandle(leafHash(leaf), position));
  }

  /** Which of these, by default of all that were sent, nothing answers that the provider has of the ledger. */
  unanswered({ applied }: SimGateway, of: readonly Owed[] = this.#sealed): readonly Owed[] {
    const answered = answeredOnLedger(applied);
    return of.filter(
      ({ handle, attempt, peer }) =>
        this.#sent.has(handle) &&
        !answered.has(`${peer} ${handle}`) &&
        !answered.has(`${peer} ${attempt}`),
    );
  }
}

/** What a machine has of the ledger that answers receipts: their handles, and attempts that are closed, by gateway. */
function answeredOnLedger({ ledger, size }: SimGateway["applied"]): ReadonlySet<string> {
  const answered = new Set<string>();
  for (const { header, records } of ledger.batches.slice(0, size)) {
    for (const record of records) {
      const { body } = readRecord(record);
      if (body.case === "acknowledgement") {
        answered.add(`${header.gateway} ${receiptOf(body.value)}`);
      } else if (body.case === "closed" && body.value.side === Side.CONSUMER) {
        const { tokenDigest, index } = body.value;
        answered.add(`${header.gateway} ${attemptKey(tokenDigest, index)}`);
      }
    }
  }
  return answered;
}

/** Handle of the receipt that an acknowledgement names. */
function receiptOf({ receipt }: Acknowledgement): string | undefined {
  return receipt && formatHandle(receipt.leafHash, receipt.position);
}
