/**
 * Revocations that this gateway has accepted and that the ledger does not hold yet. They act from the
 * moment that they are accepted: no batch that closes later holds a receipt under their grant. They are
 * rebuilt from the journal at start, so that a restart opens no gap.
 */
import { CausewayError } from "../../src/base/errors.ts";
import { toHex } from "../../src/base/bytes.ts";
import { openStatement } from "../../src/credential/statement.ts";
import type { Statement } from "../../src/credential/statements.ts";
import type { JournalReader } from "../../src/ledger/journal/store.ts";
import type { IncludedBatch, Replica } from "../../src/ledger/ports.ts";
import { openRecord, recordHash } from "../../src/record/record.ts";

export class LocalTakings {
  readonly #agency: string;
  readonly #replica: Replica;
  /** Record hash by `jti` of the grant. */
  readonly #taken = new Map<string, Uint8Array>();
  /** `jti` of the grant by hex of the record hash. */
  readonly #byRecord = new Map<string, string>();
  readonly #stopListening: () => void;

  constructor(options: {
    readonly agency: string;
    readonly gateway: string;
    readonly replica: Replica;
    readonly journal: JournalReader;
  }) {
    const { agency, gateway, replica, journal } = options;
    this.#agency = agency;
    this.#replica = replica;
    for (const { number } of journal.unfinished()) {
      for (const record of journal.batch(number)?.records ?? []) this.#restore(record);
    }
    this.#stopListening = replica.onIncluded((batch) => {
      if (batch.header.gateway === gateway) this.#included(batch);
    });
  }

  /** The record hash of the revocation of this grant, if one was accepted. */
  get(grantJti: string): Uint8Array | undefined {
    return this.#taken.get(grantJti);
  }

  /** Takes note of a verified statement before it is queued. What is no revocation of an own grant is none. */
  accept(statement: Statement, record: Uint8Array): void {
    if (statement.name !== "revocation" || statement.claims.iss !== this.#agency) return;
    const grant = this.#replica.state().grants.get(statement.body.grant);
    if (grant?.provider !== this.#agency || grant.standing.until !== undefined) return;
    const hash = recordHash(record);
    this.#taken.set(grant.jti, hash);
    this.#byRecord.set(toHex(hash), grant.jti);
  }

  /** The statement could not be sealed: it acts no more. */
  withdraw(record: Uint8Array): void {
    const name = toHex(recordHash(record));
    const jti = this.#byRecord.get(name);
    this.#byRecord.delete(name);
    if (jti !== undefined) this.#taken.delete(jti);
  }

  close(): void {
    this.#stopListening();
  }

  // What was sealed had been verified before; whatever else the journal holds is not a statement of ours.
  #restore(record: Uint8Array): void {
    const { body } = openRecord(record);
    if (body.case !== "statement") return;
    try {
      this.accept(openStatement(body.value.jws).statement, record);
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
    }
  }

  // From here on the registry says it: the grant is taken there, or the statement was void.
  #included(batch: IncludedBatch): void {
    if (this.#byRecord.size === 0) return;
    for (const record of batch.records) this.withdraw(record);
  }
}
