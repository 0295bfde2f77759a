import type { Verifier } from "../../crypto/ports.ts";
import { CausewayError } from "../../base/errors.ts";
import { formatAddCheckpoint } from "../../note/add-checkpoint.ts";
import type { NoteSignature } from "../../note/note.ts";
import type { VerifierKey } from "../../note/verifier-key.ts";
import type { FinalCheckpoint } from "../ports.ts";
import { joinCosignatures, readCosignature } from "./checkpoints.ts";
import type { CheckpointWitness } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import type { SequencerEffect, SequencerEvent } from "./sequencer-machine.ts";
import { parseConflict } from "./witness-answers.ts";

/** A witness of C2SP that is no city's. */
export interface OutsideWitness {
  /** Told apart by it here; the note says what the key is named. */
  readonly name: string;
  readonly key: VerifierKey;
  readonly port: CheckpointWitness;
}

type Asking = Extract<SequencerEffect, { kind: "ask outside" }>;
type Heard = Extract<SequencerEvent, { readonly witness: string }>;

/** Asks the witnesses of others for what is final, and keeps the line of each beside the final note. In memory: they are asked again. */
export class OutsideWitnesses {
  readonly #witnesses: ReadonlyMap<string, OutsideWitness>;
  readonly #replica: LedgerReplica;
  readonly #verifier: Verifier;
  readonly #lines = new Map<string, NoteSignature>();
  #linesSize = 0n;

  constructor(
    witnesses: readonly OutsideWitness[],
    ports: { readonly replica: LedgerReplica; readonly verifier: Verifier },
  ) {
    this.#witnesses = new Map(witnesses.map((witness) => [witness.name, witness]));
    this.#replica = ports.replica;
    this.#verifier = ports.verifier;
  }

  /** Never rejects: a witness that does not answer is a failure like any other. */
  async ask(asking: Asking): Promise<Heard> {
    const { witness } = asking;
    try {
      return await this.#ask(asking);
    } catch {
      return { kind: "outside failed", witness };
    }
  }

  async #ask({ witness: name, size, oldSize }: Asking): Promise<Heard> {
    const witness = this.#witnesses.get(name);
    const final = this.#replica.final();
    if (witness === undefined || final?.size !== size) {
      throw new CausewayError("LEDGER_BEHIND", "the size is not the final one any more");
    }
    const proof = this.#replica.consistencyProof(oldSize, size);
    const request = formatAddCheckpoint({ oldSize, proof, checkpoint: final.note });
    const answer = await witness.port.addCheckpoint(request);
    const witnessSize = parseConflict(answer);
    if (witnessSize !== undefined) return { kind: "outside conflict", witness: name, witnessSize };
    if (answer.status !== 200) return { kind: "outside failed", witness: name };
    const { body } = answer;
    const line = readCosignature(witness, final.note, { body, verifier: this.#verifier });
    this.#keep(name, final, line);
    return { kind: "outside cosigned", witness: name, size };
  }

  #keep(name: string, { size }: FinalCheckpoint, line: NoteSignature): void {
    if (size < this.#linesSize) return;
    if (size > this.#linesSize) this.#lines.clear();
    this.#linesSize = size;
    this.#lines.set(name, line);
  }

  /** The note with the lines for its size. */
  join({ size, note }: Pick<FinalCheckpoint, "size" | "note">): Uint8Array {
    if (size !== this.#linesSize || this.#lines.size === 0) return note;
    return joinCosignatures(note, [...this.#lines.values()]);
  }
}
