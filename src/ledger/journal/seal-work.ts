/**
 * The seal worker's part of a seal: records_root, header, signature, one transaction, and only after
 * its COMMIT the result. A crash before the COMMIT leaves nothing; a crash after it leaves a batch
 * that the next start submits.
 */
import { concatBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { createNodeVerifier, importSigner } from "../../crypto/node.ts";
import { hashBytes, leafHash } from "../../merkle/hash.ts";
import { createHeader } from "../../record/batch.ts";
import { encodeHeader } from "../../record/header.ts";
import { signedBytes } from "../../record/leaf.ts";
import { guardThread, type ThreadPort } from "../thread/thread.ts";
import { packedRoot, packTree } from "./packed-tree.ts";
import {
  decodeSealJob,
  type FromSealWorker,
  type SealResult,
  type SealWorkerData,
  type ToSealWorker,
} from "./seal-message.ts";
import { openSqliteJournal } from "./sqlite-journal.ts";
import type { ChainTip, Deferred, JournalIdentity, JournalWriter } from "./store.ts";

/** Opens the journal of a worker; a parameter so that a test can stand between the worker and its disk. */
export type OpenJournal = (
  path: string,
  options: { identity: JournalIdentity; verifier: Verifier },
) => JournalWriter;

/** Serves one main thread until it says `close` or something fails. After a failure nothing is answered. */
export function runSealWorker(
  port: ThreadPort<ToSealWorker, FromSealWorker>,
  data: SealWorkerData,
  openJournal: OpenJournal = openSqliteJournal,
): void {
  guardThread(port, () => {
    const worker = new SealWorker(data, openJournal);
    port.on("message", (message) =>
      guardThread(port, () => {
        const answer = worker.handle(message);
        if (answer !== undefined) port.postMessage(answer);
        if (answer?.kind === "closed") port.close();
      }),
    );
    const { awaitedEpoch, tip } = worker;
    port.postMessage({
      kind: "ready",
      tip,
      ...(awaitedEpoch === undefined ? {} : { awaitedEpoch }),
    });
  });
}

class SealWorker {
  readonly #data: SealWorkerData;
  readonly #signer: Signer;
  readonly #journal: JournalWriter;
  readonly #epoch: bigint;
  #tip: ChainTip | undefined;
  #deferred: Deferred[] = [];

  constructor(data: SealWorkerData, openJournal: OpenJournal) {
    this.#data = data;
    this.#signer = importSigner(data.batchKeySeed);
    const { gateway, network, otherBatchKeys = [] } = data;
    this.#journal = openJournal(data.path, {
      identity: { gateway, network, batchKey: this.#signer.publicKey, otherBatchKeys },
      verifier: createNodeVerifier(),
    });
    this.#tip = this.#journal.tip();
    this.#epoch = data.epoch ?? this.#tip?.epoch ?? 0n;
    if (this.#tip !== undefined && this.#tip.epoch > this.#epoch) {
      throw new CausewayError(
        "JOURNAL_MISMATCH",
        `the journal has reached epoch ${this.#tip.epoch}`,
      );
    }
    this.#journal.beginBoot(data.boot, data.startedAtMs);
  }

  get tip(): ChainTip | undefined {
    return this.#tip;
  }

  get awaitedEpoch(): bigint | undefined {
    return this.#journal.awaitedEpoch();
  }

  handle(message: ToSealWorker): FromSealWorker | undefined {
    switch (message.kind) {
      case "seal":
        return { kind: "sealed", result: this.#seal(message.batch) };
      case "defer":
        this.#deferred.push(message.deferred);
        return undefined;
      case "flush":
        this.#save();
        return { kind: "flushed" };
      case "close":
        this.#save();
        this.#journal.close();
        return { kind: "closed" };
    }
  }

  #seal(message: Uint8Array): SealResult {
    const { records, body, states, kind, seenSize, seenRoot, firstAtMs, sealedAtMs } =
      decodeSealJob(message);
    const { network, gateway, boot } = this.#data;
    const epoch = this.#epoch;
    const { number, seq, prev } = this.#next();
    const tree = packTree(records);
    const seen = { size: seenSize, root: seenRoot };
    const header = createHeader(
      { kind, network, gateway, epoch, boot, seq, prev, seen, firstAtMs, sealedAtMs },
      { records, root: packedRoot(tree), publicKey: this.#signer.publicKey },
    );
    const headerBytes = encodeHeader(header);
    const leaf = concatBytes(this.#signer.sign(signedBytes(headerBytes)), headerBytes);
    const hash = leafHash(leaf);
    const row = { number, epoch, seq, leafHash: hash, leaf, body };
    this.#journal.append(row, states, this.#takeDeferred());
    this.#tip = { number, epoch, seq, leafHash: hash, seenSize, seenRoot, sealedAtMs };
    return { number, epoch, seq, leaf, leafHash: hash, tree };
  }

  /** The place of the next batch: an epoch that the journal has not seen begins at seq 0. */
  #next(): { number: number; seq: bigint; prev: Uint8Array } {
    const tip = this.#tip;
    if (tip === undefined) return { number: 0, seq: 0n, prev: new Uint8Array(hashBytes) };
    const seq = tip.epoch === this.#epoch ? tip.seq + 1n : 0n;
    return { number: tip.number + 1, seq, prev: tip.leafHash };
  }

  #save(): void {
    if (this.#deferred.length > 0) this.#journal.save(this.#takeDeferred());
  }

  #takeDeferred(): Deferred {
    const taken = this.#deferred;
    this.#deferred = [];
    return {
      marks: taken.flatMap((deferred) => deferred.marks),
      states: taken.flatMap((deferred) => deferred.states),
    };
  }
}
