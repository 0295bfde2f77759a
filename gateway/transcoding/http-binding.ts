/** The `google.api.http` annotation of a method, read from its service's published descriptors. */
import { type DescField, type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { http } from "../../src/gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../src/gen/google/api/http_pb.ts";
import { fieldNamed, isSimple, resolveFieldPath } from "./field-path.ts";
import { parsePathTemplate, type PathTemplate } from "./path-template.ts";

export interface BoundVariable {
  readonly field: string;
  /** From the request message to the field that the variable is. */
  readonly path: readonly DescField[];
}

/** One HTTP form of a method. */
export interface HttpBinding {
  /** HTTP method in upper case; `*` for any. */
  readonly verb: string;
  readonly template: PathTemplate;
  readonly variables: readonly BoundVariable[];
  /** `whole` is the message without what the path holds; `none` leaves the rest to the query. */
  readonly body: "whole" | "none" | DescField;
  /** Field of the answer that is the body; `undefined` for all of it. */
  readonly responseBody: DescField | undefined;
}

/**
 * The HTTP forms of a method in the order of its annotation; none without one.
 * Throws DESCRIPTOR_INVALID for an annotation that does not fit the method's messages.
 */
export function bindingsOf(method: DescMethod): readonly HttpBinding[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  if (rule.additionalBindings.some((inner) => inner.additionalBindings.length > 0)) {
    throw invalid(method, "additional bindings inside additional bindings");
  }
  return [rule, ...rule.additionalBindings].map((one) => bindingOf(method, one));
}

function bindingOf(method: DescMethod, rule: HttpRule): HttpBinding {
  const { verb, text } = patternOf(method, rule);
  const template = parsePathTemplate(text);
  const variables = template.variables.map(({ field }) => {
    const path = resolveFieldPath(method.input, field);
    const target = path?.at(-1);
    if (path === undefined || target === undefined) {
      throw invalid(method, `the request has no field ${field}`);
    }
    if (target.fieldKind === "list" || !isSimple(target)) {
      throw invalid(method, `the field ${field} cannot stand in a path`);
    }
    return { field, path };
  });
  const body = bodyOf(method, rule);
  if (body !== "none" && (verb === "GET" || verb === "HEAD")) {
    throw invalid(method, `${verb} has no body`);
  }
  const responseBody =
    rule.responseBody === "" ? undefined : fieldNamed(method.output, rule.responseBody);
  if (rule.responseBody !== "" && responseBody === undefined) {
    throw invalid(method, `the answer has no field ${rule.responseBody}`);
  }
  return { verb, template, variables, body, responseBody };
}

function patternOf(
  method: DescMethod,
  { pattern }: HttpRule,
): { readonly verb: string; readonly text: string } {
  if (pattern.case === undefined) throw invalid(method, "it names no path");
  if (pattern.case !== "custom") return { verb: pattern.case.toUpperCase(), text: pattern.value };
  const { kind, path } = pattern.value;
  if (!/^(?:\*|[A-Z]{1,32})$/.test(kind)) throw invalid(method, "its custom method is no token");
  return { verb: kind, text: path };
}

function bodyOf(method: DescMethod, { body }: HttpRule): HttpBinding["body"] {
  if (body === "") return "none";
  if (body === "*") return "whole";
  const field = fieldNamed(method.input, body);
  if (field === undefined) throw invalid(method, `the request has no field ${body}`);
  return field;
}

function invalid({ parent, name }: DescMethod, what: string): CausewayError {
  return new CausewayError(
    "DESCRIPTOR_INVALID",
    `the HTTP annotation of /${parent.typeName}/${name}: ${what}`,
  );
}
