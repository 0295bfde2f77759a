/** Streams on a ledger: honest ones have no finding, and one broken rule is told by its finding alone. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { FindingCode } from "../../src/audit/findings.ts";
import type { ReplayResult } from "../../src/audit/replay.ts";
import { Check } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayRevocation } from "../support/statements.ts";
import { AuditLedger, collectMethod, readMethod, writeMethod } from "./audit-ledger.ts";
import { type Change, progressed, TestStream } from "./test-stream.ts";

let base: AuditLedger;

before(async () => {
  base = await AuditLedger.create("streams");
});

type Course = (audit: AuditLedger) => Promise<void>;
type Row = readonly [codes: readonly FindingCode[], name: string, course: Course];

const otherHash = sha256(utf8("another"));
const otherBoot = new Uint8Array(16).fill(9);

/** Lets so much time pass that everything young is overdue. */
async function grownOld(audit: AuditLedger, change: { boots?: boolean } = {}): Promise<void> {
  const boot = change.boots === true ? { boot: otherBoot } : {};
  await audit.seal(audit.consumer, [statusRecord()], boot);
  await audit.seal(audit.provider, [statusRecord()], boot);
  audit.ledger.nowMs += 3_600_000;
  await audit.seal(audit.consumer, [statusRecord()], boot);
  await audit.seal(audit.provider, [statusRecord()], boot);
}

/** Segments that the consumer acknowledges one by one, the last final. */
async function whole(audit: AuditLedger, segments = 3, method?: string): Promise<TestStream> {
  const stream = new TestStream(audit, method === undefined ? {} : { method });
  if (method === collectMethod) await stream.open();
  for (let i = 1; i <= segments; i++) {
    stream.ask();
    await stream.answer({ messages: i - 1, final: i === segments });
    await stream.acknowledge();
  }
  return stream;
}

/** A stream whose second receipt is changed: the consumer gives up behind the first. */
function secondReceipt(change: Change): Course {
  return async (audit) => {
    const stream = new TestStream(audit);
    stream.ask(2);
    await stream.answer();
    await stream.acknowledge();
    await stream.answer({ change });
    await stream.end();
    await stream.close();
  };
}

/** A stream whose second and last acknowledgement is changed. */
function secondAcknowledgement(change: Change, more: { ends?: boolean } = {}): Course {
  return async (audit) => {
    const stream = new TestStream(audit);
    stream.ask();
    await stream.answer();
    await stream.acknowledge();
    await stream.answer({ final: true });
    await stream.acknowledge({ change });
    if (more.ends === true) await stream.end("cancelled");
  };
}

const acknowledging = (change: (said: { check: Check; final: boolean }) => void): Change => {
  return ({ body }) => {
    if (body.case === "acknowledgement") change(body.value);
  };
};

const honest: readonly (readonly [string, Course])[] = [
  ["that ends in its third segment", async (audit) => void (await whole(audit))],
  ["of a method that writes", async (audit) => void (await whole(audit, 2, collectMethod))],
  [
    "whose two chains come on the ledger one after the other",
    async (audit) => {
      const stream = new TestStream(audit);
      for (let i = 1; i <= 6; i++) await stream.answer({ final: i === 6 });
      for (let i = 1; i <= 6; i++) {
        stream.ask();
        await stream.acknowledge();
      }
    },
  ],
  [
    "that is cancelled with a full window unacknowledged",
    async (audit) => {
      const stream = new TestStream(audit);
      for (let i = 1; i <= 5; i++) await stream.answer();
      await stream.acknowledge();
      await stream.close({ outcome: "cancelled", reason: "CANCELLED", frames: 6 });
      await stream.end();
    },
  ],
  [
    "that one side has open and nobody has ended, however long it is silent",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await grownOld(audit);
    },
  ],
  [
    "that the provider's restart closes",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      const bytes = audit.closed(stream.call, new Uint8Array(), {
        prevRecord: stream.newest,
        outcome: "gateway-restarted",
        reason: "UPSTREAM_UNAVAILABLE",
      });
      await audit.seal(audit.provider, [bytes], { boot: otherBoot });
      await stream.end("no-answer");
      await grownOld(audit, { boots: true });
    },
  ],
  [
    "whose grant is revoked on the way",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await audit.revoke();
      await stream.close({ outcome: "shutdown", reason: "SHUTTING_DOWN" });
      await stream.end();
    },
  ],
];

