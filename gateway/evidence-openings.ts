/** Openings of this side, for an administrator: shown one exchange at a time, and erased for good. */
import { create } from "@bufbuild/protobuf";
import { concatBytes, u64be } from "../src/base/bytes.ts";
import type { Clock, RandomBytes } from "../src/base/clock.ts";
import { erasedTogetherMax } from "../src/base/limits.ts";
import { RecordSchema } from "../src/gen/causeway/record/v1/record_pb.ts";
import { erasedNumber, erasedState, erasedStateKey } from "../src/exchange/erased-openings.ts";
import type { JournalReader } from "../src/ledger/journal/store.ts";
import { erasureSecretBytes } from "../src/ledger/openings/erasure.ts";
import type { Erasure, Openings } from "../src/ledger/openings/openings.ts";
import type { SealedRecord, Sealer } from "../src/ledger/ports.ts";
import { encodeRecord } from "../src/record/record.ts";
import { namedByOpeningId } from "./openings.ts";

/** Attempts of one exchange on both sides: far more than are ever made. */
const attemptsMax = 1024;

export interface ShownOpening {
  readonly attempt: number;
  readonly side: "consumer" | "provider";
  readonly label: string;
  readonly salt: Uint8Array;
  readonly value: Uint8Array;
}

export interface ErasedOpenings {
  /** Attempts of which something was erased, on either side. */
  readonly count: number;
  readonly records: readonly SealedRecord[];
}

export interface AdminOpenings {
  /** What opens the commitments of an exchange here, or of one attempt of it; all labels when `label` is empty. */
  show(id: Uint8Array, label: string): Promise<readonly ShownOpening[]>;
  /** Of an exchange, or of one attempt of it. */
  erase(id: Uint8Array): Promise<ErasedOpenings>;
  /** Of all exchanges whose id is of an earlier Unix time in milliseconds. */
  eraseBefore(beforeMs: number): Promise<ErasedOpenings>;
  /** Seals the record of what an earlier start erased and did not record. */
  catchUp(): Promise<void>;
}

export interface AdminOpeningsOptions {
  readonly openings: Openings;
  readonly journal: Pick<JournalReader, "state">;
  readonly sealer: Sealer;
  readonly clock: Pick<Clock, "nowMs">;
  readonly random: RandomBytes;
}

export function createAdminOpenings(options: AdminOpeningsOptions): AdminOpenings {
  const { openings, clock, random } = options;
  let working: Promise<unknown> = Promise.resolve();
  // One after another: the state says up to which erasure all are on record.
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = working.then(work, work);
    working = done.catch(() => undefined);
    return done;
  };
  const erase = async (from: Uint8Array, to: Uint8Array): Promise<ErasedOpenings> => {
    let count = 0;
    const records: SealedRecord[] = [];
    for (;;) {
      // What an earlier try could not record is recorded first.
      records.push(...(await sealErasures(options)));
      const range = { from, to, countMax: erasedTogetherMax };
      const by = { atMs: clock.nowMs(), secret: random(erasureSecretBytes) };
      const erased = await openings.eraseRecorded(range, by);
      if (erased === undefined) return { count, records };
      count += erased.count;
    }
  };
  return {
    show: (id, label) => show(openings, id, label),
    erase: (id) => inTurn(() => erase(id, endOf(id))),
    eraseBefore: (beforeMs) =>
      inTurn(() => erase(new Uint8Array(), u64be(BigInt(Math.max(0, beforeMs))).slice(2))),
    catchUp: () => inTurn(async () => void (await sealErasures(options))),
  };
}

/** Behind all names of openings that begin with this one. */
function endOf(id: Uint8Array): Uint8Array {
  return concatBytes(id, new Uint8Array(8).fill(0xff));
}

async function show(
  openings: Openings,
  of: Uint8Array,
  asked: string,
): Promise<readonly ShownOpening[]> {
  const ids = await openings.find({ from: of, to: endOf(of), countMax: attemptsMax });
  const shown: ShownOpening[] = [];
  for (const id of ids) {
    const named = namedByOpeningId(id);
    const opening = await openings.get(id);
    if (named === undefined || opening === undefined) continue;
    const { attempt, side } = named;
    for (const [label, salt] of opening.salts) {
      const value = opening.values.get(label);
      if (value === undefined || (asked !== "" && asked !== label)) continue;
      shown.push({ attempt, side, label, salt, value });
    }
  }
  return shown;
}

async function sealErasures(options: AdminOpeningsOptions): Promise<readonly SealedRecord[]> {
  const records: SealedRecord[] = [];
  for (const erasure of await unrecorded(options)) {
    const sealed = await seal(erasure, options);
    if (sealed !== undefined) records.push(sealed);
  }
  return records;
}

/** A store that has come to fewer erasures than are on record is a new one, of which none is. */
async function unrecorded({
  journal,
  openings,
}: AdminOpeningsOptions): Promise<readonly Erasure[]> {
  const recorded = erasedNumber(journal.state(erasedStateKey));
  const all = await openings.erasures(0);
  const isNew = (all.at(-1)?.number ?? 0) < recorded;
  return isNew ? all : all.filter(({ number }) => number > recorded);
}

function seal(
  { number, count, root }: Erasure,
  { sealer, clock }: AdminOpeningsOptions,
): Promise<SealedRecord | undefined> {
  const value = { count: BigInt(count), root };
  return sealer.seal({
    kind: "evidence",
    record: encodeRecord(create(RecordSchema, { body: { case: "openingsErased", value } })),
    decidedAtMs: clock.nowMs(),
    states: [erasedState(number)],
  });
}
