/** The data services that a place to try publishes: one for each gRPC service of a descriptor set. */
import {
  create,
  createFileRegistry,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel,
} from "@bufbuild/protobuf/wkt";
import { compareText } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { inImportOrder } from "./descriptor-files.ts";

export interface DevService {
  /** Last level of the data service's id, such as `division-service`. */
  readonly name: string;
  /** Full name of the gRPC service. */
  readonly typeName: string;
  /** Encoded descriptor set: the service's file and what it imports. */
  readonly descriptors: Uint8Array;
  readonly methods: readonly DevMethod[];
}

export interface DevMethod {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly writes: boolean;
}

const ownServices = /^grpc\.(reflection|health|channelz)\.v\d/;

/** Whether a gateway answers a service for itself, so that it never reaches an upstream. */
export function isOwnService(typeName: string): boolean {
  return ownServices.test(typeName);
}

const methodsMax = 256;
const nameLengthMax = 32;

/**
 * The services of a descriptor set that have methods, ascending by full name.
 *
 * @param options.readOnly Patterns of method paths, `*` for any characters: these do not write. A method
 * without side effects by its own `idempotency_level` does not either; every other one is taken to write.
 * @param options.only Full names of the services to take; all of the set unless given.
 * @throws CausewayError `DESCRIPTOR_INVALID` when nothing is left, or a service has too many methods;
 * `USAGE_INVALID` for a pattern that no method has.
 */
export function devServices(
  descriptorSet: Uint8Array,
  options: { readonly readOnly: readonly string[]; readonly only?: readonly string[] },
): readonly DevService[] {
  const set = readSet(descriptorSet);
  const files = new Map(set.file.map((file) => [file.name, file]));
  const ordered = create(FileDescriptorSetSchema, { file: [...inImportOrder(files)] });
  const patterns = options.readOnly.map((text) => ({
    text,
    matches: matcherOf(text),
    used: false,
  }));
  const services: DevService[] = [];
  const names = new Set<string>();
  const found = [...registryOf(ordered)]
    .filter((desc) => desc.kind === "service")
    .filter(({ typeName }) => options.only?.includes(typeName) ?? true)
    .filter(({ typeName, methods }) => !isOwnService(typeName) && methods.length > 0)
    .toSorted((a, b) => compareText(a.typeName, b.typeName));
  for (const { typeName, methods, file } of found) {
    if (methods.length > methodsMax) {
      throw invalid(
        `${typeName} has ${methods.length} methods, and ${methodsMax} at most are published`,
      );
    }
    const needed = inImportOrder(files, [file.proto.name]);
    const name = serviceName(typeName, names);
    names.add(name);
    services.push({
      name,
      typeName,
      descriptors: toBinary(
        FileDescriptorSetSchema,
        create(FileDescriptorSetSchema, { file: [...needed] }),
      ),
      methods: methods.map((method) => {
        const path = `/${typeName}/${method.name}`;
        const matching = patterns.filter(({ matches }) => matches(path));
        for (const pattern of matching) pattern.used = true;
        return { path, writes: matching.length === 0 && !isWithoutSideEffects(method) };
      }),
    });
  }
  if (services.length === 0) throw invalid("the descriptor set holds no service to publish");
  const idle = patterns.find(({ used }) => !used);
  if (idle === undefined) return services;
  throw new CausewayError("USAGE_INVALID", `no method is ${idle.text}`);
}

function readSet(bytes: Uint8Array): FileDescriptorSet {
  try {
    return fromBinary(FileDescriptorSetSchema, bytes);
  } catch (cause) {
    throw new CausewayError("DESCRIPTOR_INVALID", "it is not a descriptor set", { cause });
  }
}

function registryOf(set: FileDescriptorSet): FileRegistry {
  try {
    return createFileRegistry(set);
  } catch (cause) {
    throw new CausewayError("DESCRIPTOR_INVALID", "a type that it names is in no file of the set", {
      cause,
    });
  }
}

function isWithoutSideEffects({ proto }: DescMethod): boolean {
  const level = proto.options?.idempotencyLevel;
  return level === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

function matcherOf(pattern: string): (path: string) => boolean {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  const expression = new RegExp(`^${parts.join(".*")}$`);
  return (path) => expression.test(path);
}

/** `DivisionService` becomes `division-service`; a name that is taken grows by its packages, then by a number. */
function serviceName(typeName: string, taken: ReadonlySet<string>): string {
  const parts = typeName.split(".").map(kebab);
  for (let length = 1; length <= parts.length; length++) {
    const name = fitting(parts.slice(-length).join("-"));
    if (!taken.has(name)) return name;
  }
  for (let number = 2; ; number++) {
    const ending = `-${number}`;
    const name = fitting(parts.at(-1) as string).slice(0, nameLengthMax - ending.length) + ending;
    if (!taken.has(name)) return name;
  }
}

function kebab(text: string): string {
  return text
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll(/([A-Z])([A-Z][a-z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
}

function fitting(name: string): string {
  const begun = /^[a-z]/.test(name) ? name : `s${name}`;
  return begun.slice(0, nameLengthMax).replace(/-+$/, "");
}

function invalid(message: string): CausewayError {
  return new CausewayError("DESCRIPTOR_INVALID", message);
}
