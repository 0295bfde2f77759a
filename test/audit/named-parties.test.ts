/**
 * One lie each against a line of RECORDS.md, "What the auditor matches": every finding names the liar, and none the
 * honest side, whatever was done to have it look otherwise.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { sha256 } from "../../src/base/sha256.ts";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import type { Finding, FindingCode } from "../../src/audit/findings.ts";
import {
  type Decision,
  Durability,
  FactSchema,
  type Obligations,
  QuotaSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { RecordSchema, Side as RecordSide } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeCallStatement } from "../../src/record/call-tree.ts";
import { encodeRecord, type LedgerRecord } from "../../src/record/record.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayGateway } from "../support/network.ts";
import { divisions, sayCity, sayOfAgency } from "../support/statements.ts";
import {
  altered,
  AuditLedger,
  type TestCall,
  type TestRecord,
  writeMethod,
} from "./audit-ledger.ts";
import { newEpoch } from "./new-epoch.ts";
import { progressed, TestStream } from "./test-stream.ts";

let base: AuditLedger;

before(async () => {
  base = await AuditLedger.create("named parties");
});

type Side = "consumer" | "provider";
type Row = readonly [
  name: string,
  liar: Side,
  codes: readonly FindingCode[],
  lie: (audit: AuditLedger) => Promise<unknown>,
];

const otherHash = sha256(utf8("another"));
const otherBoot = otherHash.slice(0, 16);

async function grownOld(audit: AuditLedger): Promise<void> {
  audit.ledger.nowMs += 3_600_000;
  await audit.seal(audit.provider, [statusRecord()]);
  await audit.seal(audit.provider, [statusRecord()]);
}

/** An honest read of a call that was made before. */
async function read(audit: AuditLedger, call: TestCall): Promise<void> {
  const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
  await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
}

/** The call with a statement that nobody has signed at its place. */
function misstated(audit: AuditLedger, { statement, call, ...rest }: TestCall): TestCall {
  const { xid } = audit.call().statement;
  const other = { ...statement, xid };
  return { ...rest, statement: other, call: { ...call, statement: encodeCallStatement(other) } };
}

const closings: readonly Row[] = [
  [
    "a refusal that the consumer does not answer",
    "consumer",
    ["CONSUMER_CLOSING_MISSING"],
    async (audit) => {
      await audit.seal(audit.provider, [audit.refusal(audit.call({ purpose: "statistics" }))]);
      await grownOld(audit);
    },
  ],
  [
    "a closing of the consumer's attempt by its provider, before it has the attempt on record",
    "provider",
    ["CLOSING_OF_ANOTHER"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.consumerClosed(call, "no-answer")]);
      await read(audit, call);
    },
  ],
  [
    "such a closing of an attempt whose consumer has answered before its receipt stood",
    "provider",
    ["CLOSING_OF_ANOTHER"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.consumerClosed(call, "no-answer")]);
      const aside = audit.fork();
      const receipt = await aside.seal(aside.provider, [aside.receipt(call)]);
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
      const { leaf, records } = receipt.batch;
      await audit.ledger.offer(receipt.batch);
      audit.entries.push({ kind: "batch", leaf, records });
      audit.final();
    },
  ],
  [
    "a closing behind the acknowledgement",
    "consumer",
    ["CONSUMER_CLOSED_TWICE"],
    async (audit) => {
      const { call } = await audit.read();
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "no-answer")]);
    },
  ],
];

const tokens: readonly Row[] = [
  [
    "a refusal of a call that nobody has made",
    "provider",
    ["TOKEN_INVALID"],
    async (audit) => {
      const call = audit.call({ purpose: "statistics", tokenSigner: audit.provider.token });
      await audit.seal(audit.provider, [audit.refusal(call)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "disputed")]);
    },
  ],
  [
    "a call that nobody has made, under the name of one that is made later",
    "provider",
    ["TOKEN_INVALID"],
    async (audit) => {
      const genuine = audit.call();
      const { xid } = genuine.statement;
      const invented = audit.call({ xid, tokenSigner: audit.provider.token });
      await audit.seal(audit.provider, [audit.receipt(invented)]);
      await read(audit, genuine);
      await audit.seal(audit.consumer, [audit.consumerClosed(invented, "disputed")]);
    },
  ],
  [
    "a call that nobody has made, under the name of one that was made",
    "provider",
    ["TOKEN_INVALID"],
    async (audit) => {
      const genuine = audit.call();
      await read(audit, genuine);
      const { xid } = genuine.statement;
      const invented = audit.call({ xid, tokenSigner: audit.provider.token });
      await audit.seal(audit.provider, [audit.receipt(invented)]);
      await audit.seal(audit.consumer, [audit.consumerClosed(invented, "disputed")]);
    },
  ],
  [
    "a receipt that the consumer writes itself before its provider's own",
    "consumer",
    ["TOKEN_MISUSED", "PEER_KEY_UNKNOWN", "SERVICE_OF_ANOTHER"],
    async (audit) => {
      const call = audit.call();
      const stolen = altered(audit.receipt(call), ({ body }) => {
        if (body.case !== "receipt" || body.value.start.case !== "begin") return;
        body.value.start.value.peerTlsKey = otherHash;
      });
      await audit.seal(audit.consumer, [stolen]);
      await read(audit, call);
    },
  ],
];

