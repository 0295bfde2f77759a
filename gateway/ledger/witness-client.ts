/** What others ask of a witness over HTTPS: the sequencer and other cities of a city's, and a log of any other. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { createMessage } from "../../src/base/create-message.ts";
import { encodeMessage } from "../../src/base/wire-writer.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { addCheckpointBytesMax, submissionsInFlightMax } from "../../src/base/limits.ts";
import { SubmitRequestSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type {
  CheckpointWitness,
  WitnessAnswer,
  WitnessPort,
} from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { acceptExactly, certificatePem, parseHostPort, pinCertificate } from "../tls.ts";
import { BatchGroups } from "./batch-groups.ts";
import { addCheckpointPath, batchesPath, readBody } from "./witness-paths.ts";

const timeoutMs = 30_000;

export interface WitnessClientOptions {
  /** `host:port`. */
  readonly address: string;
  /** SHA-256 of the witness's TLS key in SPKI DER, lower-case hex. */
  readonly tls: string;
  /** 30 s unless told: a witness may wait for its replica. */
  readonly timeoutMs?: number;
}

interface Asked {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: Uint8Array;
  readonly contentType?: string;
}

/** A city's witness behind HTTPS. Its certificate is pinned when first reached, and again after a failure. */
export function createWitnessClient(
  options: WitnessClientOptions,
): WitnessPort & { close(): void } {
  return new HttpsWitness(options);
}

class HttpsWitness implements WitnessPort {
  readonly #cosigning: PinnedConnections;
  /** Apart from the others: what is held back or slow here keeps no checkpoint waiting. */
  readonly #holding: PinnedConnections;
  readonly #handed: BatchGroups<WitnessAnswer> = new BatchGroups((batches) => this.#hand(batches));
  #handing = 0;

  constructor(options: WitnessClientOptions) {
    this.#cosigning = new PinnedConnections(options);
    this.#holding = new PinnedConnections(options);
  }

  addCheckpoint(body: Uint8Array): Promise<WitnessAnswer> {
    return this.#cosigning.ask({ method: "POST", path: addCheckpointPath, body });
  }

  latest(originHash: string): Promise<WitnessAnswer> {
    return this.#cosigning.ask({ method: "GET", path: `/${originHash}/checkpoint` });
  }

  takeEvidence(term: bigint, body: Uint8Array): Promise<WitnessAnswer> {
    return this.#cosigning.ask({ method: "POST", path: `/terms/${term}/start`, body });
  }

  async holdBatch(batch: SealedBatch): Promise<WitnessAnswer> {
    if (this.#handing >= submissionsInFlightMax) {
      throw new CausewayError("BUSY", "batches wait for the witness already");
    }
    this.#handing++;
    try {
      return await this.#handed.add(batch);
    } finally {
      this.#handing--;
    }
  }

  async #hand(batches: readonly SealedBatch[]): Promise<readonly WitnessAnswer[]> {
    const message = createMessage(SubmitRequestSchema, {
      batches: batches.map(({ leaf, records }) => ({ leaf, records: [...records] })),
    });
    const body = encodeMessage(SubmitRequestSchema, message);
    const contentType = "application/octet-stream";
    const asked = { method: "POST", path: batchesPath, body, contentType } as const;
    const answer = await this.#holding.ask(asked);
    return batches.map(() => answer);
  }

  close(): void {
    this.#cosigning.close();
    this.#holding.close();
  }
}

/** Connections to one server whose certificate is known by its key's digest alone. */
class PinnedConnections {
  readonly #options: WitnessClientOptions;
  #agent: Promise<Agent> | undefined;

  constructor(options: WitnessClientOptions) {
    this.#options = options;
  }

  async ask(asked: Asked): Promise<WitnessAnswer> {
    this.#agent ??= this.#pin();
    const pinned = this.#agent;
    try {
      const { host, port } = parseHostPort(this.#options.address);
      const agent = await pinned;
      const options = { agent, host, port };
      return await send({ ...options, signal: this.#deadline() }, asked, httpsRequest);
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

  #deadline(): AbortSignal {
    return AbortSignal.timeout(this.#options.timeoutMs ?? timeoutMs);
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
}

/**
 * A witness that is no city's, at the URL to which C2SP paths are added; certificates are those that the
 * system trusts. What it answers is judged by its key.
 */
export function createOutsideWitnessClient(url: string): CheckpointWitness {
  const base = new URL(url);
  const folder = base.pathname.replace(/\/$/, "");
  return {
    addCheckpoint: async (body) => {
      const asked: Asked = { method: "POST", path: folder + addCheckpointPath, body };
      const signal = AbortSignal.timeout(timeoutMs);
      const { hostname: host, port } = base;
      const options = { host, signal, ...(port === "" ? {} : { port: Number(port) }) };
      return send(options, asked, base.protocol === "http:" ? httpRequest : httpsRequest);
    },
  };
}

function send(
  options: RequestOptions,
  { method, path, body, contentType = "text/plain" }: Asked,
  request: typeof httpRequest,
): Promise<WitnessAnswer> {
  const headers =
    body === undefined ? {} : { "content-type": contentType, "content-length": body.length };
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, method, path, headers }, (response) => {
      readAnswer(response).then(resolve, reject);
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

async function readAnswer(response: IncomingMessage): Promise<WitnessAnswer> {
  const body = await readBody(response as AsyncIterable<Buffer>, addCheckpointBytesMax);
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
