/** Findings between two sides: each lie is laid at the side that told it, or at both with what would tell. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { sha256 } from "../../src/base/sha256.ts";
import { utf8 } from "../../src/base/bytes.ts";
import {
  blamedFindings,
  type FindingCode,
  type LedgerFacts,
  type SettlingEvidence,
} from "../../src/audit/findings.ts";
import type { Progress } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Check, RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { AcknowledgedSegment, SegmentFacts } from "../../src/audit/attempt.ts";
import { judgeCheck } from "../../src/audit/blame.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayRevocation } from "../support/statements.ts";
import { altered, AuditLedger, type TestCall, type TestRecord } from "./audit-ledger.ts";
import { newEpoch } from "./new-epoch.ts";
import { type Change, progressed, TestStream } from "./test-stream.ts";

let base: AuditLedger;

before(async () => {
  base = await AuditLedger.create("blame");
});

/** The side that is convicted, or what would tell, beside the sides on record. */
type Expected =
  | "consumer"
  | "provider"
  | readonly [SettlingEvidence, ...("consumer" | "provider")[]];
type Course = (audit: AuditLedger) => Promise<void>;
type Row = readonly [name: string, expected: Expected, course: Course];

const otherHash = sha256(utf8("another"));

const byText = (a: string, b: string): number => (a < b ? -1 : 1);

async function grownOld(audit: AuditLedger): Promise<void> {
  audit.ledger.nowMs += 3_600_000;
  await audit.seal(audit.consumer, [statusRecord()]);
  await audit.seal(audit.provider, [statusRecord()]);
}

/** The consumer shows a record that the provider gave it. */
async function show(audit: AuditLedger, { batch, position, bytes }: TestRecord): Promise<void> {
  const value = {
    leaf: batch.leaf,
    record: bytes,
    position,
    path: batch.paths[position],
    since: 1n,
  };
  const record = create(RecordSchema, { body: { case: "receiptMissing", value: value as never } });
  await audit.seal(audit.consumer, [encodeRecord(record)]);
}

const acknowledging =
  (
    change: (said: {
      check: Check;
      final: boolean;
      receiptRecord: Uint8Array;
      receipt?: { leafHash: Uint8Array; position: number } | undefined;
      progress?: Progress | undefined;
    }) => void,
  ): Change =>
  ({ body }) => {
    if (body.case === "acknowledgement") change(body.value);
  };

/** A unary call whose receipt and acknowledgement are changed on the way. */
function read(change: {
  readonly receipt?: Change;
  readonly ack?: Change;
  readonly seal?: Parameters<AuditLedger["seal"]>[2];
}): Course {
  return async (audit) => {
    const call = audit.call();
    const honest = audit.receipt(call);
    const bytes = change.receipt === undefined ? honest : altered(honest, change.receipt);
    const receipt = await audit.seal(audit.provider, [bytes], change.seal);
    const ack = audit.acknowledgement(call, receipt);
    await audit.seal(audit.consumer, [change.ack === undefined ? ack : altered(ack, change.ack)]);
  };
}

/** An honest receipt whose acknowledgement says that a check failed. */
const failing = (check: Check, change: Omit<Parameters<typeof read>[0], "ack"> = {}): Course =>
  read({ ...change, ack: acknowledging((said) => void (said.check = check)) });

/** The first receipt of a stream stands; the second is shown to the consumer and never submitted. */
async function withheld(audit: AuditLedger): Promise<{ stream: TestStream; shown: TestRecord }> {
  const stream = new TestStream(audit);
  await stream.answer();
  await stream.acknowledge();
  const shown = await stream.answer({ aside: audit.fork() });
  await stream.acknowledge();
  return { stream, shown };
}

const closings: readonly Row[] = [
  [
    "its own call, which the consumer does not answer",
    "consumer",
    async (audit) => {
      await audit.seal(audit.provider, [audit.receipt(audit.call())]);
      await grownOld(audit);
    },
  ],
  [
    "a call that the provider made up, which nobody answers",
    "provider",
    async (audit) => {
      const call = audit.call({ tokenSigner: audit.provider.token });
      await audit.seal(audit.provider, [audit.receipt(call)]);
      await grownOld(audit);
    },
  ],
];

