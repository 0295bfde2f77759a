/** The checkpoint that a vote on a sequencer names. */
import { parseBase64 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import { assertSignable, parseCheckpoint } from "../note/checkpoint.ts";
import { parseNote } from "../note/note.ts";
import { openCheckpoint } from "../note/verify.ts";
import { logKeyOf, termOfOrigin } from "./cosigning.ts";
import type { VotedCheckpoint } from "./rule.ts";
import type { RegistryState } from "./state.ts";

/**
 * Verifies that the log of a term which the registry knows has signed the checkpoint.
 *
 * @param text standard base64 of the note.
 * @throws CausewayError as `openCheckpoint`; `NOTE_SIGNER_UNKNOWN` for an origin that is no known term's,
 * `CHECKPOINT_INVALID` for one that no witness of this network cosigns.
 */
export function verifyVotedCheckpoint(
  state: RegistryState,
  text: string,
  verifier: Verifier,
): VotedCheckpoint {
  const note = parseBase64(text);
  if (note === undefined) throw new CausewayError("MALFORMED", "not base64");
  const { origin } = parseCheckpoint(parseNote(note).text);
  const term = termOfOrigin(state, origin);
  if (term === undefined) {
    throw new CausewayError("NOTE_SIGNER_UNKNOWN", "the checkpoint is of no term that is known");
  }
  const { checkpoint } = openCheckpoint({
    note,
    logKey: logKeyOf(state, term),
    verify: (key, message, signature) => verifier.verify(key, message, signature),
  });
  assertSignable(checkpoint);
  return { term: term.term, size: checkpoint.size, root: checkpoint.root };
}
