/** The HTTP forms of many methods as one tree: which of them a request's method and path are. */
import type { HttpBinding } from "./http-binding.ts";
import {
  pathSegments,
  percentDecoded,
  type TemplateSegment,
  variablesIn,
  withoutVerb,
} from "./path-template.ts";

export interface Route<T> {
  readonly binding: HttpBinding;
  readonly target: T;
}

export interface RouteMatch<T> extends Route<T> {
  readonly variables: ReadonlyMap<string, string>;
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  one: Node<T> | undefined;
  rest: Node<T> | undefined;
  readonly ends: Route<T>[];
}

const emptyNode = <T>(): Node<T> => ({
  literals: new Map(),
  one: undefined,
  rest: undefined,
  ends: [],
});

/**
 * The routes of one template win over those of another as segments are compared from the left: a
 * literal before `*`, and `*` before `**`. Templates with a verb are tried before those without.
 */
export class RouteTable<T> {
  readonly #root: Node<T> = emptyNode();
  readonly #verbs = new Set<string>();

  constructor(routes: readonly Route<T>[]) {
    for (const route of routes) {
      let node = this.#root;
      const { segments, verb } = route.binding.template;
      for (const segment of segments) node = childOf(node, segment);
      node.ends.push(route);
      if (verb !== undefined) this.#verbs.add(verb);
    }
  }

  /** Every route of the template that wins, in the order given; empty when none fits. */
  find(verb: string, path: string): readonly RouteMatch<T>[] {
    const segments = pathSegments(path);
    if (segments === undefined) return [];
    const last = segments.at(-1) ?? "";
    for (let at = last.indexOf(":"); at >= 0; at = last.indexOf(":", at + 1)) {
      const name = last.slice(at + 1);
      const raw = this.#verbs.has(name) ? withoutVerb(segments, name) : undefined;
      const found = raw === undefined ? [] : this.#walk({ verb, raw, suffix: name });
      if (found.length > 0) return found;
    }
    return this.#walk({ verb, raw: segments, suffix: undefined });
  }

  #walk(request: Request): readonly RouteMatch<T>[] {
    const decoded = request.raw.map((segment) => percentDecoded(segment) as string);
    const ends = (node: Node<T>): readonly RouteMatch<T>[] =>
      node.ends
        .filter(({ binding }) => isAnswering(binding, request))
        .map((route) => ({
          ...route,
          variables: variablesIn(route.binding.template, request.raw),
        }));
    const from = (node: Node<T>, at: number): readonly RouteMatch<T>[] => {
      if (at < decoded.length) {
        const literal = node.literals.get(decoded[at] as string);
        const found = literal === undefined ? [] : from(literal, at + 1);
        if (found.length > 0) return found;
        const open = node.one === undefined ? [] : from(node.one, at + 1);
        if (open.length > 0) return open;
      } else {
        const found = ends(node);
        if (found.length > 0) return found;
      }
      return node.rest === undefined ? [] : ends(node.rest);
    };
    return from(this.#root, 0);
  }
}

interface Request {
  readonly verb: string;
  readonly raw: readonly string[];
  /** Behind the colon. */
  readonly suffix: string | undefined;
}

function isAnswering({ verb, template }: HttpBinding, request: Request): boolean {
  return (verb === "*" || verb === request.verb) && template.verb === request.suffix;
}

function childOf<T>(node: Node<T>, segment: TemplateSegment): Node<T> {
  if (segment.kind === "one") return (node.one ??= emptyNode());
  if (segment.kind === "rest") return (node.rest ??= emptyNode());
  const child = node.literals.get(segment.text) ?? emptyNode<T>();
  node.literals.set(segment.text, child);
  return child;
}
