/**
 * The buffers of large frames that come over one connection, used again once nothing of a frame is used any
 * more. A new buffer for each megabyte of a stream is garbage outside of the heap, and what collects it costs
 * more than all else that is done with the bytes.
 */
import { frameBuffersKeptMax, frameBufferBytesMax } from "../../base/limits.ts";
import type { MessageBuffers } from "./framing.ts";

/** Lengths are multiples of this, so that a buffer serves frames of about its length. */
const stepBytes = 256 * 1024;

export class FrameBuffers implements MessageBuffers {
  /** Those that were made here: what is given back is looked up among them. */
  readonly #made = new WeakSet<ArrayBufferLike>();
  #kept: Uint8Array[] = [];

  kept(bytes: number): Uint8Array | undefined {
    if (bytes <= stepBytes) return undefined;
    const at = this.#kept.findLastIndex(({ length }) => length >= bytes);
    return at < 0 ? undefined : this.#kept.splice(at, 1)[0];
  }

  allocate(bytes: number): Uint8Array {
    if (bytes <= stepBytes || bytes > frameBufferBytesMax) return Buffer.allocUnsafeSlow(bytes);
    const buffer = Buffer.allocUnsafeSlow(Math.ceil(bytes / stepBytes) * stepBytes);
    this.#made.add(buffer.buffer);
    return buffer;
  }

  /** The buffer below a view, when it was made here and may be given back. */
  below({ buffer }: Uint8Array): ArrayBufferLike | undefined {
    return this.#made.has(buffer) ? buffer : undefined;
  }

  /** Nobody reads or writes the bytes of this buffer, nor will. */
  give(buffer: ArrayBufferLike): void {
    if (this.#kept.length < frameBuffersKeptMax) this.#kept.push(new Uint8Array(buffer));
  }

  /** Keeps nothing until more comes. */
  clear(): void {
    this.#kept = [];
  }
}
