/** A data service's published descriptor set, made ready for reading and writing its messages. */
import {
  createFileRegistry,
  type DescMethod,
  type FileRegistry,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { CausewayError } from "../../src/base/errors.ts";

export interface ServiceDescriptors {
  readonly registry: FileRegistry;
  /** The method of a path such as `/package.Service/Method`. */
  method(path: string): DescMethod | undefined;
}

/** Reads a `google.protobuf.FileDescriptorSet`. Throws DESCRIPTOR_INVALID. */
export function openServiceDescriptors(descriptorSet: Uint8Array): ServiceDescriptors {
  const registry = registryOf(descriptorSet);
  const methods = new Map<string, DescMethod>();
  for (const type of registry) {
    if (type.kind !== "service") continue;
    for (const method of type.methods) methods.set(`/${type.typeName}/${method.name}`, method);
  }
  return { registry, method: (path) => methods.get(path) };
}

function registryOf(descriptorSet: Uint8Array): FileRegistry {
  try {
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));
  } catch (cause) {
    throw new CausewayError("DESCRIPTOR_INVALID", "it is not a complete descriptor set", { cause });
  }
}

/** Descriptors by what names their bytes, such as a digest, the newest ones remembered. */
export interface DescriptorSource {
  /** Equal for equal bytes. */
  readonly key: string;
  bytes(): Uint8Array | undefined;
}

/**
 * The descriptors that hold at the moment of each call, opened once for each key. Gives `undefined`
 * while nothing is published here.
 */
export function followDescriptors(
  source: () => DescriptorSource | undefined,
): () => ServiceDescriptors | undefined {
  let opened: { readonly key: string; readonly descriptors: ServiceDescriptors } | undefined;
  return () => {
    const current = source();
    if (current === undefined) return undefined;
    if (opened?.key === current.key) return opened.descriptors;
    const bytes = current.bytes();
    if (bytes === undefined) return undefined;
    opened = { key: current.key, descriptors: openServiceDescriptors(bytes) };
    return opened.descriptors;
  };
}