const receipts: readonly Row[] = [
  [
    ["SEGMENT_GAP"],
    "a receipt that leaves a segment out",
    secondReceipt(progressed((p) => void (p.segment = 3))),
  ],
  [
    ["SEGMENT_GAP"],
    "a receipt that repeats a segment",
    secondReceipt(progressed((p) => void (p.segment = 1))),
  ],
  [
    ["SEGMENT_GAP"],
    "a receipt that leaves frames out",
    secondReceipt(progressed((p) => void (p.framesFirst = 3n))),
  ],
  [
    ["SEGMENT_GAP"],
    "a receipt that takes frames back",
    secondReceipt(progressed((p) => void (p.framesFirst = 1n))),
  ],
  [
    ["SEGMENT_GAP"],
    "a receipt that ends before it begins",
    secondReceipt(progressed((p) => void (p.framesEnd = 1n))),
  ],
  [
    ["SEGMENT_GAP"],
    "a first receipt without the headers",
    async (audit) => {
      const change = progressed((p) => void Object.assign(p, { framesEnd: 0n, messages: 0n }));
      const stream = new TestStream(audit);
      await stream.answer({ change });
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "a receipt whose messages are not its frames",
    secondReceipt(progressed((p) => void (p.messages = 2n))),
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "a receipt with a status that is not final",
    secondReceipt(({ body }) => {
      if (body.case !== "receipt") return;
      const { response: status } = body.value.progress as { response: Uint8Array };
      body.value.status = {
        $typeName: "causeway.record.v1.Status",
        grpcCode: 0,
        source: 1,
        reason: "",
        status,
      };
    }),
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "a receipt of a unary call that is not final",
    async (audit) => {
      const stream = new TestStream(audit, { method: readMethod, open: false });
      await stream.answer();
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["PREVIOUS_MISSING"],
    "a receipt after the final one",
    async (audit) => {
      const stream = await whole(audit);
      await stream.answer();
    },
  ],
  [
    ["PREVIOUS_MISSING"],
    "a closing after the final receipt",
    async (audit) => void (await (await whole(audit)).close()),
  ],
  [
    ["PREVIOUS_MISSING"],
    "two receipts that follow the same one",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      const prevRecord = stream.newest;
      await stream.answer();
      const { newest } = stream;
      await stream.answer({ prevRecord });
      await stream.close({ prevRecord: newest });
      await stream.end();
    },
  ],
  [
    ["PREVIOUS_MISSING"],
    "a closing that follows an older receipt than the newest",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      const prevRecord = stream.newest;
      await stream.answer();
      await stream.close({ prevRecord });
      await stream.end();
    },
  ],
  [
    ["ATTEMPT_MISNAMED"],
    "a closing that names another attempt",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.close({ attempt: 2 });
      await stream.end();
    },
  ],
  [
    ["FRAMES_BEYOND_RECORD"],
    "a provider's closing of more frames than it receipted",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.close({ frames: 3 });
      await stream.end();
    },
  ],
  [
    ["TOKEN_MISUSED"],
    "a receipt of a process that began after the attempt",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.answer({ seal: { boot: otherBoot } });
      const bytes = audit.closed(stream.call, new Uint8Array(), {
        prevRecord: stream.newest,
        outcome: "gateway-restarted",
      });
      await audit.seal(audit.provider, [bytes], { boot: otherBoot });
      await stream.end();
    },
  ],
  [
    ["GRANT_TAKEN"],
    "a later segment released with the revocation below its seen size",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await audit.govern(audit.consumer, [sayRevocation(audit.network, audit.grantSaid)]);
      await stream.answer();
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["RELEASE_AFTER_REVOCATION"],
    "a later segment released behind the revocation in its own chain",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      const seenSize = audit.ledger.size;
      await audit.revoke();
      await stream.answer({ seal: { seenSize } });
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["OPENED_MISSING"],
    "a method that writes, answered without an Opened",
    async (audit) => void (await audit.read({ method: writeMethod })),
  ],
  [
    ["CALL_STATEMENT_INVALID"],
    "an open statement of a unary method",
    async (audit) => {
      const stream = new TestStream(audit, { method: readMethod });
      stream.ask();
      await stream.answer({ final: true });
      await stream.acknowledge();
    },
  ],
  [
    ["LIMIT_EXCEEDED"],
    "two messages of a method that has one",
    async (audit) => {
      const stream = new TestStream(audit, { method: readMethod, open: false });
      await stream.answer({ messages: 2, final: true });
      await stream.end();
    },
  ],
];

