/** Founding: batch 0 from the founding document and the statements of its members. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { compareText, equalBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { agencyOf, cityOf } from "../../src/base/ids.ts";
import { batchBytesMax, batchRecordsMax } from "../../src/base/limits.ts";
import { networkId, openStatement, verifyStatement } from "../../src/credential/statement.ts";
import type { StatementName } from "../../src/credential/statements.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { foundLedger } from "../../src/ledger/embedded/founding.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { encodeRecord, recordHash } from "../../src/record/record.ts";
import { initialState } from "../../src/registry/initial.ts";
import { keyOfThumbprint } from "../../src/registry/keys.ts";
import { effectOf } from "../../src/registry/meaning.ts";
import type { RegistryState } from "../../src/registry/state.ts";
import type { GatewayKeys } from "../keys/key-folder.ts";
import { assertComplete, type Draft, readDraft } from "./drafts.ts";
import type { Io } from "./io.ts";

/** File of the journal in a data folder; the ledger's files stand beside it. */
export const journalFile: string = "journal.sqlite";

/** A statement of batch 0 with the file that it came from. */
interface FoundingStatement extends Draft {
  readonly file: string;
  readonly record: Uint8Array;
}

export interface Founding {
  /** SHA-256 of the founding document's payload, 32 bytes. */
  readonly id: Uint8Array;
  readonly payload: Uint8Array;
  readonly records: readonly Uint8Array[];
  /** The registry that batch 0 will make, but for what its own header adds. */
  readonly state: RegistryState;
}

// A member is let in by one that stands before it.
const order: readonly StatementName[] = ["network", "agency", "gateway", "administrator"];

/**
 * Reads everything that founds a network and applies the fold's rules to it, so that nothing is sealed
 * that would be void.
 *
 * @throws CausewayError with the fold's reason, naming the file; `STATEMENT_SIGNER_MISSING` with who is
 * missing; `MEMBER_UNKNOWN` when a founding city has no agency, gateway and administrator.
 */
export async function readFoundingStatements(
  options: { readonly network: string; readonly statement: readonly string[] },
  io: Pick<Io, "clock">,
): Promise<Founding> {
  const verifier = createNodeVerifier();
  const files = [options.network, ...options.statement];
  const statements = await Promise.all(files.map((file) => readFoundingStatement(file, verifier)));
  const [network, ...others] = statements as [FoundingStatement, ...FoundingStatement[]];
  if (
    network.statement.name !== "network" ||
    others.some(({ statement }) => statement.name === "network")
  ) {
    throw new CausewayError(
      "STATEMENT_INVALID",
      "exactly one founding document is given, as --network",
    );
  }
  const sorted = statements.toSorted(compareFounding);
  const id = networkId(network.payload);
  const sealedAtMs = io.clock.nowMs();
  let state = initialState(id);
  for (const [position, one] of sorted.entries()) {
    state = await applyFounding(state, one, { position, sealedAtMs, verifier });
  }
  assertEveryCityIsPresent(state);
  const records = sorted.map(({ record }) => record);
  assertOneBatch(records);
  return { id, payload: network.payload, records, state };
}

const rank = ({ statement }: Draft): number => order.indexOf(statement.name);

/** The order of files on the command line says nothing. */
function compareFounding(a: Draft, b: Draft): number {
  const [left, right] = [a.statement.claims, b.statement.claims];
  return rank(a) - rank(b) || compareText(left.sub, right.sub) || compareText(left.jti, right.jti);
}

async function readFoundingStatement(file: string, verifier: Verifier): Promise<FoundingStatement> {
  const draft = await readDraft(file, verifier);
  if (rank(draft) < 0) {
    const { name } = draft.statement;
    throw new CausewayError("STATEMENT_INVALID", `${file}: a ${name} statement founds nothing`);
  }
  assertComplete(draft, file);
  const jws = [...draft.jws];
  const record = encodeRecord(
    create(RecordSchema, { body: { case: "statement", value: { jws } } }),
  );
  return { ...draft, file, record };
}

async function applyFounding(
  state: RegistryState,
  { file, jws, record }: FoundingStatement,
  { position, sealedAtMs, verifier }: { position: number; sealedAtMs: number; verifier: Verifier },
): Promise<RegistryState> {
  try {
    const keyOf = (kid: string): Uint8Array | undefined => keyOfThumbprint(state, kid);
    const verified = await verifyStatement(openStatement(jws), keyOf, verifier);
    const address = { index: 0n, position };
    const atS = Math.floor(sealedAtMs / 1000);
    const ground = { state, index: 0n, seenSize: 0n, sealedAtMs, atS };
    const effect = effectOf(verified, { address, recordHash: recordHash(record) }, ground);
    if (typeof effect === "string") throw new CausewayError(effect, "it would have no effect");
    return effect.state;
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    const { code, fields, message } = error;
    throw new CausewayError(code, `${file}: ${message}`, { cause: error, fields });
  }
}