const names: readonly Row[] = [
  [
    "a statement that nobody has signed in the place of one that its consumer closes then",
    "provider",
    ["CALL_STATEMENT_INVALID", "ATTEMPT_MISNAMED"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.receipt(misstated(audit, call))]);
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "no-answer")]);
    },
  ],
  [
    "the same of one that its consumer has closed",
    "provider",
    ["CALL_STATEMENT_INVALID", "ATTEMPT_MISNAMED"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.consumer, [audit.consumerClosed(call, "no-answer")]);
      await audit.seal(audit.provider, [audit.receipt(misstated(audit, call))]);
    },
  ],
  [
    "a refusal in which no call may stand, of one that nobody has made under the name of one that was",
    "provider",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const { call } = await audit.read();
      const { xid } = call.statement;
      const invented = audit.call({
        xid,
        purpose: "statistics",
        tokenSigner: audit.provider.token,
      });
      const refusal = altered(audit.refusal(invented), ({ body }) => {
        if (body.case === "refusal") body.value.side = RecordSide.CONSUMER;
      });
      await audit.seal(audit.provider, [refusal]);
      await audit.seal(audit.consumer, [audit.consumerClosed(invented, "disputed")]);
    },
  ],
  [
    "a second attempt under the name of one that was answered, where no statement stood first",
    "consumer",
    ["ATTEMPT_REPEATED"],
    async (audit) => {
      const { call } = await audit.read();
      const again = audit.call({ xid: call.statement.xid });
      await audit.seal(audit.consumer, [audit.consumerClosed(again, "no-answer")]);
    },
  ],
  [
    "two tokens over one attempt of an exchange",
    "consumer",
    ["ATTEMPT_REPEATED"],
    async (audit) => {
      const first = audit.call();
      await read(audit, first);
      await read(audit, audit.call({ xid: first.statement.xid }));
    },
  ],
  [
    "one call that is answered twice",
    "provider",
    ["ATTEMPT_REPEATED"],
    async (audit) => {
      const { call } = await audit.read();
      await audit.seal(audit.provider, [audit.receipt(call)]);
    },
  ],
  [
    "a closing under another name than the statement's, before the statement stands",
    "consumer",
    ["ATTEMPT_MISNAMED"],
    async (audit) => {
      const call = audit.call();
      const closed = altered(audit.consumerClosed(call, "no-answer"), ({ body }) => {
        if (body.case === "closed") body.value.attempt = 7;
      });
      await audit.seal(audit.consumer, [closed]);
      await audit.seal(audit.provider, [audit.receipt(call)]);
    },
  ],
  [
    "the same once it stands",
    "consumer",
    ["ATTEMPT_MISNAMED"],
    async (audit) => {
      const call = audit.call();
      await audit.seal(audit.provider, [audit.receipt(call)]);
      const closed = altered(audit.consumerClosed(call, "no-answer"), ({ body }) => {
        if (body.case === "closed") body.value.attempt = 7;
      });
      await audit.seal(audit.consumer, [closed]);
    },
  ],
  [
    "a provider's closing under another name",
    "provider",
    ["ATTEMPT_MISNAMED"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.close({ attempt: 2 });
      await stream.end();
    },
  ],
];

/** A read whose decision or obligations say something else than the facts give. */
function deciding(change: (decision: Decision, obligations: Obligations) => void): Row[3] {
  return async (audit) => {
    const call = audit.call();
    const bytes = altered(audit.receipt(call), ({ body }) => {
      if (body.case !== "receipt" || body.value.start.case !== "begin") return;
      const { decision, obligations } = body.value.start.value;
      assert.ok(decision !== undefined && obligations !== undefined);
      change(decision, obligations);
    });
    const receipt = await audit.seal(audit.provider, [bytes]);
    await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
  };
}

