/** What both sides of an exchange ask of the process around them. */
import type { Clock, RandomBytes, Scheduler } from "../base/clock.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { AnswerFrame, Frame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Replica, Sealer } from "../ledger/ports.ts";
import type { Masks } from "../policy/mask.ts";
import type { ExchangeEvents } from "./events.ts";

export type { ExchangeEvents } from "./events.ts";

export type FrameBody = Exclude<Frame["body"], { case: undefined }>;

/** A checkpoint that the other side has shown, known to be final. */
export interface ShownCheckpoint {
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** One end of a multiplexed link whose Hellos have passed. */
export interface LinkEnd {
  /** Gateway id of the other side, from its TLS key. */
  readonly peer: string;
  /** SHA-256 of the SPKI DER of its TLS key. */
  readonly peerTlsKey: Uint8Array;
  /** 16 bytes of its process start: what its Hello says, or its newest answer to a stale nonce. */
  readonly peerBoot: Uint8Array;
  /** The other side has answered that this boot is in force; what has not 16 bytes is none. */
  renewBoot(boot: Uint8Array): void;
  /** Nothing that is sent on it arrives any more. */
  readonly lost: boolean;
  /** Root of a final checkpoint of this size that the other side has shown on this link. */
  shownRoot(size: bigint): Uint8Array | undefined;
  send(exchange: bigint, body: FrameBody): void;
}

/** Hears that a frame is held no more; `hasLeft` is `false` too where that is not known. */
export type Written = (hasLeft: boolean) => void;

/** What carries the frames of one exchange: a number on the link, or a stream of its own beside it. */
export interface Carriage {
  /** Says who is at the other end; its frames are those of this exchange only in part. */
  readonly link: LinkEnd;
  /**
   * Queues a frame. Does nothing once the carriage is lost or closed. `written` is called once, when nothing of a
   * large frame is held here any more: with `true` when all of it is known to be written to the network.
   */
  send(body: FrameBody, written?: Written): void;
  /** Resolves when more may be sent, at once when the carriage is lost or closed. */
  ready(): Promise<void>;
  /** Nobody uses the messages of an answer that came any more, nor will: what they lie in may be used again. */
  taken?(answer: AnswerFrame): void;
  /** Sends what is queued and ends it: no frame is delivered any more. */
  close(): void;
}

/** What an exchange hears of its carriage. */
export interface CarriageListener {
  onFrame(body: FrameBody): void;
  /**
   * Called once, when the carriage or its link has ended before `close`. `unopened` says why this gateway did not
   * open it: nothing of the exchange has left then.
   */
  onLost(unopened?: ReasonCode): void;
}

/** The value behind a commitment and its salt. */
export interface OpeningItem {
  readonly label: string;
  readonly salt: Uint8Array;
  readonly value: Uint8Array;
}

/** What one side keeps so that it can reveal a value later, or erase it. */
export interface AttemptOpenings {
  readonly xid: Uint8Array;
  /** From 1; 0 for a refusal, whose `xid` is an id of its own where its record holds no call. */
  readonly attempt: number;
  readonly side: "consumer" | "provider";
  readonly seed: Uint8Array;
  readonly items: readonly OpeningItem[];
}

export interface OpeningsWriter {
  put(openings: AttemptOpenings): void;
}

/** Who this gateway is. */
export interface Self {
  readonly gateway: string;
  readonly agency: string;
  /** 16 random bytes of this process start. */
  readonly boot: Uint8Array;
  /** Unix milliseconds of this process start. */
  readonly startedAtMs: number;
  /** Network id, 32 bytes. */
  readonly network: Uint8Array;
}

/** What both sides share. */
export interface ExchangePorts {
  readonly self: Self;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Runs `work` at the end of this turn of the event loop. */
  defer(work: () => void): void;
  readonly random: RandomBytes;
  readonly verifier: Verifier;
  readonly replica: Replica;
  readonly sealer: Sealer;
  readonly openings: OpeningsWriter;
  readonly events: ExchangeEvents;
  /** Masks under the published descriptors; throws BLOB_MISSING. */
  readonly masks: Pick<Masks, "get">;
  /** Largest message of a request or an answer, in bytes. */
  readonly messageBytesMax: number;
}
