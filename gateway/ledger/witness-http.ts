/**
 * The HTTPS listener of a city's witness:
 *
 * - `POST /add-checkpoint` (C2SP tlog-witness).
 * - `GET /<hex SHA-256 of an origin>/checkpoint`: the newest note of that origin that it cosigned, its own
 *   cosignature included; 404 when it never did (C2SP monitoring). After a restart that of an ended term
 *   comes as its log signed it: nothing of such a term is cosigned again.
 * - `POST /batches`: an encoded `causeway.ledger.v1.SubmitRequest`; its batches are to be held until they
 *   are final. 202, or the answer for the first that is not held: 400 for what is no batch, 403 for a gateway or signature that is not known, 413, and 429 at a limit.
 * - `POST /terms/<term>/start`: why a term begins below the highest checkpoint of its votes. 202; 400, 404
 *   for a term that is not known here, 413, and 422 when it shows nothing.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CausewayError } from "../../src/base/errors.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import {
  addCheckpointBytesMax,
  batchMessageBytesMax,
  heldBatchesBurst,
  heldBatchesPerSecond,
  startEvidenceBytesMax,
} from "../../src/base/limits.ts";
import { SubmitRequestSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type { WitnessAnswer, WitnessPort } from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { parseTreeSize } from "../../src/merkle/size.ts";
import { systemClock } from "../runtime.ts";
import { toSealedBatches } from "./ledger-messages.ts";
import { createRateLimiter, type RateLimiter } from "./rate-limit.ts";
import { addCheckpointPath, batchesPath, readBody } from "./witness-paths.ts";

export interface WitnessHandlerOptions {
  /** Told of a witness that fails. */
  readonly onError?: (error: unknown) => void;
  /** How often one address may hand in batches; `heldBatchesPerSecond` unless told. */
  readonly limiter?: RateLimiter;
}

interface Route {
  readonly method: "GET" | "POST";
  readonly bodyBytesMax: number;
  readonly isLimited?: boolean;
  answer(body: Uint8Array): Promise<WitnessAnswer>;
}

/** A handler of `node:https`. A body above its limit is 413 and closes the connection, a witness that fails is 500. */
export function createWitnessHandler(
  witness: WitnessPort,
  options: WitnessHandlerOptions = {},
): (request: IncomingMessage, response: ServerResponse) => void {
  const limit = { perSecond: heldBatchesPerSecond, burst: heldBatchesBurst };
  const limiter = options.limiter ?? createRateLimiter(limit, systemClock);
  return (request, response) => {
    const route = findRoute(witness, request.url ?? "");
    void answer(route, request, limiter)
      .catch((error: unknown) => {
        options.onError?.(error);
        return plain(500, "internal error\n");
      })
      .then(({ status, contentType, body }) => {
        if (response.destroyed) return;
        response.writeHead(status, {
          "content-type": contentType,
          "content-length": Buffer.byteLength(body),
          "cache-control": "no-store",
          ...(status === 405 ? { allow: route?.method } : {}),
          // The rest of the body is not read.
          ...(status === 413 || status === 429 ? { connection: "close" } : {}),
        });
        response.end(body);
      });
  };
}

function findRoute(witness: WitnessPort, path: string): Route | undefined {
  if (path === addCheckpointPath) {
    const answerTo = (body: Uint8Array): Promise<WitnessAnswer> => witness.addCheckpoint(body);
    return { method: "POST", bodyBytesMax: addCheckpointBytesMax, answer: answerTo };
  }
  if (path === batchesPath) {
    return {
      method: "POST",
      bodyBytesMax: batchMessageBytesMax,
      isLimited: true,
      answer: async (body) => {
        const batches = readBatches(body);
        return batches === undefined ? plain(400, "malformed batch\n") : holdAll(witness, batches);
      },
    };
  }
  const originHash = /^\/([0-9a-f]{64})\/checkpoint$/.exec(path)?.[1];
  if (originHash !== undefined) {
    return { method: "GET", bodyBytesMax: 0, answer: () => witness.latest(originHash) };
  }
  const term = parseTreeSize(/^\/terms\/(\d+)\/start$/.exec(path)?.[1] ?? "");
  if (term === undefined) return undefined;
  return {
    method: "POST",
    bodyBytesMax: startEvidenceBytesMax,
    isLimited: true,
    answer: (body) => witness.takeEvidence(term, body),
  };
}

async function answer(
  route: Route | undefined,
  request: IncomingMessage,
  limiter: RateLimiter,
): Promise<WitnessAnswer> {
  if (route === undefined) return plain(404, "not found\n");
  if (request.method !== route.method) return plain(405, `${route.method} only\n`);
  if (route.isLimited === true && limiter(request.socket.remoteAddress ?? "") !== undefined) {
    return plain(429, "too many\n");
  }
  const body = await readBody(request, route.bodyBytesMax);
  return body === undefined ? plain(413, "too large\n") : route.answer(body);
}

async function holdAll(
  witness: WitnessPort,
  batches: readonly SealedBatch[],
): Promise<WitnessAnswer> {
  const answers = await Promise.all(batches.map((batch) => witness.holdBatch(batch)));
  const refusal = answers.find(({ status }) => status !== 202);
  return refusal ?? (answers[0] as WitnessAnswer);
}

function readBatches(body: Uint8Array): readonly SealedBatch[] | undefined {
  try {
    return toSealedBatches(decodeMessage(SubmitRequestSchema, body));
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

function plain(status: number, body: string): WitnessAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}
