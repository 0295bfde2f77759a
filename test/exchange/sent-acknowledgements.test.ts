import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import { SentAcknowledgements } from "../../src/exchange/sent-acknowledgements.ts";
import type { SealedRecord } from "../../src/ledger/ports.ts";
import { leafHash } from "../../src/merkle/hash.ts";

function sealed(number: number): SealedRecord {
  const leaf = Uint8Array.of(number);
  return {
    record: Uint8Array.of(number),
    replaced: false,
    position: number,
    path: [],
    leaf,
    leafHash: leafHash(leaf),
  };
}

describe("acknowledgements that were sent", () => {
  const indexes = new Map<string, bigint>();
  const replica = { indexOfLeaf: (hash: Uint8Array) => indexes.get(toHex(hash)) };
  const numbers = (sent: SentAcknowledgements, peer: string): readonly number[] =>
    sent.forLink({ peer }).map(({ position }) => position);

  it("are sent again to the peer that they went to, in their order, until they are final", () => {
    const sent = new SentAcknowledgements({ replica });
    for (const number of [1, 2, 3]) sent.add("one", sealed(number));
    sent.add("other", sealed(4));
    assert.deepEqual(numbers(sent, "one"), [1, 2, 3]);
    assert.deepEqual(numbers(sent, "other"), [4]);
    assert.deepEqual(numbers(sent, "third"), []);
    indexes.set(toHex(sealed(1).leafHash), 5n);
    indexes.set(toHex(sealed(2).leafHash), 6n);
    sent.final(6n);
    assert.deepEqual(numbers(sent, "one"), [2, 3]);
    sent.final(7n);
    assert.deepEqual(numbers(sent, "one"), [3]);
    assert.equal(sent.count, 2);
  });

  it("are bounded: the newest of each peer stay", () => {
    const sent = new SentAcknowledgements({ replica }, 4);
    for (let number = 0; number < 100; number++) sent.add("one", sealed(number));
    const kept = numbers(sent, "one");
    assert.ok(kept.length >= 4 && kept.length < 8);
    assert.equal(kept.at(-1), 99);
  });
});
