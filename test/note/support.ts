import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { concatBytes, parseHex, utf8 } from "../../src/base/bytes.ts";
import { formatNote } from "../../src/note/note.ts";
import type { Cosigner } from "../../src/note/quorum.ts";
import {
  addSignatures,
  cosignCheckpoint,
  type NoteSigner,
  signCheckpoint,
} from "../../src/note/sign.ts";
import { createVerifierKey, type VerifierKey } from "../../src/note/verifier-key.ts";
import type { VerifyEd25519 } from "../../src/note/verify.ts";

export interface NoteVectors {
  readonly logVerifierKey: string;
  readonly witnessVerifierKey: string;
  readonly size: number;
  readonly root: string;
  /** POSIX seconds. */
  readonly time: number;
  readonly checkpoint: string;
}

export const vectors: NoteVectors = JSON.parse(readFileSync("test/vectors/notes.json", "utf8"));
export const vectorNote: Uint8Array = utf8(vectors.checkpoint);

const pkcs8Start = hex("302e020100300506032b657004220420");
const spkiStart = hex("302a300506032b6570032100");

/** A signer whose seed is 32 times `seedByte`. */
export function createTestSigner(seedByte: number): NoteSigner {
  const seed = new Uint8Array(32).fill(seedByte);
  const key = createPrivateKey({
    key: Buffer.from(concatBytes(pkcs8Start, seed)),
    format: "der",
    type: "pkcs8",
  });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return {
    publicKey: new Uint8Array(spki.subarray(spkiStart.length)),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  };
}

export const verifyEd25519: VerifyEd25519 = (publicKey, message, signature) => {
  const der = Buffer.from(concatBytes(spkiStart, publicKey));
  const key = createPublicKey({ key: der, format: "der", type: "spki" });
  return verify(null, message, key, signature);
};

/** A log and four cities, each with a signer and the key that others trust. */
export const origin = "causeway/test/0";
export const logSigner: NoteSigner = createTestSigner(1);
export const logKey: VerifierKey = createVerifierKey({
  name: origin,
  type: 0x01,
  publicKey: logSigner.publicKey,
});
export const cities: readonly (Cosigner & { readonly signer: NoteSigner })[] = [
  "dalian",
  "beijing",
  "chengdu",
  "anshan",
].map((city, i) => {
  const signer = createTestSigner(10 + i);
  const name = `causeway/test/${city}`;
  return {
    city,
    signer,
    key: createVerifierKey({ name, type: 0x04, publicKey: signer.publicKey }),
  };
});

export const root: Uint8Array = new Uint8Array(32).fill(0x5a);

/** The log's note of size 7, cosigned by the first cities at the given Unix milliseconds. */
export function cosignedNote(...timesMs: readonly number[]): Uint8Array {
  const checkpoint = { origin, size: 7n, root, extensions: [] };
  const cosignatures = timesMs.map((timeMs, i) => {
    const { key, signer } = cities[i] as (typeof cities)[number];
    return cosignCheckpoint({ checkpoint, name: key.name, signer, timeMs });
  });
  return formatNote(addSignatures(signCheckpoint(checkpoint, logSigner), cosignatures));
}

function hex(text: string): Uint8Array {
  return parseHex(text) as Uint8Array;
}
