/** grpc.reflection.v1 and v1alpha for agency systems, whose messages are the same. */
import { create, toBinary } from "@bufbuild/protobuf";
import { readCallMetadata } from "../../src/exchange/call-metadata.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { DescriptorSets, ReflectionAnswers, type ReflectionPorts } from "./reflection-answers.ts";
import { messageOf, okStatus, type ServeCall, statusOfError } from "./served-call.ts";

export interface ReflectionOptions extends ReflectionPorts {
  readonly onError: (error: unknown) => void;
}

/** The handlers by method path. */
export function createReflectionService(
  options: ReflectionOptions,
): ReadonlyMap<string, ServeCall> {
  const sets = new DescriptorSets(options.replica);
  const serve: ServeCall = (call, caller) => {
    serveReflection(call, caller, sets, options).catch((error: unknown) =>
      call.end(statusOfError(error, options.onError)),
    );
  };
  return new Map([
    ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", serve],
    ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", serve],
  ]);
}

/** Answers each request in order; the next one is read when the answer before it is taken. */
async function serveReflection(
  call: IncomingCall,
  caller: AgencySystem,
  sets: DescriptorSets,
  ports: ReflectionPorts,
): Promise<void> {
  const { service } = readCallMetadata(call.headers);
  const answers = new ReflectionAnswers(ports, { sets, caller, service });
  for (;;) {
    const bytes = await call.read();
    if (bytes === undefined) return call.end(okStatus);
    const request = messageOf(ServerReflectionRequestSchema, bytes);
    const response = create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: answers.answer(request),
    });
    await call.sendMessage(toBinary(ServerReflectionResponseSchema, response));
  }
}
