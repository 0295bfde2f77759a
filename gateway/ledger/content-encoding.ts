/** Compression of what is served over HTTP, where the client asks for it and it pays. */
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const gzipAsync = promisify(gzip);

/** Below this a packet is sent either way. */
const bytesMin = 1024;
/** What is saved has to be worth the client's work. */
const ratioMax = 0.9;

/** Whether an `Accept-Encoding` header asks for gzip (RFC 9110 section 12.5.3). */
export function acceptsGzip(header: string | undefined): boolean {
  let any: number | undefined;
  for (const item of (header ?? "").split(",")) {
    const [coding = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    const quality = weight === undefined ? 1 : Number(weight);
    if (coding === "gzip" || coding === "x-gzip") return quality > 0;
    if (coding === "*") any = quality;
  }
  return (any ?? 0) > 0;
}

/** The body compressed, or `undefined` where that does not pay. */
export async function gzipIfSmaller(body: Uint8Array): Promise<Uint8Array | undefined> {
  if (body.length < bytesMin) return undefined;
  const compressed = await gzipAsync(body);
  return compressed.length <= body.length * ratioMax ? compressed : undefined;
}
