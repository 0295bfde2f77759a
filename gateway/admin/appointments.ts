/** Appointing a sequencer, as its gateways do their parts: the promise of a witness, and the opening of a term. */
import { create } from "@bufbuild/protobuf";
import { parseBase64, toHex } from "../../src/base/bytes.ts";
import type { Clock, Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { parseKey } from "../../src/credential/key-text.ts";
import { joinSignatures, openStatement, signPayload } from "../../src/credential/statement.ts";
import type { Claims, VoteBody } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import {
  type OpenTermRequest,
  type OpenTermResponse,
  OpenTermResponseSchema,
  type PromiseTermRequest,
  type PromiseTermResponse,
  PromiseTermResponseSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { LedgerNode } from "../../src/ledger/embedded/ledger-node.ts";
import type { JournalReader } from "../../src/ledger/journal/store.ts";
import type { SealedBatch, Sealer } from "../../src/ledger/ports.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { termOfOrigin } from "../../src/registry/cosigning.ts";
import type { RegistryState } from "../../src/registry/state.ts";

export interface AppointmentPorts {
  /** The own id. */
  readonly gateway: string;
  readonly node: LedgerNode;
  readonly journal: JournalReader;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** The log key of an appointment, also one that was made after the start of this process. */
  findLogKey(publicKey: Uint8Array): Promise<Signer | undefined>;
}

type SequencerVote = Extract<VoteBody, { on: "sequencer" }>;

interface Vote {
  readonly claims: Claims;
  readonly body: SequencerVote;
  readonly payload: Uint8Array;
  readonly jws: readonly string[];
}

/**
 * The promise before a vote: from now on the city's witness cosigns nothing of a lower term.
 *
 * @throws CausewayError `TERM_ENDED` when it has promised that term or a higher one to another, or the
 * term is no later one; `WITNESS_STATE_LOST`; `LEDGER_BEHIND` when it has cosigned nothing yet.
 */
export async function promiseTerm(
  request: PromiseTermRequest,
  { node }: AppointmentPorts,
): Promise<PromiseTermResponse> {
  const { term, address, tls, logKey } = request;
  const sequencer = { address, tls: [toHex(tls)] };
  const promise = await node.promiseTerm({ term, logKey, sequencer });
  if (promise.kind === "refused") {
    throw new CausewayError(promise.reason, `no vote for term ${term} can be cast here`);
  }
  if (promise.highest === undefined) {
    throw new CausewayError("LEDGER_BEHIND", "this city's witness has cosigned nothing yet");
  }
  return create(PromiseTermResponseSchema, { checkpoint: promise.highest.note });
}

/**
 * Opens a term with the votes for this gateway. A vote that names the checkpoint of a term which this gateway
 * does not know is left out: beside it the registry would count none. Nothing final is lost by that. Of what
 * is final in such a term every quorum of votes tells, and what is left then is no quorum.
 *
 * @throws CausewayError `STATEMENT_INVALID` when the votes are not for one appointment of this gateway,
 * `KEY_UNKNOWN` without its log key, `VOTES_MISSING`, `LEDGER_BEHIND`, `LEDGER_FORK`.
 */
export async function openTerm(
  { votes: lists, waitMs }: OpenTermRequest,
  ports: AppointmentPorts,
  waitMsMax: number,
): Promise<OpenTermResponse> {
  const all = lists.map(({ jws }) => readVote(jws));
  const { body } = oneAppointment(all, ports.gateway);
  const state = ports.node.replica.state();
  const votes = all.filter((vote) => namesKnownTerm(state, vote));
  const leftOut = all.filter((vote) => !votes.includes(vote)).map(({ claims }) => claims.iss);
  const logKey = await ports.findLogKey(parseKey(body.log) as Uint8Array);
  if (logKey === undefined) {
    throw new CausewayError(
      "KEY_UNKNOWN",
      "the log key of this appointment is not in the key folder",
    );
  }
  const signed = votes.map((vote) => withLogKey(vote, logKey));
  const { start, opened } = await whoseVotesMiss(leftOut, async () => {
    if (votes.length === 0) throw new CausewayError("VOTES_MISSING", "no vote is left");
    return ports.node.openTerm({
      term: BigInt(body.term),
      votes: votes.map(({ claims, body: { checkpoint } }) => ({
        city: claims.iss,
        checkpoint: parseBase64(checkpoint) as Uint8Array,
      })),
      own: notFinal(ports.journal),
    });
  });
  // Queued in one turn: all votes stand in one batch, the one that opens the term.
  const decidedAtMs = ports.clock.nowMs();
  const sealing = signed.map((record) =>
    ports.sealer.seal({ kind: "governance", record, decidedAtMs, states: [] }),
  );
  await Promise.all(sealing);
  const { term, since } = await opened;
  const final = await becomesFinal(since, Math.min(Number(waitMs), waitMsMax), ports);
  return create(OpenTermResponseSchema, { term, start, index: since, final, leftOut });
}

/** A vote whose checkpoint cannot be read is not left out: opening the term says what is wrong with it. */
function namesKnownTerm(state: RegistryState, { body: { checkpoint } }: Vote): boolean {
  try {
    const note = parseNote(parseBase64(checkpoint) as Uint8Array);
    return termOfOrigin(state, parseCheckpoint(note.text).origin) !== undefined;
  } catch (error) {
    if (error instanceof CausewayError) return true;
    throw error;
  }
}

/** Votes that are missing because others were left out are to be had once this gateway has followed the ledger. */
async function whoseVotesMiss<T>(leftOut: readonly string[], open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (leftOut.length === 0) throw error;
    if (!(error instanceof CausewayError) || error.code !== "VOTES_MISSING") throw error;
    const cities = leftOut.join(", ");
    throw new CausewayError(
      "VOTES_MISSING",
      `without the votes of ${cities}, which name a term that this gateway does not know yet, the others are too few`,
      { cause: error, fields: { left_out: cities } },
    );
  }
}

function readVote(jws: readonly string[]): Vote {
  const { statement, payload } = openStatement(jws);
  const { name, claims, body } = statement;
  if (name === "vote" && body.on === "sequencer") return { claims, body, payload, jws };
  throw new CausewayError("STATEMENT_INVALID", "a statement is no vote for a sequencer");
}

function oneAppointment(votes: readonly Vote[], gateway: string): Vote {
  const [first] = votes;
  if (first === undefined) throw new CausewayError("VOTES_MISSING", "no vote was given");
  for (const { claims, body } of votes) {
    if (claims.sub !== gateway) {
      throw new CausewayError("STATEMENT_INVALID", `${claims.iss} votes for ${claims.sub}`);
    }
    const isSame = body.term === first.body.term && body.log === first.body.log;
    if (!isSame) throw new CausewayError("STATEMENT_INVALID", "the votes are of two appointments");
  }
  return first;
}

/** The vote as a record: a statement that binds a key is signed by it too. */
function withLogKey({ payload, jws }: Vote, logKey: Signer): Uint8Array {
  const all = joinSignatures([...jws, signPayload({ name: "vote", payload }, logKey)]);
  return encodeRecord(
    create(RecordSchema, { body: { case: "statement", value: { jws: [...all] } } }),
  );
}

function* notFinal(journal: JournalReader): Generator<SealedBatch> {
  for (let number = journal.finalCount(); number < journal.batchCount(); number++) {
    const batch = journal.batch(number);
    if (batch !== undefined) yield batch;
  }
}

function becomesFinal(index: bigint, waitMs: number, ports: AppointmentPorts): Promise<boolean> {
  const { replica } = ports.node;
  const isFinal = (): boolean => index < (replica.final()?.size ?? 0n);
  if (isFinal() || waitMs === 0) return Promise.resolve(isFinal());
  return new Promise((resolve) => {
    const finish = (): void => {
      stop();
      cancel();
      resolve(isFinal());
    };
    const stop = replica.onFinal(() => {
      if (isFinal()) finish();
    });
    const cancel = ports.scheduler.after(waitMs, finish);
  });
}
