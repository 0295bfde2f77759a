import { compareText } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { isList, isObject, type JsonValue } from "./jcs.ts";

/** A closed description of JSON. Objects have exactly the members that are named. */
export interface Shape<T> {
  /** Where `value` first departs from the shape, as a path below `at`; `undefined` when it is a `T`. */
  misfit(value: JsonValue, at: string): string | undefined;
  /** Never set: it ties the shape to its type. */
  readonly type?: T;
}

/** A member that may be absent. */
export interface OptionalShape<T> {
  readonly optional: Shape<T>;
}

/** A shape for each member of `T`; the compiler asks for every member and for {@link optional} where it belongs. */
export type Members<T> = {
  readonly [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? OptionalShape<Exclude<T[K], undefined>>
    : Shape<T[K]>;
};

export interface CountBounds {
  readonly min: number;
  readonly max: number;
}

function shape<T>(fits: (value: JsonValue) => boolean): Shape<T> {
  return { misfit: (value, at) => (fits(value) ? undefined : at) };
}

/** A string of which `accepts` holds. */
export function text(accepts: RegExp | ((value: string) => boolean)): Shape<string> {
  const holds = accepts instanceof RegExp ? (value: string) => accepts.test(value) : accepts;
  return shape((value) => typeof value === "string" && holds(value));
}

/** An integer from `min` to `max`. */
export function integer({ min, max }: CountBounds): Shape<number> {
  return shape((value) => typeof value === "number" && value >= min && value <= max);
}

export const boolean: Shape<boolean> = shape((value) => typeof value === "boolean");

/** One of the given strings. */
export function oneOf<T extends string>(...values: readonly T[]): Shape<T> {
  return shape((value) => (values as readonly JsonValue[]).includes(value));
}

export function optional<T>(inner: Shape<T>): OptionalShape<T> {
  return { optional: inner };
}

/** An object with exactly these members. */
export function object<T>(members: Members<T>): Shape<T> {
  const described = members as Readonly<Record<string, Shape<unknown> | OptionalShape<unknown>>>;
  const names = Object.keys(described);
  return {
    misfit(value, at) {
      // An unknown member is reported by its place only: its name is the sender's.
      if (!isObject(value)) return at;
      if (!Object.keys(value).every((name) => Object.hasOwn(described, name))) return at;
      for (const name of names) {
        const member = described[name] as Shape<unknown> | OptionalShape<unknown>;
        const inner = Object.hasOwn(value, name) ? (value[name] as JsonValue) : undefined;
        const place = `${at}.${name}`;
        if (inner === undefined) {
          if (!("optional" in member)) return place;
          continue;
        }
        const found = ("optional" in member ? member.optional : member).misfit(inner, place);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}

/** The shape that the text member `by` names. */
export function oneShapeOf<T>(
  by: string & keyof T,
  shapes: Readonly<Record<T[typeof by] & string, Shape<T>>>,
): Shape<T> {
  const known = shapes as Readonly<Record<string, Shape<T>>>;
  return {
    misfit(value, at) {
      const name = isObject(value) && Object.hasOwn(value, by) ? value[by] : undefined;
      if (typeof name !== "string" || !Object.hasOwn(known, name)) return `${at}.${by}`;
      return (known[name] as Shape<T>).misfit(value, at);
    },
  };
}

/** A list of `count.min` to `count.max` elements. */
export function list<T>(element: Shape<T>, count: CountBounds): Shape<readonly T[]> {
  return {
    misfit(value, at) {
      if (!isList(value) || value.length < count.min || value.length > count.max) return at;
      for (const [i, inner] of value.entries()) {
        const found = element.misfit(inner, `${at}.${i}`);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}

/** A list in strictly ascending order of the bytes of `by`: sorted, nothing twice. */
export function ascending<T>(
  element: Shape<T>,
  count: CountBounds,
  by: (element: T) => string,
): Shape<readonly T[]> {
  return refined(list(element, count), (elements) =>
    elements.every((one, i) => i === 0 || compareText(by(elements[i - 1] as T), by(one)) < 0),
  );
}

/** `inner`, of which `holds` is true as well. */
export function refined<T>(inner: Shape<T>, holds: (value: T) => boolean): Shape<T> {
  return {
    misfit: (value, at) =>
      inner.misfit(value, at) ?? (holds(value as unknown as T) ? undefined : at),
  };
}

/**
 * `value` as the type of its shape.
 *
 * @throws CausewayError with `code` and the field `path`, which names the first place that does not fit.
 */
export function conform<T>(
  value: JsonValue,
  expected: Shape<T>,
  { code, root }: { readonly code: ReasonCode; readonly root: string },
): T {
  const path = expected.misfit(value, root);
  if (path !== undefined) throw misfitError(code, path);
  return value as unknown as T;
}

/** The error that says which member is not as documented. */
export function misfitError(code: ReasonCode, path: string): CausewayError {
  return new CausewayError(code, `${path} is not as documented`, { fields: { path } });
}
