/** What a chain says over its whole length: its boots, its places, and headers shown beside it. */
import { equalBytes, mapKey, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { EquivocationReported } from "../gen/causeway/record/v1/record_pb.ts";
import { type OpenedLeaf, openLeaf, verifyLeaf } from "../record/leaf.ts";
import { equivocationKind, verifyEquivocation } from "../registry/equivocation.ts";
import { batchKeyOf } from "../registry/keys.ts";
import type { RegistryState } from "../registry/state.ts";
import { findingAt, type Place, type Report } from "./findings.ts";

interface Sealed {
  readonly leafHash: Uint8Array;
  readonly boot: string;
}

interface Chain {
  boot: string;
  readonly formerBoots: Set<string>;
  /** Index of the first batch of each process start but the first, in order. */
  readonly starts: bigint[];
  /** By `<epoch>/<seq>`. */
  readonly places: Map<string, Sealed>;
}

export class Chains {
  readonly #chains = new Map<string, Chain>();
  /** Who signed what somebody has shown, by leaf hash. */
  readonly #shown = new Map<string, string>();
  /** Leaf hashes of the whole ledger, once they are asked for. */
  #leaves: Set<string> | undefined;
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  add(
    index: bigint,
    { header, leafHash }: { readonly header: Header; readonly leafHash: Uint8Array },
  ): void {
    const { gateway } = header;
    const boot = toHex(header.boot);
    const chain: Chain = this.#chains.get(gateway) ?? {
      boot,
      formerBoots: new Set(),
      starts: [],
      places: new Map(),
    };
    this.#chains.set(gateway, chain);
    if (boot !== chain.boot) {
      chain.formerBoots.add(chain.boot);
      chain.boot = boot;
      chain.starts.push(index);
      if (chain.formerBoots.has(boot)) {
        this.#report(findingAt({ index, position: 0, gateway }, "BOOT_RETURNED", { boot }));
      }
    }
    // One text for each boot: a view of every header would keep its whole buffer.
    chain.places.set(placeOf(header), { leafHash, boot: chain.boot });
  }

  /** The first batch behind an index that a gateway sealed after another start. */
  nextStart(gateway: string, index: bigint): bigint | undefined {
    return this.#chains.get(gateway)?.starts.find((start) => start > index);
  }

  /** The leaf hash at the place of a header, as the ledger has it. */
  leafAt(header: Header): Uint8Array | undefined {
    return this.#chains.get(header.gateway)?.places.get(placeOf(header))?.leafHash;
  }

  /** Whether a leaf stands on the ledger. To be asked when all of it was added. */
  hasLeaf(leafHash: Uint8Array): boolean {
    this.#leaves ??= new Set(
      [...this.#chains.values()].flatMap(({ places }) =>
        [...places.values()].map((sealed) => mapKey(sealed.leafHash)),
      ),
    );
    return this.#leaves.has(mapKey(leafHash));
  }

  /** The gateway that signed a leaf which a record of the ledger shows. */
  signerOfShown(leafHash: Uint8Array): string | undefined {
    return this.#shown.get(mapKey(leafHash));
  }

  /**
   * Judges a leaf that somebody was shown: signed by its gateway, and another one than the ledger has at
   * its place, it convicts that gateway. Returns whether the leaf is genuine.
   */
  judgeShown(leaf: OpenedLeaf, at: Place, state: RegistryState, verifier: Verifier): boolean {
    if (!isGenuine(leaf, state, verifier)) return false;
    const { header, leafHash } = leaf;
    this.#shown.set(mapKey(leafHash), header.gateway);
    const held = this.#chains.get(header.gateway)?.places.get(placeOf(header));
    if (held !== undefined && !equalBytes(held.leafHash, leafHash)) {
      this.#convict(header, held.boot === toHex(header.boot), at);
    }
    return true;
  }

  /** Judges two leaves that are reported as a contradiction, as the registry does. */
  judgeReport(
    report: EquivocationReported,
    at: Place,
    state: RegistryState,
    verifier: Verifier,
  ): void {
    const pair = report.proof.case === "headers" ? report.proof.value : undefined;
    try {
      verifyEquivocation(state, report, verifier);
    } catch (cause) {
      if (!(cause instanceof CausewayError)) throw cause;
      this.#report(findingAt(at, "RECORD_IMPLAUSIBLE", { member: "headers" }));
      return;
    }
    if (pair === undefined) return;
    const [first, second] = [openLeaf(pair.firstLeaf), openLeaf(pair.secondLeaf)];
    const { header } = first;
    for (const { leafHash } of [first, second]) this.#shown.set(mapKey(leafHash), header.gateway);
    const kind = equivocationKind(header, second.header);
    this.#convict(header, kind === "equivocation", at);
  }

  #convict(header: Header, sameBoot: boolean, at: Place): void {
    const fields = {
      of: header.gateway,
      epoch: String(header.epoch),
      seq: String(header.seq),
    };
    this.#report(findingAt(at, sameBoot ? "EQUIVOCATION" : "ROLLBACK", fields));
  }
}

function placeOf({ epoch, seq }: Header): string {
  return `${epoch}/${seq}`;
}

function isGenuine(leaf: OpenedLeaf, state: RegistryState, verifier: Verifier): boolean {
  const { gateway, key, network } = leaf.header;
  const publicKey = batchKeyOf(state, gateway, key);
  if (publicKey === undefined || !equalBytes(network, state.networkId)) return false;
  try {
    verifyLeaf({ leaf, publicKey, verifier });
    return true;
  } catch (cause) {
    if (cause instanceof CausewayError) return false;
    throw cause;
  }
}
