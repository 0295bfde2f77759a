/** One lie a row: each is convicted with its exact finding, and with no other. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { FindingCode } from "../../src/audit/findings.ts";
import type { ReplayOptions } from "../../src/audit/replay.ts";
import { encodeAggregate } from "../../src/exchange/consumer-records.ts";
import { FactSchema, Verdict } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Check, RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayOfAgency, sayPolicy, sayRevocation, sayService } from "../support/statements.ts";
import { altered, AuditLedger, type TestCall, writeMethod } from "./audit-ledger.ts";

let base: AuditLedger;

before(async () => {
  base = await AuditLedger.create("lies");
});

type Change = Parameters<typeof altered>[1];
type Lie = (audit: AuditLedger) => Promise<Partial<ReplayOptions> | void>;
type Row = readonly [codes: readonly FindingCode[], name: string, lie: Lie];

const otherHash = sha256(utf8("another"));

/** A read whose records are changed on the way. */
function read(change: {
  readonly receipt?: Change;
  readonly ack?: Change;
  readonly call?: Parameters<AuditLedger["call"]>[0];
}): Lie {
  return async (audit) => {
    const call = audit.call(change.call);
    const honest = audit.receipt(call);
    const bytes = change.receipt === undefined ? honest : altered(honest, change.receipt);
    const receipt = await audit.seal(audit.provider, [bytes]);
    const ack = audit.acknowledgement(call, receipt);
    const said = change.ack === undefined ? ack : altered(ack, change.ack);
    await audit.seal(audit.consumer, [said]);
  };
}

/** Changes the decision that stands in a receipt. */
function decision(change: (decision: NonNullable<TestCall["decision"]>) => void): Change {
  return ({ body }) => {
    if (body.case === "receipt" && body.value.start.case === "begin") {
      change(body.value.start.value.decision as TestCall["decision"]);
    }
  };
}

function acknowledged(
  change: (progress: {
    request: Uint8Array;
    response: Uint8Array;
    framesEnd: bigint;
    messages: bigint;
  }) => void,
): Change {
  return ({ body }) => {
    if (body.case === "acknowledgement" && body.value.progress !== undefined)
      change(body.value.progress);
  };
}

/** Lets so much time pass that everything young is overdue. */
async function grownOld(audit: AuditLedger): Promise<void> {
  audit.ledger.nowMs += 3_600_000;
  await audit.seal(audit.consumer, [statusRecord()]);
  await audit.seal(audit.provider, [statusRecord()]);
}

function aggregate(change: Partial<Parameters<typeof encodeAggregate>[0]>): Lie {
  return async (audit) => {
    const { nowMs } = audit.ledger;
    await audit.seal(
      audit.consumer,
      [
        encodeAggregate({
          side: "consumer",
          reason: "GRANT_MISSING",
          caller: { system: "registry" },
          count: 3,
          firstAtMs: nowMs - 900,
          lastAtMs: nowMs,
          ...change,
        }),
      ],
      { firstAtMs: nowMs - 900 },
    );
  };
}

const calls: readonly Row[] = [
  [
    ["TOKEN_INVALID"],
    "a token signed by another key",
    async (audit) => {
      const call = audit.call({ tokenSigner: audit.provider.token });
      await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "disputed")]);
    },
  ],
  [
    ["TOKEN_INVALID"],
    "an invented token",
    async (audit) => {
      const call = audit.call();
      const bytes = altered(audit.receipt(call), ({ body }) => {
        if (
          body.case === "receipt" &&
          body.value.start.case === "begin" &&
          body.value.start.value.call
        ) {
          const { call: recorded } = body.value.start.value;
          const [head, claims] = recorded.token.split(".");
          recorded.token = `${head}.${claims}.${"A".repeat(86)}`;
        }
      });
      await audit.seal(audit.provider, [bytes]);
    },
  ],
  [
    ["TOKEN_MISUSED"],
    "a token for another start of the gateway",
    read({ call: { claims: { nonce: new Uint8Array(16) } } }),
  ],
  [
    ["TOKEN_MISUSED"],
    "a token for another gateway",
    read({ call: { claims: { aud: "hangzhou/other/gw1" } } }),
  ],
  [
    ["TOKEN_MISUSED"],
    "a token of another network",
    read({ call: { claims: { net: "00".repeat(32) } } }),
  ],
  [
    ["CALL_STATEMENT_INVALID"],
    "a statement that is not under its token",
    read({ call: { claims: { root: otherHash } } }),
  ],
  [
    ["PEER_KEY_UNKNOWN"],
    "a peer key of nobody",
    read({
      receipt: ({ body }) => {
        if (body.case === "receipt" && body.value.start.case === "begin")
          body.value.start.value.peerTlsKey = otherHash;
      },
    }),
  ],
  [
    ["ATTEMPT_REPEATED"],
    "one attempt receipted twice",
    async (audit) => {
      const { call } = await audit.read();
      await audit.seal(audit.provider, [audit.receipt(call)]);
    },
  ],
  [
    ["ATTEMPT_REPEATED"],
    "one attempt of an exchange under two tokens",
    async (audit) => {
      const { call } = await audit.read();
      await audit.read({ xid: call.statement.xid });
    },
  ],
];

