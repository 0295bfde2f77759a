/** Checks when a service or policy is published: what its statement says must be what its blobs hold. */
import type { DescMessage, DescMethod, FileRegistry } from "@bufbuild/protobuf";
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf, cityOf } from "../base/ids.ts";
import { sha256 } from "../base/sha256.ts";
import type {
  PolicyBody,
  ServiceAttribute,
  ServiceBody,
  ServiceMethod,
} from "../credential/statements.ts";
import type { ContextValue } from "./attributes.ts";
import { attributeTypeOf, requestPath, tokenAttributes } from "./call-attributes.ts";
import { descriptorInvalid, methodOf, parseDescriptorSet } from "./descriptors.ts";
import type { PolicyBlobs, PolicyEngine, PolicyProblem, PolicyRequest } from "./ports.ts";

/** Throws BLOB_MISMATCH unless `content` has the announced SHA-256 (hex) and number of bytes. */
export function assertBlob(
  content: Uint8Array,
  announced: { readonly sha256: string; readonly bytes: number },
): void {
  if (content.length === announced.bytes && toHex(sha256(content)) === announced.sha256) return;
  throw new CausewayError("BLOB_MISMATCH", "the blob is not the one that the statement names", {
    fields: { sha256: announced.sha256 },
  });
}

/**
 * Checks a service statement against its descriptor set: every method exists with these streaming
 * flags, and every subject path leads to a field of a request.
 * Throws BLOB_MISMATCH, or DESCRIPTOR_INVALID with the place in `fields`.
 */
export function checkServicePublication(body: ServiceBody, descriptorSet: Uint8Array): void {
  assertBlob(descriptorSet, { sha256: body.descriptor, bytes: body.descriptor_bytes });
  const registry = parseDescriptorSet(descriptorSet);
  const methods = body.methods.map((method) => checkMethod(registry, method));
  for (const path of body.subject_paths) {
    if (methods.some(({ input }) => hasField(input, path))) continue;
    throw descriptorInvalid(`no request has the field ${path}`, { subject_path: path });
  }
  for (const attribute of body.attributes) checkAttribute(attribute, methods);
}

function checkMethod(registry: FileRegistry, stated: ServiceMethod): DescMethod {
  const method = methodOf(registry, stated.path);
  const { clientStreaming, serverStreaming } = method.proto;
  if (clientStreaming !== stated.client_streaming || serverStreaming !== stated.server_streaming) {
    throw descriptorInvalid(`${stated.path} is of another call type`, { method: stated.path });
  }
  return method;
}

/** Each attribute can be found where it is said to stand, and is of the type that it has there. */
function checkAttribute(attribute: ServiceAttribute, methods: readonly DescMethod[]): void {
  const { name, type, source, personal } = attribute;
  const wrong = (message: string): CausewayError =>
    descriptorInvalid(`the attribute ${name} ${message}`, { attribute: name });
  if (source === "token") {
    const known = tokenAttributes.get(name);
    if (known === undefined) {
      throw wrong(`is not one of a token's: ${[...tokenAttributes.keys()].join(", ")}`);
    }
    if (known.type !== type) throw wrong(`is of type ${known.type}`);
    if (known.personal && !personal) throw wrong("is what a caller wrote, and so personal");
  }
  if (source !== "request") return;
  const path = requestPath(attribute);
  const types = methods.flatMap(({ input }) => typeAt(input, path) ?? []);
  if (types.length === 0) throw wrong(`needs a field ${path} in a request`);
  if (types.some((found) => found !== type)) throw wrong(`is of type ${types.join(" and ")}`);
}

/** The type of the attribute that stands at a path below `message`, through no list or map. */
function typeAt(message: DescMessage, path: string): ServiceAttribute["type"] | undefined {
  const [name, ...rest] = path.split(".");
  const field = message.fields.find((one) => one.name === name);
  if (field === undefined) return undefined;
  if (rest.length === 0) return attributeTypeOf(field);
  return field.fieldKind === "message" ? typeAt(field.message, rest.join(".")) : undefined;
}

/** Whether a path of proto field names, joined by dots, leads to a field below `message`. */
function hasField(message: DescMessage, path: string): boolean {
  let at: DescMessage | undefined = message;
  for (const name of path.split(".")) {
    const field: DescMessage["fields"][number] | undefined = at?.fields.find(
      (f) => f.name === name,
    );
    if (field === undefined) return false;
    at = field.message;
  }
  return true;
}

/**
 * Checks a policy statement against its blobs: they are the announced ones, the policies validate
 * against the schema, and the schema takes the requests that a gateway makes for this service.
 * Returns warnings. Throws BLOB_MISMATCH, or POLICY_INVALID with the place of the first problem in
 * `fields` (`blob`, `policy_id`, `line`, `column`).
 */
export function checkPolicyPublication(options: {
  readonly engine: PolicyEngine;
  readonly body: PolicyBody;
  readonly blobs: PolicyBlobs;
  /** Id and statement of the service that the policy is for. */
  readonly service: { readonly id: string; readonly body: ServiceBody };
}): readonly PolicyProblem[] {
  const { engine, body, blobs, service } = options;
  assertBlob(blobs.policy, { sha256: body.policy, bytes: body.policy_bytes });
  assertBlob(blobs.schema, { sha256: body.schema, bytes: body.schema_bytes });
  const problems = engine.validate(blobs);
  const problem = problems.find(({ severity }) => severity === "error");
  if (problem !== undefined) throw policyInvalid(problem);
  for (const request of specimenRequests(service.id, service.body)) {
    const { failures } = engine.evaluate({
      policyDigest: body.policy,
      schemaDigest: body.schema,
      blobs: () => blobs,
      request,
    });
    const refused = failures.find(({ policyId }) => policyId === "");
    if (refused === undefined) continue;
    const message = `the schema does not take the service's requests: ${refused.message}`;
    throw policyInvalid({ severity: "error", blob: "schema", message });
  }
  return problems;
}

function policyInvalid({ blob, policyId, line, column, message }: PolicyProblem): CausewayError {
  const place = line === undefined ? blob : `${blob} ${line}:${column}`;
  return new CausewayError("POLICY_INVALID", `${place}: ${message}`, {
    fields: {
      blob,
      ...(policyId === undefined ? {} : { policy_id: policyId }),
      ...(line === undefined ? {} : { line: `${line}`, column: `${column}` }),
    },
  });
}

const specimenValues = { boolean: false, integer: 0, text: "", "text-set": [] } as const;

/** One request of the shape that a gateway makes for each method. */
function* specimenRequests(id: string, body: ServiceBody): Generator<PolicyRequest> {
  const attributes: Readonly<Record<string, ContextValue>> = Object.fromEntries(
    body.attributes.map(({ name, type }) => [name, specimenValues[type]]),
  );
  for (const { path, writes } of body.methods) {
    yield {
      principal: agencyOf(id),
      resource: id,
      context: {
        method: path,
        purpose: body.purposes[0] ?? "",
        writes,
        consumer_city: cityOf(id),
        provider_city: cityOf(id),
        now: 0,
        grant: {
          legal_basis: "",
          methods: [path],
          purposes: [...body.purposes],
          not_before: 0,
          expires: 1,
        },
        attributes,
      },
    };
  }
}
