/** The attributes of a call, found where its service statement says: token, request, provider. */
import { type DescField, type DescMessage, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { parseUtf8, utf8 } from "../base/bytes.ts";
import type { RandomBytes } from "../base/clock.ts";
import { CausewayError } from "../base/errors.ts";
import { attributeBytesMax, masksRememberedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import type { ServiceAttribute, ServiceBody } from "../credential/statements.ts";
import { commit } from "../crypto/commitments.ts";
import {
  type AttributeDatum,
  createAttributeValue,
  encodeAttributeValue,
  type GivenAttribute,
} from "./attributes.ts";
import { type DescriptorSets, methodOf } from "./descriptors.ts";
import { copyMasked } from "./mask-copy.ts";
import { createPathTree, type MessagePlan, planMessage } from "./mask-plan.ts";
import { digestBytes } from "./policy-request.ts";

/** What attributes are taken from. */
export interface CallFacts {
  readonly consumerGateway: string;
  /** From 1. */
  readonly attempt: number;
  /** As the call sent them. */
  readonly case: Uint8Array | undefined;
  readonly official: Uint8Array | undefined;
  readonly idempotency: Uint8Array | undefined;
  /** The only message; absent for a request that is a stream, which has none when it is decided. */
  readonly request: Uint8Array | undefined;
  /** What the provider itself says, by the attribute's name. */
  readonly provider: Readonly<Record<string, AttributeDatum>>;
}

/** What opens the commitment to a personal attribute, to be kept by the provider. */
export interface AttributeOpeningItem {
  readonly label: `attribute/${string}`;
  readonly salt: Uint8Array;
  /** Encoded `AttributeValue`. */
  readonly value: Uint8Array;
}

export interface GatheredAttributes {
  readonly attributes: readonly GivenAttribute[];
  readonly openings: readonly AttributeOpeningItem[];
}

interface TokenAttribute {
  readonly type: ServiceAttribute["type"];
  /** It is what a caller wrote: it may name a person. */
  readonly personal: boolean;
  read(facts: CallFacts): AttributeDatum | undefined;
}

const textOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : parseUtf8(bytes);

/** What a service may declare of source `token`, by name. */
export const tokenAttributes: ReadonlyMap<string, TokenAttribute> = new Map([
  ["consumer_gateway", { type: "text", personal: false, read: (c) => c.consumerGateway }],
  ["attempt", { type: "integer", personal: false, read: (c) => BigInt(c.attempt) }],
  ["has_case", { type: "boolean", personal: false, read: (c) => c.case !== undefined }],
  ["has_official", { type: "boolean", personal: false, read: (c) => c.official !== undefined }],
  [
    "has_idempotency_key",
    { type: "boolean", personal: false, read: (c) => c.idempotency !== undefined },
  ],
  ["case", { type: "text", personal: true, read: (c) => textOf(c.case) }],
  ["official", { type: "text", personal: true, read: (c) => textOf(c.official) }],
] satisfies readonly (readonly [string, TokenAttribute])[]);

const saltBytes = 32;

/**
 * The declared attributes of one call with their values; what the call does not have is left out, and the
 * schema says whether that is allowed. The request is only decoded when one of them stands in it.
 *
 * @throws CausewayError MALFORMED when the request is no message of its type, BLOB_MISSING without the
 * service's descriptors.
 */
export function gatherAttributes(options: {
  /** Absent for a service that is not published: then there are none. */
  readonly service: ServiceBody | undefined;
  /** Full method path. */
  readonly method: string;
  readonly facts: CallFacts;
  readonly descriptors: DescriptorSets;
  readonly random: RandomBytes;
}): GatheredAttributes {
  const { service, facts, random } = options;
  if (service === undefined || service.attributes.length === 0) return none;
  const fromRequest = service.attributes.some(({ source }) => source === "request")
    ? readRequest(service, options)
    : undefined;
  const attributes: GivenAttribute[] = [];
  const openings: AttributeOpeningItem[] = [];
  for (const declared of service.attributes) {
    const { name, source, personal } = declared;
    const datum =
      source === "token"
        ? tokenAttributes.get(name)?.read(facts)
        : source === "request"
          ? fromRequest?.(requestPath(declared))
          : ownMember(facts.provider, name);
    if (datum === undefined) continue;
    if (source === "request") assertRecordable(name, datum);
    const value = createAttributeValue(datum);
    if (!personal) {
      attributes.push({ name, value });
      continue;
    }
    const label = `attribute/${name}` as const;
    const opening = { label, salt: random(saltBytes), value: encodeAttributeValue(value) };
    attributes.push({ name, value, commitment: commit(opening) });
    openings.push(opening);
  }
  return { attributes, openings };
}

/** A caller says how long its texts are: what no record holds is no value to decide by. */
function assertRecordable(name: string, datum: AttributeDatum): void {
  const isInBounds =
    typeof datum === "bigint"
      ? BigInt.asIntN(64, datum) === datum
      : typeof datum === "boolean" || textBytes(datum) <= attributeBytesMax;
  if (isInBounds) return;
  throw new CausewayError("MALFORMED", "an attribute of the request is larger than its limit", {
    fields: { attribute: name },
  });
}

function textBytes(datum: string | readonly string[]): number {
  if (typeof datum === "string") return utf8(datum).length;
  // Each text of a set has a framing of its own.
  return datum.reduce((sum, text) => sum + utf8(text).length + 8, 0);
}

const none: GatheredAttributes = { attributes: [], openings: [] };

/** Where an attribute of source `request` stands. */
export function requestPath({ name, path }: ServiceAttribute): string {
  return path ?? name;
}

function ownMember<V>(members: Readonly<Record<string, V>>, name: string): V | undefined {
  return Object.hasOwn(members, name) ? members[name] : undefined;
}

interface RequestPlan {
  readonly input: DescMessage;
  readonly plan: MessagePlan;
}

const requestPlans = new Lru<string, RequestPlan>(masksRememberedMax);

/** What a decoded request holds at a path. */
function readRequest(
  service: ServiceBody,
  { method, facts, descriptors }: Parameters<typeof gatherAttributes>[0],
): ((path: string) => AttributeDatum | undefined) | undefined {
  if (facts.request === undefined) return undefined;
  const paths = service.attributes
    .filter(({ source }) => source === "request")
    .map((attribute) => requestPath(attribute));
  const key = [service.descriptor, method, ...paths].join(" ");
  let known = requestPlans.get(key);
  if (known === undefined) {
    const { input } = methodOf(descriptors.get(digestBytes(service.descriptor)), method);
    known = { input, plan: planMessage(input, createPathTree(paths)) };
    requestPlans.set(key, known);
  }
  const { input, plan } = known;
  // Cut to these fields first: what is left has one reading, the one that every decoder gives it.
  const message = decode(input, facts.request, plan);
  return (path) => valueAt(message, path);
}

function decode(input: DescMessage, bytes: Uint8Array, plan: MessagePlan): ReflectMessage {
  try {
    return reflect(input, fromBinary(input, copyMasked(bytes, plan)));
  } catch (cause) {
    throw new CausewayError("MALFORMED", "the request is no message of the method's type", {
      cause,
    });
  }
}

function valueAt(message: ReflectMessage, path: string): AttributeDatum | undefined {
  const names = path.split(".");
  let at = message;
  for (const [i, name] of names.entries()) {
    const field = at.fields.find((one) => one.name === name);
    if (field === undefined) return undefined;
    if (i === names.length - 1) return datumOf(at, field);
    if (field.fieldKind !== "message" || !at.isSet(field)) return undefined;
    at = at.get(field);
  }
  return undefined;
}

/** The type that a field has as an attribute; `undefined` for one that cannot be an attribute. */
export function attributeTypeOf(field: DescField): ServiceAttribute["type"] | undefined {
  if (field.fieldKind === "enum") return "text";
  if (field.fieldKind === "list") {
    return field.listKind === "scalar" && field.scalar === ScalarType.STRING
      ? "text-set"
      : undefined;
  }
  if (field.fieldKind !== "scalar") return undefined;
  switch (field.scalar) {
    case ScalarType.BOOL:
      return "boolean";
    case ScalarType.STRING:
      return "text";
    // Numbers with a fraction, and bytes, are no attribute values.
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
    case ScalarType.BYTES:
      return undefined;
    default:
      return "integer";
  }
}

function datumOf(message: ReflectMessage, field: DescField): AttributeDatum | undefined {
  // A field that knows whether it is set is left out when it is not; another one has its default.
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT && !message.isSet(field))
    return undefined;
  const type = attributeTypeOf(field);
  if (type === undefined) return undefined;
  if (field.fieldKind === "list") return [...message.get(field)] as string[];
  const value = message.get(field) as unknown;
  if (field.fieldKind === "enum") return enumName(field, value as number);
  return type === "integer"
    ? BigInt(value as number | bigint | string)
    : (value as boolean | string);
}

/** A number that the enum does not name stands as itself. */
function enumName(field: DescField & { readonly fieldKind: "enum" }, number: number): string {
  return field.enum.value[number]?.name ?? String(number);
}
