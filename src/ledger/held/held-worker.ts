/** The thread that stores held records. */
import { serveStore } from "../thread/serve-store.ts";
import { SqliteHeld } from "./sqlite-held.ts";

export interface HeldWorkerData {
  readonly path: string;
  readonly recordsMax: number;
}

serveStore(({ path, recordsMax }: HeldWorkerData) => new SqliteHeld(path, recordsMax));
