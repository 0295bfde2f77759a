import { CausewayError } from "../../base/errors.ts";
import { toHex } from "../../base/bytes.ts";
import { parseKey } from "../../credential/key-text.ts";
import { parsePayload } from "../../credential/payloads.ts";
import { networkId } from "../../credential/statement.ts";
import type { NetworkBody } from "../../credential/statements.ts";
import {
  cosignatureType,
  createVerifierKey,
  ed25519Type,
  type VerifierKey,
  type VerifierKeyType,
} from "../../note/verifier-key.ts";
import type { CityWitness } from "../../registry/cosigning.ts";

export type { CityWitness };

/** What checkpoints of one term of a network are verified against. Trust is data: all of it is in the founding document. */
export interface LedgerNetwork {
  /** 32 bytes. */
  readonly id: Uint8Array;
  /** Number of the sequencer's appointment; the founding document names the one of term 0. */
  readonly term: bigint;
  /** The log's key; its name is the origin, `causeway/<network id hex>/<term>`. */
  readonly logKey: VerifierKey;
  readonly sequencer: { readonly gateway: string; readonly address: string; readonly tls: string };
  readonly witnesses: readonly CityWitness[];
  readonly quorum: number;
  readonly faults: number;
  readonly heartbeatMs: number;
  readonly skewMs: number;
}

/** The network that a founding document's payload describes. Throws what parsing the payload throws. */
export function readLedgerNetwork(payload: Uint8Array): LedgerNetwork {
  const { body } = parsePayload("network", payload) as { readonly body: NetworkBody };
  const id = networkId(payload);
  const prefix = `causeway/${toHex(id)}`;
  const term = 0n;
  const { gateway, address, tls, log } = body.sequencer;
  return {
    id,
    term,
    logKey: verifierKey(`${prefix}/${term}`, ed25519Type, log),
    sequencer: { gateway, address, tls },
    witnesses: body.cities.map((city) => ({
      city: city.id,
      key: verifierKey(`${prefix}/${city.id}`, cosignatureType, city.witness),
      address: city.witness_address,
      tls: city.witness_tls,
    })),
    quorum: body.quorum,
    faults: body.faults,
    heartbeatMs: body.bounds.heartbeat_s * 1000,
    skewMs: body.bounds.skew_s * 1000,
  };
}

function verifierKey(name: string, type: VerifierKeyType, text: string): VerifierKey {
  const publicKey = parseKey(text);
  if (publicKey === undefined) {
    throw new CausewayError("STATEMENT_INVALID", "a key has not 32 bytes");
  }
  return createVerifierKey({ name, type, publicKey });
}
