/** The matching of RECORDS.md over a ledger: what each side has on record of each attempt, and how it closed. */
import assert from "node:assert/strict";
import type { DescEnum } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import { callTokenDigest, openCallToken } from "../../src/credential/call-token.ts";
import type { Call, CallStatement, Progress } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
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
  /** As the provider's records say; absent when it has none. */
  readonly method: string | undefined;
  readonly purpose: string | undefined;
  /** `receipt`, `refusal <reason>`, `closed <outcome>`, or `none`; `open` when no record closes it. */
  readonly provider: string;
  /** `match`, another check, `closed <outcome>`, or `open`. */
  readonly consumer: string;
  /** Handle of the final receipt, when there is one. */
  readonly receipt: string | undefined;
  /** Frames of the answer that the receipts cover, and the segments. */
  readonly receipted: Extent;
  /** The same of the acknowledgements that match. */
  readonly acknowledged: Extent;
}

export interface Extent {
  readonly frames: number;
  readonly segments: number;
}

interface Closing {
  readonly what: string;
  readonly record: PlacedRecord;
}

interface Found {
  readonly key: string;
  readonly name: string;
  statement: CallStatement | undefined;
  /** Opened and the receipts, each following the one before. */
  readonly chain: PlacedRecord[];
  readonly acknowledgements: PlacedRecord[];
  provider: Closing | undefined;
  consumer: Closing | undefined;
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
  /** By the hash of each record of its chain. */
  readonly #byRecord = new Map<string, Found>();
  readonly #handles = new Map<string, PlacedRecord>();

  take(record: PlacedRecord): void {
    const { body } = record;
    this.#handles.set(record.handle, record);
    switch (body.case) {
      case "opened": {
        const found = this.#ofCall(body.value.begin?.call as Call);
        assert.equal(found.chain.length, 0, `${found.key} was opened twice`);
        this.#follow(found, record);
        return;
      }
      case "receipt": {
        const found = this.#ofReceipt(body.value);
        this.#follow(found, record);
        if (body.value.final) this.#closeProvider(found, "receipt", record);
        return;
      }
      case "refusal": {
        const { call, reason, side } = body.value;
        if (side !== Side.PROVIDER || call === undefined) return;
        const found = this.#ofCall(call);
        assert.equal(found.chain.length, 0, `${found.key} was refused when it was on record`);
        this.#closeProvider(found, `refusal ${reason}`, record);
        return;
      }
      case "acknowledgement": {
        const found = this.#ofName(body.value, body.value);
        assert.equal(found.consumer, undefined, `${found.key} was acknowledged after its closing`);
        found.acknowledgements.push(record);
        const what = wordsOf(CheckSchema, body.value.check);
        if (body.value.final) this.#closeConsumer(found, what, record);
        else assert.equal(what, "match", "what does not match closes its attempt");
        return;
      }
      case "closed":
        this.#takeClosed(body.value, record);
    }
  }

