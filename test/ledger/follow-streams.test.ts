import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import test from "node:test";
import { createLedgerService } from "../../gateway/ledger/ledger-service.ts";
import { followStreamsPerMemberMax } from "../../src/base/limits.ts";
import type { FollowItem, FollowStart, LedgerHost } from "../../src/ledger/embedded/ports.ts";
import { until } from "./support.ts";

/** Serves streams that stay open until they are cancelled. */
class OpenHost implements LedgerHost {
  open = 0;

  async submit(): Promise<never> {
    throw new Error("not asked in these tests");
  }

  async putBlob(): Promise<void> {}

  blob(): undefined {}

  async *follow(_start: FollowStart, signal: AbortSignal): AsyncGenerator<FollowItem> {
    this.open++;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    this.open--;
    yield* [];
  }
}

/** One call of the service, as grpc-js hands it over. */
class FollowCall extends EventEmitter {
  readonly request = { fromIndex: 0n, fromFinalSize: 0n, term: 0n };
  readonly #raw: Uint8Array;
  refused: unknown;

  constructor(member: number) {
    super();
    this.#raw = Uint8Array.of(member);
    this.on("error", (error) => {
      this.refused = error;
    });
  }

  getAuthContext(): { readonly sslPeerCertificate: { readonly raw: Uint8Array } } {
    return { sslPeerCertificate: { raw: this.#raw } };
  }

  write(): boolean {
    return true;
  }

  end(): void {}
}

test("a member has a bounded number of streams, and takes none of another's", async () => {
  const host = new OpenHost();
  const service = createLedgerService({ host, isMember: () => true });
  const open = (member: number): FollowCall => {
    const call = new FollowCall(member);
    (service["follow"] as unknown as (call: FollowCall) => void)(call);
    return call;
  };
  const calls = Array.from({ length: followStreamsPerMemberMax }, () => open(1));
  await until(() => host.open === calls.length, "they are served");
  const refused = open(1);
  await until(() => refused.refused, "one more is refused");
  assert.match(String(refused.refused), /at a limit/);
  const other = open(2);
  await until(() => host.open === calls.length + 1, "another member's is served");
  assert.equal(other.refused, undefined);
  calls[0]?.emit("cancelled");
  await until(() => host.open === calls.length, "one has ended");
  const again = open(1);
  await until(() => host.open === calls.length + 1, "its place is free");
  assert.equal(again.refused, undefined);
});
