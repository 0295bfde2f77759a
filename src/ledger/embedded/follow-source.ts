import type { LedgerReader } from "../store/store.ts";
import { parseBody } from "./bodies.ts";
import type { FollowItem, FollowStart } from "./ports.ts";
import type { Signal } from "./signal.ts";

/** What a sequencer has published, beside what its store holds. */
export interface Published {
  /** Newest signed head. */
  head():
    | { readonly size: bigint; readonly note: Uint8Array; readonly registryDigest: Uint8Array }
    | undefined;
  /** Newest final checkpoint: frozen, or a heartbeat. */
  final(): { readonly size: bigint; readonly note: Uint8Array } | undefined;
}

const pageBatches = 64;
const pageBytes = 1 << 20;

/**
 * Everything that a follower lacks, then what comes: batches in order, each frozen note behind the last
 * batch that it covers, and the newest head and heartbeat once the follower has all that they cover.
 * Everything is read from the store when the follower is ready for it, so that a slow one costs nothing.
 */
export async function* followItems(
  source: { readonly reader: LedgerReader; readonly published: Published; readonly signal: Signal },
  start: FollowStart,
  abort: AbortSignal,
): AsyncGenerator<FollowItem, void, undefined> {
  const { reader, published, signal } = source;
  let { fromIndex: index, fromFinalSize: finalSize } = start;
  let headSent: Uint8Array | undefined;
  let finalSent: Uint8Array | undefined;
  while (!abort.aborted) {
    const seen = signal.version;
    for (const item of nextPage(reader, index, finalSize)) {
      if (item.kind === "batch") index = item.index + 1n;
      else finalSize = item.size;
      yield item.kind === "batch" ? item : { kind: "final", note: item.note };
      if (abort.aborted) return;
    }
    if (index < reader.size() || hasFrozen(reader, index, finalSize)) continue;
    const head = published.head();
    if (head !== undefined && head.note !== headSent) {
      headSent = head.note;
      yield { kind: "head", note: head.note, registryDigest: head.registryDigest };
    }
    const final = published.final();
    if (final !== undefined && final.note !== finalSent && final.size <= index) {
      finalSent = final.note;
      yield { kind: "final", note: final.note };
    }
    await signal.wait(seen, abort);
  }
}

type PageItem =
  | Extract<FollowItem, { kind: "batch" }>
  | { readonly kind: "frozen"; readonly size: bigint; readonly note: Uint8Array };

function hasFrozen(reader: LedgerReader, index: bigint, finalSize: bigint): boolean {
  const frozen = reader.frozenAfter(finalSize);
  return frozen !== undefined && frozen.size <= index;
}

/** Batches up to the next frozen note, and that note when they reach it. */
function nextPage(reader: LedgerReader, index: bigint, finalSize: bigint): readonly PageItem[] {
  const frozen = reader.frozenAfter(finalSize);
  const upTo = frozen === undefined || frozen.size <= index ? undefined : frozen.size;
  const items: PageItem[] = [];
  if (frozen === undefined || frozen.size > index) {
    const page = { from: index, countMax: pageBatches, bytesMax: pageBytes };
    for (const { index: at, leaf, body } of reader.batches(page)) {
      if (upTo !== undefined && at >= upTo) break;
      items.push({ kind: "batch", index: at, batch: { leaf, records: parseBody(body) } });
    }
  }
  const reached = index + BigInt(items.length);
  if (frozen !== undefined && frozen.size <= reached) items.push({ ...frozen, kind: "frozen" });
  return items;
}
