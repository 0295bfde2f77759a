import { readFileSync } from "node:fs";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { CausewayError } from "../../src/base/errors.ts";
import { keySetBytesMax, keySetFetchMs } from "../../src/base/limits.ts";

export interface KeySetAddress {
  readonly url: string;
  /** Authorities for its certificate, PEM; those of the system without it. */
  readonly caFile: string | undefined;
}

/** Fetches the bytes of a JWK set, with a bound on size and time. */
export type FetchKeySet = (address: KeySetAddress) => Promise<Uint8Array>;

/**
 * One GET, no redirect: the operator has named where the keys are. Rejects with ISSUER_UNAVAILABLE, TOO_LARGE.
 */
export const fetchKeySet: FetchKeySet = async ({ url, caFile }) => {
  try {
    const secure = caFile === undefined ? {} : { ca: readFileSync(caFile) };
    return await get(url, secure);
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw new CausewayError("ISSUER_UNAVAILABLE", `${url} does not answer`, { cause });
  }
};

function get(url: string, secure: { readonly ca?: Buffer }): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const start = url.startsWith("https:") ? httpsRequest : httpRequest;
    const options = {
      ...secure,
      // A connection of its own, which ends with the answer.
      agent: false as const,
      headers: { accept: "application/jwk-set+json, application/json" },
      signal: AbortSignal.timeout(keySetFetchMs),
    };
    const request = start(url, options, (response) => {
      if (response.statusCode === 200) {
        readBounded(response).then(resolve, reject);
        return;
      }
      response.destroy();
      const what = `${url} answers with status ${response.statusCode}`;
      reject(new CausewayError("ISSUER_UNAVAILABLE", what));
    });
    request.once("error", reject);
    request.end();
  });
}

async function readBounded(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > keySetBytesMax) {
      throw new CausewayError("TOO_LARGE", `a JWK set has at most ${keySetBytesMax} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}
