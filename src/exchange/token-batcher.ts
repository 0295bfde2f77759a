/**
 * One call token for all calls of one turn of the event loop to one provider gateway: a JWT over the
 * RFC 6962 root of 1 to 64 encoded call statements. At one call in flight it is one token per call.
 */
import { callStatementsMax } from "../base/limits.ts";
import { sha256 } from "../base/sha256.ts";
import { utf8 } from "../base/bytes.ts";
import { callPaths } from "../record/call-tree.ts";
import type { VerifiedCall } from "./provider-records.ts";

export interface IssuedCall {
  readonly call: VerifiedCall;
  /** SHA-256 of the compact JWS. */
  readonly tokenDigest: Uint8Array;
  /** Unix seconds. */
  readonly issuedAt: number;
}

/** Makes the token over a root; the audience and nonce are those of the link. */
export type IssueToken = (root: Uint8Array, n: number) => { token: string; issuedAt: number };

interface Waiting {
  readonly statement: Uint8Array;
  readonly issued: (call: IssuedCall) => void;
}

export class TokenBatcher {
  readonly #issue: IssueToken;
  readonly #defer: (work: () => void) => void;
  #waiting: Waiting[] = [];

  constructor(issue: IssueToken, defer: (work: () => void) => void) {
    this.#issue = issue;
    this.#defer = defer;
  }

  /** Calls `issued` at the end of this turn with the token that covers `statement`. */
  add(statement: Uint8Array, issued: (call: IssuedCall) => void): void {
    this.#waiting.push({ statement, issued });
    if (this.#waiting.length === 1) this.#defer(() => this.#flush());
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let i = 0; i < waiting.length; i += callStatementsMax) {
      this.#issueTo(waiting.slice(i, i + callStatementsMax));
    }
  }

  #issueTo(group: readonly Waiting[]): void {
    const { root, paths } = callPaths(group.map(({ statement }) => statement));
    const { token, issuedAt } = this.#issue(root, group.length);
    const tokenDigest = sha256(utf8(token));
    for (const [index, { statement, issued }] of group.entries()) {
      const path = paths[index] as readonly Uint8Array[];
      issued({ call: { token, statement, index, path }, tokenDigest, issuedAt });
    }
  }
}
