/** An agency system: a plain grpc-js client with the provider's own stubs, talking to its own gateway. */
import {
  type ChannelCredentials,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { Client } from "@grpc/grpc-js";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  type GetDivisionResponse,
  DivisionService,
  type ReportCorrectionResponse,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";

export interface Answer<T> {
  readonly code: number;
  /** Reason of the `ErrorInfo`, when there is one. */
  readonly reason: string | undefined;
  readonly fields: Readonly<Record<string, string>>;
  readonly message: T | undefined;
  readonly details: string;
  readonly headers: Metadata;
  readonly trailers: Metadata;
}

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

/** The `ErrorInfo` of a status. */
export function errorInfo(
  trailers: Metadata,
): { reason: string; metadata: Record<string, string> } | undefined {
  const [bytes] = trailers.get("grpc-status-details-bin");
  if (!(bytes instanceof Uint8Array)) return undefined;
  for (const any of fromBinary(StatusSchema, bytes).details) {
    const info = anyUnpack(any, ErrorInfoSchema);
    if (info !== undefined) return info;
  }
  return undefined;
}

export class AgencyClient {
  readonly #client: Client;

  constructor(address: string, channel: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(address, channel, {
      "grpc.enable_retries": 0,
      // A gateway that was away is dialled again without the delay of a second that is usual.
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 250,
    });
  }

  getDivision(code: string, options: CallOptions = {}): Promise<Answer<GetDivisionResponse>> {
    const { input, output } = DivisionService.method.getDivision;
    return this.call(
      "/causeway.demo.v1.DivisionService/GetDivision",
      input,
      output,
      { code },
      options,
    );
  }

  reportCorrection(
    code: string,
    options: CallOptions = {},
  ): Promise<Answer<ReportCorrectionResponse>> {
    const { input, output } = DivisionService.method.reportCorrection;
    const request = { code, error: "NAME" };
    return this.call(
      "/causeway.demo.v1.DivisionService/ReportCorrection",
      input,
      output,
      request,
      options,
    );
  }

  call<I extends DescMessage, O extends DescMessage>(
    path: string,
    input: I,
    output: O,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<Answer<MessageShape<O>>> {
    const metadata = new Metadata();
    const given = options.metadata ?? {
      "causeway-purpose": "address-check",
      "causeway-case": "case-2026-001",
    };
    for (const [key, value] of Object.entries(given)) metadata.set(key, value);
    return new Promise((resolve) => {
      let headers = new Metadata();
      let trailers = new Metadata();
      let message: MessageShape<O> | undefined;
      const call = this.#client.makeUnaryRequest(
        path,
        (value: MessageShape<I>) => Buffer.from(toBinary(input, value)),
        (bytes: Buffer) => fromBinary(output, bytes),
        create(input, request),
        metadata,
        { deadline: Date.now() + (options.deadlineMs ?? 15_000) },
        (_error: ServiceError | null, value?: MessageShape<O>) => {
          message = value;
        },
      );
      options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
      call.on("metadata", (received: Metadata) => {
        headers = received;
      });
      call.on("status", ({ code, details, metadata: received }) => {
        trailers = received;
        const info = errorInfo(trailers);
        // The callback with the message runs in this same turn, behind the status.
        setImmediate(() =>
          resolve({
            code,
            details,
            message: code === status.OK ? message : undefined,
            reason: info?.reason,
            fields: info?.metadata ?? {},
            headers,
            trailers,
          }),
        );
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}