const changes: Readonly<Record<string, Parameters<typeof deciding>[0]>> = {
  "another grant": (decision) => void (decision.grantJti = base.network.uuid()),
  "another address of the service": (decision) => void (decision.service!.index += 1n),
  "another descriptor": (decision) => void (decision.descriptorDigest = otherHash),
  "another address of the policy": (decision) => void (decision.policy!.index -= 1n),
  "another schema": (decision) => void (decision.schemaDigest = otherHash),
  "a quota where there is none": (decision) => {
    decision.quota = create(QuotaSchema, { limit: 9n });
  },
  "a wider window": (_, obligations) => void (obligations.window += 1),
  "more messages": (_, obligations) => void (obligations.messagesMax += 7n),
  "more bytes": (_, obligations) => void (obligations.bytesMax += 7n),
  "another durability": (_, obligations) => void (obligations.durability = Durability.LEDGER),
  "a mask that nobody has granted": (_, obligations) => {
    obligations.maskPaths = ["name"];
    obligations.maskDigest = sha256(utf8("name"));
  },
  "other metadata": (_, obligations) => void (obligations.metadataAllowed = ["x-other"]),
};

const decisions: readonly Row[] = [
  ...Object.entries(changes).map(
    ([name, change]): Row => [name, "provider", ["DECISION_DIFFERS"], deciding(change)],
  ),
  [
    "a decision before its token was issued",
    "provider",
    ["DECISION_TIME_IMPLAUSIBLE"],
    async (audit) => {
      const nowS = Math.floor(audit.ledger.nowMs / 1000);
      await read(audit, audit.call({ claims: { iat: nowS + 30, exp: nowS + 60 } }));
    },
  ],
  [
    "a decision long after its token has expired",
    "provider",
    ["DECISION_TIME_IMPLAUSIBLE"],
    async (audit) => {
      const nowS = Math.floor(audit.ledger.nowMs / 1000);
      await read(audit, audit.call({ claims: { iat: nowS - 300, exp: nowS - 240 } }));
    },
  ],
  [
    "a closing for a re-check of another decision than the one that opened",
    "provider",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const write = audit.call({ method: writeMethod });
      const opened = audit.opened(write);
      await audit.seal(audit.provider, [opened]);
      await audit.revoke();
      const { until } = audit.ledger.state.grants.get(write.decision.grantJti)?.standing ?? {};
      assert.ok(until !== undefined);
      const fact = create(FactSchema, { name: { case: "address", value: until } });
      const reason = "GRANT_REVOKED";
      const recheck = { reason, seenSize: audit.ledger.size, fact } as const;
      const decision = { ...write.decision, serviceVersion: 9n };
      const refusal = await audit.seal(audit.provider, [
        audit.closed(write, opened, { outcome: "revoked", reason, recheck, decision }),
      ]);
      await audit.seal(audit.consumer, [audit.consumerClosed(write, "refused", { refusal })]);
    },
  ],
];

/** A receipt over what was suspended below what its batch has seen. */
function suspended(what: "agency" | "gateway" | "service", of: Side): Row[3] {
  return async (audit) => {
    const { network } = audit;
    const agency = network[of];
    const call = audit.call();
    const city = network.cities.find(({ id }) => agency.id.startsWith(`${id}/`));
    assert.ok(city !== undefined);
    const body = { what, reason: "under-inquiry" };
    const suspension =
      what === "agency"
        ? sayCity(network, "suspension", city, { sub: agency.id, body })
        : sayOfAgency(network, "suspension", agency, {
            sub: what === "service" ? divisions(network) : agency.gateway.id,
            body,
          });
    await audit.govern(audit.provider, [suspension]);
    await read(audit, call);
  };
}

const standing: readonly Row[] = (
  [
    ["the consumer's agency", "agency", "consumer"],
    ["the provider's agency", "agency", "provider"],
    ["the consumer's gateway", "gateway", "consumer"],
    ["the provider's gateway", "gateway", "provider"],
    ["the service", "service", "provider"],
  ] as const
).map(([name, what, of]) => [
  `a release with ${name} suspended below its seen size`,
  "provider",
  ["FOUNDATION_TAKEN"],
  suspended(what, of),
]);

