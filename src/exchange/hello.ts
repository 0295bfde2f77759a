/**
 * The first message each way on every link: who, which process start, what time, the newest final
 * checkpoint, and the newest leaf of the other that the sender holds (DESIGN section 4). A gateway that is
 * shown a leaf of its own that its journal lacks has been rolled back.
 */
import { emptyBytes, equalBytes, parseHex, toHex } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { createHelloToken, verifyHelloToken } from "../credential/hello-token.ts";
import type { Signer, Verifier } from "../crypto/ports.ts";
import { type Hello, HelloSchema } from "../gen/causeway/exchange/v1/link_pb.ts";
import { openLeaf, verifyLeaf } from "../record/leaf.ts";
import type { Self } from "./ports.ts";

export function createHello(options: {
  readonly self: Self;
  readonly peer: string;
  readonly clockMs: number;
  /** Note of the newest final checkpoint that is applied here. */
  readonly checkpoint: Uint8Array | undefined;
  /** Newest leaf of the peer that is held here. */
  readonly leafOfPeer: Uint8Array | undefined;
  readonly signer: Signer;
}): Hello {
  const { self, peer, checkpoint, leafOfPeer } = options;
  const token = createHelloToken(
    {
      iss: self.gateway,
      aud: peer,
      net: toHex(self.network),
      boot: self.boot,
      clock: options.clockMs,
      ...(checkpoint === undefined ? {} : { checkpoint: toHex(sha256(checkpoint)) }),
      ...(leafOfPeer === undefined ? {} : { leaf: toHex(sha256(leafOfPeer)) }),
    },
    options.signer,
  );
  return createMessage(HelloSchema, {
    token,
    checkpoint: checkpoint ?? emptyBytes,
    leaf: leafOfPeer ?? emptyBytes,
  });
}

/** What a Hello that verified says. */
export interface AcceptedHello {
  readonly boot: Uint8Array;
  /** The sender's clock, Unix milliseconds. */
  readonly clockMs: number;
  /** A note that the sender says is final; its quorum is still to be verified. */
  readonly checkpoint: Uint8Array | undefined;
  /** An own leaf that verified under an own key: the journal must hold it. */
  readonly ownLeaf: OwnLeaf | undefined;
}

/** Where a leaf of the own chain stands, and its leaf hash. */
export interface OwnLeaf {
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
}

function digestMatches(bytes: Uint8Array, digest: string | undefined): boolean {
  if (bytes.length === 0) return digest === undefined;
  const expected = parseHex(digest ?? "");
  return expected !== undefined && equalBytes(sha256(bytes), expected);
}

/**
 * Verifies a Hello of `peer`, which its TLS key has named. Throws a TOKEN_* reason, TOKEN_CLAIMS_INVALID
 * also when what comes beside the token is not what it names.
 */
export async function acceptHello(options: {
  readonly hello: Hello;
  readonly self: Self;
  readonly peer: string;
  /** Raw token key in force of the peer under a thumbprint. */
  readonly keyOf: (kid: string, issuer: string) => Uint8Array | undefined;
  /** Own batch keys, raw. */
  readonly ownBatchKeys: readonly Uint8Array[];
  readonly verifier: Verifier;
}): Promise<AcceptedHello> {
  const { hello, self, peer, keyOf, verifier } = options;
  const network = toHex(self.network);
  const expected = { issuer: peer, audience: self.gateway, network };
  const claims = await verifyHelloToken({ token: hello.token, expected, keyOf, verifier });
  if (
    !digestMatches(hello.checkpoint, claims.checkpoint) ||
    !digestMatches(hello.leaf, claims.leaf)
  ) {
    throw new CausewayError("TOKEN_CLAIMS_INVALID", "the hello names another checkpoint or leaf");
  }
  return {
    boot: claims.boot,
    clockMs: claims.clock,
    checkpoint: hello.checkpoint.length === 0 ? undefined : hello.checkpoint,
    ownLeaf: ownLeaf(hello.leaf, self, options.ownBatchKeys, verifier),
  };
}

/** A header shown counts only if it verifies under an own key: nobody can stop a gateway with an invented one. */
function ownLeaf(
  bytes: Uint8Array,
  self: Self,
  ownBatchKeys: readonly Uint8Array[],
  verifier: Verifier,
): OwnLeaf | undefined {
  if (bytes.length === 0) return undefined;
  try {
    const leaf = openLeaf(bytes);
    const { epoch, gateway, seq } = leaf.header;
    if (gateway !== self.gateway) return undefined;
    for (const publicKey of ownBatchKeys) {
      if (isSignedBy(leaf, publicKey, verifier)) return { epoch, seq, leafHash: leaf.leafHash };
    }
    return undefined;
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

function isSignedBy(
  leaf: ReturnType<typeof openLeaf>,
  publicKey: Uint8Array,
  verifier: Verifier,
): boolean {
  try {
    verifyLeaf({ leaf, publicKey, verifier });
    return true;
  } catch (error) {
    if (error instanceof CausewayError) return false;
    throw error;
  }
}
