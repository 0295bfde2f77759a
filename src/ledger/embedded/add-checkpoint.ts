/** Request and answers of `add-checkpoint` (C2SP tlog-witness; FORMATS.md section 6). */
import { concatBytes, parseBase64, parseUtf8, toBase64, utf8 } from "../../base/bytes.ts";
import { addCheckpointBytesMax, witnessProofLinesMax } from "../../base/limits.ts";
import { hashBytes } from "../../merkle/hash.ts";
import { parseTreeSize } from "../../merkle/size.ts";
import type { WitnessAnswer } from "./ports.ts";

export interface AddCheckpoint {
  /** Size that the witness cosigned last. */
  readonly oldSize: bigint;
  readonly proof: readonly Uint8Array[];
  /** Checkpoint as the log signed it. */
  readonly note: Uint8Array;
}

export function formatAddCheckpoint(request: AddCheckpoint): Uint8Array {
  const proof = request.proof.map((hash) => `${toBase64(hash)}\n`).join("");
  return concatBytes(utf8(`old ${request.oldSize}\n${proof}\n`), request.note);
}

/** The request, or `undefined` when the body is malformed. The note is not read. */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint | undefined {
  if (body.length > addCheckpointBytesMax) return undefined;
  const text = parseUtf8(body);
  const end = text?.indexOf("\n\n") ?? -1;
  if (text === undefined || end < 0) return undefined;
  const [first = "", ...lines] = text.slice(0, end).split("\n");
  const oldSize = first.startsWith("old ") ? parseTreeSize(first.slice(4)) : undefined;
  if (oldSize === undefined || lines.length > witnessProofLinesMax) return undefined;
  const proof: Uint8Array[] = [];
  for (const line of lines) {
    const hash = parseBase64(line);
    if (hash?.length !== hashBytes) return undefined;
    proof.push(hash);
  }
  return { oldSize, proof, note: utf8(text.slice(end + 2)) };
}

export const sizeContentType: string = "text/x.tlog.size";

/** 409: the latest size that this witness cosigned. */
export function conflictAnswer(size: bigint): WitnessAnswer {
  return { status: 409, contentType: sizeContentType, body: `${size}\n` };
}

export function witnessAnswer(status: number, body: string): WitnessAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

/** The size in a 409 answer, or `undefined` when it is not one. */
export function parseConflict(answer: WitnessAnswer): bigint | undefined {
  if (answer.status !== 409 || answer.contentType !== sizeContentType) return undefined;
  return answer.body.endsWith("\n") ? parseTreeSize(answer.body.slice(0, -1)) : undefined;
}
