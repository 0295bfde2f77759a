import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { toHex } from "../../src/base/bytes.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import { ServerReflectionRequestSchema } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { DescriptorSets, ReflectionAnswers } from "../../gateway/services/reflection-answers.ts";
import { consumer, digestOf, inside } from "../policy/fixtures.ts";
import { catalogueView, descriptorSetOf } from "./catalogue.ts";

// Two services publish different versions of one imported file.
const older = descriptorSetOf({ pack: "companies", name: "Companies", fields: ["name"] });
const newer = descriptorSetOf({ pack: "permits", name: "Permits", fields: ["name", "seat"] });
const secret = descriptorSetOf({ pack: "taxes", name: "Taxes", fields: ["name", "due"] });
const absent = descriptorSetOf({ pack: "courts", name: "Courts", fields: [] });
// What no decoder reads stands on the ledger as well: its publisher alone has looked at it.
const broken = Uint8Array.of(0x0a, 0x05, 0xff);
const blobs = new Map([broken, older, newer, secret].map((set) => [digestOf(set), set]));
const agency = "hangzhou/civil-affairs";

const view = catalogueView([
  { id: `${agency}/bad`, descriptor: broken, method: "/bad.Bad/Get", granted: true },
  {
    id: `${agency}/companies`,
    descriptor: older,
    method: "/companies.Companies/Get",
    granted: true,
  },
  { id: `${agency}/courts`, descriptor: absent, method: "/courts.Courts/Get", granted: true },
  { id: `${agency}/permits`, descriptor: newer, method: "/permits.Permits/Get", granted: true },
  { id: `${agency}/taxes`, descriptor: secret, method: "/taxes.Taxes/Get", granted: false },
]);
const replica = {
  final: () => ({
    size: 20n,
    root: new Uint8Array(32),
    note: new Uint8Array(),
    timeMs: inside * 1000,
  }),
  view: () => view,
  blob: (digest: Uint8Array) => blobs.get(toHex(digest)),
};
const ports = {
  replica,
  clock: { nowMs: () => inside * 1000, monotonicMs: () => 0 },
  agency: consumer,
};

type Request = Exclude<
  MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"],
  undefined
>;

function session(
  options: { readonly caller?: AgencySystem; readonly service?: string } = {},
): (request: Request) => ReturnType<ReflectionAnswers["answer"]> {
  const { caller = { id: "portal" }, service } = options;
  const answers = new ReflectionAnswers(ports, {
    sets: new DescriptorSets(replica),
    caller,
    service,
  });
  return (messageRequest) =>
    answers.answer(create(ServerReflectionRequestSchema, { messageRequest }));
}

function filesOf(answer: ReturnType<ReflectionAnswers["answer"]>): FileDescriptorProto[] {
  assert.equal(answer.case, "fileDescriptorResponse");
  return (answer.value.fileDescriptorProto ?? []).map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes),
  );
}

function sharedFields(files: readonly FileDescriptorProto[]): string[] | undefined {
  return files
    .find(({ name }) => name === "shared/types.proto")
    ?.messageType[0]?.field.map(({ name }) => name);
}

const errorCodeOf = (answer: ReturnType<ReflectionAnswers["answer"]>): number | undefined =>
  answer.case === "errorResponse" ? answer.value.errorCode : undefined;

