/** Whether the paths of a mask lead to what they are to let through. */
import type { DescField, DescMessage, FileRegistry } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { compareText } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { methodOf, parseDescriptorSet } from "./descriptors.ts";
import { anyTypeName, createPathTree, type PathTree } from "./mask-plan.ts";

/**
 * Checks the paths of a mask against the responses of the methods that it is for: ascending, none below
 * another, each leading to a field of at least one of the responses and none into an Any, and no
 * message left without a field that proto2 requires.
 *
 * @throws CausewayError MASK_INVALID with the `path`, or DESCRIPTOR_INVALID with the `method`.
 */
export function validateMaskPaths(options: {
  /** A FileDescriptorSet, as published or parsed. */
  readonly descriptors: Uint8Array | FileRegistry;
  /** Full method paths. */
  readonly methods: readonly string[];
  readonly paths: readonly string[];
}): void {
  const { descriptors, methods, paths } = options;
  const registry =
    descriptors instanceof Uint8Array ? parseDescriptorSet(descriptors) : descriptors;
  assertOrder(paths);
  const responses = methods.map((method) => methodOf(registry, method).output);
  for (const path of paths) assertLeads(path, responses);
  const tree = createPathTree(paths);
  for (const response of responses) assertDecodable(response, tree);
}

function maskInvalid(path: string, message: string): CausewayError {
  return new CausewayError("MASK_INVALID", message, { fields: { path } });
}

function assertOrder(paths: readonly string[]): void {
  for (const [i, path] of paths.entries()) {
    const before = paths[i - 1];
    if (before !== undefined && compareText(before, path) >= 0) {
      throw maskInvalid(path, `the paths are not ascending at ${path}`);
    }
    const above = paths.find((other) => path.startsWith(`${other}.`));
    if (above !== undefined)
      throw maskInvalid(path, `${path} is below ${above}, which passes whole`);
  }
}

function assertLeads(path: string, responses: readonly DescMessage[]): void {
  const ends = responses.map((response) => follow(response, path));
  if (ends.some((end) => end === "field")) return;
  if (ends.includes("into-any")) {
    throw maskInvalid(path, `${path} leads into an Any, which passes whole or not at all`);
  }
  const types = [...new Set(responses.map(({ typeName }) => typeName))].join(", ");
  throw maskInvalid(path, `${path} is no field of ${types}`);
}

function follow(response: DescMessage, path: string): "field" | "into-any" | "nowhere" {
  let at: DescMessage | undefined = response;
  for (const name of path.split(".")) {
    if (at?.typeName === anyTypeName) return "into-any";
    const field: DescField | undefined = at?.fields.find((one) => one.name === name);
    if (field === undefined) return "nowhere";
    at = field.message;
  }
  return "field";
}

/** A decoder refuses a message that lacks a required field: such a mask would leave an answer of no use. */
function assertDecodable(type: DescMessage, tree: PathTree, above: string = ""): void {
  for (const field of type.fields) {
    const below = tree.get(field.name);
    const path = `${above}${field.name}`;
    if (below === undefined && field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED) {
      throw maskInvalid(path, `${path} is required in ${type.typeName}: name it too`);
    }
    if (below !== undefined && below.size > 0 && field.message !== undefined) {
      assertDecodable(field.message, below, `${path}.`);
    }
  }
}
