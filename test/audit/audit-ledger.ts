/** A ledger of tests with everything that an auditor reads: frozen notes, blobs, calls and both sides' records. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { createUuidV7 } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { encodeExport, type ExportEntry } from "../../src/audit/export-file.ts";
import { type ReplayOptions, type ReplayResult, replayLedger } from "../../src/audit/replay.ts";
import {
  type CallTokenClaims,
  callTokenDigest,
  createCallToken,
} from "../../src/credential/call-token.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { file_causeway_demo_v1_division } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import {
  type CallStatement,
  CallStatementSchema,
  type Decision,
  type Obligations,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  type AttemptName,
  encodeAcknowledgement,
  encodeConsumerClosed,
} from "../../src/exchange/consumer-records.ts";
import {
  createBegin,
  encodeOpened,
  encodeProviderClosed,
  encodeProviderRefusal,
  encodeReceipt,
  type VerifiedCall,
} from "../../src/exchange/provider-records.ts";
import { formatNote } from "../../src/note/note.ts";
import { addSignatures, cosignCheckpoint, signCheckpoint } from "../../src/note/sign.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { decide, type DecisionOutcome } from "../../src/policy/decide.ts";
import type { EarlyTaking } from "../../src/policy/grant-check.ts";
import type { PolicyEngine } from "../../src/policy/ports.ts";
import { standardPolicyText, standardSchema } from "../../src/policy/standard.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { callPaths, encodeCallStatement } from "../../src/record/call-tree.ts";
import {
  type LedgerRecord,
  encodeRecord,
  openRecord,
  recordHash,
} from "../../src/record/record.ts";
import type { FactAddress } from "../../src/registry/state.ts";
import { type BatchChange, statusRecord, TestLedger } from "../support/ledger.ts";
import {
  createTestNetwork,
  type SignedStatement,
  type TestGateway,
  type TestNetwork,
  type TestNetworkOptions,
} from "../support/network.ts";
import {
  divisions,
  sayGrant,
  sayPolicy,
  sayRequest,
  sayRevocation,
  sayService,
} from "../support/statements.ts";
import { streamDescriptors, streamMethods } from "../support/stream-service.ts";
import { wholeAnswer, wholeSegment } from "../support/answers.ts";

export const readMethod = "/causeway.demo.v1.DivisionService/GetDivision";
export const writeMethod = "/causeway.demo.v1.DivisionService/ReportCorrection";
export const chatMethod: string = streamMethods.chat;
export const collectMethod: string = streamMethods.collect;
export const engine: PolicyEngine = createCedarEngine();

const descriptorSet: Uint8Array = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, {
    file: [
      file_causeway_demo_v1_division.proto,
      ...fromBinary(FileDescriptorSetSchema, streamDescriptors()).file,
    ],
  }),
);
const methods = [
  { path: readMethod, writes: false, client_streaming: false, server_streaming: false },
  { path: writeMethod, writes: true, client_streaming: false, server_streaming: false },
  { path: chatMethod, writes: false, client_streaming: true, server_streaming: true },
  { path: collectMethod, writes: true, client_streaming: true, server_streaming: false },
];
const policyText = utf8(standardPolicyText);
const schemaText = utf8(standardSchema([]));
const blobs = new Map([descriptorSet, policyText, schemaText].map((b) => [toHex(sha256(b)), b]));

/** Everything about one attempt before anybody recorded it. */
export interface TestCall {
  readonly statement: CallStatement;
  readonly call: VerifiedCall;
  readonly name: AttemptName;
  readonly outcome: DecisionOutcome;
  readonly decision: Decision;
  readonly obligations: Obligations | undefined;
}

export interface CallChange {
  readonly method?: string;
  /** The messages of the request come one by one. */
  readonly open?: boolean;
  readonly purpose?: string;
  readonly attempt?: number;
  readonly xid?: Uint8Array;
  readonly early?: readonly EarlyTaking[];
  readonly claims?: Partial<CallTokenClaims>;
  readonly tokenSigner?: Signer;
  readonly decidedSize?: bigint;
  readonly evaluatedAtS?: number;
}

/** A sealed record with its names. */
export interface TestRecord {
  readonly bytes: Uint8Array;
  readonly batch: CreatedBatch;
  readonly index: bigint;
  readonly position: number;
}

const answerHeaders = utf8("");
const answerMessages = [utf8("answer")];
let drawn = 0;