const decisions: readonly Row[] = [
  [
    ["DECISION_DIFFERS"],
    "a changed service version",
    read({
      receipt: decision((d) => {
        d.serviceVersion = 7n;
      }),
    }),
  ],
  [
    ["DECISION_DIFFERS"],
    "a changed policy digest",
    read({
      receipt: decision((d) => {
        d.policyDigest = otherHash;
      }),
    }),
  ],
  [
    ["DECISION_DIFFERS"],
    "other reasons",
    read({
      receipt: decision((d) => {
        d.reasons = [];
      }),
    }),
  ],
  [
    ["DECISION_DIFFERS"],
    "a refusal of what the policy permits",
    async (audit) => {
      const call = audit.call();
      const bytes = altered(
        audit.refusal({ ...call, outcome: { ...call.outcome, reason: "POLICY_DENIED" } }),
        ({ body }) => {
          if (body.case !== "refusal" || body.value.decision === undefined) return;
          body.value.decision.verdict = Verdict.DENY;
          for (const reason of body.value.decision.reasons) reason.code = "POLICY_DENIED";
        },
      );
      const refusal = await audit.seal(audit.provider, [bytes]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
    },
  ],
  [
    ["RELEASED_WITHOUT_PERMIT", "DECISION_DIFFERS"],
    "a receipt over a denial",
    read({
      receipt: decision((d) => {
        d.verdict = Verdict.DENY;
      }),
    }),
  ],
  [
    ["REFUSAL_CONTRADICTS"],
    "a refusal for another reason than its decision's",
    async (audit) => {
      const call = audit.call({ purpose: "statistics" });
      const refusal = await audit.seal(audit.provider, [
        audit.refusal(call, { reason: "GRANT_EXPIRED" }),
      ]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
    },
  ],
  [
    ["DECISION_TIME_IMPLAUSIBLE"],
    "a decision after its seal",
    async (audit) => {
      await audit.read({ evaluatedAtS: Math.floor(audit.ledger.nowMs / 1000) + 30 });
    },
  ],
  [
    ["DECISION_SIZE_INVALID"],
    "a decision at a size above the seen one",
    async (audit) => {
      const call = audit.call();
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)], {
        seenSize: audit.ledger.size - 1n,
      });
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["GRANT_TAKEN"],
    "a receipt with the revocation below its seen size",
    async (audit) => {
      const call = audit.call();
      await audit.govern(audit.consumer, [sayRevocation(audit.network, audit.grantSaid)]);
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["RELEASE_AFTER_REVOCATION"],
    "a receipt behind the revocation in its own chain",
    async (audit) => {
      const call = audit.call();
      const seenSize = audit.ledger.size;
      await audit.revoke();
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)], { seenSize });
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["GRANT_EXPIRED"],
    "a receipt sealed after the grant's end",
    async (audit) => {
      audit.ledger.nowMs = (audit.grantSaid.claims.exp as number) * 1000 - 2000;
      await audit.seal(audit.provider, [statusRecord()]);
      const call = audit.call({ evaluatedAtS: (audit.grantSaid.claims.exp as number) - 1 });
      audit.ledger.nowMs += 2000;
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["EQUIVOCATION", "FOUNDATION_TAKEN"],
    "a receipt with the proof that froze its consumer's chain below its seen size",
    async (audit) => {
      const other = audit.ledger.seal(audit.consumer, [statusRecord(1)], { kind: "evidence" });
      const call = audit.call();
      const { batch } = await audit.seal(audit.consumer, [statusRecord(2)]);
      const seenSize = audit.ledger.size;
      await audit.govern(audit.provider, [pair({ firstLeaf: other.leaf, secondLeaf: batch.leaf })]);
      // One that has not seen it stands.
      await audit.seal(audit.provider, [audit.receipt(audit.call({ decidedSize: seenSize }))], {
        seenSize,
      });
      await audit.seal(audit.provider, [audit.receipt(call)]);
    },
  ],
  [
    ["FOUNDATION_TAKEN"],
    "a receipt with the suspension of its consumer's gateway below its seen size",
    async (audit) => {
      const call = audit.call();
      const suspension = sayOfAgency(audit.network, "suspension", audit.network.consumer, {
        sub: audit.consumer.id,
        body: { what: "gateway", reason: "under-inquiry" },
      });
      await audit.govern(audit.provider, [suspension]);
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["RECHECK_UNFOUNDED"],
    "a re-check that names a revocation of nobody",
    async (audit) => {
      const write = audit.call({ method: writeMethod });
      const opened = audit.opened(write);
      await audit.seal(audit.provider, [opened]);
      const fact = create(FactSchema, { name: { case: "record", value: { hash: otherHash } } });
      const recheck = { reason: "GRANT_REVOKED", seenSize: audit.ledger.size, fact } as const;
      const closed = await audit.seal(audit.provider, [
        audit.closed(write, opened, {
          outcome: "revoked",
          reason: "GRANT_REVOKED",
          decision: write.decision,
          recheck,
        }),
      ]);
      await audit.seal(audit.consumer, [
        audit.consumerClosed(write, "refused", { refusal: closed }),
      ]);
      await grownOld(audit);
    },
  ],
];

const sides: readonly Row[] = [
  [
    ["REQUEST_DIFFERS"],
    "an acknowledgement of another request",
    read({
      ack: acknowledged((p) => {
        p.request = otherHash;
      }),
    }),
  ],
  [
    ["RESPONSE_DIFFERS"],
    "an acknowledgement of another response",
    read({
      ack: acknowledged((p) => {
        p.response = otherHash;
      }),
    }),
  ],
  [
    ["ACKNOWLEDGED_BEYOND_RECEIPT"],
    "an acknowledgement of more frames",
    read({
      ack: acknowledged((p) => {
        p.framesEnd = 9n;
        p.messages = 8n;
      }),
    }),
  ],
  [
    ["HANDLE_DIFFERS"],
    "an acknowledgement of another leaf",
    read({
      ack: ({ body }) => {
        if (body.case === "acknowledgement" && body.value.receipt)
          body.value.receipt.leafHash = otherHash;
      },
    }),
  ],
  [
    ["HANDLE_DIFFERS"],
    "an acknowledgement of another record",
    read({
      ack: ({ body }) => {
        if (body.case === "acknowledgement") body.value.receiptRecord = otherHash;
      },
    }),
  ],
  [
    ["CHECK_FAILED"],
    "a receipt that the consumer could not verify",
    read({
      ack: ({ body }) => {
        if (body.case === "acknowledgement") body.value.check = Check.COMMITMENT_MISMATCH;
      },
    }),
  ],
  [
    ["ATTEMPT_MISNAMED"],
    "an acknowledgement that names another attempt",
    read({
      ack: ({ body }) => {
        if (body.case === "acknowledgement") body.value.attempt = 5;
      },
    }),
  ],
  [
    ["CONSUMER_CLOSED_TWICE"],
    "two acknowledgements of one receipt",
    async (audit) => {
      const { call, receipt } = await audit.read();
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["CLOSING_OF_ANOTHER"],
    "an acknowledgement by another gateway",
    async (audit) => {
      const call = audit.call();
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.provider, [audit.acknowledgement(call, receipt)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["CLOSINGS_CONTRADICT"],
    "a consumer that calls a receipt a refusal",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused")]);
    },
  ],
  [
    ["DISPUTED"],
    "a consumer that disputes its own token",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.receipt(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "disputed")]);
    },
  ],
  [
    ["CONSUMER_CLOSING_MISSING"],
    "a receipt that nobody answers",
    async (audit) => {
      await audit.seal(audit.provider, [audit.receipt(audit.call())]);
      await grownOld(audit);
    },
  ],
  [
    ["PROVIDER_CLOSING_MISSING"],
    "a write that is never closed",
    async (audit) => {
      const call = audit.call({ method: writeMethod });
      await audit.seal(audit.provider, [audit.opened(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "no-answer")]);
      await grownOld(audit);
    },
  ],
  [
    ["PROVIDER_RECORD_MISSING"],
    "an acknowledged receipt that is not on the ledger",
    async (audit) => {
      const aside = audit.fork();
      const call = audit.call();
      const receipt = await aside.seal(aside.provider, [aside.receipt(call)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
      await grownOld(audit);
    },
  ],
  [
    ["PREVIOUS_MISSING"],
    "a receipt that follows nothing",
    async (audit) => {
      const call = audit.call({ method: writeMethod });
      await audit.seal(audit.provider, [audit.receipt(call, audit.opened(call))]);
    },
  ],
  [
    ["PREVIOUS_MISSING"],
    "a second closing of one write",
    async (audit) => {
      const call = audit.call({ method: writeMethod });
      const opened = audit.opened(call);
      await audit.seal(audit.provider, [opened]);
      const receipt = await audit.seal(audit.provider, [audit.receipt(call, opened)]);
      await audit.seal(audit.provider, [audit.closed(call, opened)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["SEGMENT_GAP"],
    "a receipt of a later segment first",
    async (audit) => {
      const call = audit.call();
      const bytes = altered(audit.receipt(call), ({ body }) => {
        if (body.case === "receipt" && body.value.progress) body.value.progress.segment = 2;
      });
      await audit.seal(audit.provider, [bytes]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "cancelled")]);
    },
  ],
  [["AGGREGATE_IMPLAUSIBLE"], "an aggregate of nothing", aggregate({ count: 0 })],
  [["AGGREGATE_IMPLAUSIBLE"], "an aggregate over an hour", aggregate({ firstAtMs: 0 })],
  [
    ["AGGREGATE_IMPLAUSIBLE"],
    "an aggregate of more than can be answered",
    aggregate({ count: 1e9 }),
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "a refusal for no reason of ours",
    async (audit) => {
      const call = audit.call({ purpose: "statistics" });
      const bytes = altered(audit.refusal(call, { decision: undefined }), ({ body }) => {
        if (body.case === "refusal") body.value.reason = "BECAUSE";
      });
      const refusal = await audit.seal(audit.provider, [bytes]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused", { refusal })]);
    },
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "a provider's outcome of a consumer",
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.consumer, [
        altered(audit.consumerClosed(call, "no-answer"), ({ body }) => {
          if (body.case === "closed") body.value.outcome = 1;
        }),
      ]);
    },
  ],
];

const chains: readonly Row[] = [
  [
    ["SEEN_NOT_FINAL"],
    "a header that rests on a size that was never final",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord(1)], { hold: true });
      await audit.seal(audit.consumer, [statusRecord(2)]);
    },
  ],
  [
    ["BOOT_RETURNED"],
    "a boot that comes back",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord(1)], { boot: new Uint8Array(16).fill(1) });
      await audit.seal(audit.provider, [statusRecord(2)]);
    },
  ],
  [
    ["TIME_IMPLAUSIBLE"],
    "a seal before the checkpoint that it has seen",
    async (audit) => {
      audit.ledger.nowMs += 60_000;
      await audit.seal(audit.consumer, [statusRecord(1)]);
      await audit.seal(audit.provider, [statusRecord(2)], {
        sealedAtMs: audit.ledger.nowMs - 30_000,
      });
    },
  ],
  [
    ["TIME_IMPLAUSIBLE"],
    "a seal after it was final",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord()], {
        sealedAtMs: audit.ledger.nowMs + 60_000,
      });
    },
  ],
  [
    ["FINAL_TIME_BACK"],
    "a final size older than a smaller one",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord()], {
        hold: true,
        sealedAtMs: audit.ledger.nowMs - 500,
      });
      audit.final({ timeMs: audit.ledger.nowMs - 5_500 });
    },
  ],
  [
    ["STALE_SEAL"],
    "a receipt on a checkpoint past the service's limit",
    async (audit) => {
      const { call, receipt } = await audit.staleReceipt();
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
    },
  ],
  [
    ["LATE"],
    "a batch held back while others went on",
    async (audit) => {
      const sealedAtMs = audit.ledger.nowMs;
      const seenSize = audit.ledger.size;
      audit.ledger.nowMs += 120_000;
      await audit.seal(audit.consumer, [statusRecord(1)]);
      await audit.seal(audit.provider, [statusRecord(2)], { sealedAtMs, seenSize });
    },
  ],
  [
    ["EQUIVOCATION"],
    "two headers at one place",
    async (audit) => {
      const other = audit.ledger.seal(audit.provider, [statusRecord(1)], { kind: "evidence" });
      const { batch } = await audit.seal(audit.provider, [statusRecord(2)]);
      const headers = { firstLeaf: other.leaf, secondLeaf: batch.leaf };
      await audit.govern(audit.consumer, [pair(headers)]);
    },
  ],
  [
    ["ROLLBACK"],
    "two headers at one place from two starts",
    async (audit) => {
      const other = audit.ledger.seal(audit.provider, [statusRecord(1)], {
        kind: "evidence",
        boot: new Uint8Array(16),
      });
      const { batch } = await audit.seal(audit.provider, [statusRecord(2)]);
      await audit.govern(audit.consumer, [pair({ firstLeaf: other.leaf, secondLeaf: batch.leaf })]);
    },
  ],
  [
    ["RECORD_IMPLAUSIBLE"],
    "a report of two headers that do not contradict each other",
    async (audit) => {
      const [leaf] = audit.ledger.batches.map((batch) => batch.leaf);
      await audit.govern(audit.consumer, [
        pair({ firstLeaf: leaf as Uint8Array, secondLeaf: leaf as Uint8Array }),
      ]);
    },
  ],
  [
    ["EQUIVOCATION"],
    "a receipt that was shown and another sealed in its place",
    async (audit) => {
      const aside = audit.fork();
      const call = audit.call();
      const shown = await aside.seal(aside.provider, [aside.receipt(call)]);
      await audit.seal(audit.provider, [statusRecord()]);
      await audit.seal(audit.consumer, [missing(shown.batch.leaf, shown.bytes)]);
    },
  ],
  [
    ["LOG_FORK"],
    "two heads of one size",
    async (audit) => {
      const notes = { firstNote: audit.note(), secondNote: audit.note({ root: otherHash }) };
      await audit.govern(audit.consumer, [
        encodeRecord(
          create(RecordSchema, {
            body: {
              case: "equivocationReported",
              value: { proof: { case: "checkpoints", value: notes } },
            },
          }),
        ),
      ]);
    },
  ],
];

