/** Answers of `add-checkpoint` (C2SP tlog-witness; FORMATS.md section 6). */
import { parseTreeSize } from "../../merkle/size.ts";
import type { WitnessAnswer } from "./ports.ts";

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

/** 403: another sequencer has been voted for. */
export const endedAnswer: WitnessAnswer = witnessAnswer(403, "the term has ended\n");
