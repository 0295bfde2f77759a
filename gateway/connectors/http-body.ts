/** The body of an HTTP message: bounded, decompressed, and where it is text, UTF-8. */
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";

/**
 * What a body reads as once its content coding is undone. Throws COMPRESSION_UNSUPPORTED.
 * A failure of `message` is one of the result.
 */
export function decodedBody(message: IncomingMessage): Readable {
  const coding = (message.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (coding === "identity") return message;
  if (coding !== "gzip" && coding !== "x-gzip") {
    throw new CausewayError("COMPRESSION_UNSUPPORTED", "the body is neither gzip nor identity");
  }
  const decoded = createGunzip();
  message.once("error", (error) => decoded.destroy(error));
  return message.pipe(decoded);
}

/**
 * The whole body. Rejects with MESSAGE_TOO_LARGE, COMPRESSION_UNSUPPORTED, PROTOCOL_ERROR for what is
 * not well-formed, and with what the stream fails with.
 */
export async function readText(message: IncomingMessage, bytesMax: number): Promise<string> {
  const text = parseUtf8(await readBytes(message, bytesMax));
  if (text === undefined) throw new CausewayError("PROTOCOL_ERROR", "the body is no UTF-8");
  return text;
}

/** As `readText`, of a body that is no text. */
export async function readBytes(message: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of decodedBody(message)) {
      bytes += (chunk as Buffer).length;
      if (bytes > bytesMax) {
        throw new CausewayError("MESSAGE_TOO_LARGE", "the body is larger than its limit");
      }
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    if (isZlibError(error)) throw new CausewayError("PROTOCOL_ERROR", "the body is no gzip");
    throw error;
  }
  return Buffer.concat(chunks);
}

function isZlibError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException | undefined)?.code).startsWith("Z_");
}

/** Whether a `content-type` says JSON in UTF-8. */
export function isJsonType(contentType: string | undefined): boolean {
  const [type = "", ...parameters] = (contentType ?? "").toLowerCase().split(";");
  const charset = parameters.map((one) => one.trim()).find((one) => one.startsWith("charset="));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return false;
  return /^application\/(?:[a-z0-9.+-]+\+)?(?:json|x-ndjson|ndjson|json-seq)$/.test(type.trim());
}