const records: readonly Row[] = [
  [
    "a receipt that is nowhere, of a provider that is nowhere",
    ["RECORD_SHOWN", "consumer"],
    async (audit) => {
      const aside = audit.fork();
      const call = audit.call();
      const receipt = await aside.seal(aside.provider, [aside.receipt(call)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
      await grownOld(audit);
    },
  ],
  [
    "a later receipt of a stream that is on record",
    ["RECORD_SHOWN", "consumer", "provider"],
    async (audit) => {
      await withheld(audit);
      await grownOld(audit);
    },
  ],
  [
    "a withheld receipt that the consumer shows",
    "provider",
    async (audit) => {
      const { shown } = await withheld(audit);
      await show(audit, shown);
      await grownOld(audit);
    },
  ],
  [
    "a receipt at a leaf that holds another record",
    "consumer",
    async (audit) => {
      const call = audit.call();
      const aside = audit.fork();
      const receipt = await aside.seal(aside.provider, [aside.receipt(call)]);
      const { batch } = await audit.seal(audit.provider, [statusRecord(4)]);
      const ack = audit.acknowledgement(call, receipt);
      const change = acknowledging(({ receipt: named }) => void (named!.leafHash = batch.leafHash));
      await audit.seal(audit.consumer, [altered(ack, change)]);
      await grownOld(audit);
    },
  ],
  [
    "a call that it disputes and nobody has recorded",
    "consumer",
    async (audit) => {
      await audit.seal(audit.consumer, [audit.consumerClosed(audit.call(), "disputed")]);
      await grownOld(audit);
    },
  ],
  [
    "a call that it has forgotten and nobody has recorded",
    "consumer",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "unknown-after-restart")]);
      await grownOld(audit);
    },
  ],
  [
    "a refusal that is nowhere",
    ["RECORD_SHOWN", "consumer"],
    async (audit) => {
      const aside = audit.fork();
      const call = audit.call({ purpose: "statistics" });
      const refusal = await aside.seal(aside.provider, [aside.refusal(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
      await grownOld(audit);
    },
  ],
  [
    "a withheld refusal that the consumer shows",
    "provider",
    async (audit) => {
      const aside = audit.fork();
      const call = audit.call({ purpose: "statistics" });
      const refusal = await aside.seal(aside.provider, [aside.refusal(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
      await show(audit, refusal);
      await grownOld(audit);
    },
  ],
];

const handles: readonly Row[] = [
  [
    "a leaf that is nowhere",
    ["RECORD_SHOWN", "consumer", "provider"],
    read({ ack: acknowledging(({ receipt }) => void (receipt!.leafHash = otherHash)) }),
  ],
  [
    "another position of the same leaf",
    "consumer",
    read({ ack: acknowledging(({ receipt }) => void (receipt!.position = 1)) }),
  ],
  [
    "another record of the same leaf",
    "consumer",
    read({ ack: acknowledging((said) => void (said.receiptRecord = otherHash)) }),
  ],
  [
    "a leaf that the provider has signed beside the one on the ledger",
    "provider",
    async (audit) => {
      const call = audit.call();
      const bytes = audit.receipt(call);
      const aside = audit.fork();
      const shown = await aside.seal(aside.provider, [bytes]);
      await audit.seal(audit.provider, [bytes, statusRecord(5)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, shown)]);
      await show(audit, shown);
    },
  ],
  [
    "the second receipt of a provider that has sealed two",
    "provider",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.receipt(call)]);
      const again = altered(audit.receipt(call), ({ body }) => {
        if (body.case === "receipt") body.value.upstreamMsBucket += 1;
      });
      const receipt = await audit.seal(audit.provider, [again]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    "a refusal of no named call, by a provider that has answered",
    ["CALL_OPENED", "consumer", "provider"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.opened(call)]);
      const nameless = { call: undefined, callCommitment: otherHash, decision: undefined };
      const refusal = await audit.seal(audit.provider, [
        audit.refusal(call, { ...nameless, stage: "token", reason: "TOKEN_EXPIRED" }),
      ]);
      await audit.seal(audit.provider, [audit.closed(call, audit.opened(call))]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
    },
  ],
];

const beyond: readonly Row[] = [
  [
    "more frames than the receipt that it names",
    "consumer",
    read({
      ack: acknowledging(({ progress }) => {
        Object.assign(progress!, { framesEnd: 9n, messages: 8n });
      }),
    }),
  ],
];

const requests: readonly Row[] = [
  [
    "a receipt over another request than the statement inside",
    "provider",
    read({ receipt: progressed((p) => void (p.request = otherHash)) }),
  ],
  [
    "an acknowledgement of another request than the own statement",
    "consumer",
    read({ ack: progressed((p) => void (p.request = otherHash)) }),
  ],
  [
    "two receipts over as many frames of a request",
    "provider",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.answer({ change: progressed((p) => void (p.request = otherHash)) });
      await stream.end();
      await stream.close();
    },
  ],
  [
    "an acknowledgement that says MATCH of a receipt over another request",
    "consumer",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge({ change: progressed((p) => void (p.request = otherHash)) });
      await stream.close();
      await stream.end();
    },
  ],
  [
    "a receipt over another request, which is not acknowledged",
    ["REQUEST_OPENED", "consumer", "provider"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      stream.ask();
      await stream.acknowledge();
      await stream.answer({ change: progressed((p) => void (p.request = otherHash)) });
      await stream.close();
      await stream.end();
    },
  ],
  [
    "a receipt over another request, of which the consumer says MATCH later",
    "consumer",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      stream.ask();
      await stream.acknowledge({ change: progressed((p) => void (p.request = otherHash)) });
      await stream.answer();
      stream.ask();
      await stream.acknowledge();
      await stream.close();
      await stream.end();
    },
  ],
];

