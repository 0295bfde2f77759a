import { createMessage } from "../base/create-message.ts";
import {
  defaultBounds,
  type RequiredDurability,
  type ServiceMethod,
} from "../credential/statements.ts";
import {
  Durability,
  type Obligations,
  ObligationsSchema,
} from "../gen/causeway/record/v1/parts_pb.ts";
import { maskDigest } from "../record/mask-digest.ts";
import type { GrantFact, RegistryView, ServiceFact } from "../registry/state.ts";

/**
 * What a permitted call binds both gateways to. A number of 0 sets no bound of its own; a call that
 * does not stream its answer has one message. Metadata is limited where there is a mask, and only there.
 */
export function obligationsOf(
  view: RegistryView,
  method: ServiceMethod,
  { service, grant }: { readonly service: ServiceFact; readonly grant: GrantFact },
): Obligations {
  const { fields, metadata = [], messages_max = 0, bytes_max = 0, durability } = grant.detail;
  return createMessage(ObligationsSchema, {
    ...(fields === undefined
      ? {}
      : { maskDigest: maskDigest(fields), maskPaths: [...fields], metadataAllowed: [...metadata] }),
    messagesMax: method.server_streaming ? BigInt(messages_max) : 1n,
    bytesMax: BigInt(bytes_max),
    durability: strictest(service.body.durability, durability),
    window: (view.network?.bounds ?? defaultBounds).window_segments,
  });
}

function strictest(...required: readonly (RequiredDurability | undefined)[]): Durability {
  return required.includes("ledger") ? Durability.LEDGER : Durability.JOURNAL;
}
