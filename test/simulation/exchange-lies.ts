/** What a lying gateway does otherwise, and what convicts it. */
import { create } from "@bufbuild/protobuf";
import { type Finding, severityOf } from "../../src/audit/findings.ts";
import { equalBytes, utf8 } from "../../src/base/bytes.ts";
import { formatUuid } from "../../src/base/ids.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import type { LocalTakings } from "../../src/exchange/recheck.ts";
import { AnswerFrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { Outcome, RecordSchema, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { QueuedRecord, Sealer } from "../../src/ledger/ports.ts";
import type { Masks } from "../../src/policy/mask.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { encodeRecord, openRecord } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import { readAnswer } from "./exchange-answers.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import type { SimSealerOptions } from "./exchange-journal.ts";
import type { SimProcess } from "./exchange-process.ts";

export interface Lies {
  readonly kind: string;
  /** How often it lied: what was to stand in a record, once that is durable. */
  count: number;
  /** Attempts in which a consumer is told lies: one that ends before it looks at them says nothing of them. */
  readonly told: Set<string>;
  /** The honest may not even have heard it: it was lost, or had no effect. */
  readonly mayBeIgnored?: boolean;
  /** Whether it keeps a batch of these records, and all behind it, from the ledger. */
  withholds(records: readonly Uint8Array[]): boolean;
  /** In the place of the revocations that it has accepted. */
  readonly takings?: LocalTakings;
  /** In the place of the masks that its answers pass. */
  readonly masks?: (honest: Pick<Masks, "get">) => Pick<Masks, "get">;
  sealer(honest: Sealer, process: SimProcess): Sealer;
  /** In the place of what leaves; a second frame leaves as one of another exchange. */
  frames(body: FrameBody): readonly FrameBody[];
  journal(process: SimProcess): Pick<SimSealerOptions, "swaps"> | undefined;
  /** A batch of these records is durable. */
  committed(records: readonly Uint8Array[]): void;
}

type Made = Partial<Omit<Lies, "kind" | "count" | "told">>;

interface Liar {
  /** There is an occasion: whether it is taken. */
  dares(): boolean;
  /** It has lied. */
  lied(): void;
  /** It lies to whoever is shown this receipt, or what follows this Opened. */
  tells(record: Uint8Array): void;
}

type Lie = (liar: Liar) => Made;

/** There is an occasion, and what it is for happens at once: whether it is taken. */
function once(liar: Liar): boolean {
  const isTaken = liar.dares();
  if (isTaken) liar.lied();
  return isTaken;
}

/**
 * Records are sealed as `change` gives them; `undefined` for one that is only said to be sealed. What a halted or
 * crashed journal does not store, or a recheck puts another record for, was no lie.
 */
function sealing(
  liar: Liar,
  change: (queued: QueuedRecord) => QueuedRecord | undefined,
  stored: (record: Uint8Array) => void = () => liar.lied(),
): Made {
  const lies = new Set<Uint8Array>();
  return {
    sealer: (honest) => ({
      seal: (queued) => {
        // A record of no weight stands in its place, so that whoever waits goes on.
        const changed = change(queued) ?? { ...queued, record: statusRecord() };
        if (changed !== queued) lies.add(changed.record);
        return honest.seal(changed);
      },
    }),
    committed: (records) => {
      for (const record of records) if (lies.delete(record)) stored(record);
    },
  };
}

function altered(
  queued: QueuedRecord,
  change: (body: ReturnType<typeof openRecord>) => void,
): QueuedRecord {
  const record = openRecord(queued.record.slice());
  change(record);
  return { ...queued, record: encodeRecord(record) };
}

/** The call in this receipt commits to its request: nobody else has to say what it was. */
function isBoundByStatement(receipt: Uint8Array): boolean {
  const { body } = openRecord(receipt);
  const { start } = body.case === "receipt" ? body.value : {};
  const call = start?.case === "begin" ? start.value.call : undefined;
  return call !== undefined && !openCallStatement(call.statement).open;
}

const providerLies: Readonly<Record<string, Lie>> = {
  "other bytes than it receipted": (liar) => ({
    frames: (body) => {
      const isWhole = body.case === "answer" && body.value.messages.length > 0;
      const { proof } = isWhole ? body.value : {};
      if (!isWhole || proof === undefined || !liar.dares()) return [body];
      liar.tells(proof.record);
      const [, ...rest] = body.value.messages;
      const messages = [utf8("something else"), ...rest];
      return [{ case: "answer", value: create(AnswerFrameSchema, { ...body.value, messages }) }];
    },
  }),
  "an answer without a receipt": (liar) => ({
    frames: (body) => {
      if (body.case !== "answer" || body.value.proof === undefined || !liar.dares()) return [body];
      const { proof, ...rest } = body.value;
      liar.tells(proof.record);
      return [{ case: "answer", value: create(AnswerFrameSchema, rest) }];
    },
  }),
  "no closing of what it opened": (liar) =>
    sealing(liar, (queued) => {
      const { body } = openRecord(queued.record);
      return body.case === "closed" && liar.dares() ? undefined : queued;
    }),
  "another commitment to the request": (liar) =>
    sealing(
      liar,
      (queued) => {
        const { body } = openRecord(queued.record);
        const isEnd = body.case === "receipt" && body.value.final;
        if (!isEnd || !liar.dares()) return queued;
        return altered(queued, ({ body: said }) => {
          if (said.case === "receipt" && said.value.progress !== undefined) {
            said.value.progress.request = new Uint8Array(32).fill(7);
          }
        });
      },
      (receipt) => (isBoundByStatement(receipt) ? liar.lied() : liar.tells(receipt)),
    ),
  "more than the mask lets through": (liar) => leaking(liar),
  "receipts that it keeps from the ledger": (liar) => withholding("receipt", liar),
  "another record at the place of a receipt": (liar) => ({
    journal: () => ({
      swaps: (batch, sealAgain) => {
        const receipts = batch.records.filter(
          (record) => openRecord(record).body.case === "receipt",
        );
        if (receipts.length === 0 || !liar.dares()) return;
        for (const receipt of receipts) liar.tells(receipt);
        sealAgain([statusRecord(7)]);
      },
    }),
  }),
};

/** Answers leave whole. Each says of which exchange it is: its attempt stands in an Opened before, or in its receipt. */
function leaking(liar: Liar): Made {
  const begun = new Map<string, Uint8Array>();
  const leaked = new Set<string>();
  return {
    masks: (honest) => ({
      get: (options) => {
        const mask = honest.get(options);
        return {
          apply: (bytes) => {
            const masked = mask.apply(bytes);
            const [xid = ""] = readAnswer({ path: options.method }, bytes).said.split(" ");
            leaked.delete(xid);
            if (equalBytes(masked, bytes) || !liar.dares()) return masked;
            const opened = begun.get(xid);
            if (opened === undefined) leaked.add(xid);
            else liar.tells(opened);
            return bytes;
          },
        };
      },
    }),
    committed: (records) => {
      for (const record of records) {
        const xid = xidBegunBy(record);
        if (xid === undefined) continue;
        begun.set(xid, record);
        if (leaked.delete(xid)) liar.tells(record);
      }
    },
  };
}

/** The exchange of which an attempt begins with this record. */
function xidBegunBy(record: Uint8Array): string | undefined {
  const { body } = openRecord(record);
  const { start } = body.case === "receipt" ? body.value : {};
  const begin = body.case === "opened" ? body.value.begin : undefined;
  const { call } = begin ?? (start?.case === "begin" ? start.value : {});
  return call && formatUuid(openCallStatement(call.statement).xid);
}

/** From some record of this kind on nothing of it reaches the ledger. */
function withholding(kind: "receipt" | "acknowledgement", liar: Liar): Made {
  let isWithheld = false;
  return {
    // A batch that nobody was shown before its gateway went down leaves no trace.
    mayBeIgnored: true,
    withholds: (records) => {
      const isKind = (bytes: Uint8Array): boolean => openRecord(bytes).body.case === kind;
      isWithheld ||= records.some(isKind) && once(liar);
      return isWithheld;
    },
  };
}

const consumerLies: Readonly<Record<string, Lie>> = {
  "no record of what it received": (liar) =>
    sealing(liar, (queued) => {
      const { body } = openRecord(queued.record);
      return body.case === "acknowledgement" && liar.dares() ? undefined : queued;
    }),
  "acknowledgements that it keeps from the ledger": (liar) => withholding("acknowledgement", liar),
  "more than it was sent": (liar) =>
    sealing(liar, (queued) => {
      const { body } = openRecord(queued.record);
      if (body.case !== "acknowledgement" || !liar.dares()) return queued;
      return altered(queued, ({ body: said }) => {
        if (said.case === "acknowledgement" && said.value.progress !== undefined) {
          said.value.progress.framesEnd += 3n;
        }
      });
    }),
  "another response than it got": (liar) =>
    sealing(liar, (queued) => {
      const { body } = openRecord(queued.record);
      if (body.case !== "acknowledgement" || !liar.dares()) return queued;
      return altered(queued, ({ body: said }) => {
        if (said.case === "acknowledgement" && said.value.progress !== undefined) {
          said.value.progress.response = new Uint8Array(32).fill(9);
        }
      });
    }),
  "a dispute of what it asked for": (liar) =>
    sealing(liar, (queued) => {
      const { body } = openRecord(queued.record);
      if (body.case !== "acknowledgement" || !body.value.final || !liar.dares()) return queued;
      const { xid, attempt, tokenDigest, index } = body.value;
      const names = { side: Side.CONSUMER, xid, attempt, tokenDigest, index };
      const value = { ...names, outcome: Outcome.DISPUTED };
      return {
        ...queued,
        record: encodeRecord(create(RecordSchema, { body: { case: "closed", value } })),
      };
    }),
  "one call twice": (liar) => ({
    mayBeIgnored: true,
    frames: (body) => (body.case === "call" && once(liar) ? [body, body] : [body]),
  }),
};

export function pickLies(gateway: SimGateway): Lies {
  const { random } = gateway.sim.world;
  const isProvider = gateway === gateway.sim.provider;
  const table = isProvider ? providerLies : consumerLies;
  const kind = random.pick(Object.keys(table));
  const lies: Lies = {
    kind,
    count: 0,
    told: new Set(),
    sealer: (honest) => honest,
    frames: (body) => [body],
    journal: () => undefined,
    withholds: () => false,
    committed: () => undefined,
  };
  const liar: Liar = {
    dares: () => random.chance(0.5),
    lied: () => {
      lies.count += 1;
    },
    tells: (record) => {
      const attempt = gateway.sim.checker.attempts.attemptOf(record);
      if (attempt !== undefined) lies.told.add(attempt);
    },
  };
  return Object.assign(lies, (table[kind] as Lie)(liar));
}

/** What names the liar, and what can only be laid at an honest gateway. */
export function judgeFindings(
  findings: readonly Finding[],
  liar: string,
): { readonly convictions: readonly string[]; readonly wrongly: readonly Finding[] } {
  const convictions: string[] = [];
  const wrongly: Finding[] = [];
  for (const finding of findings) {
    if (isLaidAt(finding, liar)) convictions.push(finding.code);
    // A notice has an honest cause, unless it convicts.
    else if (severityOf(finding.code) !== "notice" || finding.blame !== undefined) {
      wrongly.push(finding);
    }
  }
  return { convictions, wrongly };
}

/** Whether a gateway is convicted, or one of two. */
function isLaidAt({ gateway, blame, fields }: Finding, id: string): boolean {
  if (blame === undefined) return gateway === id || Object.values(fields).includes(id);
  if (blame.kind === "convicted") return blame.gateway === id;
  // Of a provider that left nothing on the ledger the consumer alone is named.
  return blame.gateways.length === 1 || blame.gateways.includes(id);
}