const responses: readonly Row[] = [
  [
    "an acknowledgement that says MATCH of a receipt over other bytes",
    "consumer",
    read({ ack: progressed((p) => void (p.response = otherHash)) }),
  ],
  [
    "two receipts over as many frames of an answer",
    "provider",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      const change = progressed((p) => void (p.response = otherHash));
      await stream.answer({ messages: 0, final: true, change });
      await stream.end();
    },
  ],
  [
    "an acknowledgement of a receipt that is nowhere, over other bytes",
    ["RECORD_SHOWN", "consumer", "provider"],
    read({
      ack: acknowledging((said) => {
        said.receiptRecord = otherHash;
        said.receipt!.leafHash = otherHash;
        said.progress!.response = otherHash;
      }),
    }),
  ],
  [
    "an acknowledgement of a receipt that the provider signed and did not submit, over other bytes",
    "provider",
    async (audit) => {
      const call = audit.call();
      const bytes = audit.receipt(call);
      const aside = audit.fork();
      const other = altered(
        bytes,
        progressed((p) => void (p.response = otherHash)),
      );
      const shown = await aside.seal(aside.provider, [other]);
      await audit.seal(audit.provider, [bytes]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, shown)]);
      await show(audit, shown);
    },
  ],
];

const checks: readonly Row[] = [
  ["SEEN_FORK of what the ledger holds", "consumer", failing(Check.SEEN_FORK)],
  ["GRANT_TAKEN of a grant in force", "consumer", failing(Check.GRANT_TAKEN)],
  [
    "GRANT_TAKEN of a revoked grant",
    "provider",
    async (audit) => {
      const call = audit.call();
      await audit.govern(audit.consumer, [sayRevocation(audit.network, audit.grantSaid)]);
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      const ack = audit.acknowledgement(call, receipt);
      const change = acknowledging((said) => void (said.check = Check.GRANT_TAKEN));
      await audit.seal(audit.consumer, [altered(ack, change)]);
    },
  ],
  ["STALE_SEAL of a fresh seal", "consumer", failing(Check.STALE_SEAL)],
  [
    "STALE_SEAL of a stale seal",
    "provider",
    async (audit) => {
      const { call, receipt } = await audit.staleReceipt();
      const ack = audit.acknowledgement(call, receipt);
      const change = acknowledging((said) => void (said.check = Check.STALE_SEAL));
      await audit.seal(audit.consumer, [altered(ack, change)]);
    },
  ],
  ["KEY_UNKNOWN of a key that its header has seen", "consumer", failing(Check.KEY_UNKNOWN)],
  ["TIME_IMPLAUSIBLE of a seal before its own", "consumer", failing(Check.TIME_IMPLAUSIBLE)],
  [
    "TIME_IMPLAUSIBLE of a seal in the future",
    "provider",
    async (audit) => {
      const course = failing(Check.TIME_IMPLAUSIBLE, {
        seal: { sealedAtMs: audit.ledger.nowMs + 60_000 },
      });
      await course(audit);
    },
  ],
  [
    "TIME_IMPLAUSIBLE of a seal that two clocks see otherwise",
    ["SEAL_TIMES", "consumer", "provider"],
    async (audit) => {
      const course = failing(Check.TIME_IMPLAUSIBLE, {
        seal: { sealedAtMs: audit.ledger.nowMs + 5_900 },
      });
      await course(audit);
    },
  ],
  ["MASK_VIOLATION where there is no mask", "consumer", failing(Check.MASK_VIOLATION)],
  [
    "MASK_VIOLATION of a masked answer",
    ["RESPONSE_OPENED", "consumer", "provider"],
    failing(Check.MASK_VIOLATION, {
      receipt: ({ body }) => {
        if (body.case !== "receipt" || body.value.start.case !== "begin") return;
        const { obligations } = body.value.start.value;
        Object.assign(obligations ?? {}, { maskPaths: ["name"], maskDigest: sha256(utf8("name")) });
      },
    }),
  ],
  [
    "MASK_VIOLATION of other bytes than the receipt's",
    "consumer",
    read({
      ack: acknowledging((said) => {
        said.check = Check.MASK_VIOLATION;
        said.progress!.response = otherHash;
      }),
    }),
  ],
  [
    "COMMITMENT_MISMATCH of a receipt that is in order",
    ["RESPONSE_OPENED", "consumer", "provider"],
    failing(Check.COMMITMENT_MISMATCH),
  ],
  [
    "COMMITMENT_MISMATCH of a receipt over another request than its statement",
    "provider",
    failing(Check.COMMITMENT_MISMATCH, {
      receipt: progressed((p) => void (p.request = otherHash)),
    }),
  ],
  [
    "a check of a receipt that is nowhere",
    ["RECORD_SHOWN", "consumer", "provider"],
    read({
      ack: acknowledging((said) => {
        said.check = Check.COMMITMENT_MISMATCH;
        said.receiptRecord = otherHash;
        said.receipt!.leafHash = otherHash;
      }),
    }),
  ],
];