function pair(value: { firstLeaf: Uint8Array; secondLeaf: Uint8Array }): Uint8Array {
  const proof = { case: "headers" as const, value };
  return encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
}

function missing(leaf: Uint8Array, record: Uint8Array): Uint8Array {
  return encodeRecord(
    create(RecordSchema, { body: { case: "receiptMissing", value: { leaf, record, since: 1n } } }),
  );
}

/** Changes the items of the export behind its last batch. */
const ledgers: readonly Row[] = [
  [["NETWORK_DIFFERS"], "an export of another network", async () => ({ networkId: otherHash })],
  [
    ["BATCH_REJECTED"],
    "a batch left out",
    async (audit) => {
      await audit.read();
      audit.entries.splice(-4, 2);
    },
  ],
  [
    ["BATCH_REJECTED"],
    "two batches in the other order",
    async (audit) => {
      const first = await audit.seal(audit.provider, [statusRecord(1)], { hold: true });
      await audit.seal(audit.provider, [statusRecord(2)], { seenSize: first.index });
      const [a, b] = audit.entries.slice(-3, -1);
      audit.entries.splice(-3, 2, b as never, a as never);
    },
  ],
  [
    ["NOT_FINAL"],
    "batches behind the newest note",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord()], { hold: true });
    },
  ],
  [
    ["NOTE_ROOT_DIFFERS"],
    "a quorum's note of another root",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord()], { hold: true });
      audit.final({ root: otherHash });
    },
  ],
  [
    ["NOTE_MISPLACED"],
    "a note of a smaller size",
    async (audit) => {
      audit.entries.push({ kind: "note", note: audit.note({ size: 2n }) });
    },
  ],
  [
    ["NOTE_REJECTED"],
    "a note whose cosignatures are by other keys",
    async (audit) => {
      await audit.seal(audit.provider, [statusRecord()], { hold: true });
      audit.final({ witnesses: [audit.network.log, audit.network.log] });
    },
  ],
  [
    ["TRUNCATED"],
    "a ledger cut off, against a later checkpoint",
    async (audit) => {
      const longer = audit.fork();
      await longer.seal(longer.provider, [statusRecord()]);
      return { laterCheckpoint: longer.note() };
    },
  ],
  [
    ["CHECKPOINT_FORK"],
    "another history, against a later checkpoint",
    async (audit) => {
      const other = audit.fork();
      await other.seal(other.provider, [statusRecord(1)]);
      await audit.seal(audit.provider, [statusRecord(2)]);
      return { laterCheckpoint: other.note() };
    },
  ],
  [
    ["CHECKPOINT_REJECTED"],
    "a later checkpoint that no quorum cosigned",
    async (audit) => ({
      laterCheckpoint: audit.note({ witnesses: [audit.network.log, audit.network.log] }),
    }),
  ],
  [
    ["BLOB_MISSING"],
    "a descriptor that is not in the export",
    async (audit) => {
      audit.entries.splice(
        audit.entries.findIndex(({ kind }) => kind === "blob"),
        1,
      );
    },
  ],
  [
    ["BLOB_UNNAMED"],
    "a blob that nothing names",
    async (audit) => {
      audit.entries.splice(1, 0, { kind: "blob", content: utf8("more") });
    },
  ],
  [
    ["PUBLICATION_INVALID"],
    "a service whose descriptor set is none",
    async (audit) => {
      const content = utf8("not a descriptor");
      const said = sayService(audit.network, { body: { version: 2, ...digestOf(content) } });
      await audit.govern(audit.provider, [said], [content]);
    },
  ],
  [
    ["PUBLICATION_INVALID"],
    "a policy that does not validate",
    async (audit) => {
      const content = utf8("permit (principal, action, resource) when { context.nothing };");
      const { descriptor: policy, descriptor_bytes: policy_bytes } = digestOf(content);
      const schema = utf8("entity Agency;");
      const named = digestOf(schema);
      const body = {
        version: 2,
        policy,
        policy_bytes,
        schema: named.descriptor,
        schema_bytes: named.descriptor_bytes,
      };
      await audit.govern(audit.provider, [sayPolicy(audit.network, { body })], [content, schema]);
    },
  ],
];

