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
  /** Numbers of the batches in which it stands, and in which its attempt begins. */
  readonly batch: number;
  readonly begun: number;
}

/** When the place was worked out from which on a start looks back. */
export interface LookedBack {
  /** Batches of the journal by then. */
  readonly batches: number;
  /** Handles of the receipts that had left by then. */
  readonly sent: ReadonlySet<string>;
}

export class OwedReceipts {
  readonly #sealed: Owed[] = [];
  readonly #sent = new Set<string>();
  readonly #acknowledged = new Set<string>();

  sealed(receipt: Owed): void {
    this.#sealed.push(receipt);
  }

  /** The provider lets an answer leave. */
  sent({ leaf, position }: Proof): void {
    this.#sent.add(formatHandle(leafHash(leaf), position));
  }

  /** The provider has a frame with this acknowledgement. */
  acknowledged({ record }: Proof): void {
    const { body } = readRecord(record);
    const handle = body.case === "acknowledgement" ? receiptOf(body.value) : undefined;
    if (handle !== undefined) this.#acknowledged.add(handle);
  }

  now(batches: number): LookedBack {
    return { batches, sent: new Set(this.#sent) };
  }

  /** How many receipts a start of the provider has to find without an answer, at the least. */
  atStart({ applied, disk }: SimGateway): number {
    const { batches, sent } = disk.lookedBack;
    const answered = answeredOnLedger(applied);
    const owed = this.#sealed.filter(
      ({ handle, attempt, peer, batch }) =>
        !this.#acknowledged.has(handle) &&
        !answered.has(`${peer} ${handle}`) &&
        !answered.has(`${peer} ${attempt}`) &&
        (batch >= batches || sent.has(handle)),
    );
    const oldest = Math.min(...owed.map(({ batch }) => batch));
    // Of an attempt that began before it nothing is restored.
    return owed.filter(({ begun }) => begun >= oldest).length;
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