const requests: readonly Row[] = [
  [
    ["REQUEST_FRAMES_IMPLAUSIBLE"],
    "a receipt that takes request frames back",
    secondReceipt(progressed((p) => void (p.requestFrames = 2n))),
  ],
  [
    ["REQUEST_FRAMES_IMPLAUSIBLE"],
    "a receipt without the request's headers",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer({ change: progressed((p) => void (p.requestFrames = 0n)) });
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["REQUEST_FRAMES_IMPLAUSIBLE"],
    "a receipt of a unary call over three request frames",
    async (audit) => {
      const stream = new TestStream(audit, { method: readMethod, open: false });
      const change = progressed((p) => void (p.requestFrames = 3n));
      await stream.answer({ change, final: true });
      await stream.end();
    },
  ],
  [
    ["REQUEST_DIFFERS"],
    "a receipt of a unary call over another request than its statement",
    async (audit) => {
      const stream = new TestStream(audit, { method: readMethod, open: false });
      const change = progressed((p) => void (p.request = otherHash));
      await stream.answer({ change, final: true });
      await stream.end();
    },
  ],
  [
    ["REQUEST_DIFFERS"],
    "two receipts that commit otherwise to as many request frames",
    secondReceipt(progressed((p) => void (p.request = otherHash))),
  ],
  [
    ["REQUEST_DIFFERS"],
    "an acknowledgement of another request",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      stream.ask();
      await stream.answer();
      await stream.acknowledge({ change: progressed((p) => void (p.request = otherHash)) });
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["REQUEST_DIFFERS"],
    "an acknowledgement of another request than a later segment's receipt",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      stream.ask();
      await stream.acknowledge({ change: progressed((p) => void (p.request = otherHash)) });
      await stream.answer();
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["REQUEST_FRAMES_IMPLAUSIBLE"],
    "an acknowledgement that says MATCH of fewer request frames than were receipted",
    async (audit) => {
      const stream = new TestStream(audit);
      stream.ask();
      await stream.answer();
      await stream.acknowledge({ change: progressed((p) => void (p.requestFrames = 1n)) });
      await stream.close();
      await stream.end();
    },
  ],
];

const acknowledgements: readonly Row[] = [
  [
    ["ACKNOWLEDGEMENT_GAP"],
    "an acknowledgement left out",
    async (audit) => {
      const stream = new TestStream(audit);
      for (const skip of [false, true, false]) {
        await stream.answer();
        await stream.acknowledge({ skip });
      }
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["ACKNOWLEDGEMENT_GAP"],
    "an acknowledgement that comes again",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      const said = await stream.acknowledge();
      await audit.seal(audit.consumer, [said]);
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["ACKNOWLEDGED_BEYOND_RECEIPT"],
    "an acknowledgement of more frames",
    secondAcknowledgement(
      progressed((p) => void Object.assign(p, { framesEnd: 4n, messages: 2n })),
    ),
  ],
  [
    ["ACKNOWLEDGEMENT_DIFFERS"],
    "an acknowledgement that says MATCH of fewer frames",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer({ messages: 2, final: true });
      const fewer = { framesEnd: 2n, messages: 1n };
      await stream.acknowledge({ change: progressed((p) => void Object.assign(p, fewer)) });
    },
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "an acknowledgement whose messages are not its frames",
    secondAcknowledgement(progressed((p) => void (p.messages = 5n))),
  ],
  [
    ["RESPONSE_DIFFERS"],
    "an acknowledgement of other bytes",
    secondAcknowledgement(progressed((p) => void (p.response = otherHash))),
  ],
  [
    ["HANDLE_DIFFERS"],
    "an acknowledgement of another leaf",
    secondAcknowledgement(({ body }) => {
      if (body.case === "acknowledgement" && body.value.receipt !== undefined)
        body.value.receipt.leafHash = otherHash;
    }),
  ],
  [
    ["HANDLE_DIFFERS"],
    "an acknowledgement of another position in its leaf",
    secondAcknowledgement(({ body }) => {
      if (body.case === "acknowledgement" && body.value.receipt !== undefined)
        body.value.receipt.position = 1;
    }),
  ],
  [
    ["HANDLE_DIFFERS"],
    "an acknowledgement of another record",
    secondAcknowledgement(({ body }) => {
      if (body.case === "acknowledgement") body.value.receiptRecord = otherHash;
    }),
  ],
  [
    ["CHECK_FAILED", "RECORD_IMPLAUSIBLE"],
    "a failed check that does not close",
    secondAcknowledgement(
      acknowledging(
        (said) => void Object.assign(said, { check: Check.MASK_VIOLATION, final: false }),
      ),
    ),
  ],
  [
    ["CHECK_FAILED"],
    "a segment that the consumer could not verify",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.answer();
      await stream.acknowledge({
        change: acknowledging(
          (said) => void Object.assign(said, { check: Check.COMMITMENT_MISMATCH, final: true }),
        ),
      });
      await stream.close({ outcome: "cancelled", reason: "CANCELLED" });
    },
  ],
];

