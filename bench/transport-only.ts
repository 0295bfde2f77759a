/**
 * The transport of a gateway with evidence off: agency listener, multiplexed link over mutual TLS and
 * upstream client, and nothing between them. No token, decision, record, ledger or telemetry.
 *
 * `node transport-only.js --role provider --tls FILE --upstream 127.0.0.1:PORT`
 * `node transport-only.js --role consumer --tls FILE --provider 127.0.0.1:PORT`
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Server } from "@grpc/grpc-js";
import { deferToEndOfTurn, systemScheduler } from "../gateway/runtime.ts";
import { parseHostPort } from "../gateway/tls.ts";
import { linkAnswerBytesMax } from "../src/base/limits.ts";
import { grpcServerOptions } from "../src/exchange/transport/grpc-options.ts";
import { listenHttp2 } from "../src/exchange/transport/http2-listener.ts";
import type { Link, LinkHooks, LinkTiming } from "../src/exchange/transport/link.ts";
import { openLink } from "../src/exchange/transport/link-client.ts";
import { listenForPeers } from "../src/exchange/transport/link-listener.ts";
import { createLinkService } from "../src/exchange/transport/link-server.ts";
import type { IncomingCall, UpstreamConnector } from "../src/exchange/transport/ports.ts";
import { readUnary } from "../src/exchange/transport/read-unary.ts";
import type { PeerTls } from "../src/exchange/transport/tls-options.ts";
import { createGrpcUpstream } from "../src/exchange/transport/upstream-grpc.ts";
import {
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  type CallFrame,
  type Frame,
  FrameSchema,
  HelloSchema,
} from "../src/gen/causeway/exchange/v1/link_pb.ts";
import { isMain, serveParent } from "./child.ts";

/** What `--tls` names: PEM, and the peer's certificate as base64 of its DER. */
export interface TlsFile {
  readonly certificate: string;
  readonly privateKey: string;
  readonly peer: string;
}

type FrameBody = Exclude<Frame["body"], { case: undefined }>;

const timing: LinkTiming = { scheduler: systemScheduler, defer: deferToEndOfTurn };
const hooks: LinkHooks = {
  hello: async () => create(HelloSchema),
  onHello: async () => undefined,
};

function send(link: Link, exchange: bigint, body: FrameBody): void {
  link.send(create(FrameSchema, { exchange, body }));
}

/** The provider's side; the port on which it takes links. */
export async function startProvider(tls: PeerTls, upstream: UpstreamConnector): Promise<number> {
  const service = createLinkService({
    ...hooks,
    ...timing,
    refuses: () => undefined,
    onLink: (link) => serveLink(link, upstream),
  });
  const server = new Server(grpcServerOptions);
  server.addService(service.definition, service.implementation);
  const listener = await listenForPeers({
    host: "127.0.0.1",
    port: 0,
    tls,
    grpc: server,
    scheduler: systemScheduler,
    onStreams: (socket) => socket.destroy(),
  });
  return listener.port;
}

function serveLink(link: Link, upstream: UpstreamConnector): void {
  const open = new Map<bigint, AbortController>();
  link.onFrame(({ exchange, body }) => {
    if (body.case === "cancel") open.get(exchange)?.abort();
    if (body.case !== "call") return;
    const abort = new AbortController();
    open.set(exchange, abort);
    void forward(body.value, upstream, abort.signal)
      .then((answer) => send(link, exchange, answer))
      .finally(() => open.delete(exchange));
  });
}

// Without a call statement the method path stands in the place of the token.
async function forward(
  { token, headers, message, timeoutMs }: CallFrame,
  upstream: UpstreamConnector,
  signal: AbortSignal,
): Promise<FrameBody> {
  try {
    const answer = await upstream.callUnary({
      path: token,
      headers: fromBinary(MetadataSchema, headers),
      message,
      timeoutMs: timeoutMs === 0n ? undefined : Number(timeoutMs),
      answerBytesMax: linkAnswerBytesMax,
      signal,
    });
    return {
      case: "answer",
      value: {
        $typeName: "causeway.exchange.v1.AnswerFrame",
        headers: toBinary(MetadataSchema, answer.headers),
        messages: [...answer.messages],
        status: toBinary(StatusFrameSchema, answer.status),
        openings: [],
      },
    };
  } catch {
    const value = { $typeName: "causeway.exchange.v1.FailedFrame", reason: "UPSTREAM" } as const;
    return { case: "failed", value };
  }
}

