import { utf8 } from "../../src/base/bytes.ts";
import type { PromisedHead } from "../../src/ledger/embedded/witness-types.ts";
import type { NoteSignature } from "../../src/note/note.ts";
import { Violation } from "./world.ts";

/** The key of a log in one term. Only who holds this object can sign with it. */
export interface LogKey {
  readonly id: number;
  readonly term: number;
  readonly city: number;
}

/** A city's cosignature: what its line says is what was signed. */
export interface Line extends NoteSignature {
  readonly city: number;
  readonly headId: number;
  readonly timeMs: number;
}

/** A checkpoint under its log's signature; `lines` are the cosignatures that a note carries. */
export interface Note {
  readonly bytes: Uint8Array;
  readonly headId: number;
  readonly key: LogKey;
  readonly size: number;
  readonly root: Uint8Array;
  readonly rootHex: string;
  readonly lines: readonly Line[];
}

const noSignature = new Uint8Array(1);

/** All signatures of a schedule. A note's bytes name it here, so that nobody can make one up. */
export class Notes {
  readonly #notes: Note[] = [];
  readonly #heads = new Map<string, Note>();
  #keys = 0;

  makeKey(term: number, city: number): LogKey {
    return { id: this.#keys++, term, city };
  }

  sign(key: LogKey, size: number, root: Uint8Array): Note {
    const rootHex = hexOf(root);
    const name = `${key.id} ${size} ${rootHex}`;
    const known = this.#heads.get(name);
    if (known !== undefined) return known;
    const head = this.#add({ headId: this.#notes.length, key, size, root, rootHex, lines: [] });
    this.#heads.set(name, head);
    return head;
  }

  cosign(
    city: number,
    { headId }: Note,
    { timeMs, keyId }: { readonly timeMs: number; readonly keyId: number },
  ): Line {
    return { name: cityName(city), keyId, signature: noSignature, city, headId, timeMs };
  }

  join(head: Note, lines: readonly Line[]): Note {
    const { headId, key, size, root, rootHex } = head;
    return this.#add({ headId, key, size, root, rootHex, lines });
  }

  read(bytes: Uint8Array): Note {
    let id = 0;
    for (const digit of bytes) id = id * 10 + digit - 0x30;
    const note = this.#notes[id];
    if (note === undefined) throw new Violation("a note that nobody signed");
    return note;
  }

  /** The log's own note, without cosignatures. */
  headOf(note: Note): Note {
    return this.#notes[note.headId] as Note;
  }

  #add(note: Omit<Note, "bytes">): Note {
    const added = { ...note, bytes: utf8(String(this.#notes.length)) };
    this.#notes.push(added);
    return added;
  }
}

/** A head as a witness keeps it. */
export function promisedHead({ key, size, root, bytes }: Note): PromisedHead {
  return { term: BigInt(key.term), size: BigInt(size), root, note: bytes };
}

export function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < 12; i++)
    text += String.fromCharCode(97 + ((bytes[i] as number) >> 4), 97 + ((bytes[i] as number) & 15));
  return text;
}

export function originOf(term: number): string {
  return `sim/${term}`;
}

export function cityName(city: number): string {
  return `city${city}`;
}

export function cityOf(name: string): number {
  return Number(name.slice(4));
}
