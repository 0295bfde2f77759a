/** A stream that a rogue provider answers segment by segment, honestly unless it is told to lie. */
import { create } from "@bufbuild/protobuf";
import { systemRandom } from "../../gateway/runtime.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { Transcript } from "../../src/crypto/transcript.ts";
import { AnswerSegments, type Segment } from "../../src/exchange/answer-segments.ts";
import { answerFrame } from "../../src/exchange/frames.ts";
import { encodeProviderClosed, encodeReceipt } from "../../src/exchange/provider-records.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame, Proof } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { recordHash } from "../../src/record/record.ts";
import { proofIn, type RogueProvider, type Victim } from "./rogue-provider.ts";

const asIs = { headers: <T>(v: T): T => v, message: <T>(v: T): T => v, status: <T>(v: T): T => v };
const bounds = { messagesMax: 0n, bytesMax: 0n, segmentMessages: 1024, segmentBytes: 1 << 20 };

/** What a receipt says that is not so. */
export interface ReceiptLie {
  readonly segment?: Partial<Segment>;
  readonly prev?: Uint8Array;
  /** Begins the attempt again. */
  readonly begins?: boolean;
  readonly request?: { readonly commitment?: Uint8Array; readonly frames?: number };
}

export class RogueStream {
  readonly victim: Victim;
  readonly #rogue: RogueProvider;
  readonly #segments = new AnswerSegments(asIs, bounds, { take: () => true });
  readonly #seed = systemRandom(32);
  /** Record hash of the newest receipt. */
  newest: Uint8Array | undefined;

  constructor(rogue: RogueProvider, victim: Victim) {
    this.#rogue = rogue;
    this.victim = victim;
    this.#segments.addHeaders(create(MetadataSchema));
  }

  #request(): { readonly commitment: Uint8Array; readonly frames: number } {
    const { frame, heard } = this.victim;
    const transcript = new Transcript().addHeaders(frame.headers);
    for (const body of heard)
      if (body.case === "request") transcript.addMessage(body.value.message);
    const salt = frame.openings.find(({ label }) => label === "request")?.salt as Uint8Array;
    const commitment = commit({ label: "request", salt, value: transcript.value });
    return { commitment, frames: transcript.frames };
  }

  /** The next segment under a receipt, sealed on its own and not submitted. */
  async segment(
    messages: readonly Uint8Array[],
    options: { readonly final?: boolean; readonly lie?: ReceiptLie } = {},
  ): Promise<AnswerFrame> {
    const { final = false, lie = {} } = options;
    for (const message of messages) this.#segments.addMessage(message);
    if (final) this.#segments.end(create(StatusFrameSchema, { trailers: {} }));
    const segment = this.#segments.take();
    const prevRecord = lie.begins === true ? undefined : (lie.prev ?? this.newest);
    const built = encodeReceipt({
      begin: prevRecord === undefined ? this.#rogue.begin(this.victim.frame) : undefined,
      prevRecord,
      request: { ...this.#request(), ...lie.request },
      segment: { ...segment, ...lie.segment },
      connector: "grpc",
      upstreamMs: 1,
      seed: this.#seed,
    });
    this.newest = recordHash(built.record);
    const batch = await this.#rogue.seal([built.record]);
    return answerFrame(segment, built, proofIn(batch, 0), undefined).value;
  }

  /** Sends the next segment as it is. */
  async answer(...args: Parameters<RogueStream["segment"]>): Promise<void> {
    this.send(await this.segment(...args));
  }

  send(value: AnswerFrame): void {
    this.victim.send({ case: "answer", value });
  }

  /** The proof of a closing; `prev` is its newest receipt unless it is told otherwise. */
  async closed(
    lie: { readonly prev?: Uint8Array; readonly xid?: Uint8Array; readonly attempt?: number } = {},
  ): Promise<Proof> {
    const { xid, attempt } = openCallStatement(this.victim.frame.statement);
    const record = encodeProviderClosed({
      xid: lie.xid ?? xid,
      attempt: lie.attempt ?? attempt,
      prevRecord: lie.prev ?? (this.newest as Uint8Array),
      frames: 0,
      outcome: "upstream-error",
      decision: undefined,
      recheck: undefined,
      upstreamCalled: true,
      reason: "UPSTREAM_UNAVAILABLE",
      status: new Uint8Array(),
      seed: this.#seed,
    });
    return proofIn(await this.#rogue.seal([record]), 0);
  }

  /** Resolves when so many acknowledgements have come. */
  async acknowledged(count: number): Promise<void> {
    await this.until(() => this.acknowledgements >= count);
  }

  get acknowledgements(): number {
    return this.victim.acknowledged.length;
  }

  /** Resolves once `isSo`, which is looked at after every frame of the consumer and at the stream's end. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.victim.onHeard = resolve;
      });
    }
  }
}
