/** C2SP `add-checkpoint` over HTTPS: the server of a city's witness, and the sequencer's client. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { addCheckpointBytesMax } from "../../src/base/limits.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { WitnessAnswer, WitnessPort } from "../../src/ledger/embedded/ports.ts";
import { acceptExactly, certificatePem, parseHostPort, pinCertificate } from "../tls.ts";

export const addCheckpointPath: string = "/add-checkpoint";

/**
 * A handler of `node:https`. Only `POST /add-checkpoint` is served; a body above the limit is 413 and
 * closes the connection, a witness that fails is 500.
 */
export function createWitnessHandler(
  witness: WitnessPort,
  onError: (error: unknown) => void = () => undefined,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    void answer(witness, request)
      .catch((error: unknown) => {
        onError(error);
        return plain(500, "internal error\n");
      })
      .then(({ status, contentType, body }) => {
        if (response.destroyed) return;
        response.writeHead(status, {
          "content-type": contentType,
          "content-length": Buffer.byteLength(body),
          "cache-control": "no-store",
          ...(status === 405 ? { allow: "POST" } : {}),
          ...(status === 413 ? { connection: "close" } : {}),
        });
        response.end(body);
      });
  };
}

async function answer(witness: WitnessPort, request: IncomingMessage): Promise<WitnessAnswer> {
  if (request.url !== addCheckpointPath) return plain(404, "not found\n");
  if (request.method !== "POST") return plain(405, "POST only\n");
  const body = await readBody(request);
  return body === undefined ? plain(413, "too large\n") : witness.addCheckpoint(body);
}

function plain(status: number, body: string): WitnessAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

async function readBody(stream: AsyncIterable<Buffer>): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > addCheckpointBytesMax) return undefined;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

export interface WitnessClientOptions {
  /** `host:port`. */
  readonly address: string;
  /** SHA-256 of the witness's TLS key in SPKI DER, lower-case hex. */
  readonly tls: string;
  /** 30 s unless told: a witness may wait for its replica. */
  readonly timeoutMs?: number;
}

/** A witness behind HTTPS. Its certificate is pinned when first reached, and again after a failure. */
export function createWitnessClient(
  options: WitnessClientOptions,
): WitnessPort & { close(): void } {
  return new HttpsWitness(options);
}

class HttpsWitness implements WitnessPort {
  readonly #options: WitnessClientOptions;
  #agent: Promise<Agent> | undefined;

  constructor(options: WitnessClientOptions) {
    this.#options = options;
  }

  async addCheckpoint(body: Uint8Array): Promise<WitnessAnswer> {
    this.#agent ??= this.#pin();
    const pinned = this.#agent;
    try {
      return await this.#post(await pinned, body);
    } catch (cause) {
      if (this.#agent === pinned) this.close();
      if (cause instanceof CausewayError) throw cause;
      throw new CausewayError("LEDGER_UNAVAILABLE", "the witness did not answer", { cause });
    }
  }

  close(): void {
    void this.#agent?.then(
      (agent) => agent.destroy(),
      () => undefined,
    );
    this.#agent = undefined;
  }

  async #pin(): Promise<Agent> {
    const certificate = await pinCertificate(this.#options.address, this.#options.tls);
    return new Agent({
      keepAlive: true,
      maxSockets: 2,
      minVersion: "TLSv1.3",
      ca: certificatePem(certificate),
      checkServerIdentity: acceptExactly([certificate]),
      // A resumed session would not check the certificate again.
      maxCachedSessions: 0,
    });
  }

  #post(agent: Agent, body: Uint8Array): Promise<WitnessAnswer> {
    const { host, port } = parseHostPort(this.#options.address);
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        {
          agent,
          host,
          port,
          method: "POST",
          path: addCheckpointPath,
          headers: { "content-type": "text/plain", "content-length": body.length },
          signal: AbortSignal.timeout(this.#options.timeoutMs ?? 30_000),
        },
        (response) => {
          readAnswer(response).then(resolve, reject);
        },
      );
      request.once("error", reject);
      request.end(body);
    });
  }
}

async function readAnswer(response: IncomingMessage): Promise<WitnessAnswer> {
  const body = await readBody(response as AsyncIterable<Buffer>);
  if (body === undefined) {
    response.destroy();
    throw new CausewayError("TOO_LARGE", "the witness's answer is too large");
  }
  return {
    status: response.statusCode ?? 0,
    contentType: response.headers["content-type"] ?? "",
    body: new TextDecoder().decode(body),
  };
}
