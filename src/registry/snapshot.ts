/**
 * The registry as bytes, so that a start refolds only what came after: SHA-256 of the rest ‖ JSON of
 * RFC 8785. Equal registries have equal bytes. It is a copy for its own process's disk and proves
 * nothing to anyone else.
 */
import { concatBytes, equalBytes, parseBase64, toBase64, utf8 } from "../base/bytes.ts";
import { assertInvariant, CausewayError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import {
  formatJcs,
  isList,
  isObject,
  type JsonObject,
  type JsonValue,
  parseJcs,
} from "../credential/jcs.ts";
import { OrderedMap } from "./ordered-map.ts";
import type { RegistryState } from "./state.ts";

// Raised whenever the state or this encoding changes: an older snapshot is then folded again.
const format = "causeway/registry-snapshot/3";
const digestBytes = 32;

// What JSON has no form for stands in an object with one of these members; no statement has such a name.
const integerTag = "$integer";
const bytesTag = "$bytes";
const mapTag = "$map";

/** The snapshot of a registry. */
export function encodeSnapshot(state: RegistryState): Uint8Array {
  const json = utf8(formatJcs({ format, state: toJson(state) }));
  return concatBytes(sha256(json), json);
}

/**
 * The registry of a snapshot, or `undefined` when another release wrote it.
 *
 * @throws CausewayError `STORAGE_FAILED` when the bytes are not those that were written.
 */
export function decodeSnapshot(bytes: Uint8Array): RegistryState | undefined {
  const json = bytes.subarray(digestBytes);
  if (!equalBytes(sha256(json), bytes.subarray(0, digestBytes))) {
    throw new CausewayError("STORAGE_FAILED", "the registry's snapshot is damaged");
  }
  const value = parseJcs(json);
  if (!isObject(value) || value["format"] !== format) return undefined;
  return fromJson(value["state"] as JsonValue) as RegistryState;
}

function toJson(value: unknown): JsonValue {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  if (typeof value === "bigint") return { [integerTag]: value.toString() };
  assertInvariant(typeof value === "object" && value !== null, "a registry holds plain data");
  if (value instanceof Uint8Array) return { [bytesTag]: toBase64(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof OrderedMap) {
    return { [mapTag]: [...value].map(([key, inner]) => [key as string, toJson(inner)]) };
  }
  const members = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(members.map(([member, inner]) => [member, toJson(inner)]));
}

function fromJson(value: JsonValue): unknown {
  if (typeof value !== "object") return value;
  if (isList(value)) return value.map(fromJson);
  return fromTagged(value) ?? fromMembers(value);
}

function fromMembers(value: JsonObject): unknown {
  return Object.fromEntries(
    Object.entries(value).map(([member, inner]) => [member, fromJson(inner)]),
  );
}

function fromTagged(value: JsonObject): unknown {
  const { [integerTag]: integer, [bytesTag]: bytes, [mapTag]: map } = value;
  if (typeof integer === "string") return BigInt(integer);
  if (typeof bytes === "string") return parseBase64(bytes);
  if (map === undefined) return undefined;
  const entries = map as readonly (readonly [string, JsonValue])[];
  return OrderedMap.from(entries.map(([key, inner]): [string, unknown] => [key, fromJson(inner)]));
}
