/** Published descriptor sets, parsed once. */
import {
  createFileRegistry,
  type DescMethod,
  type FileRegistry,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { descriptorSetsParsedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";

/** The types of a FileDescriptorSet. Throws DESCRIPTOR_INVALID when it is none or lacks an import. */
export function parseDescriptorSet(descriptorSet: Uint8Array): FileRegistry {
  try {
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));
  } catch (cause) {
    throw descriptorInvalid("not a complete descriptor set", {}, cause);
  }
}

/** The method of a full path, such as `/package.Service/Method`. Throws DESCRIPTOR_INVALID when there is none. */
export function methodOf(registry: FileRegistry, path: string): DescMethod {
  const [, serviceName = "", methodName = ""] = path.split("/");
  const service = registry.getService(serviceName);
  if (service === undefined) throw descriptorInvalid(`no service ${serviceName}`, { method: path });
  const method = service.methods.find(({ name }) => name === methodName);
  if (method === undefined) throw descriptorInvalid(`no method ${path}`, { method: path });
  return method;
}

/** A descriptor set that does not hold what a statement says, with the place in `fields`. */
export function descriptorInvalid(
  message: string,
  fields: Readonly<Record<string, string>> = {},
  cause?: unknown,
): CausewayError {
  return new CausewayError("DESCRIPTOR_INVALID", message, { fields, cause });
}

/** Remembers parsed sets by the digest of their blob: parsing one takes longer than a call. */
export class DescriptorSets {
  readonly #blob: (sha256: Uint8Array) => Uint8Array | undefined;
  readonly #parsed: Lru<string, FileRegistry> = new Lru(descriptorSetsParsedMax);

  /** `blob` gives a published blob by its SHA-256, verified by whoever stored it. */
  constructor(blob: (sha256: Uint8Array) => Uint8Array | undefined) {
    this.#blob = blob;
  }

  /** Throws BLOB_MISSING when the set is not at hand, DESCRIPTOR_INVALID when it is none. */
  get(digest: Uint8Array): FileRegistry {
    const key = toHex(digest);
    const known = this.#parsed.get(key);
    if (known !== undefined) return known;
    const content = this.#blob(digest);
    if (content === undefined) {
      throw new CausewayError("BLOB_MISSING", "a published descriptor set is not at hand", {
        fields: { sha256: key },
      });
    }
    const registry = parseDescriptorSet(content);
    this.#parsed.set(key, registry);
    return registry;
  }
}
