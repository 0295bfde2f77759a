/** A record of another gateway, with what binds it to a signed leaf. */
export interface HeldRecord {
  readonly leafHash: Uint8Array;
  readonly leaf: Uint8Array;
  readonly record: Uint8Array;
  readonly position: number;
  readonly path: readonly Uint8Array[];
}

export interface StoredLeaf {
  readonly leafHash: Uint8Array;
  readonly leaf: Uint8Array;
}