describe("reflection", () => {
  test("of all else goes on beside a set that is none", () => {
    const ask = session();
    assert.equal(errorCodeOf(ask({ case: "fileContainingSymbol", value: "bad.Bad" })), 5);
    const files = filesOf(ask({ case: "fileContainingSymbol", value: "permits.Permits" }));
    assert.deepEqual(sharedFields(files), ["name", "seat"]);
    assert.equal(errorCodeOf(ask({ case: "fileByFilename", value: "none.proto" })), 5);
  });

  test("lists granted services whose descriptors are here, and the gateway's own", () => {
    const answer = session()({ case: "listServices", value: "" });
    assert.equal(answer.case, "listServicesResponse");
    assert.deepEqual(
      answer.value.service?.map(({ name }) => name),
      [
        "companies.Companies",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "permits.Permits",
      ],
    );
  });

  test("lists to an agency system what it may use", () => {
    const caller = { id: "kiosk", services: [`${agency}/permits`] };
    const answer = session({ caller })({ case: "listServices", value: "" });
    assert.equal(answer.case, "listServicesResponse");
    const names = answer.value.service?.map(({ name }) => name ?? "") ?? [];
    assert.deepEqual(
      names.filter((name) => !name.startsWith("grpc.")),
      ["permits.Permits"],
    );
    assert.equal(
      errorCodeOf(
        session({ caller })({ case: "fileContainingSymbol", value: "companies.Companies" }),
      ),
      5,
    );
  });

  for (const [symbol, fields] of [
    ["companies.Companies", ["name"]],
    ["permits.Permits", ["name", "seat"]],
    ["permits.Permits.Get", ["name", "seat"]],
    ["taxes.Taxes", ["name", "due"]],
  ] as const) {
    test(`gives the file of ${symbol} with the imports of its own version`, () => {
      const files = filesOf(session()({ case: "fileContainingSymbol", value: symbol }));
      assert.equal(files[0]?.package, symbol.split(".")[0]);
      assert.deepEqual(sharedFields(files), fields);
    });
  }

  test("answers a file name from the set of the symbol that was asked for last", () => {
    const ask = session();
    const named = (): string[] | undefined =>
      sharedFields(filesOf(ask({ case: "fileByFilename", value: "shared/types.proto" })));
    assert.deepEqual(named(), ["name"]);
    ask({ case: "fileContainingSymbol", value: "permits.Permits" });
    assert.deepEqual(named(), ["name", "seat"]);
    ask({ case: "fileContainingSymbol", value: "companies.Companies" });
    assert.deepEqual(named(), ["name"]);
  });

  test("answers from the data service that the caller names", () => {
    const ask = session({ service: `${agency}/permits` });
    const files = filesOf(ask({ case: "fileContainingSymbol", value: "shared.Company" }));
    assert.deepEqual(sharedFields(files), ["name", "seat"]);
  });

  test("does not send a file again that the caller has, unless it asks for it", () => {
    const ask = session();
    const symbol = { case: "fileContainingSymbol", value: "permits.Permits" } as const;
    assert.equal(filesOf(ask(symbol)).length, 2);
    assert.deepEqual(
      filesOf(ask(symbol)).map(({ name }) => name),
      ["permits/service.proto"],
    );
  });

  test("describes the gateway's own services", () => {
    const files = filesOf(
      session()({ case: "fileContainingSymbol", value: "grpc.health.v1.Health" }),
    );
    assert.deepEqual(
      files[0]?.service.map(({ name, method }) => [name, method.map((m) => m.name)]),
      [["Health", ["Check", "List", "Watch"]]],
    );
  });

  test("defines the details of the gateway's own errors", () => {
    const ask = session();
    for (const name of ["ErrorInfo", "LocalizedMessage", "Help"]) {
      const [file] = filesOf(ask({ case: "fileContainingSymbol", value: `google.rpc.${name}` }));
      assert.ok(file?.messageType.some((message) => message.name === name));
      assert.deepEqual(file?.dependency, []);
    }
  });

  test("knows the extensions of a message: none", () => {
    const answer = session()({ case: "allExtensionNumbersOfType", value: "shared.Company" });
    assert.equal(answer.case, "allExtensionNumbersResponse");
    assert.deepEqual(answer.value.extensionNumber, []);
  });

  for (const [what, request] of [
    ["a symbol", { case: "fileContainingSymbol", value: "courts.Courts" }],
    ["a file", { case: "fileByFilename", value: "courts/service.proto" }],
    [
      "an extension",
      {
        case: "fileContainingExtension",
        value: { containingType: "shared.Company", extensionNumber: 7 },
      },
    ],
    ["a message", { case: "allExtensionNumbersOfType", value: "courts.Court" }],
  ] as const satisfies readonly (readonly [string, Request])[]) {
    test(`says NOT_FOUND in-band for ${what} that nothing here defines, and goes on`, () => {
      const ask = session();
      const answer = ask(request);
      assert.equal(errorCodeOf(answer), 5);
      assert.match(
        answer.case === "errorResponse" ? (answer.value.errorMessage ?? "") : "",
        /^DESCRIPTOR_UNKNOWN: /,
      );
      assert.equal(
        filesOf(ask({ case: "fileContainingSymbol", value: "permits.Permits" })).length,
        2,
      );
    });
  }

  test("says INVALID_ARGUMENT in-band for a request that asks nothing", () => {
    assert.equal(errorCodeOf(session()({ case: undefined })), 3);
  });
});
