/** The end of one link at this gateway, as both sides of the exchange see it. */
import { parseHex } from "../src/base/bytes.ts";
import { createMessage } from "../src/base/create-message.ts";
import type { FrameBody, LinkEnd } from "../src/exchange/ports.ts";
import type { StreamClient } from "../src/exchange/transport/exchange-stream-client.ts";
import type { Link } from "../src/exchange/transport/link.ts";
import { LinkActivity } from "../src/exchange/transport/link-activity.ts";
import { FrameSchema } from "../src/gen/causeway/exchange/v1/link_pb.ts";
import type { FinalCheckpoint } from "../src/ledger/ports.ts";
import { spkiDigest } from "./tls.ts";

/** Checkpoints of one peer that are remembered; headers name recent ones. */
const shownMax = 256;

export class LinkedPeer implements LinkEnd {
  readonly link: Link;
  readonly peer: string;
  readonly peerTlsKey: Uint8Array;
  peerBoot: Uint8Array;
  lost = false;
  /** Of a link that this gateway has opened. */
  streams: StreamClient | undefined;
  /** Called for each frame and stream once the link takes no new exchanges. */
  onActivity: (() => void) | undefined;
  readonly #activity = new LinkActivity();
  readonly #shown = new Map<bigint, Uint8Array>();
  #shownSize = 0n;

  constructor(link: Link, peer: string, boot: Uint8Array) {
    this.link = link;
    this.peer = peer;
    this.peerTlsKey = parseHex(spkiDigest(link.peerCertificate)) as Uint8Array;
    this.peerBoot = boot;
  }

  renewBoot(boot: Uint8Array): void {
    if (boot.length === this.peerBoot.length) this.peerBoot = boot;
  }

  shownRoot(size: bigint): Uint8Array | undefined {
    return this.#shown.get(size);
  }

  /** The largest final checkpoint that the other side has applied, as far as it has said. */
  get shownSize(): bigint {
    return this.#shownSize;
  }

  show({ size, root }: FinalCheckpoint): void {
    if (this.#shown.size >= shownMax) this.#shown.delete(this.#shown.keys().next().value ?? 0n);
    this.#shown.set(size, root);
    if (size > this.#shownSize) this.#shownSize = size;
  }

  /** What a link that this gateway has opened still carries. */
  get activity(): LinkActivity["now"] {
    return (this.streams?.count ?? 0) > 0 ? "busy" : this.#activity.now;
  }

  send(exchange: bigint, body: FrameBody): void {
    this.link.send(createMessage(FrameSchema, { exchange, body }));
    if (this.streams === undefined) return;
    this.#activity.sent(exchange, body);
    this.onActivity?.();
  }

  /** A frame of the other side has been handed over. */
  received(exchange: bigint, body: FrameBody): void {
    this.#activity.received(exchange, body);
    this.onActivity?.();
  }
}
