/** A ledger of tests: chains of sealed batches, the roots of every size, and the fold. */
import { create } from "@bufbuild/protobuf";
import { AssertionError } from "../../src/base/errors.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import {
  appendLeaf,
  type CompactRange,
  emptyRange,
  rangeRoot,
} from "../../src/merkle/compact-range.ts";
import {
  type BatchBytes,
  type BatchFields,
  type CreatedBatch,
  sealBatch,
} from "../../src/record/batch.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { type Applied, apply } from "../../src/registry/apply.ts";
import { initialState } from "../../src/registry/initial.ts";
import type { RegistryState, RegistryView } from "../../src/registry/state.ts";
import type { Rejection } from "../../src/registry/verify-batch.ts";
import { verifyBatch } from "../../src/registry/verify-batch.ts";
import { view } from "../../src/registry/view.ts";
import type { SignedStatement, TestGateway, TestNetwork } from "./network.ts";

/** What a test sets of a batch instead of what would follow from the chain. */
export type BatchChange = Partial<Omit<BatchFields, "seen">> & {
  readonly seen?: BatchFields["seen"];
  /** The size that the header names, with its right root; by default the whole ledger. */
  readonly seenSize?: bigint;
  readonly signer?: Signer;
};

interface Tip {
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
}

/** An evidence record: the hourly status of a gateway, told apart by `openAttempts`. */
export function statusRecord(openAttempts = 0): Uint8Array {
  return encodeRecord(
    create(RecordSchema, {
      body: {
        case: "gatewayStatus",
        value: {
          gatewayVersion: "1.0.0",
          engineVersion: "4.13.0",
          runtimeVersion: "v20.20.0",
          openAttempts: BigInt(openAttempts),
        },
      },
    }),
  );
}

/** An included batch with what it did. */
export interface IncludedTestBatch extends Applied {
  readonly index: bigint;
  readonly batch: CreatedBatch;
}

export class TestLedger {
  readonly network: TestNetwork;
  readonly batches: CreatedBatch[] = [];
  /** After each size, from 0. */
  readonly states: RegistryState[];
  /** Unix milliseconds: what the next seal says. */
  nowMs: number;
  readonly #tips = new Map<string, Tip>();
  readonly #roots: Uint8Array[] = [rangeRoot(emptyRange)];
  #range: CompactRange = emptyRange;

  constructor(network: TestNetwork) {
    this.network = network;
    this.nowMs = network.startMs + 1000;
    this.states = [initialState(network.id)];
  }

  /** A ledger whose batch 0 is the network's founding. */
  static async founded(network: TestNetwork): Promise<TestLedger> {
    const ledger = new TestLedger(network);
    await ledger.append(network.provider.gateway, network.founding);
    return ledger;
  }

  get state(): RegistryState {
    return this.states.at(-1) as RegistryState;
  }

  get size(): bigint {
    return this.state.size;
  }

  readonly rootAt = (size: bigint): Uint8Array | undefined => this.#roots[Number(size)];

  view(seenSize: bigint = this.size): RegistryView {
    return view(this.state, seenSize);
  }

  /** Seals the gateway's next batch; it is not offered to the ledger yet. */
  seal(
    gateway: TestGateway,
    records: readonly Uint8Array[],
    change: BatchChange = {},
  ): CreatedBatch {
    const { seenSize = this.size, signer = gateway.batch, ...fields } = change;
    const tip = this.#tips.get(gateway.id);
    const root = this.rootAt(seenSize) ?? new Uint8Array(32);
    return sealBatch(
      {
        kind: "governance",
        network: this.network.id,
        gateway: gateway.id,
        epoch: tip?.epoch ?? 0n,
        boot: gateway.boot,
        seq: tip === undefined ? 0n : tip.seq + 1n,
        prev: tip?.leafHash ?? new Uint8Array(32),
        seen: { size: seenSize, root },
        firstAtMs: fields.sealedAtMs ?? this.nowMs,
        sealedAtMs: this.nowMs,
        ...fields,
      },
      records,
      signer,
    );
  }

  /** What the fold makes of a batch as the next one; the ledger is not changed. */
  async judge(batch: BatchBytes): Promise<Applied | Rejection> {
    const verified = await verifyBatch(this.state, batch, this.network.verifier);
    if (verified.kind === "rejected") return verified;
    return apply(this.state, verified, this.size, this.rootAt);
  }

  /** Includes a batch if the fold accepts it. */
  async offer(batch: CreatedBatch): Promise<Applied | Rejection> {
    const judged = await this.judge(batch);
    if (judged.kind === "rejected") return judged;
    const { header, leafHash } = batch;
    this.#range = appendLeaf(this.#range, leafHash).range;
    this.#roots.push(rangeRoot(this.#range));
    this.#tips.set(header.gateway, { epoch: header.epoch, seq: header.seq, leafHash });
    this.batches.push(batch);
    this.states.push(judged.state);
    return judged;
  }

  /** Seals and includes a governance batch, which the fold has to accept. */
  async append(
    gateway: TestGateway,
    records: readonly (Uint8Array | SignedStatement)[],
    change: BatchChange = {},
  ): Promise<IncludedTestBatch> {
    const encoded = records.map((one) => (one instanceof Uint8Array ? one : one.record));
    const batch = this.seal(gateway, encoded, change);
    const index = this.size;
    const offered = await this.offer(batch);
    if (offered.kind === "applied") return { ...offered, index, batch };
    throw new AssertionError(`batch ${index} is rejected: ${offered.reason}`);
  }

  /** Seals and includes one batch of evidence. */
  async appendEvidence(
    gateway: TestGateway,
    records: readonly Uint8Array[] = [statusRecord()],
    change: BatchChange = {},
  ): Promise<IncludedTestBatch> {
    return this.append(gateway, records, { kind: "evidence", ...change });
  }

  /** The same ledger as it is now; what is appended to one is not seen by the other. */
  fork(): TestLedger {
    const other = new TestLedger(this.network);
    other.nowMs = this.nowMs;
    other.batches.push(...this.batches);
    other.states.splice(0, 1, ...this.states);
    other.#roots.splice(0, 1, ...this.#roots);
    other.#range = this.#range;
    for (const [gateway, tip] of this.#tips) other.#tips.set(gateway, tip);
    return other;
  }
}
