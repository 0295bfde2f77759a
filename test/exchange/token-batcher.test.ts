import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { callStatementsMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { type IssuedCall, TokenBatcher } from "../../src/exchange/token-batcher.ts";
import { verifyCallPath } from "../../src/record/call-tree.ts";

/** Tokens that say which boot was in force, and the end of the turn in the test's hands. */
interface Turns {
  readonly tokens: { readonly root: Uint8Array; readonly n: number; readonly token: string }[];
  readonly batches: TokenBatcher;
  boot: string;
  endTurn(): void;
}

function batcher(): Turns {
  const deferred: (() => void)[] = [];
  const parts: Turns = {
    tokens: [],
    boot: "first",
    endTurn: () => {
      for (const work of deferred.splice(0)) work();
    },
    batches: new TokenBatcher(
      (root, n) => {
        const token = `${parts.boot} ${parts.tokens.length}`;
        parts.tokens.push({ root, n, token });
        return { token, issuedAt: 7 };
      },
      (work) => deferred.push(work),
    ),
  };
  return parts;
}

const statementOf = (i: number): Uint8Array => utf8(`statement ${i}`);

describe("the calls of one turn to one gateway", () => {
  for (const count of [1, 2, 3, 63, 64, 65, 128, 200]) {
    it(`are covered ${callStatementsMax} to a token: ${count} of them`, () => {
      const parts = batcher();
      const issued: IssuedCall[] = [];
      for (let i = 0; i < count; i++) {
        parts.batches.add(statementOf(i), (call) => issued.push(call));
      }
      assert.equal(issued.length, 0);
      parts.endTurn();
      assert.equal(parts.tokens.length, Math.ceil(count / callStatementsMax));
      for (const [i, { call, tokenDigest, issuedAt }] of issued.entries()) {
        const token = parts.tokens[Math.floor(i / callStatementsMax)];
        assert.ok(token);
        assert.equal(call.token, token.token);
        assert.deepEqual(tokenDigest, sha256(utf8(token.token)));
        assert.equal(issuedAt, 7);
        assert.deepEqual(call.statement, statementOf(i));
        const { statement, index, path } = call;
        assert.ok(verifyCallPath({ statement, index, count: token.n, path, root: token.root }));
        const name = `${call.token} ${index}`;
        assert.equal(issued.filter((o) => `${o.call.token} ${o.call.index}` === name).length, 1);
      }
    });
  }

  it("are not under the token of the turn before", () => {
    const parts = batcher();
    const tokens: string[] = [];
    for (let i = 0; i < 2; i++) {
      parts.batches.add(statementOf(i), ({ call }) => tokens.push(call.token));
      parts.endTurn();
    }
    assert.deepEqual(tokens, ["first 0", "first 1"]);
  });

  it("are under the boot that is in force when the turn ends, not when the statement was made", () => {
    const parts = batcher();
    const tokens: string[] = [];
    parts.batches.add(statementOf(0), ({ call }) => tokens.push(call.token));
    parts.boot = "second";
    parts.endTurn();
    assert.deepEqual(tokens, ["second 0"]);
  });

  it("may begin the next attempt of their exchange, which has a turn of its own", () => {
    const parts = batcher();
    const tokens: string[] = [];
    parts.batches.add(statementOf(0), () => {
      parts.batches.add(statementOf(1), ({ call }) => tokens.push(call.token));
    });
    parts.endTurn();
    assert.equal(parts.tokens.length, 1);
    parts.endTurn();
    assert.deepEqual(tokens, ["first 1"]);
  });
});
