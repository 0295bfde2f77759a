/** Whether a witness's promise may grow to a checkpoint: what it is refused with, row by row of FORMATS.md section 6. Pure. */
import { equalBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { emptyRoot } from "../../merkle/hash.ts";
import { verifyConsistency } from "../../merkle/verify.ts";
import type { AddCheckpointRequest } from "../../note/add-checkpoint.ts";
import type { WitnessAnswer } from "./ports.ts";
import { conflictAnswer, endedAnswer, witnessAnswer } from "./witness-answers.ts";
import { isRightlyOpened, isSilenced } from "./witness-terms.ts";
import type {
  OpenedCheckpoint,
  WitnessEffect,
  WitnessEvent,
  WitnessState,
} from "./witness-types.ts";

/** Why nothing is promised, and what else is to be said of it. */
export interface Refusal {
  readonly answer: WitnessAnswer;
  readonly fork?: { readonly held: Uint8Array | undefined; readonly shown: Uint8Array };
  readonly reason?: ReasonCode;
}

/** The rows of FORMATS.md section 6 from the term on, in their order; `undefined` when the promise may grow. */
export function judge(
  state: WitnessState,
  request: AddCheckpointRequest,
  checkpoint: OpenedCheckpoint,
): Refusal | undefined {
  const { oldSize, proof } = request;
  if (checkpoint.term < state.promisedTerm) return { answer: endedAnswer };
  if (isSilenced(state, checkpoint.term)) {
    return { answer: witnessAnswer(503, "this witness has lost its state\n") };
  }
  const latest = state.promises.get(checkpoint.origin);
  if (oldSize > checkpoint.size) {
    return { answer: witnessAnswer(400, "old size above the checkpoint's\n") };
  }
  if (oldSize !== (latest?.size ?? 0n)) return { answer: conflictAnswer(latest?.size ?? 0n) };
  const unprocessable = witnessAnswer(422, "the checkpoint does not extend the cosigned one\n");
  if (checkpoint.size === 0n && !equalBytes(checkpoint.root, emptyRoot)) {
    return { answer: unprocessable };
  }
  // A promise of size 0 is begun by every tree, without a proof.
  if (latest === undefined || oldSize === 0n) {
    return proof.length === 0 ? undefined : { answer: unprocessable };
  }
  const { size: size1, root: root1, note: held } = latest;
  if (checkpoint.size === size1 && !equalBytes(checkpoint.root, root1)) {
    return { answer: unprocessable, fork: { held, shown: checkpoint.note } };
  }
  const sizes = { size1, root1, size2: checkpoint.size, root2: checkpoint.root };
  return isConsistent({ ...sizes, proof }) ? undefined : { answer: unprocessable };
}

function isConsistent(options: Parameters<typeof verifyConsistency>[0]): boolean {
  try {
    return verifyConsistency(options);
  } catch (error) {
    if (error instanceof CausewayError && error.code === "PROOF_INVALID") return false;
    throw error;
  }
}

/** The answer to a request that is refused. */
export function refusalEffects(id: number, refusal: Refusal, size = 0n): readonly WitnessEffect[] {
  const { answer, fork, reason } = refusal;
  const effects: WitnessEffect[] = [{ kind: "answer", id, answer }];
  if (fork !== undefined) effects.push({ kind: "fork", ...fork });
  if (reason !== undefined) effects.push({ kind: "report", reason, size });
  return effects;
}

/** What the replica, which has come to this size, says against it. */
export function judgeByReplica(
  { size, root, note }: OpenedCheckpoint,
  replica: { readonly root: Uint8Array; readonly finalSize: bigint; readonly omits: boolean },
): Refusal | undefined {
  if (!equalBytes(replica.root, root)) {
    return {
      answer: witnessAnswer(422, "the replica has another tree\n"),
      fork: { held: undefined, shown: note },
    };
  }
  if (size < replica.finalSize) {
    return { answer: witnessAnswer(422, "the checkpoint does not extend a final one\n") };
  }
  if (!replica.omits) return undefined;
  return { answer: witnessAnswer(503, "a batch is withheld\n"), reason: "BATCH_WITHHELD" };
}

/** Before the first cosignature in a term: that it was rightly opened, which its sequencer alone has said so far. */
export function judgeTerm(
  state: WitnessState,
  { term, origin }: OpenedCheckpoint,
  { opening }: Extract<WitnessEvent, { kind: "replica" }>,
): Refusal | undefined {
  if (term === 0n || state.promises.has(origin)) return undefined;
  if (opening?.term === term && isRightlyOpened(opening)) return undefined;
  return { answer: witnessAnswer(503, "the start of this term is not shown\n") };
}
