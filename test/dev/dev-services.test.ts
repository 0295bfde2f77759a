/** Which data services `dev up` makes of a descriptor set. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel,
} from "@bufbuild/protobuf/wkt";
import { devServices } from "../../gateway/dev/dev-services.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { isId } from "../../src/base/ids.ts";

type File = MessageInitShape<typeof FileDescriptorProtoSchema>;

const words: File = {
  name: "words.proto",
  package: "w",
  syntax: "proto3",
  messageType: [{ name: "Word" }],
};
const unused: File = { name: "unused.proto", package: "u", syntax: "proto3" };

/** A file with services of a package, each with methods by name. */
function file(pkg: string, services: Readonly<Record<string, readonly string[]>>): File {
  return {
    name: `${pkg}.proto`,
    package: pkg,
    syntax: "proto3",
    dependency: ["words.proto"],
    service: Object.entries(services).map(([name, methods]) => ({
      name,
      method: methods.map((method) => ({
        name: method,
        inputType: ".w.Word",
        outputType: ".w.Word",
        ...(method === "Look" && {
          options: { idempotencyLevel: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS },
        }),
      })),
    })),
  };
}

const setOf = (...files: readonly File[]): Uint8Array =>
  toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files] }));

const codeOf = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof CausewayError ? error.code : String(error);
  }
};

describe("the data services of a descriptor set", () => {
  it("are one for each gRPC service, with its file and what that imports alone", () => {
    const services = devServices(
      setOf(file("b", { Two: ["Do"] }), unused, words, file("a", { One: ["Do"] })),
      {
        readOnly: [],
      },
    );
    assert.deepEqual(
      services.map(({ typeName }) => typeName),
      ["a.One", "b.Two"],
    );
    const files = services.map(({ descriptors }) =>
      fromBinary(FileDescriptorSetSchema, descriptors).file.map(({ name }) => name),
    );
    assert.deepEqual(files, [
      ["words.proto", "a.proto"],
      ["words.proto", "b.proto"],
    ]);
  });

  it("leave out services without methods, and those that a gateway has itself", () => {
    const set = setOf(
      words,
      file("a", { Empty: [], One: ["Do"] }),
      file("grpc.health.v1", { Health: ["Check"] }),
      file("grpc.reflection.v1alpha", { ServerReflection: ["Info"] }),
    );
    const services = devServices(set, { readOnly: [] });
    assert.deepEqual(
      services.map(({ typeName }) => typeName),
      ["a.One"],
    );
  });

  it("have methods that write, but for those without side effects and those that a pattern names", () => {
    const set = setOf(words, file("a", { One: ["Do", "Look", "GetIt"], Two: ["GetIt"] }));
    const services = devServices(set, { readOnly: ["/a.One/Get*"] });
    assert.deepEqual(
      services.flatMap(({ methods }) => methods),
      [
        { path: "/a.One/Do", writes: true },
        { path: "/a.One/Look", writes: false },
        { path: "/a.One/GetIt", writes: false },
        { path: "/a.Two/GetIt", writes: true },
      ],
    );
  });

  it("read a pattern's other characters as they are", () => {
    const set = setOf(words, file("a", { One: ["Do"] }));
    assert.equal(
      codeOf(() => devServices(set, { readOnly: ["/a.One/D."] })),
      "USAGE_INVALID",
    );
  });

  const names: Readonly<Record<string, readonly string[]>> = {
    "a.DivisionService": ["division-service"],
    "etcdserverpb.KV": ["kv"],
    "a.HTTPServer2_Old": ["http-server2-old"],
    "a._": ["s"],
    [`a.${"Long".repeat(12)}`]: ["long-long-long-long-long-long-lo"],
  };
  for (const [typeName, expected] of Object.entries(names)) {
    it(`is named ${expected[0]} for ${typeName}`, () => {
      const [pkg = "", service = ""] = typeName.split(".");
      const services = devServices(setOf(words, file(pkg, { [service]: ["Do"] })), {
        readOnly: [],
      });
      assert.deepEqual(
        services.map(({ name }) => name),
        expected,
      );
      for (const { name } of services) assert.ok(isId(`city/agency/${name}`, 3), name);
    });
  }

  it("of the same name in two packages differ by their packages, then by a number", () => {
    const long = "Long".repeat(12);
    const services = devServices(
      setOf(
        words,
        file("a.v1", { KV: ["Do"], [long]: ["Do"] }),
        file("a.v2", { KV: ["Do"], [long]: ["Do"] }),
      ),
      { readOnly: [] },
    );
    const taken = services.map(({ name }) => name);
    assert.equal(new Set(taken).size, 4, taken.join());
    assert.ok(taken.includes("v2-kv"), taken.join());
    for (const name of taken) assert.ok(isId(`city/agency/${name}`, 3), name);
  });

  const invalid: Readonly<Record<string, Uint8Array>> = {
    "bytes that are none": Uint8Array.of(255, 255),
    "a set without services": setOf(words),
    "an import that is missing": setOf(file("a", { One: ["Do"] })),
    "an import of itself": setOf(
      { ...words, dependency: ["words.proto"] },
      file("a", { One: ["Do"] }),
    ),
    "a type that no file has": setOf(words, file("a", { One: ["Do"] }), {
      name: "c.proto",
      package: "c",
      syntax: "proto3",
      service: [{ name: "C", method: [{ name: "Do", inputType: ".w.No", outputType: ".w.No" }] }],
    }),
  };
  for (const [what, set] of Object.entries(invalid)) {
    it(`are refused for ${what}`, () => {
      assert.equal(
        codeOf(() => devServices(set, { readOnly: [] })),
        "DESCRIPTOR_INVALID",
      );
    });
  }
});