const closings: readonly Row[] = [
  [
    ["CLOSINGS_CONTRADICT"],
    "a final acknowledgement of a segment that is not",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge({ change: acknowledging((said) => void (said.final = true)) });
      await stream.close();
    },
  ],
  [
    ["CLOSINGS_CONTRADICT"],
    "an acknowledgement that leaves open what the receipt has ended",
    secondAcknowledgement(
      acknowledging((said) => void (said.final = false)),
      { ends: true },
    ),
  ],
  [
    ["CONSUMER_CLOSED_TWICE"],
    "a closing after the final acknowledgement",
    async (audit) => (await whole(audit)).end(),
  ],
  [
    ["PREVIOUS_MISSING"],
    "a consumer's closing that follows none of its acknowledgements",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.close();
      await stream.end("cancelled", { prevRecord: undefined });
    },
  ],
  [
    ["PREVIOUS_MISSING"],
    "a consumer's closing that follows an acknowledgement that is not there",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.close();
      await stream.end("cancelled", { prevRecord: otherHash });
    },
  ],
  [
    ["FRAMES_BEYOND_RECORD"],
    "a consumer's closing of more frames than it acknowledged",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.answer();
      await stream.close();
      await stream.end("cancelled", { frames: 3 });
    },
  ],
  [
    ["WINDOW_EXCEEDED"],
    "a segment more than the window receipted and not acknowledged",
    async (audit) => {
      const stream = new TestStream(audit);
      for (let i = 1; i <= 6; i++) await stream.answer();
      await stream.acknowledge();
      await stream.close();
      await stream.end();
    },
  ],
  [
    ["PROVIDER_CLOSING_MISSING"],
    "a stream that the provider leaves open behind the consumer's closing",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.end();
      await grownOld(audit);
    },
  ],
  [
    ["CONSUMER_CLOSING_MISSING"],
    "a stream that the consumer leaves open behind the provider's closing",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.close();
      await grownOld(audit);
    },
  ],
  [
    ["PROVIDER_CLOSING_MISSING", "CONSUMER_CLOSING_MISSING"],
    "a stream that two restarts leave open",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await grownOld(audit, { boots: true });
    },
  ],
  [
    ["PROVIDER_RECORD_MISSING"],
    "an acknowledged segment that the provider keeps from the ledger",
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge({
        change: ({ body }) => {
          if (body.case === "acknowledgement") body.value.receiptRecord = otherHash;
        },
      });
      await grownOld(audit);
    },
  ],
];

function said({ findings }: ReplayResult): string {
  return JSON.stringify(findings, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
}

describe("no finding for an honest stream", () => {
  for (const [name, course] of honest) {
    test(name, async () => {
      const audit = base.fork();
      await course(audit);
      const result = await audit.replay();
      assert.deepEqual(result.findings, [], said(result));
    });
  }
});

for (const [group, rows] of Object.entries({ receipts, requests, acknowledgements, closings })) {
  describe(`lies about the ${group} of a stream`, () => {
    for (const [codes, name, course] of rows) {
      test(`${name} is ${codes.join(" and ")}`, async () => {
        const audit = base.fork();
        await course(audit);
        const result = await audit.replay();
        assert.deepEqual(
          result.findings.map(({ code }) => code).toSorted(),
          [...codes].toSorted(),
          said(result),
        );
      });
    }
  });
}

test("a stream that is open on both sides is counted as open, not as matched", async () => {
  const audit = base.fork();
  await whole(audit);
  const stream = new TestStream(audit);
  await stream.answer();
  await stream.acknowledge();
  const { attempts } = await audit.replay();
  assert.deepEqual(attempts, { attempts: 2, matched: 1, open: 1 });
});