export class AuditLedger {
  readonly ledger: TestLedger;
  readonly entries: ExportEntry[];
  /** Who cosigns, each with the witness key in force. */
  cosigners: readonly { readonly id: string; readonly witness: Signer }[];
  /** Who signs heads. */
  term: { readonly number: number; readonly log: Signer };
  grant!: FactAddress;
  grantSaid!: SignedStatement<"grant">;

  private constructor(ledger: TestLedger, entries: ExportEntry[]) {
    this.ledger = ledger;
    this.entries = entries;
    this.cosigners = ledger.network.cities;
    this.term = { number: 0, log: ledger.network.log };
  }

  /** Founded, with a service, its policy, a request and a grant; everything final. */
  static async create(seed = "audit", options: TestNetworkOptions = {}): Promise<AuditLedger> {
    const network = createTestNetwork({ seed, ...options });
    const ledger = await TestLedger.founded(network);
    const audit = new AuditLedger(ledger, [{ kind: "header", network: network.id }]);
    audit.#enter(ledger.batches[0] as CreatedBatch);
    audit.final();
    const service = sayService(network, {
      body: {
        descriptor: toHex(sha256(descriptorSet)),
        descriptor_bytes: descriptorSet.length,
        methods,
      },
    });
    const policy = sayPolicy(network, {
      body: {
        policy: toHex(sha256(policyText)),
        policy_bytes: policyText.length,
        schema: toHex(sha256(schemaText)),
        schema_bytes: schemaText.length,
      },
    });
    await audit.govern(network.provider.gateway, [service], [descriptorSet]);
    await audit.govern(network.provider.gateway, [policy], [policyText, schemaText]);
    const details = [
      {
        type: "causeway-service" as const,
        service: divisions(network),
        methods: methods.map(({ path }) => path),
        purposes: ["address-check"],
        legal_basis: "GB/T-2260",
      },
    ];
    const request = sayRequest(network, { body: { authorization_details: details } });
    await audit.govern(network.consumer.gateway, [request]);
    audit.grantSaid = sayGrant(network, request);
    const granted = await audit.govern(network.provider.gateway, [audit.grantSaid]);
    audit.grant = { index: granted.index, position: 0 };
    return audit;
  }

  fork(): AuditLedger {
    const other = new AuditLedger(this.ledger.fork(), [...this.entries]);
    other.cosigners = this.cosigners;
    other.term = this.term;
    other.grant = this.grant;
    other.grantSaid = this.grantSaid;
    return other;
  }

  get network(): TestNetwork {
    return this.ledger.network;
  }
  get provider(): TestGateway {
    return this.network.provider.gateway;
  }
  get serviceId(): string {
    return divisions(this.network);
  }
  get consumer(): TestGateway {
    return this.network.consumer.gateway;
  }

  /** The frozen note of the whole ledger; `root` is another one in a lie. */
  note(
    change: {
      readonly root?: Uint8Array;
      readonly timeMs?: number;
      readonly size?: bigint;
      readonly witnesses?: readonly Signer[];
      readonly term?: AuditLedger["term"];
      readonly cosigners?: AuditLedger["cosigners"];
    } = {},
  ): Uint8Array {
    const { network } = this;
    const at = change.size ?? this.ledger.size;
    const root = change.root ?? (this.ledger.rootAt(at) as Uint8Array);
    const term = change.term ?? this.term;
    const origin = `causeway/${network.idHex}/${term.number}`;
    const checkpoint = { origin, size: at, root, extensions: [] };
    const signers = change.witnesses ?? [];
    const cosignatures = (change.cosigners ?? this.cosigners).map((city, i) =>
      cosignCheckpoint({
        checkpoint,
        name: `causeway/${network.idHex}/${city.id}`,
        signer: signers[i] ?? city.witness,
        timeMs: change.timeMs ?? this.ledger.nowMs,
      }),
    );
    return formatNote(addSignatures(signCheckpoint(checkpoint, term.log), cosignatures));
  }

  /** Makes everything final a second later. */
  final(change: Parameters<AuditLedger["note"]>[0] = {}): void {
    this.ledger.nowMs += 1000;
    const { digest } = this.ledger.state;
    this.entries.push({ kind: "note", note: this.note(change), digest });
  }

