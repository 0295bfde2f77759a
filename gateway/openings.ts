/** The store of openings of this gateway: what reveals a commitment, kept here and nowhere else. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { RandomBytes, Scheduler } from "../src/base/clock.ts";
import { concatBytes, u32be } from "../src/base/bytes.ts";
import { CausewayError } from "../src/base/errors.ts";
import type { AttemptOpenings, OpeningsWriter } from "../src/exchange/ports.ts";
import { type Openings, openOpenings } from "../src/ledger/openings/openings.ts";

export interface OpeningsStore extends OpeningsWriter {
  readonly openings: Openings;
  close(): Promise<void>;
}

const keyBytes = 32;

/** Reads the key file, or makes it at the first start, whole or not at all. It belongs in no backup of the ledger. */
function readKey(file: string, random: RandomBytes): Uint8Array {
  if (!existsSync(file)) {
    const temporary = `${file}.part`;
    const descriptor = openSync(temporary, "w", 0o600);
    writeSync(descriptor, random(keyBytes));
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(temporary, file);
  }
  const key = new Uint8Array(readFileSync(file));
  if (key.length !== keyBytes) {
    throw new CausewayError("KEY_LOCKED", `${file} does not hold a key of ${keyBytes} bytes`);
  }
  return key;
}

/** Names the openings of one attempt on one side. */
export function openingId({
  xid,
  attempt,
  side,
}: Pick<AttemptOpenings, "xid" | "attempt" | "side">): Uint8Array {
  return concatBytes(attemptPrefix(xid, attempt), Uint8Array.of(side === "consumer" ? 1 : 2));
}

/** What the ids of one attempt begin with, on either side. */
export function attemptPrefix(xid: Uint8Array, attempt: number): Uint8Array {
  return concatBytes(xid, u32be(attempt));
}

/** What an id of `openingId` names; `undefined` for any other bytes. */
export function namedByOpeningId(
  id: Uint8Array,
): Pick<AttemptOpenings, "xid" | "attempt" | "side"> | undefined {
  if (id.length !== 21) return undefined;
  const attempt = new DataView(id.buffer, id.byteOffset).getUint32(16);
  return { xid: id.slice(0, 16), attempt, side: id[20] === 1 ? "consumer" : "provider" };
}

export async function createOpenings(options: {
  /** Data folder of the gateway. */
  readonly folder: string;
  readonly random: RandomBytes;
  readonly scheduler: Scheduler;
  onFatal(error: unknown): void;
}): Promise<OpeningsStore> {
  const openings = await openOpenings({
    path: join(options.folder, "openings.sqlite"),
    key: readKey(join(options.folder, "openings.key"), options.random),
    scheduler: options.scheduler,
    onFailed: (error) => options.onFatal(error),
  });
  return {
    openings,
    put: (attempt) => {
      const { items, seed } = attempt;
      const salts = new Map(items.map(({ label, salt }) => [label, salt]));
      const values = new Map(items.map(({ label, value }) => [label, value]));
      openings.put(openingId(attempt), { seed, salts, values });
    },
    close: () => openings.close(),
  };
}
