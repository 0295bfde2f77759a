import type { TermFact } from "../../registry/state.ts";
import type { LedgerReader } from "../store/store.ts";
import { parseBody } from "./bodies.ts";
import type { FollowItem, FollowStart } from "./ports.ts";
import type { Signal } from "./signal.ts";

/** What a gateway shows to followers, beside what its store holds. */
export interface Published {
  /** Batches that are on the disk: the store may hold more that are on their way there. */
  size(): bigint;
  /** Newest signed head. */
  head():
    | { readonly size: bigint; readonly note: Uint8Array; readonly registryDigest: Uint8Array }
    | undefined;
  /** Newest final checkpoint: frozen, or a heartbeat. */
  final(): { readonly size: bigint; readonly note: Uint8Array } | undefined;
  /** Appointments of the sequencer, ascending by term. */
  terms(): readonly TermFact[];
  /** Another number once leaves that were here are no more. */
  generation(): number;
}

const pageBatches = 64;
const pageBytes = 1 << 20;

/**
 * Everything that a follower lacks, then what comes: batches in order, each frozen note behind the last
 * batch that it covers, and the newest head and heartbeat once the follower has all that they cover. A
 * term above the follower's is opened at its start, from which on everything is sent anew. It ends when
 * leaves are dropped here: what was sent of them has to be begun anew.
 * Everything is read from the store when the follower is ready for it, so that a slow one costs nothing.
 */
export async function* followItems(
  source: { readonly reader: LedgerReader; readonly published: Published; readonly signal: Signal },
  start: FollowStart,
  abort: AbortSignal,
): AsyncGenerator<FollowItem, void, undefined> {
  const { reader, published, signal } = source;
  const generation = published.generation();
  let { fromIndex: index, fromFinalSize: finalSize, term } = start;
  let headSent: Uint8Array | undefined;
  let finalSent: Uint8Array | undefined;
  while (!abort.aborted) {
    if (published.generation() !== generation) return;
    const seen = signal.version;
    const opening = nextTerm(published.terms(), term);
    const termStart = opening === undefined ? undefined : startOf(opening, start.fromFinalSize);
    if (opening !== undefined && termStart !== undefined && termStart <= index) {
      ({ term } = opening);
      index = termStart;
      yield { kind: "term opened", term, start: index };
      continue;
    }
    for (const item of nextPage(reader, {
      index,
      finalSize,
      end: smaller(termStart, published.size()),
    })) {
      if (item.kind === "batch") index = item.index + 1n;
      else finalSize = item.size;
      yield item.kind === "batch" ? item : { kind: "final", note: item.note };
      if (abort.aborted) return;
    }
    if (index < published.size() || hasFrozen(reader, index, finalSize)) continue;
    const head = published.head();
    if (head !== undefined && head.note !== headSent && head.size <= index) {
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

/** The first appointment that the follower does not know. That of term 0 needs no votes. */
function nextTerm(terms: readonly TermFact[], known: bigint): TermFact | undefined {
  return terms.find(({ term }) => term > known);
}

/** The appointed gateway's leaves may reach below the start that the votes gave; what is final stands. */
function startOf({ start, since }: TermFact, finalSize: bigint): bigint {
  if (finalSize <= start) return start;
  return finalSize < since ? finalSize : since;
}

type PageItem =
  | Extract<FollowItem, { kind: "batch" }>
  | { readonly kind: "frozen"; readonly size: bigint; readonly note: Uint8Array };

function hasFrozen(reader: LedgerReader, index: bigint, finalSize: bigint): boolean {
  const frozen = reader.frozenAfter(finalSize);
  return frozen !== undefined && frozen.size <= index;
}

function smaller(one: bigint | undefined, other: bigint): bigint {
  return one !== undefined && one < other ? one : other;
}

/** Batches up to the next frozen note, and that note when they reach it; none from `end` on. */
function nextPage(
  reader: LedgerReader,
  place: { readonly index: bigint; readonly finalSize: bigint; readonly end: bigint },
): readonly PageItem[] {
  const { index, finalSize, end } = place;
  const frozen = reader.frozenAfter(finalSize);
  const isDue = frozen !== undefined && frozen.size <= index;
  const upTo = frozen === undefined || isDue ? end : smaller(frozen.size, end);
  const items: PageItem[] = [];
  if (!isDue) {
    const page = { from: index, countMax: pageBatches, bytesMax: pageBytes };
    for (const { index: at, leaf, body } of reader.batches(page)) {
      if (at >= upTo) break;
      items.push({ kind: "batch", index: at, batch: { leaf, records: parseBody(body) } });
    }
  }
  const reached = index + BigInt(items.length);
  if (frozen !== undefined && frozen.size <= reached) items.push({ ...frozen, kind: "frozen" });
  return items;
}