  #enter({ leaf, records }: CreatedBatch): void {
    this.entries.push({ kind: "batch", leaf, records });
  }

  async govern(
    gateway: TestGateway,
    records: readonly (Uint8Array | SignedStatement)[],
    content: readonly Uint8Array[] = [],
    change: BatchChange = {},
  ): Promise<{ readonly index: bigint; readonly batch: CreatedBatch }> {
    for (const blob of content) this.entries.push({ kind: "blob", content: blob });
    const { index, batch } = await this.ledger.append(gateway, records, change);
    this.#enter(batch);
    this.final();
    return { index, batch };
  }

  /** Seals records of evidence in one batch; `hold` leaves it without a checkpoint. */
  async seal(
    gateway: TestGateway,
    records: readonly Uint8Array[],
    change: BatchChange & { readonly hold?: boolean } = {},
  ): Promise<TestRecord> {
    const { hold = false, ...fields } = change;
    const { index, batch } = await this.ledger.appendEvidence(gateway, records, fields);
    this.#enter(batch);
    if (!hold) this.final();
    return { bytes: records[0] as Uint8Array, batch, index, position: 0 };
  }

  async revoke(): Promise<void> {
    await this.govern(this.provider, [sayRevocation(this.network, this.grantSaid)]);
  }

  call(change: CallChange = {}): TestCall {
    const { network, ledger } = this;
    const nowS = Math.floor(ledger.nowMs / 1000);
    const random = sha256(utf8(`xid ${drawn++}`));
    const statement = create(CallStatementSchema, {
      xid: change.xid ?? createUuidV7(nowS * 1000, random),
      attempt: change.attempt ?? 1,
      service: divisions(network),
      method: change.method ?? readMethod,
      grant: this.grant,
      purpose: change.purpose ?? "address-check",
      ...(change.open === true ? { open: true } : { request: sha256(random) }),
    });
    const bytes = encodeCallStatement(statement);
    const { root, paths } = callPaths([bytes, encodeCallStatement({ ...statement, attempt: 9 })]);
    const claims: CallTokenClaims = {
      iss: this.consumer.id,
      aud: this.provider.id,
      net: network.idHex,
      jti: random.slice(0, 16),
      nonce: this.provider.boot,
      iat: nowS,
      exp: nowS + 60,
      root,
      n: 2,
      ...change.claims,
    };
    const token = createCallToken(claims, change.tokenSigner ?? this.consumer.token);
    const outcome = decide(
      {
        view: ledger.view(change.decidedSize ?? ledger.size),
        attempt: {
          consumerGateway: this.consumer.id,
          service: statement.service,
          method: statement.method,
          purpose: statement.purpose,
          grant: this.grant,
          evaluatedAtS: change.evaluatedAtS ?? nowS,
        },
        earlyTakings: change.early ?? [],
        blob: (digest) => blobs.get(toHex(digest)),
      },
      [],
      engine,
    );
    return {
      statement,
      call: { token, statement: bytes, index: 0, path: paths[0] as readonly Uint8Array[] },
      name: {
        xid: statement.xid,
        attempt: statement.attempt,
        tokenDigest: callTokenDigest(token),
        index: 0,
      },
      outcome,
      decision: outcome.decision as Decision,
      obligations: outcome.obligations,
    };
  }

  begin(call: TestCall): ReturnType<typeof createBegin> {
    const { obligations, decision } = call;
    if (obligations === undefined) throw new TypeError("the call was not permitted");
    return createBegin({
      call: call.call,
      decision,
      obligations,
      peerTlsKey: Buffer.from(this.consumer.body.tls[0] as string, "hex"),
    });
  }

  opened(call: TestCall): Uint8Array {
    return encodeOpened(this.begin(call));
  }

  /** A final receipt; it follows `opened` when that is given. */
  receipt(call: TestCall, opened?: Uint8Array): Uint8Array {
    return encodeReceipt({
      begin: opened === undefined ? this.begin(call) : undefined,
      prevRecord: opened === undefined ? undefined : recordHash(opened),
      request: { commitment: call.statement.request, frames: 2 },
      segment: wholeSegment({
        headers: answerHeaders,
        messages: answerMessages,
        status: utf8("s"),
        grpcCode: 0,
      }),
      connector: "grpc",
      upstreamMs: 3,
      seed: sha256(call.statement.xid),
    }).record;
  }

  /** A receipt that was sealed on a checkpoint past its service's limit. */
  async staleReceipt(): Promise<{ readonly call: TestCall; readonly receipt: TestRecord }> {
    const seenSize = this.ledger.size;
    await this.seal(this.consumer, [statusRecord()]);
    this.ledger.nowMs += 700_000;
    const call = this.call({ decidedSize: seenSize });
    const receipt = await this.seal(this.provider, [this.receipt(call)], { seenSize });
    return { call, receipt };
  }

  acknowledgement(call: TestCall, receipt: TestRecord): Uint8Array {
    const { body } = openRecord(receipt.batch.records[receipt.position] as Uint8Array);
    if (body.case !== "receipt") throw new TypeError("not a receipt");
    return encodeAcknowledgement({
      name: call.name,
      receipt: { leafHash: receipt.batch.leafHash, position: receipt.position },
      receiptRecord: recordHash(receipt.batch.records[receipt.position] as Uint8Array),
      request: { commitment: call.statement.request, frames: 2 },
      responseCommitment: body.value.progress?.response as Uint8Array,
      received: wholeAnswer({ headers: answerHeaders, messages: answerMessages }, undefined),
      messages: answerMessages,
      result: "match",
      final: true,
      callerSystem: "registry",
      localRule: "default",
    });
  }

  refusal(
    call: TestCall,
    change: Partial<Parameters<typeof encodeProviderRefusal>[0]> = {},
  ): Uint8Array {
    return encodeProviderRefusal({
      stage: call.outcome.stage,
      reason: call.outcome.reason ?? "POLICY_DENIED",
      peer: { gateway: this.consumer.id, tlsKey: sha256(utf8("tls")) },
      call: call.call,
      callCommitment: undefined,
      method: call.statement.method,
      methodCommitment: undefined,
      decision: call.decision,
      recheck: undefined,
      upstreamCalled: false,
      ...change,
    });
  }

  closed(
    call: TestCall,
    opened: Uint8Array,
    change: Partial<Parameters<typeof encodeProviderClosed>[0]> = {},
  ): Uint8Array {
    return encodeProviderClosed({
      xid: call.statement.xid,
      attempt: call.statement.attempt,
      prevRecord: recordHash(opened),
      frames: 0,
      outcome: "upstream-error",
      decision: undefined,
      recheck: undefined,
      upstreamCalled: true,
      reason: "UPSTREAM_UNAVAILABLE",
      status: utf8("status"),
      seed: sha256(call.statement.xid),
      ...change,
    });
  }

  consumerClosed(
    call: TestCall,
    outcome: Parameters<typeof encodeConsumerClosed>[0]["outcome"],
    change: {
      readonly refusal?: TestRecord;
      readonly nextAttempt?: number;
      readonly reason?: ReasonCode;
      readonly prevRecord?: Uint8Array | undefined;
      readonly frames?: number;
    } = {},
  ): Uint8Array {
    const { refusal } = change;
    return encodeConsumerClosed({
      name: call.name,
      outcome,
      refusal:
        refusal === undefined
          ? undefined
          : { leafHash: refusal.batch.leafHash, position: refusal.position },
      reason: change.reason,
      source: "gateway",
      status: undefined,
      nextAttempt: change.nextAttempt ?? 0,
      prevRecord: change.prevRecord,
      frames: change.frames,
    });
  }

  /** A read from call to acknowledgement. */
  async read(
    change: CallChange = {},
  ): Promise<{ call: TestCall; receipt: TestRecord; acknowledgement: TestRecord }> {
    const call = this.call(change);
    const receipt = await this.seal(this.provider, [this.receipt(call)]);
    const acknowledgement = await this.seal(this.consumer, [this.acknowledgement(call, receipt)]);
    return { call, receipt, acknowledgement };
  }

  async bytes(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of encodeExport(this.entries)) parts.push(part);
    return Buffer.concat(parts);
  }

  async replay(change: Partial<ReplayOptions> = {}): Promise<ReplayResult> {
    const { network, entries } = this;
    return replayLedger(iterate(entries), {
      networkId: network.id,
      verifier: network.verifier,
      depth: "full",
      engine,
      ...change,
    });
  }
}

export async function* iterate<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** A record with something changed in it. */
export function altered(bytes: Uint8Array, change: (record: LedgerRecord) => void): Uint8Array {
  const record = openRecord(bytes.slice());
  change(record);
  return encodeRecord(record);
}