  #takeClosed(closed: Closed, record: PlacedRecord): void {
    const what = `closed ${wordsOf(OutcomeSchema, closed.outcome)}`;
    if (closed.side === Side.CONSUMER) {
      const found = this.#ofName(closed, closed);
      const newest = found.acknowledgements.at(-1)?.hash ?? "";
      assert.equal(toHex(closed.prevRecord), newest, "a Closed follows the last acknowledgement");
      this.#closeConsumer(found, what, record);
      return;
    }
    const found = this.#after(closed.prevRecord);
    assert.equal(nameOf(closed), found.name);
    this.#closeProvider(found, what, record);
  }

  #ofReceipt(receipt: Receipt): Found {
    if (receipt.start.case !== "begin") return this.#after(receipt.start.value?.hash as Uint8Array);
    const found = this.#ofCall(receipt.start.value.call as Call);
    assert.equal(found.chain.length, 0, `${found.key} began twice`);
    return found;
  }

  /** The attempt whose newest record this is. */
  #after(hash: Uint8Array): Found {
    const found = this.#byRecord.get(toHex(hash));
    assert.ok(found !== undefined, "a record follows Opened or a receipt");
    assert.equal(found.chain.at(-1)?.hash, toHex(hash), `${found.key} branches`);
    return found;
  }

  #follow(found: Found, record: PlacedRecord): void {
    assert.equal(found.provider, undefined, `${found.key} goes on after its closing`);
    const before = found.chain.at(-1);
    const progress = progressOf(record);
    if (progress !== undefined) {
      const last = before === undefined ? undefined : progressOf(before);
      assert.equal(progress.segment, (last?.segment ?? 0) + 1, `a gap in ${found.key}`);
      assert.equal(progress.framesFirst, last?.framesEnd ?? 0n, `a gap in ${found.key}`);
    }
    found.chain.push(record);
    this.#byRecord.set(record.hash, found);
  }

  #ofCall(call: Call): Found {
    const { claims } = openCallToken(call.token);
    const statement = openCallStatement(call.statement);
    const { index, path } = call;
    const bound = { statement: call.statement, index, count: claims.n, path, root: claims.root };
    assert.ok(verifyCallPath(bound), "the statement stands under the token's root");
    const found = this.#ofName({ tokenDigest: callTokenDigest(call.token), index }, statement);
    found.statement = statement;
    return found;
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
    const found: Found = {
      key,
      name,
      statement: undefined,
      chain: [],
      acknowledgements: [],
      provider: undefined,
      consumer: undefined,
    };
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
    return [...this.#byKey.values()].map((found) => {
      const { key, name, statement, chain, acknowledgements, provider, consumer } = found;
      this.#checkAcknowledgements(found);
      return {
        key,
        name,
        method: statement?.method,
        purpose: statement?.purpose,
        provider: provider?.what ?? (chain.length === 0 ? "none" : "open"),
        consumer: consumer?.what ?? "open",
        receipt: provider?.what === "receipt" ? provider.record.handle : undefined,
        receipted: extentOf(chain.map(progressOf)),
        acknowledged: extentOf(acknowledgements.map(progressOf)),
      };
    });
  }

  /** Of what is final on both sides: a receipt may still be on its way. */
  #checkAcknowledgements(found: Found): void {
    const receipts = found.chain.filter(({ body }) => body.case === "receipt");
    for (const [i, { body }] of found.acknowledgements.entries()) {
      if (body.case !== "acknowledgement") continue;
      const { receipt: named, receiptRecord, check, progress } = body.value;
      const handle = `${toHex(named?.leafHash as Uint8Array)}/${named?.position}`;
      const receipt = this.#handles.get(handle);
      if (receipt === undefined) continue;
      assert.equal(receipt, receipts[i], "the acknowledgement names this receipt");
      assert.equal(toHex(receiptRecord), receipt.hash);
      if (check !== Check.MATCH) continue;
      const sent = progressOf(receipt);
      assert.equal(progress?.segment, sent?.segment);
      assert.deepEqual(progress?.response, sent?.response, "both ends saw one answer");
      // The consumer says what it has sent by then, which is on its way in part.
      const [own = 0n, other = 0n] = [progress?.requestFrames, sent?.requestFrames];
      assert.ok(own >= other, "a receipt covers no request that was not sent");
      if (own === other) assert.deepEqual(progress?.request, sent?.request, "one request");
      assert.equal(progress?.framesEnd, sent?.framesEnd);
    }
  }
}

/** Of a receipt, or of an acknowledgement that matches. */
function progressOf({ body }: PlacedRecord): Progress | undefined {
  if (body.case === "receipt") return body.value.progress;
  if (body.case !== "acknowledgement" || body.value.check !== Check.MATCH) return undefined;
  return body.value.progress;
}

function extentOf(progresses: readonly (Progress | undefined)[]): Extent {
  const last = progresses.findLast((progress) => progress !== undefined);
  return { frames: Number(last?.framesEnd ?? 0n), segments: last?.segment ?? 0 };
}

function nameOf({ xid, attempt }: { readonly xid: Uint8Array; readonly attempt: number }): string {
  return `${toHex(xid)}.${attempt}`;
}

function wordsOf(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName.toLowerCase().replaceAll("_", " ") ?? String(value);
}
