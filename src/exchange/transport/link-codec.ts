/**
 * The messages of a link: ConnectRequest and ConnectResponse have one encoding, `repeated Frame frames = 1`.
 * Frames are encoded as they are queued, so that the bytes that wait are known, and joined when written.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { MethodDefinition } from "@grpc/grpc-js";
import { BackwardWriter } from "../../base/backward-writer.ts";
import { CausewayError } from "../../base/errors.ts";
import { linkBatchFramesMax, linkFrameBytesMax } from "../../base/limits.ts";
import { decodeMessage } from "../../base/wire-reader.ts";
import { encodeMessage } from "../../base/wire-writer.ts";
import { type Frame, FrameSchema, LinkService } from "../../gen/causeway/exchange/v1/link_pb.ts";

/** Field 1, length-delimited. */
const framesTag = 10;
const writer = new BackwardWriter();

/** Bytes of one frame. Throws MESSAGE_TOO_LARGE above the limit of a frame. */
export function encodeFrame(frame: Frame): Uint8Array {
  const bytes = encodeMessage(FrameSchema, frame);
  if (bytes.length > linkFrameBytesMax) {
    throw new CausewayError("MESSAGE_TOO_LARGE", `a frame of ${bytes.length} bytes`);
  }
  return bytes;
}

/** One message with these frames. */
export function encodeBatch(frames: readonly Uint8Array[]): Buffer {
  writer.start();
  for (let i = frames.length - 1; i >= 0; i--) {
    const frame = frames[i] as Uint8Array;
    writer.bytes(frame);
    writer.number(frame.length);
    writer.number(framesTag);
  }
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The frames of a message; their bytes are views of it. Throws MALFORMED, TOO_LARGE. */
export function decodeBatch(message: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  try {
    const reader = new BinaryReader(message);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field !== 1 || wireType !== WireType.LengthDelimited) {
        reader.skip(wireType, field);
        continue;
      }
      // A frame may be two bytes on the wire and a hundred in memory.
      if (frames.length === linkBatchFramesMax) {
        throw new CausewayError("TOO_LARGE", `more than ${linkBatchFramesMax} frames in a message`);
      }
      frames.push(decodeMessage(FrameSchema, reader.bytes()));
    }
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw new CausewayError("MALFORMED", "a message of the link does not decode", { cause });
  }
  return frames;
}

const raw = (bytes: Buffer): Buffer => bytes;

/** LinkService.Connect with undecoded messages. */
export const connectMethod: MethodDefinition<Buffer, Buffer> = {
  path: `/${LinkService.typeName}/${LinkService.method.connect.name}`,
  requestStream: true,
  responseStream: true,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
};
