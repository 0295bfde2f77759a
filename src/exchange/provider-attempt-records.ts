/** The records of one attempt at the provider's gateway, each following the one before. */
import type { ReasonCode } from "../base/reasons.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { commit } from "../crypto/commitments.ts";
import { type StatusFrame, StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { CallFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Begin, CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import type { StateChange } from "../ledger/ports.ts";
import { recordHash } from "../record/record.ts";
import type { Segment } from "./answer-segments.ts";
import { type Denial, encodeRefusalOf } from "./judged-records.ts";
import { formatOpenAttempt, openStateKey } from "./open-attempts.ts";
import type { OpenRequest } from "./open-request.ts";
import type { AttemptOpenings, LinkEnd, OpeningItem, Written } from "./ports.ts";
import type { Judged } from "./provider-judge.ts";
import {
  type BuiltReceipt,
  type ConnectorKind,
  createBegin,
  encodeOpened,
  encodeProviderClosed,
  encodeReceipt,
  type FailedRecheck,
  type ProviderOutcome,
} from "./provider-records.ts";
import type { SentValues } from "./received-call.ts";

/** A record that waits to be sealed, with what its seal changes in the journal's own state. */
export interface Prepared {
  readonly record: Uint8Array;
  readonly states: readonly StateChange[];
}

export class ProviderAttemptRecords {
  readonly #judged: Judged;
  readonly #frame: CallFrame;
  readonly #link: LinkEnd;
  readonly #seed: Uint8Array;
  readonly #nowMs: () => number;
  /** Of the newest refusal that was prepared, where it commits to something. */
  #refused: AttemptOpenings | undefined;
  #hasReleased = false;
  /** Frames of the answer that are written to the network, at the least. */
  #frames = 0;
  /** The transcript of the newest segment. */
  #response: OpeningItem | undefined;
  /** Record hash of the newest record that was prepared and stands. */
  #prevRecord: Uint8Array | undefined;

  constructor(options: {
    readonly judged: Judged;
    readonly frame: CallFrame;
    readonly link: LinkEnd;
    /** 32 bytes of this attempt. */
    readonly seed: Uint8Array;
    readonly nowMs: () => number;
  }) {
    this.#judged = options.judged;
    this.#frame = options.frame;
    this.#link = options.link;
    this.#seed = options.seed;
    this.#nowMs = options.nowMs;
  }

  get #statement(): CallStatement {
    return this.#judged.statement as CallStatement;
  }

  get #begin(): Begin {
    const { call, decision, obligations } = this.#judged;
    if (call === undefined || decision === undefined || obligations === undefined) {
      throw new TypeError("a record without a decision");
    }
    const { peerTlsKey } = this.#link;
    return createBegin({ call, decision, obligations, peerTlsKey });
  }

  /** Opened: the restart closes what rests on it. */
  opened(): Prepared {
    const record = encodeOpened(this.#begin);
    return { record, states: this.#opens(record) };
  }

  receipt(options: {
    readonly segment: Segment;
    /** Of an open call; a unary call's request is the one committed to in its statement. */
    readonly request: OpenRequest | undefined;
    readonly connector: ConnectorKind;
    readonly upstreamMs: number;
  }): Prepared & { readonly receipt: BuiltReceipt } {
    const { segment, request, connector, upstreamMs } = options;
    const prevRecord = this.#prevRecord;
    const { requestSalt } = this.#judged.sent as SentValues;
    const receipt = encodeReceipt({
      begin: prevRecord === undefined ? this.#begin : undefined,
      prevRecord,
      request:
        request === undefined
          ? { commitment: this.#statement.request, frames: 2 }
          : {
              commitment: commit({
                label: "request",
                salt: requestSalt,
                value: request.transcript,
              }),
              frames: request.frames,
            },
      segment,
      connector,
      upstreamMs,
      seed: this.#seed,
    });
    const { record } = receipt;
    const { response } = segment;
    this.#response = { label: "response", salt: receipt.responseSalt, value: response };
    if (segment.status !== undefined) return { record, states: this.closingStates(), receipt };
    return { record, states: this.#opens(record), receipt };
  }

  refusal(denial: Denial, failed: FailedRecheck | undefined, upstreamCalled: boolean): Uint8Array {
    const { record, openings } = encodeRefusalOf({
      judged: this.#judged,
      token: this.#frame.token,
      link: this.#link,
      seed: this.#seed,
      atMs: this.#nowMs(),
      denial,
      recheck: failed,
      upstreamCalled,
    });
    this.#refused = openings;
    return record;
  }

  closed(options: {
    readonly outcome: ProviderOutcome;
    readonly reason: ReasonCode;
    readonly recheck: FailedRecheck | undefined;
    readonly upstreamCalled: boolean;
    readonly status: StatusFrame;
  }): Prepared {
    const { xid, attempt } = this.#statement;
    const { recheck } = options;
    const record = encodeProviderClosed({
      ...options,
      xid,
      attempt,
      prevRecord: this.#prevRecord as Uint8Array,
      frames: this.#frames,
      decision: recheck === undefined ? undefined : this.#judged.decision,
      status: encodeMessage(StatusFrameSchema, options.status),
      seed: this.#seed,
    });
    return { record, states: this.closingStates() };
  }

  /** What was sealed stands: the next record follows it. */
  stands(record: Uint8Array): void {
    this.#prevRecord = recordHash(record);
  }

  /** A segment is sent. Gives what is to hear whether it has left, which a closing then says, and tells `left`. */
  released(framesEnd: number, left: () => void): Written {
    this.#hasReleased = true;
    return (hasLeft) => {
      left();
      if (hasLeft) this.#frames = framesEnd;
    };
  }

  /** Whether the consumer was sent a receipt of the attempt. */
  get hasReleased(): boolean {
    return this.#hasReleased;
  }

  closingStates(): readonly StateChange[] {
    return this.#prevRecord === undefined ? [] : [{ key: openStateKey(this.#judged.key) }];
  }

  /** What this side can reveal later: the values as they came, and the answer so far. */
  openings(): AttemptOpenings {
    const { xid, attempt } = this.#statement;
    const items: OpeningItem[] = this.#frame.openings.map(({ label, salt, value }) => ({
      label,
      salt,
      value,
    }));
    items.push(...this.#judged.attributeOpenings);
    if (this.#response !== undefined) items.push(this.#response);
    return { xid, attempt, side: "provider", seed: this.#seed, items };
  }

  /**
   * What opens the personal attributes of the decision, which its replay needs, or what a refusal without one
   * commits to; `undefined` without any.
   */
  recordOpenings(): AttemptOpenings | undefined {
    const items = this.#judged.attributeOpenings;
    return items.length === 0 ? this.#refused : { ...this.openings(), items };
  }

  #opens(record: Uint8Array): readonly StateChange[] {
    const { xid, attempt } = this.#statement;
    const value = formatOpenAttempt({ xid, attempt, prevRecord: recordHash(record) });
    return [{ key: openStateKey(this.#judged.key), value }];
  }
}
