import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { utf8 } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { ServiceAttribute, ServiceBody } from "../../src/credential/statements.ts";
import { file_causeway_ledger_v1_ledger } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import type { PolicyBlobs } from "../../src/policy/ports.ts";
import {
  assertBlob,
  checkPolicyPublication,
  checkServicePublication,
} from "../../src/policy/publication.ts";
import {
  standardPolicyText,
  standardSchema,
  standardSchemaText,
} from "../../src/policy/standard.ts";
import {
  blobsOf,
  descriptorSet,
  digestOf,
  getDivision,
  policyBodyOf,
  serviceBody,
  serviceId,
} from "./fixtures.ts";

const engine = createCedarEngine();

test("a service whose statement agrees with its descriptor set is accepted", () => {
  checkServicePublication(serviceBody({ subject_paths: ["code"] }), descriptorSet);
});

const [getMethod] = serviceBody().methods;
const services: readonly (readonly [claim: string, more: Partial<ServiceBody>, fields: object])[] =
  [
    [
      "a service that the set lacks",
      { methods: [{ ...getMethod!, path: "/causeway.demo.v1.Streets/Get" }] },
      { method: "/causeway.demo.v1.Streets/Get" },
    ],
    [
      "a method that the set lacks",
      { methods: [{ ...getMethod!, path: `${getDivision}s` }] },
      { method: `${getDivision}s` },
    ],
    [
      "a method named like its code",
      { methods: [{ ...getMethod!, path: "/causeway.demo.v1.DivisionService/getDivision" }] },
      { method: "/causeway.demo.v1.DivisionService/getDivision" },
    ],
    [
      "a unary method stated as server streaming",
      { methods: [{ ...getMethod!, server_streaming: true }] },
      { method: getDivision },
    ],
    [
      "a unary method stated as client streaming",
      { methods: [{ ...getMethod!, client_streaming: true }] },
      { method: getDivision },
    ],
    [
      "a subject path that no request has",
      { subject_paths: ["code", "person.id"] },
      { subject_path: "person.id" },
    ],
    [
      "a subject path below a scalar",
      { subject_paths: ["code.digits"] },
      { subject_path: "code.digits" },
    ],
  ];
for (const [claim, more, fields] of services) {
  test(`${claim} is refused, and named`, () => {
    assert.throws(() => checkServicePublication(serviceBody(more), descriptorSet), {
      code: "DESCRIPTOR_INVALID" satisfies ReasonCode,
      fields,
    });
  });
}

function announced(blob: Uint8Array): ServiceBody {
  return serviceBody({ descriptor: digestOf(blob), descriptor_bytes: blob.length });
}

function setOf(file: FileDescriptorProto): Uint8Array {
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] }));
}

const sets: readonly (readonly [claim: string, blob: Uint8Array])[] = [
  ["bytes that are no descriptor set", utf8('syntax = "proto3";')],
  ["an empty set", new Uint8Array(0)],
  ["a cut set", descriptorSet.subarray(0, -3)],
  ["a set without the imports of its files", setOf(file_causeway_ledger_v1_ledger.proto)],
];
for (const [claim, blob] of sets) {
  test(`${claim} is refused as a descriptor set`, () => {
    assert.throws(() => checkServicePublication(announced(blob), blob), {
      code: "DESCRIPTOR_INVALID",
    });
  });
}

const mismatches: readonly (readonly [string, { sha256: string; bytes: number }])[] = [
  ["another digest", { sha256: digestOf(utf8("b")), bytes: 1 }],
  ["another size", { sha256: digestOf(utf8("a")), bytes: 2 }],
];
for (const [claim, of] of mismatches) {
  test(`a blob of ${claim} than announced is refused`, () => {
    assert.throws(() => assertBlob(utf8("a"), of), { code: "BLOB_MISMATCH" });
  });
}

function publish(
  blobs: PolicyBlobs,
  attributes: readonly ServiceAttribute[] = [],
): ReturnType<typeof checkPolicyPublication> {
  const service = { id: serviceId, body: serviceBody({ attributes }) };
  return checkPolicyPublication({ engine, body: policyBodyOf(blobs), blobs, service });
}

test("the standard policy and schema are accepted without a warning", () => {
  assert.deepEqual(publish(blobsOf()), []);
});

test("a schema with the declared attributes is accepted", () => {
  const attributes: readonly ServiceAttribute[] = [
    { name: "level", type: "integer", personal: false, source: "provider" },
    { name: 'a "quoted" name', type: "text", personal: false, source: "token" },
    { name: "tags", type: "text-set", personal: false, source: "token" },
    { name: "resident", type: "boolean", personal: true, source: "request" },
  ];
  assert.deepEqual(publish(blobsOf(standardPolicyText, attributes), attributes), []);
});

test("a policy that can never apply is accepted with a warning", () => {
  const text = '@id("never") permit(principal, action, resource) when { false };';
  assert.deepEqual(
    publish(blobsOf(text)).map(({ severity }) => severity),
    ["warning"],
  );
});

test("a policy that errs on a specimen request is not refused: it is well typed", () => {
  const text =
    '@id("x") permit(principal, action, resource) when { context.now - 1 + -9223372036854775807 - 1 < 0 };';
  assert.deepEqual(publish(blobsOf(text)), []);
});

const policies: readonly (readonly [claim: string, blobs: PolicyBlobs, fields: object])[] = [
  [
    "a policy on a member that the schema lacks",
    blobsOf(
      '@id("ok") permit(principal, action, resource);\n@id("x")\nforbid(principal, action, resource) when { context.city == "a" };',
    ),
    { blob: "policy", policy_id: "x", line: "3", column: "44" },
  ],
  ["a policy that does not parse", blobsOf("permit("), { blob: "policy", line: "1", column: "8" }],
  [
    "a policy without an id",
    blobsOf("permit(principal, action, resource);"),
    { blob: "policy", line: "1", column: "1" },
  ],
  [
    "a schema that does not parse",
    { policy: utf8(standardPolicyText), schema: utf8("entity") },
    { blob: "schema", line: "1", column: "7" },
  ],
  [
    "a schema without the action",
    {
      policy: utf8('@id("x") permit(principal, action, resource);'),
      schema: utf8("entity Agency; entity Service;"),
    },
    { blob: "schema" },
  ],
  [
    "a schema that wants more than a gateway sends",
    {
      policy: utf8(standardPolicyText),
      schema: utf8(
        standardSchemaText.replace("    writes: Bool,", "    writes: Bool,\n    official: String,"),
      ),
    },
    { blob: "schema" },
  ],
  [
    "a schema with an attribute that the service does not declare",
    {
      policy: utf8(standardPolicyText),
      schema: utf8(
        standardSchema([{ name: "level", type: "integer", personal: false, source: "token" }]),
      ),
    },
    { blob: "schema" },
  ],
  [
    "a policy that is not UTF-8",
    { policy: Uint8Array.of(0xc3), schema: utf8(standardSchemaText) },
    { blob: "policy" },
  ],
];
for (const [claim, blobs, fields] of policies) {
  test(`${claim} is refused, with its place`, () => {
    assert.throws(() => publish(blobs), { code: "POLICY_INVALID" satisfies ReasonCode, fields });
  });
}
