/** Streams that a rogue consumer opens beside its link, and what the provider says on them. */
import { create } from "@bufbuild/protobuf";
import { LinkedPeer } from "../../gateway/linked-peer.ts";
import { deferToEndOfTurn, systemRandom, systemScheduler } from "../../gateway/runtime.ts";
import { parseHex } from "../../src/base/bytes.ts";
import { callTokenDigest } from "../../src/credential/call-token.ts";
import { encodeAcknowledgement } from "../../src/exchange/consumer-records.ts";
import type { Carriage, FrameBody } from "../../src/exchange/ports.ts";
import { receivedResponse } from "../../src/exchange/receipt-check.ts";
import { ReceivedAnswer } from "../../src/exchange/received-answer.ts";
import {
  createStreamClient,
  type StreamClient,
} from "../../src/exchange/transport/exchange-stream-client.ts";
import {
  type AnswerFrame,
  type CallFrame,
  type Proof,
  ProofSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { sealBatch } from "../../src/record/batch.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { recordHash } from "../../src/record/record.ts";
import type { TwoCities } from "../support/two-cities.ts";
import { proofIn } from "./rogue-provider.ts";
import { type CallParts, peerTlsOf, type RogueLink } from "./support.ts";

export class RogueCaller {
  readonly #rogue: RogueLink;
  readonly #cities: TwoCities;
  readonly #streams: StreamClient;
  readonly #boot = systemRandom(16);
  #seq = 1n << 32n;

  constructor(rogue: RogueLink, cities: TwoCities) {
    this.#rogue = rogue;
    this.#cities = cities;
    const { provider, consumer } = cities;
    this.#streams = createStreamClient({
      link: new LinkedPeer(rogue.link, provider.gateway.card.id, new Uint8Array(16)),
      address: provider.addresses.peer,
      tls: peerTlsOf(consumer.gateway, [provider.gateway.tls.certificateDer]),
      scheduler: systemScheduler,
      defer: deferToEndOfTurn,
      onRefused: () => undefined,
    });
  }

  /** Calls a method that streams, on a stream of its own. */
  call(method: string, parts: CallParts = {}): RogueCall {
    const frame = this.#rogue.make({
      message: new Uint8Array(),
      ...parts,
      statement: { method, open: true, request: new Uint8Array(), ...parts.statement },
    });
    const call = new RogueCall(frame, (listener) => this.#streams.open(listener));
    call.send({ case: "call", value: frame });
    return call;
  }

  /** The acknowledgement of an answer, sealed under the consumer's key beside its chain. */
  acknowledge(call: RogueCall, answer: AnswerFrame): Proof {
    const { frame } = call;
    const { record, leaf, position } = answer.proof ?? create(ProofSchema);
    const { leafHash, header } = openLeaf(leaf);
    const received = new ReceivedAnswer();
    received.add(answer, answer.openings[0]?.salt);
    const { xid, attempt } = openCallStatement(frame.statement);
    const tokenDigest = callTokenDigest(frame.token);
    const said = encodeAcknowledgement({
      name: { xid, attempt, tokenDigest, index: frame.index },
      receipt: { leafHash, position },
      receiptRecord: recordHash(record),
      request: { commitment: new Uint8Array(32), frames: 1 },
      responseCommitment: receivedResponse(received) ?? new Uint8Array(32),
      received,
      messages: answer.messages,
      result: "match",
      final: false,
      callerSystem: "rogue",
      localRule: "none",
    });
    const { consumer, networkId } = this.#cities;
    const now = Date.now();
    const batch = sealBatch(
      {
        kind: "evidence",
        network: parseHex(networkId) as Uint8Array,
        gateway: consumer.gateway.card.id,
        epoch: 0n,
        boot: this.#boot,
        seq: this.#seq++,
        prev: new Uint8Array(32),
        seen: { size: header.seenSize, root: header.seenRoot },
        firstAtMs: now,
        sealedAtMs: now,
      },
      [said],
      consumer.gateway.batch,
    );
    return proofIn(batch, 0);
  }

  close(): void {
    this.#streams.close();
  }
}

export class RogueCall {
  readonly frame: CallFrame;
  readonly heard: FrameBody[] = [];
  lost = false;
  readonly #carriage: Carriage;
  #onHeard: (() => void) | undefined;

  constructor(
    frame: CallFrame,
    open: (listener: { onFrame(body: FrameBody): void; onLost(): void }) => Carriage,
  ) {
    this.frame = frame;
    this.#carriage = open({
      onFrame: (body) => {
        this.heard.push(body);
        this.#onHeard?.();
      },
      onLost: () => {
        this.lost = true;
        this.#onHeard?.();
      },
    });
  }

  send(body: FrameBody): void {
    this.#carriage.send(body);
  }

  get answers(): readonly AnswerFrame[] {
    return this.heard.flatMap((body) => (body.case === "answer" ? [body.value] : []));
  }

  /** Resolves once `isSo`, which is looked at after every frame and at the end of the stream. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.lost) throw new Error("the stream has ended");
      await new Promise<void>((resolve) => {
        this.#onHeard = resolve;
      });
    }
  }

  /** What ends the attempt: the last segment, a refusal or closing, or a failure. */
  async end(): Promise<FrameBody> {
    const isEnd = (body: FrameBody): boolean =>
      body.case === "refused" ||
      body.case === "failed" ||
      (body.case === "answer" && body.value.status.length > 0);
    await this.until(() => this.heard.some(isEnd));
    return this.heard.find(isEnd) as FrameBody;
  }
}
