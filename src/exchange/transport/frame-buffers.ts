/**
 * The buffers of large frames that come over one connection, used again once nothing of a frame is used any
 * more. A new buffer for each megabyte of a stream is garbage outside of the heap, and what collects it costs
 * more than all else that is done with the bytes.
 */
import { frameBufferBytes, frameBuffersKeptMax } from "../../base/limits.ts";
import type { MessageBuffers } from "./framing.ts";

/** A shorter frame has a buffer of its own length. */
const bytesMin = 256 * 1024;

export class FrameBuffers implements MessageBuffers {
  /** Those that were made here: what is given back is looked up among them. */
  readonly #made = new WeakSet<ArrayBufferLike>();
  #kept: ArrayBufferLike[] = [];

  kept(bytes: number): Uint8Array | undefined {
    const buffer = isServed(bytes) ? this.#kept.pop() : undefined;
    return buffer === undefined ? undefined : new Uint8Array(buffer);
  }

  /** All that are used again have one length, so that each serves every frame; untouched it is no memory. */
  allocate(bytes: number): Uint8Array {
    if (!isServed(bytes)) return Buffer.allocUnsafeSlow(bytes);
    const buffer = Buffer.allocUnsafeSlow(frameBufferBytes);
    this.#made.add(buffer.buffer);
    return buffer;
  }

  /** The buffer below a view, when it was made here and may be given back. */
  below({ buffer }: Uint8Array): ArrayBufferLike | undefined {
    return this.#made.has(buffer) ? buffer : undefined;
  }

  /** Nobody reads or writes the bytes of this buffer, nor will. */
  give(buffer: ArrayBufferLike): void {
    if (this.#kept.length < frameBuffersKeptMax) this.#kept.push(buffer);
  }

  /** Keeps nothing until more comes. */
  clear(): void {
    this.#kept = [];
  }
}

function isServed(bytes: number): boolean {
  return bytes > bytesMin && bytes <= frameBufferBytes;
}
