/** The thread that encrypts and stores openings: neither costs the main thread anything. */
import { unframe } from "../journal/framing.ts";
import { serveStore } from "../thread/serve-store.ts";
import { type OpeningPart, SqliteOpenings } from "./sqlite-openings.ts";

export interface OpeningsWorkerData {
  readonly path: string;
  readonly key: Uint8Array;
}

type Methods = "get" | "erase" | "find" | "eraseRecorded" | "erasures" | "close";

export interface ServedOpenings extends Pick<SqliteOpenings, Methods> {
  /** Framed: id, part, id, part and so on. Structured clone of many small objects costs more. */
  put(parts: Uint8Array): void;
  /** Nothing: when it is answered, what came before is stored. */
  flush(): void;
}

function partsOf(framed: Uint8Array): readonly OpeningPart[] {
  const items = unframe(framed);
  const parts: OpeningPart[] = [];
  for (let i = 0; i + 1 < items.length; i += 2) {
    parts.push({ id: items[i] as Uint8Array, part: items[i + 1] as Uint8Array });
  }
  return parts;
}

serveStore(({ path, key }: OpeningsWorkerData): ServedOpenings => {
  const store = new SqliteOpenings(path, key);
  return {
    put: (parts) => store.put(partsOf(parts)),
    get: (id) => store.get(id),
    erase: (ids) => store.erase(ids),
    find: (range) => store.find(range),
    eraseRecorded: (range, by) => store.eraseRecorded(range, by),
    erasures: (after) => store.erasures(after),
    flush: () => undefined,
    close: () => store.close(),
  };
});
