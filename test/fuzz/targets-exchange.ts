/** What comes over the link and the gRPC listeners: frames, metadata, trailers, messages. */
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Metadata as GrpcMetadata, type ServiceError, status as grpcStatus } from "@grpc/grpc-js";
import { concatBytes, equalBytes, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { linkBatchFramesMax } from "../../src/base/limits.ts";
import { isReasonCode, type ReasonCode } from "../../src/base/reasons.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import { encodeMessage } from "../../src/base/wire-writer.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { readCallMetadata, withoutReserved } from "../../src/exchange/call-metadata.ts";
import {
  acknowledgementFrame,
  answerFrame,
  callFrame,
  cancelFrame,
  failedFrame,
  nonceStaleFrame,
  refusedFrame,
} from "../../src/exchange/frames.ts";
import { LeafCache } from "../../src/exchange/leaf-cache.ts";
import { formatOpenAttempt, parseOpenAttempt } from "../../src/exchange/open-attempts.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { checkProof, checkSeen } from "../../src/exchange/proof-check.ts";
import { checkReceipt, responseSalt } from "../../src/exchange/receipt-check.ts";
import { checkSentValues, readCallStatement } from "../../src/exchange/received-call.ts";
import {
  readOpened,
  readRefusal,
  recordedReason,
  statedReason,
} from "../../src/exchange/received-proof.ts";
import { statusOf } from "../../src/exchange/status.ts";
import {
  decodeStreamFrame,
  encodeStreamFrame,
} from "../../src/exchange/transport/exchange-stream-codec.ts";
import { frameMessage, MessageReader } from "../../src/exchange/transport/framing.ts";
import { fromServiceError } from "../../src/exchange/transport/grpc-errors.ts";
import { decodeBatch, encodeBatch, encodeFrame } from "../../src/exchange/transport/link-codec.ts";
import {
  decodeBinary,
  encodeBinary,
  fieldsFromMetadata,
  metadataFromFields,
} from "../../src/exchange/transport/metadata.ts";
import { percentDecode, percentEncode } from "../../src/exchange/transport/percent.ts";
import { parseTimeout } from "../../src/exchange/transport/timeout.ts";
import { hasStatus, statusFromTrailers } from "../../src/exchange/transport/trailers.ts";
import {
  type Metadata,
  MetadataSchema,
  StatusFrameSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  AnswerFrameSchema,
  CallFrameSchema,
  FrameSchema,
  type Proof,
  ProofSchema,
  RefusedFrameSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import {
  type CallStatement,
  CallStatementSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import { callPaths, encodeCallStatement } from "../../src/record/call-tree.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { proveRecord } from "../../src/record/proof.ts";
import { openRecord } from "../../src/record/record.ts";
import { linkEnd } from "../support/link-end.ts";
import { wholeAnswer, wholeSegment } from "../support/answers.ts";
import { metadata } from "../transport/support.ts";
import { audit } from "./samples.ts";
import { type Target, textOf } from "./target.ts";

const messageBytesMax = 64 * 1024;
const { ledger, network } = audit;

/** As much of a replica as the checks of what a peer sends ask for: everything is final. */
const replica: Replica = {
  state: () => ledger.state,
  view: () => ledger.view(),
  final: () => ({
    size: ledger.size,
    root: ledger.rootAt(ledger.size) as Uint8Array,
    timeMs: ledger.nowMs,
    note: new Uint8Array(0),
  }),
  rootAt: ledger.rootAt,
  batch: () => undefined,
  indexOfLeaf: () => undefined,
  inclusionProof: () => [],
  frozenNote: () => undefined,
  blob: () => undefined,
  voidReason: () => undefined,
  onFinal: () => () => undefined,
  onIncluded: () => () => undefined,
};

const proofs: readonly Proof[] = ledger.batches.flatMap((batch) =>
  batch.records.map((_, at) => {
    const { record, position, path, leaf } = proveRecord(batch, at);
    return create(ProofSchema, { record, position, path: [...path], leaf });
  }),
);
const receiptProof = proofs.find(({ record }) => openRecord(record).body.case === "receipt");
if (receiptProof === undefined) throw new Error("the ledger has a receipt");
const openedProof = proofs.find(({ record }) => openRecord(record).body.case === "opened");
if (openedProof === undefined) throw new Error("the ledger has an opened record");

/** Refusal and closing of the provider, each with the call that it is of. */
const denials = proofs.flatMap((proof) => {
  const { body } = openRecord(proof.record);
  const begun = openRecord(openedProof.record).body;
  const refused = body.case === "refusal" ? body.value.call : undefined;
  const opened = begun.case === "opened" ? begun.value.begin?.call : undefined;
  const isClosing =
    body.case === "closed" && recordedReason(openRecord(proof.record)) !== undefined;
  const call = refused ?? (isClosing ? opened : undefined);
  const isProviders = openLeaf(proof.leaf).header.gateway === audit.provider.id;
  return call === undefined || !isProviders ? [] : [{ proof, call }];
});
if (denials.length < 2) throw new Error("the ledger has a refusal and a closing");

const headers = toBinary(
  MetadataSchema,
  metadata([
    ["causeway-purpose", "address-check"],
    ["causeway-case-bin", Uint8Array.of(1, 2, 3)],
    ["x-trace", "ab"],
  ]),
);
const message = utf8("request");
const salt = new Uint8Array(32).fill(5);
const openings = [
  { label: "request", salt, value: new Uint8Array(0) },
  { label: "case", salt, value: Uint8Array.of(1, 2, 3) },
];
const statement: CallStatement = create(CallStatementSchema, {
  xid: audit.call().statement.xid,
  attempt: 1,
  service: "hangzhou/civil-affairs/divisions",
  method: "/causeway.demo.v1.DivisionService/GetDivision",
  grant: audit.grant,
  purpose: "address-check",
  request: commit({ label: "request", salt, value: transcriptOf(headers, [message]) }),
  case: commit({ label: "case", salt, value: Uint8Array.of(1, 2, 3) }),
});
const encodedStatement = encodeCallStatement(statement);
const { root, paths } = callPaths([encodedStatement, encodedStatement]);
const call = callFrame({
  call: {
    token: audit.call().call.token,
    statement: encodedStatement,
    index: 0,
    path: paths[0] as readonly Uint8Array[],
  },
  headers,
  message,
  timeoutMs: 1000,
  openings,
});
const refusal = statusOf("GRANT_MISSING");
const status = toBinary(StatusFrameSchema, refusal);
const answer = answerFrame(
  wholeSegment({ headers, messages: [message], status, grpcCode: 0 }),
  { record: receiptProof.record, responseSalt: salt, statusSalt: salt } as never,
  receiptProof,
  openedProof,
);
const bodies: readonly FrameBody[] = [
  call,
  answer,
  refusedFrame(status, receiptProof, undefined),
  acknowledgementFrame(receiptProof),
  nonceStaleFrame(new Uint8Array(16)),
  cancelFrame(),
  failedFrame("BUSY"),
];
const frames = bodies.map((body, i) =>
  encodeFrame(create(FrameSchema, { exchange: BigInt(i), body })),
);
const bodyOf = (frame: FrameBody): Uint8Array =>
  frame.case === "call"
    ? toBinary(CallFrameSchema, frame.value)
    : toBinary(AnswerFrameSchema, frame.value as never);

/** A raw header list from text lines `name: value`, as node:http2 gives it. */
function fields(input: Uint8Array): readonly string[] {
  return Buffer.from(input)
    .toString("latin1")
    .split("\n")
    .flatMap((line) => {
      const at = line.indexOf(":", 1);
      return at === -1 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
    });
}

const rawHeaders = utf8(
  [
    ":path:/causeway.demo.v1.DivisionService/GetDivision",
    "te:trailers",
    "x-trace:ab",
    "causeway-case-bin:AQID,BAU=",
    "authorization:Bearer x",
  ].join("\n"),
);
const rawTrailers = utf8(
  [
    "grpc-status:7",
    "grpc-message:no%20grant%E2%80%94sorry",
    `grpc-status-details-bin:${encodeBinary(refusal.details)}`,
    "x-after:1",
  ].join("\n"),
);

const ofMetadata: readonly ReasonCode[] = ["METADATA_TOO_LARGE", "PROTOCOL_ERROR"];

/** What the reader makes of bytes that come in pieces of 7 and then whole. */
/** Takes a chunk and gives what it completes; a long compressed message takes another turn. */
async function framedIn(reader: MessageReader, chunk: Uint8Array): Promise<readonly Uint8Array[]> {
  const messages: Uint8Array[] = [];
  reader.add(chunk);
  while (reader.waiting) messages.push(((await reader.next()) as Uint8Array).slice());
  return messages;
}

async function readFramed(
  input: Uint8Array,
  encoding: string | undefined,
): Promise<readonly Uint8Array[]> {
  const pieces = new MessageReader({ messageBytesMax, encoding });
  const found: Uint8Array[] = [];
  for (let at = 0; at < input.length; at += 7) {
    found.push(...(await framedIn(pieces, input.subarray(at, at + 7))));
  }
  pieces.finish();
  const whole = new MessageReader({ messageBytesMax, encoding });
  const atOnce = await framedIn(whole, input);
  if (atOnce.length !== found.length) throw new Error("the cut of the bytes made a difference");
  return found;
}

function serviceError(details: Uint8Array): ServiceError {
  const held = new GrpcMetadata();
  held.set("grpc-status-details-bin", Buffer.from(details));
  return Object.assign(new Error("failed"), {
    code: grpcStatus.PERMISSION_DENIED,
    details: "failed",
    metadata: held,
  });
}

const framed = concatBytes(frameMessage(utf8("one")), frameMessage(new Uint8Array(300)));
const zipped = gzipSync(utf8("compressed".repeat(40)));
const framedZipped = concatBytes(frameMessage(zipped), frameMessage(zipped)).slice();
framedZipped[0] = 1;
framedZipped[5 + zipped.length] = 1;

export const exchangeTargets: readonly Target[] = [
  {
    name: "a message of any service, such as a frame",
    covers: ["src/base/wire-reader.ts decodeMessage"],
    samples: frames,
    read: (input) => {
      const decoded = encodeMessage(FrameSchema, decodeMessage(FrameSchema, input));
      const again = encodeMessage(FrameSchema, decodeMessage(FrameSchema, decoded));
      if (!equalBytes(decoded, again)) throw new Error("what is read is not what is written");
      return decoded;
    },
    reasons: ["MALFORMED"],
  },
  {
    name: "a message of the link",
    covers: ["src/exchange/transport/link-codec.ts decodeBatch"],
    samples: [encodeBatch(frames), ...frames.map((frame) => encodeBatch([frame]))],
    read: (input) => {
      const decoded = decodeBatch(input);
      if (decoded.length > linkBatchFramesMax) throw new Error("more frames than the limit");
      return decoded.length;
    },
    reasons: ["MALFORMED", "TOO_LARGE"],
  },
  {
    name: "a message of a stream",
    covers: ["src/exchange/transport/exchange-stream-codec.ts decodeStreamFrame"],
    samples: bodies.map((body) => concatBytes(...encodeStreamFrame(body)).subarray(5)),
    read: (input) => {
      // A frame is for one of the two ends, at the most.
      const [consumer, provider] = (["consumer", "provider"] as const).map((role) => {
        try {
          return decodeStreamFrame(input, role);
        } catch (error) {
          if (!(error instanceof CausewayError)) throw error;
          return error;
        }
      });
      if (consumer instanceof CausewayError && provider instanceof CausewayError) throw consumer;
      return (consumer instanceof CausewayError ? provider : consumer) ?? null;
    },
    reasons: ["PROTOCOL_ERROR"],
  },
  {
    name: "the proof in a frame",
    covers: [
      "src/exchange/proof-check.ts checkProof",
      "src/exchange/proof-check.ts checkSeen",
      "src/exchange/received-proof.ts readOpened",
      "src/exchange/received-proof.ts recordedReason",
    ],
    samples: proofs
      .filter(({ leaf }) => openLeaf(leaf).header.gateway === audit.provider.id)
      .map((proof) => toBinary(ProofSchema, proof)),
    read: (input) => {
      const proof = decodeMessage(ProofSchema, input);
      const leaves = new LeafCache(network.verifier);
      const link = linkEnd(audit.provider.id);
      readOpened(proof, { link, replica, leaves });
      const checked = checkProof(proof, link.peer, replica, leaves);
      if (checked.kind === "invalid") return undefined;
      recordedReason(checked.proof.record);
      return checkSeen(checked.proof.header, replica, link);
    },
    reasons: ["MALFORMED"],
  },
  {
    name: "a refused frame",
    covers: ["src/exchange/received-proof.ts readRefusal"],
    samples: denials.map(({ proof }) =>
      toBinary(
        RefusedFrameSchema,
        create(RefusedFrameSchema, { status, proof, opened: openedProof }),
      ),
    ),
    read: (input) => {
      const frame = decodeMessage(RefusedFrameSchema, input);
      const leaves = new LeafCache(network.verifier);
      const context = { link: linkEnd(audit.provider.id), replica, leaves };
      const gateway = audit.consumer.id;
      return denials
        .map(({ call }) => readRefusal(frame, context, { call, gateway, previous: undefined }))
        .find((refusal) => refusal !== undefined);
    },
    reasons: ["MALFORMED"],
  },
  {
    name: "a call frame",
    covers: [
      "src/exchange/received-call.ts readCallStatement",
      "src/exchange/received-call.ts checkSentValues",
    ],
    samples: [bodyOf(call)],
    read: (input) => {
      const frame = decodeMessage(CallFrameSchema, input);
      const read = readCallStatement(frame, { root, n: 2 });
      return read === undefined ? "not bound" : checkSentValues(frame, read);
    },
    isRefusal: (value) => value === "not bound" || isReasonCode(String(value)),
    reasons: ["MALFORMED"],
  },
  {
    name: "an answer frame beside its receipt",
    covers: ["src/exchange/receipt-check.ts checkReceipt"],
    samples: [bodyOf(answer)],
    read: (input) => {
      const frame = decodeMessage(AnswerFrameSchema, input);
      const batch = ledger.batches.find(({ records }) => records.includes(receiptProof.record));
      const { body } = openRecord(receiptProof.record);
      if (batch === undefined || body.case !== "receipt") throw new Error("not a receipt");
      return checkReceipt({
        answer: frame,
        received: wholeAnswer(frame, responseSalt(frame)),
        receipt: body.value,
        header: batch.header,
        sent: {
          call: audit.call().call,
          oneAnswer: true,
          unary: true,
          requestAt: (frames) => (frames === 2n ? statement.request : undefined),
          grantJti: audit.grantSaid.claims.jti,
          issuedAt: Math.floor(ledger.nowMs / 1000),
          maxStalenessMs: 600_000,
          skewMs: 600_000,
        },
        opened: undefined,
        replica,
        nowMs: ledger.nowMs,
      });
    },
    reasons: ["MALFORMED"],
  },
  {
    name: "the metadata of a caller",
    covers: ["src/exchange/call-metadata.ts readCallMetadata"],
    samples: [headers],
    read: (input) => {
      const given = decodeMessage(MetadataSchema, input);
      withoutReserved(given);
      return readCallMetadata(given);
    },
    reasons: ["MALFORMED", "METADATA_INVALID"],
  },
  {
    name: "a status that a provider sends",
    covers: ["src/exchange/received-proof.ts statedReason"],
    samples: [status],
    read: (input) => statedReason(input),
    reasons: [],
  },
  {
    name: "the error of a service",
    covers: ["src/exchange/transport/grpc-errors.ts fromServiceError"],
    samples: [refusal.details],
    read: (input) => {
      const error = fromServiceError(serviceError(input));
      return isReasonCode(error.code) ? error.code : undefined;
    },
    reasons: [],
  },
  {
    name: "length-prefixed messages",
    covers: ["src/exchange/transport/framing.ts MessageReader"],
    samples: [framed, frameMessage(new Uint8Array(0))],
    read: (input) => readFramed(input, undefined),
    reasons: ["MESSAGE_TOO_LARGE", "COMPRESSION_UNSUPPORTED", "PROTOCOL_ERROR"],
  },
  {
    name: "compressed messages",
    covers: ["src/exchange/transport/framing.ts MessageReader"],
    samples: [framedZipped],
    read: (input) => readFramed(input, "gzip"),
    reasons: ["MESSAGE_TOO_LARGE", "COMPRESSION_UNSUPPORTED", "PROTOCOL_ERROR"],
    oneIn: 2,
  },
  {
    name: "header fields",
    covers: [
      "src/exchange/transport/metadata.ts metadataFromFields",
      "src/exchange/transport/metadata.ts fieldsFromMetadata",
    ],
    samples: [rawHeaders, rawTrailers],
    read: (input) => {
      const given: Metadata = metadataFromFields(fields(input));
      return fieldsFromMetadata(given);
    },
    reasons: ofMetadata,
  },
  {
    name: "trailers",
    covers: ["src/exchange/transport/trailers.ts statusFromTrailers"],
    samples: [rawTrailers],
    read: (input) => {
      const raw = fields(input);
      const code = statusFromTrailers(raw).code;
      if (code > 16) throw new Error("no gRPC status code");
      return hasStatus(raw);
    },
    isRefusal: (value) => value === false,
    reasons: ofMetadata,
  },
  {
    name: "metadata that HTTP/2 has to carry",
    covers: ["src/exchange/transport/metadata.ts fieldsFromMetadata"],
    samples: [headers],
    read: (input) => fieldsFromMetadata(decodeMessage(MetadataSchema, input)),
    reasons: [...ofMetadata, "MALFORMED"],
  },
  {
    name: "a -bin entry",
    covers: ["src/exchange/transport/metadata.ts decodeBinary"],
    samples: ["", "AQID", "AQ==", " AQI= "].map(utf8),
    read: (input) => decodeBinary(Buffer.from(input).toString("latin1")),
    reasons: ["PROTOCOL_ERROR"],
  },
  {
    name: "a grpc-timeout",
    covers: ["src/exchange/transport/timeout.ts parseTimeout"],
    samples: ["1H", "99999999n", "250m", "0S"].map(utf8),
    text: true,
    read: (input) => parseTimeout(textOf(input)),
    reasons: ["PROTOCOL_ERROR"],
  },
  {
    name: "a grpc-message",
    covers: ["src/exchange/transport/percent.ts percentDecode"],
    samples: [utf8(percentEncode(utf8("no grant — sorry 100%")))],
    text: true,
    read: (input) => percentDecode(textOf(input)),
    reasons: [],
  },
  {
    name: "an open attempt in the journal",
    covers: ["src/exchange/open-attempts.ts parseOpenAttempt"],
    samples: [
      formatOpenAttempt({
        xid: statement.xid,
        attempt: 2,
        prevRecord: new Uint8Array(32).fill(1),
      }),
    ],
    read: (input) => parseOpenAttempt(input),
    print: (open: ReturnType<typeof parseOpenAttempt>) => formatOpenAttempt(open),
    own: true,
    reasons: [],
  },
];
