/** The matching of RECORDS.md over a ledger: what each side has on record of each attempt, and how it closed. */
import assert from "node:assert/strict";
import type { DescEnum } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import { callTokenDigest, openCallToken } from "../../src/credential/call-token.ts";
import type { Call } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  Check,
  CheckSchema,
  type Closed,
  OutcomeSchema,
  type Receipt,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openCallStatement, verifyCallPath } from "../../src/record/call-tree.ts";
import type { PlacedRecord } from "./final-ledger.ts";

/** What the ledger says of one attempt. */
export interface Attempt {
  /** Token digest and index. */
  readonly key: string;
  /** Exchange id in hex, a dot, the number of the attempt. */
  readonly name: string;
  /** `receipt`, `refusal <reason>`, `closed <outcome>`, or `none`; `open` when Opened stands alone. */
  readonly provider: string;
  /** `match`, another check, `closed <outcome>`, or `open`. */
  readonly consumer: string;
  /** Handle of the receipt, when there is one. */
  readonly receipt: string | undefined;
}

interface Found {
  readonly key: string;
  readonly name: string;
  opened: PlacedRecord | undefined;
  provider: { readonly what: string; readonly record: PlacedRecord } | undefined;
  consumer: { readonly what: string; readonly record: PlacedRecord } | undefined;
}

/** Matches all records. Fails where something stands twice or contradicts another record. */
export function matchAttempts(records: readonly PlacedRecord[]): readonly Attempt[] {
  const matching = new Matching();
  for (const record of records) matching.take(record);
  return matching.attempts();
}

class Matching {
  readonly #byKey = new Map<string, Found>();
  readonly #byName = new Map<string, string>();
  readonly #byOpened = new Map<string, Found>();
  readonly #handles = new Map<string, PlacedRecord>();
  readonly #acknowledged: { readonly found: Found; readonly body: Acknowledgement }[] = [];

  take(record: PlacedRecord): void {
    const { body } = record;
    this.#handles.set(record.handle, record);
    switch (body.case) {
      case "opened": {
        const found = this.#ofCall(body.value.begin?.call as Call);
        assert.equal(found.opened, undefined, `${found.key} was opened twice`);
        assert.equal(found.provider, undefined, `${found.key} was opened after its closing`);
        found.opened = record;
        this.#byOpened.set(record.hash, found);
        return;
      }
      case "receipt":
        this.#closeProvider(this.#ofReceipt(body.value), "receipt", record);
        return;
      case "refusal": {
        const { call, reason, side } = body.value;
        if (side !== Side.PROVIDER || call === undefined) return;
        const found = this.#ofCall(call);
        assert.equal(found.opened, undefined, `${found.key} was refused after Opened`);
        this.#closeProvider(found, `refusal ${reason}`, record);
        return;
      }
      case "acknowledgement": {
        const found = this.#ofName(body.value, body.value);
        assert.ok(body.value.final, "an acknowledgement of a unary call is final");
        this.#acknowledged.push({ found, body: body.value });
        const what = wordsOf(CheckSchema, body.value.check);
        this.#closeConsumer(found, what, record);
        return;
      }
      case "closed":
        this.#takeClosed(body.value, record);
    }
  }

  #takeClosed(closed: Closed, record: PlacedRecord): void {
    const what = `closed ${wordsOf(OutcomeSchema, closed.outcome)}`;
    if (closed.side === Side.CONSUMER) {
      this.#closeConsumer(this.#ofName(closed, closed), what, record);
      return;
    }
    const found = this.#byOpened.get(toHex(closed.prevRecord));
    assert.ok(found !== undefined, "a provider's Closed follows an Opened");
    assert.equal(nameOf(closed), found.name);
    this.#closeProvider(found, what, record);
  }

  #ofReceipt(receipt: Receipt): Found {
    assert.ok(receipt.final, "a receipt of a unary call is final");
    if (receipt.start.case === "begin") {
      const found = this.#ofCall(receipt.start.value.call as Call);
      assert.equal(found.opened, undefined, `${found.key} began twice`);
      return found;
    }
    const found = this.#byOpened.get(toHex(receipt.start.value?.hash as Uint8Array));
    assert.ok(found !== undefined, "a receipt follows an Opened");
    return found;
  }

  #ofCall(call: Call): Found {
    const { claims } = openCallToken(call.token);
    const statement = openCallStatement(call.statement);
    const { index, path } = call;
    const bound = { statement: call.statement, index, count: claims.n, path, root: claims.root };
    assert.ok(verifyCallPath(bound), "the statement stands under the token's root");
    return this.#ofName({ tokenDigest: callTokenDigest(call.token), index }, statement);
  }

  #ofName(
    at: { readonly tokenDigest: Uint8Array; readonly index: number },
    named: { readonly xid: Uint8Array; readonly attempt: number },
  ): Found {
    const key = `${toHex(at.tokenDigest)}.${at.index}`;
    const name = nameOf(named);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      assert.equal(name, known.name, "both sides name the attempt alike");
      return known;
    }
    assert.ok(!this.#byName.has(name), `${name} is the name of two attempts`);
    this.#byName.set(name, key);
    const found: Found = { key, name, opened: undefined, provider: undefined, consumer: undefined };
    this.#byKey.set(key, found);
    return found;
  }

  #closeProvider(found: Found, what: string, record: PlacedRecord): void {
    assert.equal(found.provider, undefined, `the provider closed ${found.key} twice`);
    found.provider = { what, record };
  }

  #closeConsumer(found: Found, what: string, record: PlacedRecord): void {
    assert.equal(found.consumer, undefined, `the consumer closed ${found.key} twice`);
    found.consumer = { what, record };
  }

  attempts(): readonly Attempt[] {
    for (const { found, body } of this.#acknowledged) this.#checkAcknowledgement(found, body);
    return [...this.#byKey.values()].map(({ key, name, opened, provider, consumer }) => ({
      key,
      name,
      provider: provider?.what ?? (opened === undefined ? "none" : "open"),
      consumer: consumer?.what ?? "open",
      receipt: provider?.what === "receipt" ? provider.record.handle : undefined,
    }));
  }

  /** Of what is final on both sides: the receipt may still be on its way. */
  #checkAcknowledgement(found: Found, body: Acknowledgement): void {
    const handle = `${toHex(body.receipt?.leafHash as Uint8Array)}/${body.receipt?.position}`;
    const receipt = this.#handles.get(handle);
    if (receipt === undefined) return;
    assert.equal(receipt, found.provider?.record, "the acknowledgement names this receipt");
    assert.equal(toHex(body.receiptRecord), receipt.hash);
    if (body.check !== Check.MATCH || receipt.body.case !== "receipt") return;
    const sent = receipt.body.value.progress;
    assert.deepEqual(body.progress?.response, sent?.response, "both ends saw one answer");
    assert.deepEqual(body.progress?.request, sent?.request, "both ends saw one request");
    assert.equal(body.progress?.framesEnd, sent?.framesEnd);
  }
}

function nameOf({ xid, attempt }: { readonly xid: Uint8Array; readonly attempt: number }): string {
  return `${toHex(xid)}.${attempt}`;
}

function wordsOf(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName.toLowerCase().replaceAll("_", " ") ?? String(value);
}
