import { type MessageInitShape } from "@bufbuild/protobuf";
import { concatBytes, u64be, utf8 } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { sha256 } from "../base/sha256.ts";
import {
  EffectKind,
  type EffectSchema,
  type Effects,
  EffectsSchema,
} from "../gen/causeway/registry/v1/effects_pb.ts";
import { encodeCanonical } from "../record/canonical.ts";
import type { Change } from "./rule.ts";

type EffectInit = MessageInitShape<typeof EffectSchema>;

const digestPrefix = utf8("causeway/registry/v1");

export function appliedEffect(position: number, { results }: Change): EffectInit {
  return { position, kind: EffectKind.APPLIED, results: [...results] };
}

export function voidEffect(position: number): EffectInit {
  return { position, kind: EffectKind.VOID };
}

/** The effects of one batch: one for each governance record, none for evidence. */
export function createEffects(effects: readonly EffectInit[]): Effects {
  return createMessage(EffectsSchema, { effects: [...effects] });
}

/**
 * The registry digest after the batch at `index`:
 * SHA-256("causeway/registry/v1" ‖ digest before ‖ u64be index ‖ encoded `Effects`).
 */
export function nextDigest(before: Uint8Array, index: bigint, effects: Effects): Uint8Array {
  const encoded = encodeCanonical(EffectsSchema, effects);
  return sha256(concatBytes(digestPrefix, before, u64be(index), encoded));
}
