/**
 * The data service at the end of every chain that is measured: DivisionService/GetDivision on grpc-js,
 * with one prepared answer.
 *
 * `node synthetic-upstream.js [--port PORT] [--answer-bytes 500]`
 */
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import {
  type GetDivisionResponse,
  GetDivisionResponseSchema,
} from "../src/gen/causeway/demo/v1/division_pb.ts";
import { isMain, serveParent } from "./child.ts";
import { serveBenchMethod } from "./raw-grpc.ts";

/** A GetDivisionResponse whose encoding has exactly this many bytes, from 200. */
export function syntheticAnswer(answerBytes: number): Buffer {
  if (answerBytes < 200) throw new RangeError("a synthetic answer has at least 200 bytes");
  const response: GetDivisionResponse = create(GetDivisionResponseSchema, {
    division: { code: "330106", name: "", parentCode: "3301" },
    source: { publisher: "Causeway", dataSet: "synthetic", edition: "1", kind: "specimen" },
  });
  const { division } = response;
  for (let length = answerBytes; division !== undefined && length > 0; length--) {
    division.name = "n".repeat(length);
    const bytes = toBinary(GetDivisionResponseSchema, response);
    if (bytes.length === answerBytes) return Buffer.from(bytes);
  }
  throw new RangeError(`no name makes an answer of ${answerBytes} bytes`);
}

/** Serves the prepared answer; the port on which it listens. */
export function startSyntheticUpstream(options: {
  port: number;
  answerBytes: number;
}): Promise<number> {
  const answer = syntheticAnswer(options.answerBytes);
  const handler = (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void =>
    done(null, answer);
  return serveBenchMethod(handler, options.port);
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      "answer-bytes": { type: "string", default: "500" },
    },
  });
  const answerBytes = Number(values["answer-bytes"]);
  serveParent(await startSyntheticUpstream({ port: Number(values.port), answerBytes }));
}
