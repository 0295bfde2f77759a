/** Calls a data service that speaks HTTP and JSON, by the `google.api.http` annotations of its methods. */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { create } from "@bufbuild/protobuf";
import { clientTlsOptions } from "../../src/exchange/transport/client-tls.ts";
import type {
  UnaryAnswer,
  UpstreamCall,
  UpstreamConnector,
} from "../../src/exchange/transport/ports.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { answerFields, requestFields } from "./http-metadata.ts";
import {
  type HttpUpstream,
  type HttpUpstreamOptions,
  isPrepared,
  prepare,
  readAnswer,
} from "./http-prepare.ts";
import { openHttpStream } from "./http-stream.ts";
import { OpenCalls } from "./open-calls.ts";

export function createHttpJsonUpstream(options: HttpUpstreamOptions): UpstreamConnector {
  const url = new URL(options.baseUrl);
  const secure = url.protocol === "https:";
  const agent = createAgent(secure, options);
  const calls = new OpenCalls(options.scheduler);
  const upstream: HttpUpstream = {
    calls,
    origin: {
      secure,
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      basePath: url.pathname.replace(/\/+$/, ""),
      agent,
      scheduler: options.scheduler,
    },
    options,
    passed: new Set([...requestFields, ...(options.requestFields ?? [])]),
    answered: new Set([...answerFields, ...(options.answerFields ?? [])]),
  };
  return {
    kind: "http-json",
    callUnary: (call) => calls.run(() => callUnary(upstream, call)),
    open: (call, listener) => openHttpStream(upstream, call, listener),
    close: async () => {
      await calls.ended();
      agent.destroy();
    },
  };
}

function createAgent(secure: boolean, options: HttpUpstreamOptions): HttpAgent {
  const common = { keepAlive: true, maxSockets: options.connectionsMax };
  if (!secure) return new HttpAgent(common);
  return new HttpsAgent({ ...common, ...clientTlsOptions(options.tls ?? {}) });
}

async function callUnary(upstream: HttpUpstream, call: UpstreamCall): Promise<UnaryAnswer> {
  const prepared = prepare(upstream, call);
  const headers = create(MetadataSchema);
  if (!isPrepared(prepared)) return { headers, messages: [], status: prepared };
  const sent = prepared.send();
  try {
    const response = await sent.response;
    const answer = await readAnswer(upstream, prepared, response, call.answerBytesMax);
    sent.finish();
    return answer;
  } catch (error) {
    sent.abandon();
    throw sent.explain(error);
  }
}