function digestOf(content: Uint8Array): { descriptor: string; descriptor_bytes: number } {
  return {
    descriptor: Buffer.from(sha256(content)).toString("hex"),
    descriptor_bytes: content.length,
  };
}

for (const [group, rows] of Object.entries({ calls, decisions, sides, chains, ledgers })) {
  describe(`lies about ${group}`, () => {
    for (const [codes, name, lie] of rows) {
      test(`${name} is ${codes.join(" and ")}`, async () => {
        const audit = base.fork();
        const change = (await lie(audit)) ?? {};
        const { findings } = await audit.replay(change);
        assert.deepEqual(
          findings.map(({ code }) => code),
          codes,
          JSON.stringify(findings, (_, value: unknown) =>
            typeof value === "bigint" ? String(value) : value,
          ),
        );
      });
    }
  });
}

test("the first bad index is that of the batch which the rules refuse", async () => {
  const audit = base.fork();
  const { receipt } = await audit.read();
  const at = audit.entries.findIndex(
    (entry) => entry.kind === "batch" && entry.leaf === receipt.batch.leaf,
  );
  const leaf = receipt.batch.leaf.slice();
  leaf[3] = (leaf[3] as number) ^ 1;
  audit.entries[at] = { kind: "batch", leaf, records: receipt.batch.records };
  const result = await audit.replay();
  assert.equal(result.firstBadIndex, receipt.index);
  assert.deepEqual(
    result.findings.map(({ code, fields }) => [code, fields]),
    [["BATCH_REJECTED", { reason: "SIGNATURE_INVALID" }]],
  );
});
