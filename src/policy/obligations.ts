import { create } from "@bufbuild/protobuf";
import { defaultBounds, type ServiceMethod } from "../credential/statements.ts";
import {
  Durability,
  type Obligations,
  ObligationsSchema,
} from "../gen/causeway/record/v1/parts_pb.ts";
import type { RegistryView } from "../registry/state.ts";

/**
 * What a permitted call binds both gateways to. A number of 0 sets no bound of its own; a call that
 * is not a stream has one message.
 */
export function obligationsOf(view: RegistryView, method: ServiceMethod): Obligations {
  return create(ObligationsSchema, {
    messagesMax: method.server_streaming ? 0n : 1n,
    bytesMax: 0n,
    durability: Durability.JOURNAL,
    window: (view.network?.bounds ?? defaultBounds).window_segments,
  });
}