function assertEveryCityIsPresent(state: RegistryState): void {
  const agencies = [...state.agencies.keys()];
  const gateways = [...state.gateways.keys()].map(agencyOf);
  const administrators = [...state.administrators.values()].flat().map(({ agency }) => agency);
  for (const city of state.cities.keys()) {
    const lacking = [
      ...(agencies.some((id) => cityOf(id) === city) ? [] : ["agency"]),
      ...(gateways.some((id) => cityOf(id) === city) ? [] : ["gateway"]),
      ...(administrators.some((id) => cityOf(id) === city) ? [] : ["administrator"]),
    ];
    if (lacking.length === 0) continue;
    throw new CausewayError("MEMBER_UNKNOWN", `${city} is founded without ${lacking.join(", ")}`);
  }
}

function assertOneBatch(records: readonly Uint8Array[]): void {
  const bytes = records.reduce((sum, { length }) => sum + length, 0);
  if (records.length <= batchRecordsMax && bytes <= batchBytesMax) return;
  throw new CausewayError("TOO_LARGE", "the statements do not fit in one batch: enrol some later");
}

/**
 * Seals batch 0 in the sequencer's data folder and creates its ledger. Interrupted, it goes on where it
 * was when it is run again with the same files; done, it changes nothing.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY` when the folder holds a ledger of other statements,
 * `JOURNAL_MISMATCH` of another network, `JOURNAL_LOCKED` while its gateway runs; `GATEWAY_UNKNOWN` or
 * `KEY_UNKNOWN` when the keys are not those of the sequencer that the founding document names.
 */
export async function sealFounding(
  { id, payload, records, state }: Founding,
  { keys, data }: { readonly keys: GatewayKeys; readonly data: string },
  io: Pick<Io, "clock" | "random" | "scheduler">,
): Promise<SealedBatch & { readonly leafHash: Uint8Array }> {
  assertSequencer(state, keys);
  const isNew = !existsSync(join(data, journalFile));
  if (isNew && existsSync(join(data, ledgerFile))) throw occupied(data);
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const { clock, scheduler } = io;
  const broken = withResolvers();
  const journal = await openJournal({
    path: join(data, journalFile),
    gateway: keys.card.id,
    network: id,
    batchKeySeed: keys.batch.seed,
    epoch: 0n,
    boot: io.random(16),
    clock,
    scheduler,
    seen: () => ({ size: 0n, root: emptyRoot }),
    queueBytesMax: state.network?.body.bounds.sealing_queue_bytes ?? batchBytesMax,
    onFatal: (error) => broken.reject(error),
  });
  const batch = await Promise.race([
    batchZero(journal, records, data, clock.nowMs()),
    broken.promise,
  ]);
  await journal.close();
  await foundLedger(
    { folder: data, founding: payload, verifier: createNodeVerifier(), clock },
    batch,
  );
  return batch;
}

function assertSequencer(state: RegistryState, { card }: GatewayKeys): void {
  const sequencer = state.network?.body.sequencer;
  if (sequencer?.gateway !== card.id) {
    throw new CausewayError(
      "GATEWAY_UNKNOWN",
      `the sequencer is ${sequencer?.gateway}, not ${card.id}`,
    );
  }
  const { batch } = state.gateways.get(card.id)?.at(-1)?.body ?? {};
  if (batch !== card.batch || sequencer.log !== card.log) {
    throw new CausewayError(
      "KEY_UNKNOWN",
      `these are other keys than the founded ones of ${card.id}`,
    );
  }
}

/** The chain's first batch with exactly these records: the one that stands there, or a new one. */
async function batchZero(
  journal: Journal,
  records: readonly Uint8Array[],
  data: string,
  nowMs: number,
): Promise<SealedBatch & { readonly leafHash: Uint8Array }> {
  if (journal.tipAtStart === undefined) {
    // Queued in one turn of the event loop, they close as one batch.
    await Promise.all(
      records.map((record) =>
        journal.sealer.seal({ kind: "governance", record, decidedAtMs: nowMs, states: [] }),
      ),
    );
  }
  const batch = journal.reader.batch(0);
  const isSame =
    batch?.records.length === records.length &&
    batch.records.every((record, i) => equalBytes(record, records[i] as Uint8Array));
  if (batch !== undefined && isSame) return batch;
  await journal.close();
  throw occupied(data);
}

function occupied(data: string): CausewayError {
  return new CausewayError("FOLDER_NOT_EMPTY", `${data} holds a ledger already`);
}

function withResolvers(): { readonly promise: Promise<never>; reject(error: unknown): void } {
  let reject!: (error: unknown) => void;
  const promise = new Promise<never>((_, onReject) => {
    reject = onReject;
  });
  promise.catch(() => undefined);
  return { promise, reject };
}
