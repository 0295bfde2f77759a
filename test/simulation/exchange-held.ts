/** Records of other gateways on a machine's disk: written a little later, so that a crash loses the last of them. */
import { toHex } from "../../src/base/bytes.ts";
import { heldBufferMs } from "../../src/base/limits.ts";
import type { HeldRecord, HeldRecords, StoredLeaf } from "../../src/ledger/held/held.ts";

export class HeldDisk {
  readonly records: Map<string, HeldRecord[]> = new Map();
}

export class SimHeld implements Omit<HeldRecords, "close"> {
  readonly #disk: HeldDisk;
  readonly #after: (delayMs: number, work: () => void) => void;
  #buffer: HeldRecord[] = [];

  constructor(disk: HeldDisk, after: (delayMs: number, work: () => void) => void) {
    this.#disk = disk;
    this.#after = after;
  }

  put(held: HeldRecord): void {
    this.#buffer.push(held);
    if (this.#buffer.length === 1) this.#after(heldBufferMs, () => this.#write());
  }

  remove(leafHashes: readonly Uint8Array[]): void {
    this.#write();
    for (const leafHash of leafHashes) this.#disk.records.delete(toHex(leafHash));
  }

  async get(leafHash: Uint8Array): Promise<readonly HeldRecord[]> {
    this.#write();
    return this.#disk.records.get(toHex(leafHash)) ?? [];
  }

  async leaves(): Promise<readonly StoredLeaf[]> {
    return [...this.#disk.records.values()].map(([first]) => first as HeldRecord);
  }

  #write(): void {
    for (const held of this.#buffer) {
      const key = toHex(held.leafHash);
      const there = this.#disk.records.get(key) ?? [];
      const isKnown = there.some(({ position }) => position === held.position);
      if (!isKnown) this.#disk.records.set(key, [...there, held]);
    }
    this.#buffer = [];
  }
}
