/** What an attacker holds: real keys, hand-made tokens, frames and batches; and what a victim has recorded. */
import { credentials } from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import { certificatePem } from "../../gateway/tls.ts";
import { deferToEndOfTurn, systemRandom, systemScheduler } from "../../gateway/runtime.ts";
import { parseHex, toBase64url, utf8 } from "../../src/base/bytes.ts";
import { agencyOf, createUuidV7 } from "../../src/base/ids.ts";
import { formatJcs } from "../../src/credential/jcs.ts";
import { type CommitmentLabel, commit } from "../../src/crypto/commitments.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { createHello } from "../../src/exchange/hello.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { createGrpcClient, unaryCall } from "../../src/exchange/transport/grpc-client.ts";
import type { Link, LinkTiming } from "../../src/exchange/transport/link.ts";
import { openLink } from "../../src/exchange/transport/link-client.ts";
import type { PeerTls } from "../../src/exchange/transport/tls-options.ts";
import { AdminService, type RecordEntry } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { GetDivisionRequestSchema } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  type CallFrame,
  CallFrameSchema,
  type Frame,
  FrameSchema,
  type Hello,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import {
  type CallStatement,
  CallStatementSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { encodeCallStatement, callPaths } from "../../src/record/call-tree.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";
import type { Member, TwoCities } from "../support/two-cities.ts";

export const timing: LinkTiming = { scheduler: systemScheduler, defer: deferToEndOfTurn };

export function peerTlsOf(own: Member["gateway"], trusted: readonly Uint8Array[]): PeerTls {
  const { certificateDer, privateKeyPem } = own.tls;
  return { certificate: certificatePem(certificateDer), privateKey: privateKeyPem, trusted };
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Longer than a window of the refusal limiter and the tick that closes it: single records again. */
export const limiterWindowMs = 1700;

/** `boot` that a Hello says. */
export function bootOf(hello: Hello): string {
  const payload = hello.token.split(".")[1] ?? "";
  return (JSON.parse(Buffer.from(payload, "base64url").toString()) as { boot: string }).boot;
}

/** A compact JWS of any header and payload. */
export function forgeToken(options: {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims: unknown;
  readonly signer: Signer;
}): string {
  const { signer } = options;
  const header = {
    alg: "Ed25519",
    kid: thumbprint(signer.publicKey),
    typ: "causeway-call+jwt",
    ...options.header,
  };
  const segments = [header, options.claims].map((part) => toBase64url(utf8(formatJcs(part))));
  const input = segments.join(".");
  return `${input}.${toBase64url(signer.sign(utf8(input)))}`;
}

type StatementFields = Partial<
  Omit<CallStatement, "$typeName" | "$unknown" | "grant"> & {
    grant: { readonly index: bigint; readonly position: number };
  }
>;

/** What a call is made of before it is signed; each part can be a lie. */
export interface CallParts {
  readonly statement?: StatementFields;
  /** Instead of the encoding of the statement. */
  readonly statementBytes?: Uint8Array;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly signer?: Signer;
  /** Encoded Metadata. */
  readonly headers?: Uint8Array;
  readonly message?: Uint8Array;
  /** Values that are committed to and sent with the call. */
  readonly values?: Readonly<Record<string, Uint8Array>>;
  /** Changes the finished frame. */
  readonly frame?: (frame: CallFrame) => void;
}

/** Encoded Metadata of these entries. */
export function encodeHeaders(...entries: readonly (readonly [string, string])[]): Uint8Array {
  const list = entries.map(([key, value]) => ({ key, value: new Uint8Array(Buffer.from(value)) }));
  return toBinary(MetadataSchema, create(MetadataSchema, { entries: list }));
}

/** An encoded request for one division. */
export function divisionRequest(code = "330106"): Uint8Array {
  return toBinary(GetDivisionRequestSchema, create(GetDivisionRequestSchema, { code }));
}

const nowS = (): number => Math.floor(Date.now() / 1000);

/** A link to a gateway, opened by hand with the keys of a member. */
export class RogueLink {
  readonly link: Link;
  readonly #from: Member["gateway"];
  readonly #to: string;
  readonly #network: string;
  readonly #defaults: StatementFields;
  readonly #waiting = new Map<bigint, (body: Frame["body"]) => void>();
  #next = 1n;
  /** Every frame that answers a call, in order. */
  readonly received: Frame[] = [];

  private constructor(
    link: Link,
    from: Member["gateway"],
    to: string,
    network: string,
    defaults: StatementFields,
  ) {
    this.link = link;
    this.#from = from;
    this.#to = to;
    this.#network = network;
    this.#defaults = defaults;
    link.onFrame((frame) => {
      if (frame.exchange === 0n) return;
      this.received.push(frame);
      const resolve = this.#waiting.get(frame.exchange);
      this.#waiting.delete(frame.exchange);
      resolve?.(frame.body);
    });
  }

  static async open(
    cities: TwoCities,
    /** What a statement says unless it is told otherwise. */
    defaults: StatementFields = {},
    hello: { readonly leaf?: Uint8Array; readonly change?: (hello: Hello) => void } = {},
  ): Promise<RogueLink> {
    const { consumer, provider } = cities;
    const peer = provider.gateway.card.id;
    const self = selfOf(cities, consumer.gateway.card.id);
    const link = await openLink(
      {
        address: provider.addresses.peer,
        tls: peerTlsOf(consumer.gateway, [provider.gateway.tls.certificateDer]),
      },
      {
        hello: async () => {
          const said = createHello({
            self,
            peer,
            clockMs: Date.now(),
            checkpoint: undefined,
            leafOfPeer: hello.leaf,
            signer: consumer.gateway.token,
          });
          hello.change?.(said);
          return said;
        },
        onHello: async () => undefined,
      },
      timing,
    );
    return new RogueLink(link, consumer.gateway, peer, cities.networkId, defaults);
  }

  /** A call that is right in everything that it is not told to lie about. */
  make(parts: CallParts = {}): CallFrame {
    const headers = parts.headers ?? encodeHeaders();
    const message = parts.message ?? divisionRequest();
    const salt = systemRandom(32);
    const request = commit({ label: "request", salt, value: transcriptOf(headers, [message]) });
    const committed: Record<string, Uint8Array> = {};
    const openings: CallFrame["openings"][number][] = [];
    const add = (label: string, opened: Uint8Array, value: Uint8Array): void => {
      openings.push({
        $typeName: "causeway.exchange.v1.Opening",
        label,
        salt: opened,
        value,
      });
    };
    add("request", salt, new Uint8Array());
    for (const [label, value] of Object.entries(parts.values ?? {})) {
      const own = systemRandom(32);
      committed[label] = commit({ label: label as CommitmentLabel, salt: own, value });
      add(label, own, value);
    }
    const statement = create(CallStatementSchema, {
      xid: createUuidV7(nowS() * 1000, systemRandom(10)),
      attempt: 1,
      request,
      ...this.#defaults,
      ...committed,
      ...parts.statement,
    });
    const bytes = parts.statementBytes ?? encodeCallStatement(statement);
    const { root, paths } = callPaths([bytes]);
    const token = this.token({ root: toBase64url(root), n: 1, ...parts.claims }, parts);
    const frame = create(CallFrameSchema, {
      token,
      statement: bytes,
      index: 0,
      path: [...(paths[0] as readonly Uint8Array[])],
      headers,
      message,
      openings,
    });
    parts.frame?.(frame);
    return frame;
  }

  /** A call token over a root, of this link's consumer for its provider. */
  token(
    claims: Readonly<Record<string, unknown>>,
    parts: Pick<CallParts, "header" | "signer"> = {},
  ): string {
    const now = nowS();
    return forgeToken({
      ...(parts.header === undefined ? {} : { header: parts.header }),
      claims: {
        iss: this.#from.card.id,
        aud: this.#to,
        net: this.#network,
        jti: toBase64url(systemRandom(16)),
        nonce: bootOf(this.link.hello),
        iat: now,
        exp: now + 60,
        ...claims,
      },
      signer: parts.signer ?? this.#from.token,
    });
  }

  /** Sends a body under the next number, and resolves with what answers it. */
  exchange(body: FrameBody): Promise<Frame["body"]> {
    const exchange = this.#next++;
    const answer = new Promise<Frame["body"]>((resolve) => this.#waiting.set(exchange, resolve));
    this.link.send(create(FrameSchema, { exchange, body }));
    return answer;
  }

  /** Number of the newest exchange. */
  get lastExchange(): bigint {
    return this.#next - 1n;
  }

  call(parts: CallParts = {}): Promise<Frame["body"]> {
    return this.exchange({ case: "call", value: this.make(parts) });
  }

  close(): void {
    this.link.close();
  }
}

/** Who an attacker says that it is, with a process start of its own. */
export function selfOf(
  cities: TwoCities,
  gateway: string,
): {
  readonly gateway: string;
  readonly agency: string;
  readonly boot: Uint8Array;
  readonly startedAtMs: number;
  readonly network: Uint8Array;
} {
  return {
    gateway,
    agency: agencyOf(gateway),
    boot: systemRandom(16),
    startedAtMs: Date.now(),
    network: parseHex(cities.networkId) as Uint8Array,
  };
}

/** The records of a member's own chain as they stand in its journal. */
export interface RecordReader {
  /** The newest, newest first. */
  entries(limit?: number): Promise<readonly RecordEntry[]>;
  open(entry: RecordEntry): Promise<{ readonly record: LedgerRecord; readonly bytes: Uint8Array }>;
  /** The record at an address or handle. */
  named(name: string): Promise<{ readonly record: LedgerRecord; readonly bytes: Uint8Array }>;
  close(): void;
}

export function recordReader({ addresses }: Member): RecordReader {
  const client = createGrpcClient(`unix:${addresses.admin}`, credentials.createInsecure());
  const { method } = AdminService;
  const named: RecordReader["named"] = async (name) => {
    const { record } = await unaryCall(client, method.getRecord, { name });
    return { record: openRecord(record), bytes: record };
  };
  return {
    entries: async (limit = 4096) =>
      (await unaryCall(client, method.listRecords, { limit })).records,
    open: ({ state }) =>
      named(`${Buffer.from(state?.leafHash ?? []).toString("hex")}/${state?.position ?? 0}`),
    named,
    close: () => client.close(),
  };
}
