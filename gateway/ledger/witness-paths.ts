/** What the listener of a witness and those who ask it share. */

export const addCheckpointPath: string = "/add-checkpoint";
export const batchesPath: string = "/batches";

/** `undefined` for more than `bytesMax`. */
export async function readBody(
  stream: AsyncIterable<Buffer>,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