/** The consumer's side; the port on which it takes calls. */
export async function startConsumer(tls: PeerTls, provider: string): Promise<number> {
  const link = await openLink({ address: provider, tls }, hooks, timing);
  const open = new Map<bigint, OpenCall>();
  link.onFrame(({ exchange, body }) => {
    const entry = open.get(exchange);
    if (entry === undefined) return;
    open.delete(exchange);
    entry.cancelDeadline();
    if (body.case === "answer") {
      const { headers, messages, status } = body.value;
      const metadata = fromBinary(MetadataSchema, headers);
      entry.call.answer(metadata, messages, fromBinary(StatusFrameSchema, status));
    } else {
      entry.call.end(failed(14));
    }
  });
  let next = 1n;
  const carry = (call: IncomingCall, message: Uint8Array): void => {
    const exchange = next++;
    const giveUp = (): void => {
      open.get(exchange)?.cancelDeadline();
      if (open.delete(exchange)) send(link, exchange, cancel);
    };
    const cancelDeadline =
      call.timeoutMs === undefined
        ? () => {}
        : systemScheduler.after(call.timeoutMs, () => {
            giveUp();
            call.end(failed(4));
          });
    open.set(exchange, { call, cancelDeadline });
    call.onCancelled(giveUp);
    send(link, exchange, callOf(call, message));
  };
  const onCall = (call: IncomingCall): void => {
    readUnary(call).then(
      (message) => carry(call, message),
      () => call.end(failed(13)),
    );
  };
  const listener = await listenHttp2({
    host: "127.0.0.1",
    port: 0,
    scheduler: systemScheduler,
    onCall,
  });
  return listener.port;
}

interface OpenCall {
  readonly call: IncomingCall;
  readonly cancelDeadline: () => void;
}

function failed(code: number): StatusFrame {
  return create(StatusFrameSchema, { code });
}

const cancel: FrameBody = {
  case: "cancel",
  value: { $typeName: "causeway.exchange.v1.CancelFrame" },
};

function callOf({ path, headers, timeoutMs }: IncomingCall, message: Uint8Array): FrameBody {
  return {
    case: "call",
    value: {
      $typeName: "causeway.exchange.v1.CallFrame",
      token: path,
      statement: new Uint8Array(0),
      index: 0,
      path: [],
      headers: toBinary(MetadataSchema, headers),
      message,
      timeoutMs: BigInt(Math.round(timeoutMs ?? 0)),
      openings: [],
      trace: "",
    },
  };
}

function readTls(file: string): PeerTls {
  const { certificate, privateKey, peer } = JSON.parse(readFileSync(file, "utf8")) as TlsFile;
  return { certificate, privateKey, trusted: [new Uint8Array(Buffer.from(peer, "base64"))] };
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      role: { type: "string" },
      tls: { type: "string" },
      upstream: { type: "string" },
      provider: { type: "string" },
    },
  });
  const { role, tls, upstream, provider } = values;
  if (tls === undefined) throw new TypeError("--tls FILE is missing");
  if (role === "provider" && upstream !== undefined) {
    const connector = createGrpcUpstream({
      ...parseHostPort(upstream),
      scheduler: systemScheduler,
    });
    serveParent(await startProvider(readTls(tls), connector));
  } else if (role === "consumer" && provider !== undefined) {
    serveParent(await startConsumer(readTls(tls), provider));
  } else {
    throw new TypeError(
      "--role provider --upstream HOST:PORT, or --role consumer --provider HOST:PORT",
    );
  }
}
