import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import { systemRandom } from "../../gateway/runtime.ts";

describe("the random bytes of the process", () => {
  it("are as many as were asked for", () => {
    for (const length of [0, 1, 10, 32, 4095, 4096, 4097, 70_000]) {
      assert.equal(systemRandom(length).length, length);
    }
  });

  it("are given once, also where a draw needs more than is left of those drawn before", () => {
    const seen = new Set<string>();
    const lengths = [16, 32, 10, 1000, 24, 4096, 17];
    for (let i = 0; i < 2000; i++) {
      const bytes = systemRandom(lengths[i % lengths.length] as number);
      for (let at = 0; at + 8 <= bytes.length; at += 8) {
        const part = toHex(bytes.subarray(at, at + 8));
        assert.ok(!seen.has(part), `8 bytes came twice: ${part}`);
        seen.add(part);
      }
    }
  });

  it("stay what they are when others are drawn", () => {
    const bytes = systemRandom(32);
    const before = toHex(bytes);
    for (let i = 0; i < 300; i++) systemRandom(32);
    assert.equal(toHex(bytes), before);
  });

  it("are not asked for in a number that is none", () => {
    for (const length of [-1, 1.5, Number.NaN]) {
      assert.throws(() => systemRandom(length), RangeError);
    }
  });
});
