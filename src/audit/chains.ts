/** What a chain says over its whole length: its boots, its places, and headers shown beside it. */
import { equalBytes, mapKey, toHex } from "../base/bytes.ts";
import { DigestTable } from "../base/digest-table.ts";
import { assertInvariant, CausewayError } from "../base/errors.ts";
import { NumberList } from "../base/number-list.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { EquivocationReported } from "../gen/causeway/record/v1/record_pb.ts";
import { type OpenedLeaf, openLeaf, verifyLeaf } from "../record/leaf.ts";
import { equivocationKind, verifyEquivocation } from "../registry/equivocation.ts";
import { batchKeyOf } from "../registry/keys.ts";
import type { RegistryState } from "../registry/state.ts";
import { findingAt, type Place, type Report } from "./findings.ts";

/** A process start of a gateway. */
interface Start {
  /** Of its first batch. */
  readonly index: bigint;
  readonly boot: string;
}

/** What stands at a place of a chain. */
interface Sealed {
  readonly index: bigint;
  readonly leafHash: Uint8Array;
  readonly boot: string | undefined;
}

interface Chain {
  /** In order. */
  readonly starts: Start[];
  readonly boots: Set<string>;
  /** For each epoch the indexes of its batches, by their number in it. */
  readonly epochs: Map<bigint, NumberList>;
}

/** Leaf hash of an index of the ledger. */
export type LeafHashAt = (index: bigint) => Uint8Array;

export class Chains {
  readonly #chains = new Map<string, Chain>();
  /** Who signed what somebody has shown, by leaf hash. */
  readonly #shown = new Map<string, string>();
  /** Leaf hashes of the whole ledger, once they are asked for. */
  #leaves: DigestTable | undefined;
  readonly #report: Report;
  readonly #leafHashAt: LeafHashAt;

  constructor(report: Report, leafHashAt: LeafHashAt) {
    this.#report = report;
    this.#leafHashAt = leafHashAt;
  }

  /** The next batch of the ledger, in its place of the gateway's chain. */
  add(index: bigint, { header }: { readonly header: Header }): void {
    const { gateway, epoch, seq } = header;
    const boot = toHex(header.boot);
    const chain: Chain = this.#chains.get(gateway) ?? {
      starts: [],
      boots: new Set(),
      epochs: new Map(),
    };
    this.#chains.set(gateway, chain);
    if (boot !== chain.starts.at(-1)?.boot) {
      if (chain.boots.has(boot)) {
        this.#report(findingAt({ index, position: 0, gateway }, "BOOT_RETURNED", { boot }));
      }
      chain.starts.push({ index, boot });
      chain.boots.add(boot);
    }
    const indexes = chain.epochs.get(epoch) ?? new NumberList();
    chain.epochs.set(epoch, indexes);
    assertInvariant(indexes.count === Number(seq), "a chain has a gap that its fold has let pass");
    indexes.push(Number(index));
  }

  /** The first batch behind an index that a gateway sealed after another start. */
  nextStart(gateway: string, index: bigint): bigint | undefined {
    const starts = this.#chains.get(gateway)?.starts;
    // The first one follows no other.
    return starts?.find((start, number) => number > 0 && start.index > index)?.index;
  }

  /** Whether a leaf stands on the ledger. To be asked when all of it was added. */
  hasLeaf(leafHash: Uint8Array): boolean {
    this.#leaves ??= this.#allLeaves();
    return this.#leaves.get(leafHash, 0) !== undefined;
  }

  #allLeaves(): DigestTable {
    const leaves = new DigestTable();
    for (const { epochs } of this.#chains.values()) {
      for (const indexes of epochs.values()) {
        for (let seq = 0; seq < indexes.count; seq++) {
          leaves.set(this.#leafHashAt(BigInt(indexes.at(seq) as number)), 0, 0);
        }
      }
    }
    return leaves;
  }

  /** What the ledger has at the place of a header. */
  #at({ gateway, epoch, seq }: Header): Sealed | undefined {
    const chain = this.#chains.get(gateway);
    const place = chain?.epochs.get(epoch)?.at(Number(seq));
    if (place === undefined) return undefined;
    const index = BigInt(place);
    const start = chain?.starts.findLast((one) => one.index <= index);
    return { index, leafHash: this.#leafHashAt(index), boot: start?.boot };
  }

  /** Where a leaf stands on the ledger, as far as that has been added. */
  indexOf({ header, leafHash }: Pick<OpenedLeaf, "header" | "leafHash">): bigint | undefined {
    const held = this.#at(header);
    return held !== undefined && equalBytes(held.leafHash, leafHash) ? held.index : undefined;
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
    const held = this.#at(header);
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
