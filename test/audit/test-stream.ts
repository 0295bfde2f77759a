/** One open call on a ledger of tests: its records on both sides, honest unless they are changed. */
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { Transcript } from "../../src/crypto/transcript.ts";
import { AnswerSegments } from "../../src/exchange/answer-segments.ts";
import {
  encodeAcknowledgement,
  type encodeConsumerClosed,
} from "../../src/exchange/consumer-records.ts";
import { type BuiltReceipt, encodeReceipt } from "../../src/exchange/provider-records.ts";
import { receivedResponse } from "../../src/exchange/receipt-check.ts";
import { ReceivedAnswer } from "../../src/exchange/received-answer.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { type AnswerFrame, AnswerFrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import type { Progress } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { type LedgerRecord, recordHash } from "../../src/record/record.ts";
import {
  altered,
  type AuditLedger,
  type CallChange,
  chatMethod,
  type TestCall,
  type TestRecord,
} from "./audit-ledger.ts";

export type Change = (record: LedgerRecord) => void;
type SealChange = Parameters<AuditLedger["seal"]>[2];

/** Changes the numbers of a receipt or an acknowledgement. */
export function progressed(change: (progress: Progress) => void): Change {
  return ({ body }) => {
    if (body.case !== "receipt" && body.case !== "acknowledgement") return;
    if (body.value.progress !== undefined) change(body.value.progress);
  };
}

const asIs = { headers: <T>(v: T): T => v, message: <T>(v: T): T => v, status: <T>(v: T): T => v };
const bounds = { messagesMax: 0n, bytesMax: 0n, segmentMessages: 1024, segmentBytes: 1 << 20 };

interface Released {
  readonly receipt: TestRecord;
  readonly answer: AnswerFrame;
  readonly built: BuiltReceipt;
  readonly final: boolean;
}

export class TestStream {
  readonly audit: AuditLedger;
  readonly call: TestCall;
  readonly #segments = new AnswerSegments(asIs, bounds, { take: () => true });
  readonly #request = new Transcript().addHeaders(new Uint8Array());
  readonly #received = new ReceivedAnswer();
  readonly #salt = sha256(utf8("salt of the request"));
  readonly #seed: Uint8Array;
  readonly #waiting: Released[] = [];
  /** Of the provider and of the consumer, as they stand. */
  #newest: Uint8Array | undefined;
  #acknowledged: Uint8Array | undefined;

  constructor(audit: AuditLedger, change: CallChange = {}) {
    this.audit = audit;
    this.call = audit.call({ method: chatMethod, open: true, ...change });
    this.#seed = sha256(this.call.statement.xid);
    this.#segments.addHeaders(create(MetadataSchema));
  }

  /** Record hash of the provider's newest record. */
  get newest(): Uint8Array {
    return this.#newest as Uint8Array;
  }

  /** Messages of the request, taken by the provider too. */
  ask(count = 1): void {
    for (let i = 0; i < count; i++) this.#request.addMessage(utf8("question"));
  }

  #requested(): { readonly commitment: Uint8Array; readonly frames: number } {
    const { statement } = this.call;
    const { frames, value } = this.#request;
    if (!statement.open) return { commitment: statement.request, frames: 2 };
    return { commitment: commit({ label: "request", salt: this.#salt, value }), frames };
  }

  async open(): Promise<TestRecord> {
    const bytes = this.audit.opened(this.call);
    this.#newest = recordHash(bytes);
    return this.audit.seal(this.audit.provider, [bytes]);
  }

  /** Seals the receipt of the next segment. */
  async answer(
    options: {
      readonly messages?: number;
      readonly final?: boolean;
      readonly change?: Change;
      readonly prevRecord?: Uint8Array;
      readonly seal?: SealChange;
      /** The ledger that gets it, in the place of the stream's own. */
      readonly aside?: AuditLedger;
    } = {},
  ): Promise<TestRecord> {
    const { audit, call } = this;
    const { messages = 1, final = false } = options;
    for (let i = 0; i < messages; i++) this.#segments.addMessage(utf8("answer"));
    if (final) this.#segments.end(create(StatusFrameSchema, { trailers: {} }));
    const segment = this.#segments.take();
    const prevRecord = options.prevRecord ?? this.#newest;
    const built = encodeReceipt({
      begin: prevRecord === undefined ? audit.begin(call) : undefined,
      prevRecord,
      request: this.#requested(),
      segment,
      connector: "grpc",
      upstreamMs: 3,
      seed: this.#seed,
    });
    const { change } = options;
    const bytes = change === undefined ? built.record : altered(built.record, change);
    this.#newest = recordHash(bytes);
    const to = options.aside ?? audit;
    const receipt = await to.seal(to.provider, [bytes], options.seal);
    const answer = create(AnswerFrameSchema, {
      headers: segment.headers ?? new Uint8Array(),
      messages: [...segment.messages],
    });
    this.#waiting.push({ receipt, answer, built, final });
    return receipt;
  }

  /** Takes in the oldest segment that waits, and seals its acknowledgement. */
  async acknowledge(
    options: { readonly change?: Change; readonly skip?: boolean; readonly seal?: SealChange } = {},
  ): Promise<Uint8Array> {
    const { receipt, answer, built, final } = this.#waiting.shift() as Released;
    this.#received.add(answer, built.responseSalt);
    const record = receipt.batch.records[receipt.position] as Uint8Array;
    const bytes = encodeAcknowledgement({
      name: this.call.name,
      receipt: { leafHash: receipt.batch.leafHash, position: receipt.position },
      receiptRecord: recordHash(record),
      request: this.#requested(),
      responseCommitment: receivedResponse(this.#received) as Uint8Array,
      received: this.#received,
      messages: answer.messages,
      result: "match",
      final,
      callerSystem: "registry",
      localRule: "default",
    });
    const { change, skip = false } = options;
    const said = change === undefined ? bytes : altered(bytes, change);
    if (skip) return said;
    this.#acknowledged = recordHash(said);
    await this.audit.seal(this.audit.consumer, [said], options.seal);
    return said;
  }

  /** The consumer's closing, behind its newest acknowledgement. */
  async end(
    outcome: Parameters<typeof encodeConsumerClosed>[0]["outcome"] = "cancelled",
    change: Parameters<AuditLedger["consumerClosed"]>[2] = {},
    seal: SealChange = {},
  ): Promise<void> {
    const { framesEnd } = this.#received;
    const frames = this.#acknowledged === undefined ? 0 : framesEnd;
    const prevRecord = this.#acknowledged;
    const { audit, call } = this;
    const said = audit.consumerClosed(call, outcome, { prevRecord, frames, ...change });
    await audit.seal(audit.consumer, [said], seal);
  }

  /** The provider's closing, behind its newest record. */
  async close(change: Parameters<AuditLedger["closed"]>[2] = {}): Promise<TestRecord> {
    const { audit, call } = this;
    const said = audit.closed(call, new Uint8Array(), { prevRecord: this.newest, ...change });
    return audit.seal(audit.provider, [said]);
  }
}
