import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  type FileDescriptorSet,
} from "@bufbuild/protobuf/wkt";
import {
  type ClientDuplexStream,
  credentials,
  makeClientConstructor,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import {
  Health,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as AlphaReflection } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { run } from "../support/dev-up.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService } from "../support/two-cities.ts";

const grpcName = "causeway.demo.v1.DivisionService";
const checkPath = "/grpc.health.v1.Health/Check";
type ReflectionRequest = MessageInitShape<typeof ServerReflectionRequestSchema>;

const stubs = { health: Health, v1: ServerReflection, v1alpha: AlphaReflection } as const;

describe("the gateway's own services on the agency listener", () => {
  let running: Running;
  const opened: { close(): void }[] = [];

  // The stock client class of grpc-js, over the standard's own methods.
  function stub(name: keyof typeof stubs): InstanceType<ReturnType<typeof makeClientConstructor>> {
    const Stub = makeClientConstructor(grpcDefinition(stubs[name]), stubs[name].typeName);
    const client = new Stub(running.cities.consumer.addresses.agency, credentials.createInsecure());
    opened.push(client);
    return client;
  }

  before(async () => {
    running = await startTwoCities();
  });

  after(async () => {
    for (const client of opened) client.close();
    await running?.close();
  });

  async function check(service: string): Promise<HealthCheckResponse | undefined> {
    const { input, output } = Health.method.check;
    const answer = await running.client.call(checkPath, input, output, { service });
    assert.equal(answer.code, status.OK, answer.reason);
    return answer.message;
  }

  for (const service of ["", divisionsService, grpcName]) {
    test(`Check says that ${service === "" ? "the gateway" : service} is serving`, async () => {
      assert.equal((await check(service))?.status, Serving.SERVING);
    });
  }

  test("Check answers NOT_FOUND with a reason for a service that is not granted", async () => {
    const { input, output } = Health.method.check;
    const answer = await running.client.call(checkPath, input, output, { service: "tax.v1.Taxes" });
    assert.deepEqual([answer.code, answer.reason], [status.NOT_FOUND, "SERVICE_UNKNOWN"]);
  });

  test("Check answers INVALID_ARGUMENT for what is no request of it", async () => {
    const answer = await running.client.call(
      checkPath,
      HealthCheckResponseSchema,
      HealthCheckResponseSchema,
      // Field 1 as a number where a string is asked for.
      { status: Serving.SERVING },
    );
    assert.deepEqual([answer.code, answer.reason], [status.INVALID_ARGUMENT, "MALFORMED"]);
  });

  test("List names the gateway and each service by id and gRPC name", async () => {
    const { input } = Health.method.list;
    const answer = await running.client.call(
      "/grpc.health.v1.Health/List",
      input,
      HealthListResponseSchema,
      {},
    );
    assert.deepEqual(Object.keys(answer.message?.statuses ?? {}).toSorted(), [
      "",
      grpcName,
      divisionsService,
    ]);
  });

  function reflect(
    version: "v1" | "v1alpha",
    requests: readonly ReflectionRequest["messageRequest"][],
  ): Promise<ServerReflectionResponse[]> {
    const call = stub(version)["serverReflectionInfo"]?.() as ClientDuplexStream<
      Message,
      ServerReflectionResponse
    >;
    const responses: ServerReflectionResponse[] = [];
    return new Promise((resolve, reject) => {
      call.on("data", (response: ServerReflectionResponse) => responses.push(response));
      call.on("error", reject);
      call.on("end", () => resolve(responses));
      const schema = stubs[version].method.serverReflectionInfo.input;
      for (const messageRequest of requests) {
        call.write(
          create<DescMessage>(schema, { host: "gateway", messageRequest } as Record<
            string,
            unknown
          >),
        );
      }
      call.end();
    });
  }

  for (const version of ["v1", "v1alpha"] as const) {
    test(`a stock client of reflection ${version} finds the granted service and calls it by what it read`, async () => {
      const [list, files, missing] = await reflect(version, [
        { case: "listServices", value: "*" },
        { case: "fileContainingSymbol", value: grpcName },
        { case: "fileByFilename", value: "no/such.proto" },
      ]);
      assert.equal(list?.validHost, "gateway");
      assert.equal(list.originalRequest?.messageRequest.case, "listServices");
      assert.equal(list.messageResponse.case, "listServicesResponse");
      const names = list.messageResponse.value.service.map(({ name }) => name);
      assert.deepEqual(
        names.filter((name) => !name.startsWith("grpc.")),
        [grpcName],
      );
      assert.equal(missing?.messageResponse.case, "errorResponse");
      assert.equal(missing.messageResponse.value.errorCode, status.NOT_FOUND);

      assert.equal(files?.messageResponse.case, "fileDescriptorResponse");
      const set: FileDescriptorSet = create(FileDescriptorSetSchema, {
        file: files.messageResponse.value.fileDescriptorProto.map((bytes) =>
          fromBinary(FileDescriptorProtoSchema, bytes),
        ),
      });
      const method = createFileRegistry(set).getService(grpcName)?.method["getDivision"];
      assert.ok(method !== undefined);
      const answer = await running.client.call(
        `/${grpcName}/GetDivision`,
        method.input,
        method.output,
        { code: "330106" } as never,
      );
      assert.equal(answer.code, status.OK, answer.reason);
      const { division } = answer.message as MessageShape<typeof method.output> & {
        readonly division?: { readonly name: string };
      };
      assert.equal(division?.name, "西湖区");
    });
  }

  test("grpcurl reads the catalogue, and the reason of a refusal", async (t) => {
    const curl = await run("grpcurl", ["--version"]).catch(() => undefined);
    if (curl === undefined) return t.skip("grpcurl is not installed");
    const { agency } = running.cities.consumer.addresses;
    const described = await run("grpcurl", ["-plaintext", agency, "describe", grpcName]);
    assert.match(described.stdout, /rpc GetDivision/);
    const curious = ["-plaintext", "-H", "causeway-purpose: curiosity", "-d", '{"code":"330106"}'];
    const refused = await run("grpcurl", [...curious, agency, `${grpcName}/GetDivision`]);
    assert.match(refused.stderr, /"reason": "PURPOSE_NOT_GRANTED"/);
  });

  test("Watch tells a revocation, then that the gateway drains, and ends", async () => {
    const watch = (
      service: string,
    ): {
      readonly seen: Serving[];
      readonly ended: Promise<ServiceError>;
      next(): Promise<void>;
    } => {
      const call = stub("health")["watch"]?.({
        $typeName: "grpc.health.v1.HealthCheckRequest",
        service,
      });
      const seen: Serving[] = [];
      let wake = (): void => undefined;
      call.on("data", (response: HealthCheckResponse) => {
        seen.push(response.status);
        wake();
      });
      const ended = new Promise<ServiceError>((resolve) => call.on("error", resolve));
      const next = (): Promise<void> =>
        new Promise((resolve) => {
          wake = resolve;
        });
      return { seen, ended, next };
    };
    const whole = watch("");
    await whole.next();
    const service = watch(grpcName);
    await service.next();
    const unknown = watch("tax.v1.Taxes");
    await unknown.next();

    const revoked = service.next();
    const body = { grant: running.grant, reason: "PURPOSE_ENDED", text: "00".repeat(32) };
    const { cities } = running;
    await running.provider.submit(
      cities.sign(cities.provider, "revocation", cities.consumer.agency.card.id, body).jws,
    );
    await revoked;
    assert.deepEqual(service.seen, [Serving.SERVING, Serving.SERVICE_UNKNOWN]);

    const closing = running.gateways.consumer.close();
    const ends = await Promise.all([whole.ended, service.ended, unknown.ended]);
    for (const end of ends) assert.equal(end.code, status.UNAVAILABLE);
    assert.deepEqual(whole.seen, [Serving.SERVING, Serving.NOT_SERVING]);
    assert.deepEqual(unknown.seen, [Serving.SERVICE_UNKNOWN]);
    await closing;
  });
});
