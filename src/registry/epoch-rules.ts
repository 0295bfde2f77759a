/** A new epoch of a chain: what comes after a lost, restored or frozen journal. */
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { isSamePlace, placeOf, withoutFrozen } from "./chain-stops.ts";
import type { Rule } from "./rule.ts";

/**
 * It opens the epoch of the batch whose first record it is. Structure has refused every other batch of a
 * later epoch, so that elsewhere the statement opens nothing.
 */
export const openEpoch: Rule<"epoch"> = ({ claims, body, address }, { state, carrier }) => {
  const gateway = claims.sub;
  const tip = state.chains.get(gateway);
  const opens =
    address.position === 0 &&
    carrier?.gateway === gateway &&
    carrier.seq === 0n &&
    carrier.epoch === BigInt(body.epoch) &&
    tip !== undefined &&
    carrier.epoch > tip.epoch &&
    isSamePlace(placeOf(body.last), tip);
  if (!opens) return "CHAIN_GAP";
  return {
    state: withoutFrozen(state, gateway),
    results: [{ kind: ResultKind.EPOCH_OPENED, subject: gateway }],
  };
};