const times: readonly Row[] = [
  [
    "an acknowledgement that was sealed after it was final",
    "consumer",
    ["TIME_IMPLAUSIBLE"],
    async (audit) => {
      const call = audit.call();
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      const sealedAtMs = audit.ledger.nowMs + 60_000;
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)], { sealedAtMs });
    },
  ],
  [
    "an acknowledgement that was sealed before what it has seen",
    "consumer",
    ["TIME_IMPLAUSIBLE"],
    async (audit) => {
      audit.ledger.nowMs += 120_000;
      const call = audit.call();
      const receipt = await audit.seal(audit.provider, [audit.receipt(call)]);
      const sealedAtMs = audit.ledger.nowMs - 10_000;
      const firstAtMs = sealedAtMs;
      const times = { sealedAtMs, firstAtMs };
      await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)], times);
    },
  ],
  [
    "an Opened on a checkpoint past the service's limit",
    "provider",
    ["STALE_SEAL"],
    async (audit) => {
      const seenSize = audit.ledger.size;
      await audit.seal(audit.consumer, [statusRecord()]);
      audit.ledger.nowMs += 700_000;
      const write = audit.call({ method: writeMethod, decidedSize: seenSize });
      const opened = audit.opened(write);
      await audit.seal(audit.provider, [opened], { seenSize });
      const closed = await audit.seal(audit.provider, [audit.closed(write, opened)]);
      await audit.seal(audit.consumer, [
        audit.consumerClosed(write, "refused", { refusal: closed }),
      ]);
    },
  ],
];

const segments: readonly Row[] = [
  [
    "a closing for a restart by the process that has begun",
    "provider",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.close({ outcome: "gateway-restarted" });
      await stream.end();
    },
  ],
  [
    "a closing for something else by the process after it",
    "provider",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      const prevRecord = stream.newest;
      const closed = audit.closed(stream.call, new Uint8Array(), { prevRecord });
      await audit.seal(audit.provider, [closed], { boot: otherBoot });
      await stream.end();
    },
  ],
  [
    "what was acknowledged and is forgotten by the same process",
    "consumer",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.close();
      await stream.end("unknown-after-restart");
    },
  ],
  [
    "an acknowledgement by a process that has not taken in what came before",
    "consumer",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer();
      await stream.acknowledge();
      await stream.answer({ final: true });
      await stream.acknowledge({ seal: { boot: otherBoot } });
    },
  ],
  [
    "a final segment that the consumer says goes on",
    "consumer",
    ["CLOSINGS_CONTRADICT", "PREVIOUS_MISSING"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer({ final: true });
      await stream.acknowledge({ change: notFinal });
      await stream.end("no-answer", { prevRecord: otherHash });
    },
  ],
  [
    "messages that no frames are",
    "consumer",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const stream = new TestStream(audit);
      await stream.answer({ final: true });
      await stream.acknowledge({ change: progressed((p) => void (p.messages += 1n)) });
    },
  ],
];

function notFinal({ body }: LedgerRecord): void {
  if (body.case === "acknowledgement") body.value.final = false;
}

/** Whom a finding names: the gateways of which one lied. */
function namedBy({ blame, gateway }: Finding): readonly (string | undefined)[] {
  if (blame === undefined) return [gateway];
  return blame.kind === "convicted" ? [blame.gateway] : blame.gateways;
}

/** The consumer says since when it misses a record that it was shown. */
async function miss(audit: AuditLedger, shown: TestRecord, sinceMs: number): Promise<void> {
  const { batch, position, bytes } = shown;
  const value = {
    leaf: batch.leaf,
    record: bytes,
    position,
    path: [...(batch.paths[position] ?? [])],
    since: BigInt(sinceMs),
  };
  const record = create(RecordSchema, { body: { case: "receiptMissing", value } });
  await audit.seal(audit.consumer, [encodeRecord(record)]);
}

const missing: readonly Row[] = [
  [
    "a receipt that was final long before it is said to be missing",
    "consumer",
    ["RECORD_IMPLAUSIBLE"],
    async (audit) => {
      const { receipt } = await audit.read();
      audit.ledger.nowMs += 120_000;
      await miss(audit, receipt, audit.ledger.nowMs - 1000);
    },
  ],
];

const groups = { missing, closings, tokens, names, decisions, standing, times, segments };

for (const [group, rows] of Object.entries(groups)) {
  describe(`of ${group}, a lie is laid at its liar alone`, () => {
    for (const [name, liar, codes, lie] of rows) {
      test(`${name}: ${liar}, ${codes.join(" and ")}`, async () => {
        const audit = base.fork();
        await lie(audit);
        const { findings } = await audit.replay();
        const found = findings.map((finding) => [finding.code, ...namedBy(finding)]);
        assert.deepEqual(
          found,
          codes.map((code) => [code, audit[liar].id]),
        );
      });
    }
  });
}