/** A closing that names its attempt otherwise than the statement. */
const misnamed = (audit: AuditLedger, call: TestCall): Uint8Array =>
  altered(audit.consumerClosed(call, "no-answer"), ({ body }) => {
    if (body.case === "closed") body.value.attempt = 7;
  });

const repeated: readonly Row[] = [
  [
    "an attempt of an exchange under two tokens",
    "consumer",
    async (audit) => {
      const { call } = await audit.read();
      await audit.read({ xid: call.statement.xid });
    },
  ],
  [
    "a call that is answered twice",
    "provider",
    async (audit) => {
      const { call } = await audit.read();
      await audit.seal(audit.provider, [audit.receipt(call)]);
    },
  ],
];

const misnamings: readonly Row[] = [
  [
    "a consumer's closing before its statement stands",
    "consumer",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.consumer, [misnamed(audit, call)]);
      await audit.seal(audit.provider, [audit.receipt(call)]);
    },
  ],
  [
    "a consumer's closing of another statement than the one that stands, which it has not signed",
    "provider",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.consumer, [misnamed(audit, call)]);
      const invented = altered(audit.receipt(call), ({ body }) => {
        if (body.case !== "receipt" || body.value.start.case !== "begin") return;
        const { call: recorded } = body.value.start.value;
        if (recorded !== undefined) recorded.path = [otherHash, otherHash];
      });
      await audit.seal(audit.provider, [invented]);
    },
  ],
  [
    "a provider's closing",
    "provider",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.close({ attempt: 2 });
      await stream.end();
    },
  ],
];

