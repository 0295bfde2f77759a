/**
 * Revocations that this gateway has accepted and that the ledger does not hold yet. Those that the
 * registry would apply act from the moment that they are accepted: no batch that closes later holds a receipt under their grant. They are
 * rebuilt from the journal at start, so that a restart opens no gap.
 */
import { equalBytes } from "../../src/base/bytes.ts";
import type { Clock } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { openStatement } from "../../src/credential/statement.ts";
import type { VerifiedStatement } from "../../src/credential/statements.ts";
import type { JournalReader } from "../../src/ledger/journal/store.ts";
import type { IncludedBatch, Replica } from "../../src/ledger/ports.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { openRecord, recordHash } from "../../src/record/record.ts";
import { effectOf } from "../../src/registry/meaning.ts";

/** What the header of the batch says, or would say now. */
interface Sealed {
  readonly seenSize: bigint;
  /** Unix milliseconds. */
  readonly sealedAtMs: number;
}

export class LocalTakings {
  readonly #agency: string;
  readonly #clock: Clock;
  readonly #replica: Replica;
  /** Hashes of the records by `jti` of the grant: one for each submission, the oldest first. */
  readonly #taken = new Map<string, readonly Uint8Array[]>();
  readonly #stopListening: () => void;
  #onTaken: () => void = () => undefined;

  constructor(options: {
    readonly agency: string;
    readonly clock: Clock;
    readonly gateway: string;
    readonly replica: Replica;
    readonly journal: JournalReader;
  }) {
    const { agency, clock, gateway, replica, journal } = options;
    this.#agency = agency;
    this.#clock = clock;
    this.#replica = replica;
    for (const { number } of journal.unfinished()) {
      const batch = journal.batch(number);
      if (batch === undefined) continue;
      const { seenSize, sealedAt } = openLeaf(batch.leaf).header;
      const sealed = { seenSize, sealedAtMs: Number(sealedAt) };
      for (const record of batch.records) this.#restore(record, sealed);
    }
    this.#stopListening = replica.onIncluded((batch) => {
      if (batch.header.gateway === gateway) this.#included(batch);
    });
  }

  /** Called when a grant is taken away. */
  whenTaken(listener: () => void): void {
    this.#onTaken = listener;
  }

  /** The record hash of the revocation of this grant, if one was accepted. */
  get(grantJti: string): Uint8Array | undefined {
    return this.#taken.get(grantJti)?.[0];
  }

  /**
   * Takes note of a verified statement, before it is queued and, where it took nothing then, in the turn that closes
   * its batch, with what the header will say. Returns whether it takes an own grant away.
   */
  accept(verified: VerifiedStatement, record: Uint8Array, sealed: Sealed = this.#now()): boolean {
    const { statement } = verified;
    if (statement.name !== "revocation" || statement.claims.iss !== this.#agency) return false;
    const hash = recordHash(record);
    // A statement that would be void takes nothing, so that it must not do so early either.
    if (this.#isVoid(verified, hash, sealed)) return false;
    const { grant } = statement.body;
    this.#taken.set(grant, [...(this.#taken.get(grant) ?? []), hash]);
    this.#onTaken();
    return true;
  }

  #now(): Sealed {
    return { seenSize: this.#replica.final()?.size ?? 0n, sealedAtMs: this.#clock.nowMs() };
  }

  #isVoid(verified: VerifiedStatement, hash: Uint8Array, sealed: Sealed): boolean {
    const state = this.#replica.state();
    const address = { index: state.size, position: 0 };
    const atS = Math.floor(sealed.sealedAtMs / 1000);
    const ground = { state, index: state.size, atS, ...sealed };
    return typeof effectOf(verified, { address, recordHash: hash }, ground) === "string";
  }

  /** One submission of the statement could not be sealed: it acts no more, and others of its grant go on. */
  withdraw(record: Uint8Array): void {
    const hash = recordHash(record);
    for (const [grant, hashes] of this.#taken) {
      const at = hashes.findIndex((other) => equalBytes(other, hash));
      if (at < 0) continue;
      if (hashes.length === 1) this.#taken.delete(grant);
      else this.#taken.set(grant, hashes.toSpliced(at, 1));
      return;
    }
  }

  close(): void {
    this.#stopListening();
  }

  // What was sealed had been verified before; whatever else the journal holds is not a statement of ours.
  #restore(record: Uint8Array, sealed: Sealed): void {
    const { body } = openRecord(record);
    if (body.case !== "statement") return;
    try {
      const { statement, payload, signatures } = openStatement(body.value.jws);
      const signers = signatures.map(({ kid }) => kid);
      this.accept({ statement, payload, signers }, record, sealed);
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
    }
  }

  // From here on the registry says it: the grant is taken there, or the statement was void.
  #included(batch: IncludedBatch): void {
    if (this.#taken.size === 0) return;
    for (const record of batch.records) this.withdraw(record);
  }
}
