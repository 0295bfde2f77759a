/** Carries a signed statement onto the ledger through the own chain, and tells what became of it. */
import { create } from "@bufbuild/protobuf";
import type { Clock, Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { openStatement, verifyStatement } from "../../src/credential/statement.ts";
import { missingSigners, type RequiredSigner } from "../../src/credential/signers.ts";
import type { VerifiedStatement } from "../../src/credential/statements.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { Recheck, Replica, SealedRecord, Sealer, Seen } from "../../src/ledger/ports.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { speaksFor } from "../../src/registry/authority.ts";
import { keyOfThumbprint } from "../../src/registry/keys.ts";
import type { LocalTakings } from "./local-takings.ts";

export interface StatementPorts {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly verifier: Verifier;
  readonly replica: Replica;
  readonly sealer: Sealer;
  readonly localTakings: LocalTakings;
}

/** What became of a record. */
export interface StatementState {
  readonly sealed: SealedRecord;
  /** Set once it is included. */
  readonly index: bigint | undefined;
  readonly final: boolean;
  readonly voidReason: ReasonCode | undefined;
}

/**
 * Verifies the signatures with what the newest included state binds, and that none is missing: who speaks
 * for whom is what the fold would say of a batch that is closed now.
 */
async function verify(jws: readonly string[], ports: StatementPorts): Promise<VerifiedStatement> {
  const { clock, replica, verifier } = ports;
  const final = replica.final();
  if (final === undefined) {
    throw new CausewayError(
      "LEDGER_BEHIND",
      "nothing is final here yet: the statement would be void",
    );
  }
  const state = replica.state();
  const sealedAtMs = clock.nowMs();
  const atS = Math.floor(sealedAtMs / 1000);
  const ground = { state, index: state.size, seenSize: final.size, sealedAtMs, atS };
  const keyOf = (kid: string): Uint8Array | undefined => keyOfThumbprint(state, kid);
  const verified = await verifyStatement(openStatement(jws), keyOf, verifier);
  const { statement, signers } = verified;
  const missing = missingSigners(statement, signers, (kid, required) =>
    speaksFor(kid, required, statement.name, ground),
  );
  if (missing.length > 0) {
    const signers = missing.map(signerName).join(", ");
    throw new CausewayError("STATEMENT_SIGNER_MISSING", `signatures are missing: ${signers}`, {
      fields: { missing: signers },
    });
  }
  return verified;
}

/** A signer by what it is, for people: whose key of now, or which key. */
function signerName(signer: RequiredSigner): string {
  if ("key" in signer) return `key ${thumbprint(signer.key)}`;
  return "authorityOf" in signer
    ? `authority in force of ${signer.authorityOf}`
    : `${signer.role} of ${signer.administratorOf}`;
}

/** Rejects with the reason for which the statement cannot be carried, or STALE_REPLICA when it is not final in time. */
export async function submitStatement(
  jws: readonly string[],
  waitMs: number,
  ports: StatementPorts,
): Promise<StatementState> {
  const verified = await verify(jws, ports);
  const record = encodeRecord(
    create(RecordSchema, { body: { case: "statement", value: { jws: [...jws] } } }),
  );
  // An early fact before it is queued: what closes later counts it.
  let takes = ports.localTakings.accept(verified, record);
  // What it takes may have become final since: then it acts from its own batch on.
  const recheck = ({ size }: Seen, sealedAtMs: number): Recheck => {
    takes ||= ports.localTakings.accept(verified, record, { seenSize: size, sealedAtMs });
    return { kind: "stands" };
  };
  const decidedAtMs = ports.clock.nowMs();
  const sealed = await ports.sealer
    .seal({ kind: "governance", record, decidedAtMs, states: [], recheck })
    .catch((error: unknown) => {
      ports.localTakings.withdraw(record);
      throw error;
    });
  if (sealed === undefined) throw new CausewayError("INTERNAL", "a statement is never dropped");
  if (waitMs > 0) await waitUntilFinal(sealed, waitMs, ports);
  return stateOf(sealed, ports.replica);
}

function stateOf(sealed: SealedRecord, replica: Replica): StatementState {
  const index = replica.indexOfLeaf(sealed.leafHash);
  const final = index !== undefined && index < (replica.final()?.size ?? 0n);
  const voidReason = index === undefined ? undefined : replica.voidReason(index, sealed.position);
  return { sealed, index, final, voidReason };
}

function waitUntilFinal(
  sealed: SealedRecord,
  waitMs: number,
  ports: StatementPorts,
): Promise<void> {
  const { replica, scheduler } = ports;
  const isFinal = (): boolean => stateOf(sealed, replica).final;
  if (isFinal()) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      stop();
      cancel();
      resolve();
    };
    const stop = replica.onFinal(() => {
      if (isFinal()) finish();
    });
    const cancel = scheduler.after(waitMs, finish);
  });
}
