import { assertInvariant } from "./errors.ts";

const digestWords = 8;
// The digest, the index, and the number above 0: a slot without one is free.
const indexWord = digestWords;
const numberWord = digestWords + 1;
const slotWords = digestWords + 2;
const slotsAtFirst = 64;

/**
 * Numbers by (SHA-256 digest, index), 40 bytes a slot in flat memory: for more entries than a Map may have.
 * Where a name is looked for first, and how far its next place is, are two words of the digest, each mixed with the
 * index: whoever would crowd many names together has to find digests, or indexes under one, that agree in both.
 */
export class DigestTable {
  readonly #name = new Uint32Array(digestWords + 1);
  #words = new Uint32Array(slotsAtFirst * slotWords);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** `digest` has 32 bytes, `index` is an unsigned 32-bit integer. */
  get(digest: Uint8Array, index: number): number | undefined {
    this.#read(digest, index);
    const number = this.#words[this.#find(this.#name) + numberWord] as number;
    return number === 0 ? undefined : number - 1;
  }

  /** `number` is at most 2^32 - 2. */
  set(digest: Uint8Array, index: number, number: number): void {
    this.#read(digest, index);
    let at = this.#find(this.#name);
    if (this.#words[at + numberWord] === 0) {
      this.#count += 1;
      if (this.#count * slotWords * 4 > this.#words.length * 3) {
        this.#grow();
        at = this.#find(this.#name);
      }
    }
    this.#words.set(this.#name, at);
    this.#words[at + numberWord] = number + 1;
  }

  #read(digest: Uint8Array, index: number): void {
    assertInvariant(digest.length === 4 * digestWords, "a table is asked for a digest");
    for (let word = 0, at = 0; word < digestWords; word++, at += 4) {
      this.#name[word] =
        ((digest[at] as number) << 24) |
        ((digest[at + 1] as number) << 16) |
        ((digest[at + 2] as number) << 8) |
        (digest[at + 3] as number);
    }
    this.#name[indexWord] = index;
  }

  /** Where a name stands, or would stand. */
  #find(name: Uint32Array): number {
    const words = this.#words;
    const mask = words.length / slotWords - 1;
    const index = name[indexWord] as number;
    // Odd: it comes by every slot of a power of two.
    const step = ((name[1] as number) ^ scattered(index, 0x9e3779b1)) | 1;
    let slot = ((name[0] as number) ^ scattered(index, 0x85ebca6b)) & mask;
    for (;;) {
      const at = slot * slotWords;
      if (words[at + numberWord] === 0 || isAt(name, words, at)) return at;
      slot = (slot + step) & mask;
    }
  }

  #grow(): void {
    const old = this.#words;
    // As many slots as a power of two still.
    this.#words = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += slotWords) {
      if (old[at + numberWord] === 0) continue;
      this.#words.set(old.subarray(at, at + slotWords), this.#find(old.subarray(at)));
    }
  }
}

/** Every bit of the index in the low bits, which tell the slot; another `odd` scatters it otherwise. */
function scattered(index: number, odd: number): number {
  const folded = Math.imul(index ^ (index >>> 15), odd);
  return Math.imul(folded ^ (folded >>> 13), 0xc2b2ae35) ^ (folded >>> 16);
}

function isAt(name: Uint32Array, words: Uint32Array, at: number): boolean {
  for (let word = 0; word <= indexWord; word++) {
    if (words[at + word] !== name[word]) return false;
  }
  return true;
}
