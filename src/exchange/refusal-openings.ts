/**
 * What opens the commitments of a refusal that holds no call that verified, or no method of the catalogue. With a
 * call it is kept with its exchange, beside the attempts. Without one it belongs to none: it is kept under an id of
 * its own, made of the second of the refusal and of what stands in the record. So it is found by the record alone,
 * and is erased with exchanges of its time.
 */
import { createUuidV7 } from "../base/ids.ts";
import { refusedValueBytesMax } from "../base/limits.ts";
import { commitUnderSeed } from "../crypto/commitments.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Refusal } from "../gen/causeway/record/v1/record_pb.ts";
import type { AttemptOpenings, OpeningItem } from "./ports.ts";

/** The attempt that such openings are kept as: those of calls begin at 1. */
export const refusedAttempt: number = 0;

type Commitments = Pick<Refusal, "call" | "callCommitment" | "methodCommitment">;

/** What a refusal commits to, and what is kept to open it. */
export interface CommittedRefusal {
  readonly callCommitment: Uint8Array | undefined;
  readonly methodCommitment: Uint8Array | undefined;
  /** Absent where nothing is committed to that is small enough to be kept. */
  readonly openings: AttemptOpenings | undefined;
}

/** Commits to what a refusal does not say, under 32 bytes of seed; what is absent it says, or does not know. */
export function commitToRefused(refused: {
  readonly side: AttemptOpenings["side"];
  readonly seed: Uint8Array;
  /** Unix milliseconds of the refusal. */
  readonly atMs: number;
  readonly call: Uint8Array | undefined;
  readonly method: Uint8Array | undefined;
  /** Of the call, where the record holds it. */
  readonly xid?: Uint8Array | undefined;
}): CommittedRefusal {
  const { side, seed, atMs, xid } = refused;
  const items: OpeningItem[] = [];
  const commitTo = (label: "call" | "method"): Uint8Array | undefined => {
    const value = refused[label];
    if (value === undefined) return undefined;
    const { salt, commitment } = commitUnderSeed({ seed, label, value });
    if (value.length <= refusedValueBytesMax) items.push({ label, salt, value });
    return commitment;
  };
  const callCommitment = commitTo("call");
  const methodCommitment = commitTo("method");
  const commitment = callCommitment ?? methodCommitment;
  const openings =
    commitment === undefined || items.length === 0
      ? undefined
      : {
          xid: xid ?? refusalId(commitment, atMs),
          attempt: refusedAttempt,
          side,
          seed,
          items,
        };
  return { callCommitment, methodCommitment, openings };
}

/** Seconds before the seal in which a refusal is looked for: far longer than one waits to be sealed. */
const sealingMaxS = 120;

/** The ids under which the openings of a recorded refusal without a call may be kept; none of any other. */
export function refusalIds(
  { call, callCommitment, methodCommitment }: Commitments,
  { firstAt, sealedAt }: Pick<Header, "firstAt" | "sealedAt">,
): readonly Uint8Array[] {
  const commitment = callCommitment.length > 0 ? callCommitment : methodCommitment;
  if (call !== undefined || commitment.length === 0) return [];
  const lastS = Math.floor(Number(sealedAt) / 1000);
  // The id may be of the second before the one in which the record was queued.
  const firstS = Math.max(Math.floor(Number(firstAt) / 1000) - 1, lastS - sealingMaxS, 0);
  const seconds = Array.from({ length: Math.max(0, lastS - firstS + 1) }, (_, i) => firstS + i);
  return seconds.map((second) => refusalId(commitment, second * 1000));
}

function refusalId(commitment: Uint8Array, atMs: number): Uint8Array {
  return createUuidV7(Math.floor(atMs / 1000) * 1000, commitment);
}
