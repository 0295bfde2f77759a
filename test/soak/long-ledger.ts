/**
 * A ledger of any length, item by item: exchanges of two gateways, sealed, acknowledged and made final. Nothing
 * of it is kept but what its next batch needs, so that a test of it measures whoever reads it.
 */
import { create } from "@bufbuild/protobuf";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { u32be, utf8 } from "../../src/base/bytes.ts";
import { createUuidV7 } from "../../src/base/ids.ts";
import { sha256 } from "../../src/base/sha256.ts";
import {
  type CallTokenClaims,
  callTokenDigest,
  createCallToken,
} from "../../src/credential/call-token.ts";
import {
  type CallStatement,
  CallStatementSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  appendLeaf,
  type CompactRange,
  emptyRange,
  rangeRoot,
} from "../../src/merkle/compact-range.ts";
import { formatNote } from "../../src/note/note.ts";
import { addSignatures, cosignCheckpoint, signCheckpoint } from "../../src/note/sign.ts";
import { type CreatedBatch, sealBatch } from "../../src/record/batch.ts";
import { callPaths, encodeCallStatement } from "../../src/record/call-tree.ts";
import { AuditLedger, readMethod, type TestCall, type TestRecord } from "../audit/audit-ledger.ts";
import type { TestGateway } from "../support/network.ts";
import { divisions } from "../support/statements.ts";

/** Exchanges between two checkpoints: their receipts are one batch, their acknowledgements another. */
export const exchangesOfRound = 100;
const tokenCalls = 64;
const roundMs = 20_000;

/** One round's calls with both sides' records. */
export interface Round {
  readonly calls: readonly TestCall[];
  readonly receipts: Uint8Array[];
  readonly acknowledgements: Uint8Array[];
}

/** Changes a round before it is sealed: a lie. The acknowledgements of its receipts stand in it. */
export type ChangeRound = (number: number, round: Round) => void;

interface Tip {
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
}

export class LongLedger {
  readonly #audit: AuditLedger;
  readonly #tips = new Map<string, Tip>();
  #range: CompactRange = emptyRange;
  /** The newest final size with its root. */
  #seen: { readonly size: bigint; readonly root: Uint8Array };
  #drawn = 0;

  private constructor(audit: AuditLedger) {
    this.#audit = audit;
    for (const batch of audit.ledger.batches) this.#include(batch);
    this.#seen = { size: this.#range.size, root: rangeRoot(this.#range) };
  }

  static async create(seed: string): Promise<LongLedger> {
    return new LongLedger(await AuditLedger.create(seed));
  }

  get networkId(): Uint8Array {
    return this.#audit.network.id;
  }

  /** Its export: the founding, and so many rounds. */
  async *entries(rounds: number, change?: ChangeRound): AsyncGenerator<ExportEntry, void> {
    yield* this.#audit.entries;
    for (let number = 0; number < rounds; number++) yield* this.#round(number, change);
  }

  *#round(number: number, change: ChangeRound | undefined): Generator<ExportEntry, void> {
    const { consumer, ledger, provider } = this.#audit;
    ledger.nowMs += roundMs;
    const calls = this.#calls();
    const receipts = calls.map((call) => this.#audit.receipt(call));
    const round: Round = { calls, receipts, acknowledgements: [] };
    change?.(number, round);
    const receipted = this.#seal(provider, round.receipts);
    yield entryOf(receipted);
    const acknowledgements = calls.map((call, position) => {
      const receipt: TestRecord = {
        bytes: receipts[position] as Uint8Array,
        batch: receipted,
        index: this.#range.size - 1n,
        position,
      };
      return this.#audit.acknowledgement(call, receipt);
    });
    round.acknowledgements.push(...acknowledgements);
    change?.(number, round);
    yield entryOf(this.#seal(consumer, round.acknowledgements));
    yield { kind: "note", note: this.#note() };
  }

  /** Calls of one second under as few tokens as they fit. */
  #calls(): TestCall[] {
    const { ledger } = this.#audit;
    const nowS = Math.floor(ledger.nowMs / 1000);
    const pattern = this.#audit.call();
    const calls: TestCall[] = [];
    while (calls.length < exchangesOfRound) {
      const count = Math.min(tokenCalls, exchangesOfRound - calls.length);
      calls.push(...this.#callsOfToken(pattern, nowS, count));
    }
    return calls;
  }

  #callsOfToken(pattern: TestCall, nowS: number, count: number): TestCall[] {
    const { consumer, grant, network, provider } = this.#audit;
    const statements: CallStatement[] = [];
    for (let i = 0; i < count; i++) {
      const random = sha256(utf8(`exchange ${this.#drawn++}`));
      statements.push(
        create(CallStatementSchema, {
          xid: createUuidV7(nowS * 1000, random),
          attempt: 1,
          service: divisions(network),
          method: readMethod,
          grant,
          purpose: "address-check",
          request: random,
        }),
      );
    }
    const encoded = statements.map(encodeCallStatement);
    const { root, paths } = callPaths(encoded);
    const claims: CallTokenClaims = {
      iss: consumer.id,
      aud: provider.id,
      net: network.idHex,
      jti: sha256(u32be(this.#drawn)).slice(0, 16),
      nonce: provider.boot,
      iat: nowS,
      exp: nowS + 60,
      root,
      n: count,
    };
    const token = createCallToken(claims, consumer.token);
    const tokenDigest = callTokenDigest(token);
    return statements.map((statement, index) => {
      const { xid, attempt } = statement;
      const path = paths[index] as readonly Uint8Array[];
      return {
        ...pattern,
        statement,
        call: { token, statement: encoded[index] as Uint8Array, index, path },
        name: { xid, attempt, tokenDigest, index },
      };
    });
  }

  #seal(gateway: TestGateway, records: readonly Uint8Array[]): CreatedBatch {
    const { ledger, network } = this.#audit;
    const tip = this.#tips.get(gateway.id);
    const batch = sealBatch(
      {
        kind: "evidence",
        network: network.id,
        gateway: gateway.id,
        epoch: 0n,
        boot: gateway.boot,
        seq: tip === undefined ? 0n : tip.seq + 1n,
        prev: tip?.leafHash ?? new Uint8Array(32),
        seen: this.#seen,
        firstAtMs: ledger.nowMs,
        sealedAtMs: ledger.nowMs,
      },
      records,
      gateway.batch,
    );
    this.#include(batch);
    return batch;
  }

  #include({ header, leafHash }: CreatedBatch): void {
    this.#tips.set(header.gateway, { seq: header.seq, leafHash });
    this.#range = appendLeaf(this.#range, leafHash).range;
  }

  #note(): Uint8Array {
    const { cosigners, ledger, network, term } = this.#audit;
    this.#seen = { size: this.#range.size, root: rangeRoot(this.#range) };
    const origin = `causeway/${network.idHex}/${term.number}`;
    const checkpoint = { origin, ...this.#seen, extensions: [] };
    const cosignatures = cosigners.map(({ id, witness }) => {
      const name = `causeway/${network.idHex}/${id}`;
      return cosignCheckpoint({ checkpoint, name, signer: witness, timeMs: ledger.nowMs });
    });
    return formatNote(addSignatures(signCheckpoint(checkpoint, term.log), cosignatures));
  }
}

function entryOf({ leaf, records }: CreatedBatch): ExportEntry {
  return { kind: "batch", leaf, records };
}
