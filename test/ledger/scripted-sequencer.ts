/** A follower whose sequencer shows what a test says, and the bytes that it may say. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Signer } from "../../src/crypto/ports.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import type { FollowItem, FollowStart, LedgerHost } from "../../src/ledger/embedded/ports.ts";
import { cosigningNow, trustOf } from "../../src/ledger/embedded/trust.ts";
import type { Fault } from "../../src/ledger/store/store.ts";
import { formatNote, parseNote } from "../../src/note/note.ts";
import { addSignatures, cosignCheckpoint } from "../../src/note/sign.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import type { TestLedger } from "../support/ledger.ts";
import { TwoCities, until } from "./support.ts";

/** Sends what a test says to every follower, from index 0 on, and nothing else. */
export class ScriptedSequencer implements LedgerHost {
  readonly items: FollowItem[] = [];
  readonly starts: FollowStart[] = [];

  async submit(): Promise<never> {
    throw new Error("not asked in these tests");
  }

  async putBlob(): Promise<void> {}

  blob(): undefined {}

  async *follow(start: FollowStart, signal: AbortSignal): AsyncGenerator<FollowItem> {
    this.starts.push(start);
    for (let sent = 0; !signal.aborted; ) {
      const item = this.items[sent];
      if (item === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      sent++;
      if (item.kind !== "batch" || item.index >= start.fromIndex) yield item;
    }
  }
}

/** A network whose sequencer may say anything under its own log key. */
export interface Lie {
  readonly cities: TwoCities;
  readonly network: LedgerNetwork;
  readonly sequencer: ScriptedSequencer;
}

/** A follower whose sequencer has shown batches 0 and 1 and the head of size 2, and which trusts it so far. */
export async function followed(t: TestContext): Promise<Lie> {
  const cities = await TwoCities.found(t);
  const sequencer = new ScriptedSequencer();
  cities.hangzhou.sockets.host = sequencer;
  const network = readLedgerNetwork(cities.network.payload);
  await cities.ledger.appendEvidence(cities.network.provider.gateway);
  sequencer.items.push(batchOf(cities.ledger, 0), batchOf(cities.ledger, 1));
  sequencer.items.push(headOf({ cities, network, sequencer }, 2n));
  await cities.startFollower();
  await until(() => cities.shenzhen.running.replica.reader.head()?.size === 2n, "the first head");
  return { cities, network, sequencer };
}

export function batchOf(ledger: TestLedger, index: number): FollowItem {
  const batch = ledger.batches[index];
  assert.ok(batch !== undefined);
  return { kind: "batch", index: BigInt(index), batch };
}

export function headOf(
  { cities, network }: Lie,
  size: bigint,
  change: { ledger?: TestLedger; root?: Uint8Array; digest?: Uint8Array; signer?: Signer } = {},
): Extract<FollowItem, { kind: "head" }> {
  const ledger = change.ledger ?? cities.ledger;
  const root = change.root ?? (ledger.rootAt(size) as Uint8Array);
  const digest = change.digest ?? ledger.states[Number(size)]?.digest;
  assert.ok(digest !== undefined);
  const note = signHead(
    originOf(network.id, 0n),
    { size, root },
    change.signer ?? cities.network.log,
  );
  return { kind: "head", note, registryDigest: digest };
}

/** A checkpoint that both cities have cosigned. */
export function finalOf(
  lie: Lie,
  size: bigint,
  change: { ledger?: TestLedger; root?: Uint8Array } = {},
): Extract<FollowItem, { kind: "final" }> {
  const { cities, network } = lie;
  const { note } = headOf(lie, size, change);
  const root = change.root ?? ((change.ledger ?? cities.ledger).rootAt(size) as Uint8Array);
  const checkpoint = { origin: originOf(network.id, 0n), size, root, extensions: [] };
  const { witnesses } = cosigningNow(trustOf(network, network.founding));
  const lines = witnesses.map(({ key }, i) => {
    const signer = cities.witnessKey(i as 0 | 1);
    return cosignCheckpoint({ checkpoint, name: key.name, signer, timeMs: Date.now() });
  });
  return { kind: "final", note: formatNote(addSignatures(parseNote(note), lines)) };
}

/** Why the follower trusts the ledger no more, once it does not. */
export async function faultOf({ cities }: Pick<Lie, "cities">): Promise<Fault> {
  return until(() => cities.shenzhen.running.replica.fault(), "the ledger is distrusted");
}