const contradictions: readonly Row[] = [
  [
    "MATCH of a final receipt that it says is not final",
    "consumer",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer({ final: true });
      await stream.acknowledge({
        change: ({ body }) => {
          if (body.case === "acknowledgement") body.value.final = false;
        },
      });
    },
  ],
  [
    "a refusal that it names none of",
    ["ANSWER_KEPT", "consumer", "provider"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused")]);
    },
  ],
  [
    "a refusal that the provider has signed and not submitted",
    "provider",
    async (audit) => {
      const call = audit.call();
      const aside = audit.fork();
      const denied = aside.call({ purpose: "statistics" });
      const refusal = await aside.seal(aside.provider, [aside.refusal(denied)]);
      await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
      await show(audit, refusal);
    },
  ],
];

const windows: readonly Row[] = [
  [
    "more segments than the window, of which the consumer answers the first",
    ["ACKNOWLEDGEMENT_SHOWN", "consumer", "provider"],
    async (audit) => {
      const stream = new TestStream(audit);
      for (let i = 1; i <= 6; i++) await stream.answer();
      await stream.acknowledge();
      await stream.close();
      await stream.end();
    },
  ],
  [
    "more segments than the window, whose consumer has begun a new epoch long before",
    ["ACKNOWLEDGEMENT_SHOWN", "consumer", "provider"],
    async (audit) => {
      await newEpoch(audit);
      const stream = new TestStream(audit);
      for (let i = 1; i <= 6; i++) await stream.answer();
      await stream.close();
      await stream.end();
    },
  ],
];

const groups: Readonly<Partial<Record<FindingCode, readonly Row[]>>> = {
  ATTEMPT_REPEATED: repeated,
  ATTEMPT_MISNAMED: misnamings,
  CLOSINGS_CONTRADICT: contradictions,
  CONSUMER_CLOSING_MISSING: closings,
  PROVIDER_RECORD_MISSING: records,
  HANDLE_DIFFERS: handles,
  ACKNOWLEDGED_BEYOND_RECEIPT: beyond,
  REQUEST_DIFFERS: requests,
  RESPONSE_DIFFERS: responses,
  WINDOW_EXCEEDED: windows,
  CHECK_FAILED: checks,
};

test("every finding between two sides is tried here", () => {
  assert.deepEqual(Object.keys(groups).toSorted(byText), [...blamedFindings].toSorted(byText));
});

for (const [code, rows] of Object.entries(groups)) {
  describe(`${code} tells who lied`, () => {
    for (const [name, expected, course] of rows) {
      const whose = typeof expected === "string" ? expected : expected.join(" or ");
      test(`${name}: ${whose}`, async () => {
        const audit = base.fork();
        await course(audit);
        const { findings } = await audit.replay();
        const ids = { consumer: audit.consumer.id, provider: audit.provider.id };
        const found = findings.filter((finding) => finding.code === code);
        assert.equal(found.length, 1, findings.map((finding) => finding.code).join());
        assert.deepEqual(found[0]?.blame, blameOf(expected, ids));
      });
    }
  });
}

function blameOf(
  expected: Expected,
  ids: Readonly<Record<"consumer" | "provider", string>>,
): unknown {
  if (typeof expected === "string") return { kind: "convicted", gateway: ids[expected] };
  const [settledBy, ...sides] = expected;
  return { kind: "either", gateways: sides.map((side) => ids[side]), settledBy };
}

test("CHECK_FAILED by a key that its header cannot have seen: provider", () => {
  const place = { index: 9n, position: 0, gateway: "hangzhou/civil-affairs/gw1" };
  const header = { gateway: place.gateway, key: new Uint8Array(8), seenSize: 4n };
  const receipt = { place, header } as unknown as SegmentFacts;
  const said = { place, header, check: Check.KEY_UNKNOWN } as unknown as AcknowledgedSegment;
  const sizes: bigint[] = [];
  const viewAt = (size: bigint): unknown => {
    sizes.push(size);
    return { batchKey: () => undefined };
  };
  const blame = judgeCheck(receipt, said, undefined)({ viewAt } as unknown as LedgerFacts);
  assert.deepEqual(blame, { kind: "convicted", gateway: place.gateway });
  assert.deepEqual(sizes, [4n]);
});
