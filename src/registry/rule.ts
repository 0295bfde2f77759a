import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ReasonCode } from "../base/reasons.ts";
import type { Claims, StatementBodies, StatementName } from "../credential/statements.ts";
import type { ResultSchema } from "../gen/causeway/registry/v1/effects_pb.ts";
import type { Ground } from "./standing.ts";
import type { FactAddress, RegistryState } from "./state.ts";

/** A statement whose issuer has the authority to make it, as its rule reads it. */
export interface Said<N extends StatementName> {
  readonly claims: Claims;
  readonly body: StatementBodies[N];
  readonly address: FactAddress;
  /** Name of its record before it had an address, 32 bytes. */
  readonly recordHash: Uint8Array;
}

/** What an applied statement does. */
export interface Change {
  readonly state: RegistryState;
  readonly results: readonly MessageInitShape<typeof ResultSchema>[];
}

/** What one type of statement does to the registry, or why it does nothing. */
export type Rule<N extends StatementName> = (said: Said<N>, ground: Ground) => Change | ReasonCode;
