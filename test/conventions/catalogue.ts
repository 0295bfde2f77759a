/** A catalogue by hand for what the gateway serves of it: several services, some granted. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import type { ServiceBody } from "../../src/credential/statements.ts";
import type { GrantFact, RegistryView, ServiceFact } from "../../src/registry/state.ts";
import {
  digestOf,
  expires,
  grantFact,
  notBefore,
  registry,
  serviceBody,
  standing,
  viewOf,
} from "../policy/fixtures.ts";

/** A set with one service `name` of package `pack`, whose messages are in a file that it imports. */
export function descriptorSetOf(options: {
  readonly pack: string;
  readonly name: string;
  /** Fields of the message in the imported file `shared/types.proto`. */
  readonly fields: readonly string[];
}): Uint8Array {
  const { pack, name, fields } = options;
  const shared: FileDescriptorProto = create(FileDescriptorProtoSchema, {
    name: "shared/types.proto",
    package: "shared",
    syntax: "proto3",
    messageType: [
      {
        name: "Company",
        field: fields.map((field, i) => ({
          name: field,
          number: i + 1,
          label: FieldDescriptorProto_Label.OPTIONAL,
          type: FieldDescriptorProto_Type.STRING,
        })),
      },
    ],
  });
  const service = create(FileDescriptorProtoSchema, {
    name: `${pack}/service.proto`,
    package: pack,
    syntax: "proto3",
    dependency: ["shared/types.proto"],
    service: [
      {
        name,
        method: [{ name: "Get", inputType: ".shared.Company", outputType: ".shared.Company" }],
      },
    ],
  });
  return toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, { file: [shared, service] }),
  );
}

export interface CatalogueEntry {
  readonly id: string;
  readonly descriptor: Uint8Array;
  readonly method: string;
  readonly granted: boolean;
  readonly body?: Partial<ServiceBody>;
}

/** The view of a registry with these services, and grants of those that are granted. */
export function catalogueView(entries: readonly CatalogueEntry[]): RegistryView {
  const facts = registry();
  const services = entries.map(
    ({ id, descriptor, method, body = {} }): ServiceFact => ({
      id,
      body: serviceBody({
        descriptor: digestOf(descriptor),
        descriptor_bytes: descriptor.length,
        methods: [
          { path: method, writes: false, client_streaming: false, server_streaming: false },
        ],
        ...body,
      }),
      standing: standing(4n),
    }),
  );
  const grants = entries
    .filter(({ granted }) => granted)
    .map(({ id, method }): GrantFact => {
      const { detail, ...grant } = grantFact({
        standing: standing(6n, { nbf: notBefore, exp: expires }),
      });
      return { ...grant, detail: { ...detail, service: id, methods: [method] } };
    });
  return {
    ...viewOf(facts),
    services: () => services,
    service: (id) => services.find((service) => service.id === id),
    grantsOf: () => grants,
  };
}