test("a refusal without a record and a receipt of the same call: one of both lied, and what the caller got tells", async () => {
  const audit = base.fork();
  const call = audit.call();
  await audit.seal(audit.provider, [audit.receipt(call)]);
  await audit.seal(audit.consumer, [audit.consumerClosed(call, "refused")]);
  const { findings } = await audit.replay();
  const gateways = [audit.consumer.id, audit.provider.id];
  assert.deepEqual(
    findings.map(({ code, blame }) => [code, blame]),
    [["CLOSINGS_CONTRADICT", { kind: "either", gateways, settledBy: "ANSWER_KEPT" }]],
  );
});

test("a chain that goes on in a new epoch may have lost acknowledgements: nobody is convicted for the window", async () => {
  const audit = base.fork();
  const stream = new TestStream(audit);
  for (let i = 1; i <= 6; i++) await stream.answer();
  await stream.close();
  await newEpoch(audit);
  await audit.seal(audit.consumer, [audit.consumerClosed(stream.call, "unknown-after-restart")]);
  assert.deepEqual((await audit.replay()).findings, []);
});

test("a receipt that is late and then stands is no lie of whoever has missed it", async () => {
  const audit = base.fork();
  const call = audit.call();
  const aside = audit.fork();
  const receipt = await aside.seal(aside.provider, [aside.receipt(call)]);
  const missedMs = audit.ledger.nowMs + 61_000;
  audit.ledger.nowMs = missedMs + 1000;
  await miss(audit, receipt, missedMs);
  await audit.ledger.offer(receipt.batch);
  const { leaf, records } = receipt.batch;
  audit.entries.push({ kind: "batch", leaf, records });
  audit.final();
  await audit.seal(audit.consumer, [audit.acknowledgement(call, receipt)]);
  const { findings } = await audit.replay();
  assert.deepEqual(
    findings.map((finding) => [finding.code, ...namedBy(finding)]),
    [["LATE", audit.provider.id]],
  );
});

/** The consumer's gateway has other keys from here on. */
async function renewKeys(audit: AuditLedger): Promise<void> {
  const { network, consumer } = audit;
  const token = network.signer(`${consumer.id} other token`);
  const tls = [toHex(sha256(utf8(`${consumer.id} other tls`)))];
  const body = { ...consumer.body, token: formatKey(token.publicKey), tls };
  const said = sayGateway(network, network.consumer, { ...consumer, token, body });
  const { index } = await audit.govern(consumer, [said]);
  assert.equal(audit.ledger.state.gateways.get(consumer.id)?.at(-1)?.standing.since, index);
}

test("a call that was verified before its consumer had other keys, and decided after, is nobody's lie", async () => {
  const audit = base.fork();
  const { call, name, statement } = audit.call();
  const refused = audit.call({ purpose: "statistics" });
  await renewKeys(audit);
  const { decision, obligations, outcome } = audit.call();
  await read(audit, { call, name, statement, decision, obligations, outcome });
  const refusal = await audit.seal(audit.provider, [audit.refusal(refused)]);
  await audit.seal(audit.consumer, [audit.consumerClosed(refused, "refused", { refusal })]);
  assert.deepEqual((await audit.replay()).findings, []);
});

test("a call under keys that its consumer had given up when it was made is its provider's invention", async () => {
  const audit = base.fork();
  await renewKeys(audit);
  audit.ledger.nowMs += 60_000;
  const call = audit.call();
  await audit.seal(audit.provider, [audit.receipt(call)]);
  await audit.seal(audit.consumer, [audit.consumerClosed(call, "disputed")]);
  const { findings } = await audit.replay();
  assert.deepEqual(
    findings.map((finding) => [finding.code, ...namedBy(finding)]),
    [
      ["TOKEN_INVALID", audit.provider.id],
      ["PEER_KEY_UNKNOWN", audit.provider.id],
    ],
  );
});

test("a restart that both sides say is no finding", async () => {
  const audit = base.fork();
  const stream = new TestStream(audit);
  await stream.answer();
  await stream.acknowledge();
  const closed = audit.closed(stream.call, new Uint8Array(), {
    prevRecord: stream.newest,
    outcome: "gateway-restarted",
  });
  await audit.seal(audit.provider, [closed], { boot: otherBoot });
  await stream.end("unknown-after-restart", {}, { boot: otherBoot });
  assert.deepEqual((await audit.replay()).findings, []);
});
