/** A vote on a sequencer: it counts with those that stand beside it in the batch that opens the term. */
import type { ReasonCode } from "../base/reasons.ts";
import { formatJcs } from "../credential/jcs.ts";
import type { VoteBody } from "../credential/statements.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { newestTerm } from "./appointment.ts";
import { rawDigest, rawKey } from "./keys.ts";
import type { Change, Said } from "./rule.ts";
import type { Ground } from "./standing.ts";

type SequencerVote = Extract<VoteBody, { readonly on: "sequencer" }>;

/** The vote by itself. Whether it counts, `apply` says when it has read the whole batch. */
export function castBallot(
  { claims, checkpoint: verified }: Said<"vote">,
  body: SequencerVote,
  { state, carrier }: Ground,
): Change | ReasonCode {
  const { iss: city, sub: gateway } = claims;
  const { checkpoint: _own, ...choice } = body;
  const term = BigInt(body.term);
  const logKey = rawKey(body.log);
  if (carrier?.gateway !== gateway) return "VOTES_MISSING";
  if (term <= newestTerm(state)) return "TERM_INVALID";
  if (verified === undefined) return "CHECKPOINT_INVALID";
  // A log key speaks for one term, also where its gateway was the sequencer before.
  if (state.keys.has(thumbprint(logKey))) return "KEY_BOUND";
  return {
    state,
    results: [{ kind: ResultKind.VOTED, subject: gateway }],
    ballot: {
      city,
      choice: formatJcs({ ...choice, sub: gateway }),
      gateway,
      term,
      address: body.address,
      tls: body.tls,
      tlsDigest: rawDigest(body.tls),
      logKey,
      checkpoint: verified,
    },
  };
}
