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
  /** What was signed. */
  readonly payload: Uint8Array;
  /** Thumbprints of the keys that signed. */
  readonly signers: readonly string[];
  /** Of a vote on a sequencer, verified. */
  readonly checkpoint?: VotedCheckpoint;
}

/** The checkpoint that a vote on a sequencer names, signed by the log of its term. */
export interface VotedCheckpoint {
  readonly term: bigint;
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** A vote on a sequencer that is valid by itself. */
export interface Ballot {
  readonly city: string;
  /** What it says but for the checkpoint, which is each voter's own. */
  readonly choice: string;
  readonly gateway: string;
  readonly term: bigint;
  /** Peer listener, `host:port`. */
  readonly address: string;
  /** SHA-256 of the SPKI DER of the gateway's TLS key, hex and raw. */
  readonly tls: string;
  readonly tlsDigest: Uint8Array;
  /** Raw key. */
  readonly logKey: Uint8Array;
  readonly checkpoint: VotedCheckpoint;
}

/** What an applied statement does. */
export interface Change {
  readonly state: RegistryState;
  readonly results: readonly Result[];
  /** A vote that counts, or is void, with the others of its batch. */
  readonly ballot?: Ballot;
}

export type Result = MessageInitShape<typeof ResultSchema>;

/** What one type of statement does to the registry, or why it does nothing. */
export type Rule<N extends StatementName> = (said: Said<N>, ground: Ground) => Change | ReasonCode;
