import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Clock, Scheduler } from "../../src/base/clock.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import { createEd25519KeyPair } from "../../src/crypto/node.ts";
import type { Seen } from "../../src/ledger/ports.ts";
import type { Journal, SealerOptions } from "../../src/ledger/journal/journal.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";

export const gateway: string = "hangzhou/market-regulation/gw1";
export const network: Uint8Array = new Uint8Array(32).fill(7);
export const batchKeySeed: Uint8Array = new Uint8Array(32).fill(3);
export const batchKey: Uint8Array = createEd25519KeyPair(batchKeySeed).publicKey;
export const nothingSeen: Seen = { size: 0n, root: emptyRoot };

export const realScheduler: Scheduler = {
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A clock that the test sets. */
export class SetClock implements Clock {
  ms = 1_800_000_000_000;

  nowMs(): number {
    return this.ms;
  }

  monotonicMs(): number {
    return this.ms;
  }
}

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "causeway-journal-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

let boots = 0;

/** Options of a journal in `folder` with a boot of its own; a fatal error fails the process. */
export function journalOptions(
  folder: string,
  overrides: Partial<SealerOptions> = {},
): SealerOptions {
  const boot = new Uint8Array(16);
  new DataView(boot.buffer).setUint32(0, process.pid);
  new DataView(boot.buffer).setUint32(4, boots++);
  return {
    path: join(folder, "journal.db"),
    gateway,
    network,
    batchKeySeed,
    boot,
    clock: realClock,
    scheduler: realScheduler,
    seen: () => nothingSeen,
    queueBytesMax: defaultBounds.sealing_queue_bytes,
    onFatal: (error) => {
      throw error;
    },
    ...overrides,
  };
}

/** An open journal, closed with the test. */
export async function openTestJournal(
  t: TestContext,
  folder: string,
  overrides: Partial<SealerOptions> = {},
): Promise<Journal> {
  const journal = await openJournal(journalOptions(folder, overrides));
  t.after(() => journal.close());
  return journal;
}
