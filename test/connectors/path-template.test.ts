import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RouteTable } from "../../gateway/transcoding/routes.ts";
import {
  expandPath,
  matchPath,
  parsePathTemplate,
  type PathTemplate,
} from "../../gateway/transcoding/path-template.ts";
import { CausewayError } from "../../src/base/errors.ts";

const matched = (template: string, path: string): Record<string, string> | undefined => {
  const found = matchPath(parsePathTemplate(template), path);
  return found === undefined ? undefined : Object.fromEntries(found);
};

const expanded = (template: string, values: Record<string, string>): string | undefined =>
  expandPath(parsePathTemplate(template), new Map(Object.entries(values)));

describe("a path template", () => {
  const refused: Readonly<Record<string, string>> = {
    "has no slash at its beginning": "v1/books",
    "has an empty segment": "/v1//books",
    "ends with a slash": "/v1/books/",
    "has a brace that is not closed": "/v1/{name",
    "has a brace that is not opened": "/v1/name}",
    "has a brace inside a brace": "/v1/{name={other}}",
    "has a variable beside other text": "/v1/a{name}",
    "has a variable without a name": "/v1/{}",
    "has a variable with a wrong name": "/v1/{9a}",
    "has a variable twice": "/v1/{a}/{a}",
    "has ** before its end": "/v1/**/books",
    "has ** before its end inside a variable": "/v1/{name=**/a}",
    "has a dot segment": "/v1/../books",
    "has an escaped dot segment": "/v1/%2e%2e%zz",
    "has an empty verb": "/v1/books:",
    "has a space": "/v1/b ooks",
  };
  for (const [what, text] of Object.entries(refused)) {
    test(`that ${what} is refused`, () => {
      assert.throws(
        () => parsePathTemplate(text),
        (error) => error instanceof CausewayError && error.code === "DESCRIPTOR_INVALID",
      );
    });
  }

  const found: readonly (readonly [string, string, Record<string, string> | undefined])[] = [
    ["/v1/books", "/v1/books", {}],
    ["/v1/books", "/v1/book", undefined],
    ["/v1/books", "/v1/books/", undefined],
    ["/v1/b%C3%BCcher", "/v1/b%c3%bccher", {}],
    ["/v1/{id}", "/v1/a%2Fb%20c", { id: "a/b c" }],
    ["/v1/{id}", "/v1/a/b", undefined],
    ["/v1/{id}", "/v1/", undefined],
    ["/v1/{id}", "/v1/%2e%2E", undefined],
    ["/v1/{id}", "/v1/%zz", undefined],
    ["/v1/{id}", "/v1/%ff", undefined],
    ["/v1/{id}", "/v1/a:b", { id: "a:b" }],
    ["/v1/{id}:undelete", "/v1/7:undelete", { id: "7" }],
    ["/v1/{id}:undelete", "/v1/7", undefined],
    ["/v1/{id}:undelete", "/v1/:undelete", undefined],
    ["/v1/{name=shelves/*/books/*}", "/v1/shelves/1/books/2", { name: "shelves/1/books/2" }],
    ["/v1/{name=shelves/*}", "/v1/shelves/a%2fb%20", { name: "shelves/a%2fb " }],
    ["/v1/{name=shelves/*}", "/v1/cases/1", undefined],
    ["/v1/{name=**}", "/v1/a/b/c", { name: "a/b/c" }],
    ["/v1/{name=a/**}:run", "/v1/a/b/c:run", { name: "a/b/c" }],
    ["/v1/{a.b}/*/{c=**}", "/v1/x/y/z", { "a.b": "x", c: "z" }],
  ];
  for (const [template, path, values] of found) {
    test(`${template} ${values === undefined ? "is not" : "is"} ${path}`, () => {
      assert.deepEqual(matched(template, path), values);
    });
  }

  const built: readonly (readonly [string, Record<string, string>, string | undefined])[] = [
    ["/v1/{id}", { id: "a/b" }, "/v1/a%2Fb"],
    ["/v1/{id}", { id: "a?b#c%" }, "/v1/a%3Fb%23c%25"],
    ["/v1/{id}", { id: "杭州" }, "/v1/%E6%9D%AD%E5%B7%9E"],
    ["/v1/{id}", { id: "" }, undefined],
    ["/v1/{id}", {}, undefined],
    ["/v1/{id}", { id: ".." }, undefined],
    ["/v1/{id}", { id: "../admin" }, undefined],
    ["/v1/{id}", { id: "a\\..\\b" }, undefined],
    ["/v1/{id}", { id: "%2e%2e" }, undefined],
    ["/v1/{id}", { id: "%252e%252e%252fa" }, undefined],
    ["/v1/{id}", { id: "..." }, "/v1/..."],
    ["/v1/{name=shelves/*}", { name: "shelves/1" }, "/v1/shelves/1"],
    ["/v1/{name=shelves/*}", { name: "shelves/1/2" }, undefined],
    ["/v1/{name=shelves/*}", { name: "shelves/" }, undefined],
    ["/v1/{name=shelves/*}", { name: "shelves/.." }, undefined],
    ["/v1/{name=**}", { name: "a/../b" }, undefined],
    ["/v1/*/{id}:run", { id: "7" }, "/v1/-/7:run"],
  ];
  for (const [template, values, path] of built) {
    test(`${template} with ${JSON.stringify(values)} is ${path ?? "refused"}`, () => {
      assert.equal(expanded(template, values), path);
    });
  }
});

/** The same rules read from the standard's text, with no care for speed: every way to cut the path is tried. */
function slowMatch(template: string, path: string): boolean {
  const [, text = "", verb] = /^(.*?)(?::([^/{}]*))?$/.exec(template) as RegExpExecArray;
  const bare = text
    .slice(1)
    .replace(/\{[^}=]*\}/g, "*")
    .replace(/\{[^}=]*=([^}]*)\}/g, "$1");
  let rest = path.slice(1);
  if (verb !== undefined) {
    if (!rest.endsWith(`:${verb}`)) return false;
    rest = rest.slice(0, -verb.length - 1);
  }
  const words = rest.split("/");
  if (words.some((word) => word === "" || /^\.\.?$/.test(decodeURIComponent(word)))) return false;
  const walk = (left: readonly string[], right: readonly string[]): boolean => {
    const [segment, ...segments] = left;
    if (segment === undefined) return right.length === 0;
    if (segment === "**") {
      return right.some((_, i) => walk(segments, right.slice(i))) || walk(segments, []);
    }
    const [word, ...others] = right;
    if (word === undefined) return false;
    return (segment === "*" || segment === decodeURIComponent(word)) && walk(segments, others);
  };
  return walk(bare.split("/"), words);
}

const word = fc.constantFrom("a", "b", "c", "a:b", "b:c");
const plainWord = fc.constantFrom("a", "b", "c");
const segment = fc.oneof(plainWord, fc.constant("*"));
const template = fc
  .record({
    parts: fc.array(
      fc.oneof(
        segment,
        fc.array(segment, { minLength: 1, maxLength: 3 }).map((inner) => `{=${inner.join("/")}}`),
      ),
      { minLength: 1, maxLength: 4 },
    ),
    end: fc.constantFrom("", "/**", "/{=**}", "/{=a/**}"),
    verb: fc.constantFrom("", ":b", ":c"),
  })
  .map(({ parts, end, verb }) => {
    let number = 0;
    const named = `/${parts.join("/")}${end}`.replace(/\{=/g, () => `{f${number++}=`);
    return `${named}${verb}`;
  });
const path = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => `/${words.join("/")}`);

describe("the matcher", () => {
  test("agrees with a slow reading of the standard", () => {
    fc.assert(
      fc.property(template, path, (text, at) => {
        assert.equal(matched(text, at) !== undefined, slowMatch(text, at));
      }),
      { numRuns: 2000 },
    );
  });

  test("a tree of templates finds one exactly when one of them alone does, and the one that wins by its segments", () => {
    fc.assert(
      fc.property(fc.array(template, { minLength: 1, maxLength: 6 }), path, (texts, at) => {
        const templates = texts.map(parsePathTemplate);
        const table = new RouteTable(
          templates.map((one) => ({ binding: bindingOf(one), target: one })),
        );
        const found = table.find("GET", at).map(({ target }) => target);
        const fitting = templates.filter((one) => matchPath(one, at) !== undefined);
        const best = fitting.map((one) => rankOf(one, at)).toSorted()[0];
        assert.deepEqual(
          found.map((one) => one.text),
          fitting.filter((one) => rankOf(one, at) === best).map((one) => one.text),
        );
      }),
      { numRuns: 1000 },
    );
  });

  test("what a template expands to is found by it, with the same values", () => {
    const value = fc
      .string({ unit: "grapheme", minLength: 1 })
      .filter((text) => !/\p{Cs}/u.test(text));
    fc.assert(
      fc.property(value, value, value, (a, b, c) => {
        const one = parsePathTemplate("/v1/{a}/x/{b=y/*/*}:go");
        const values = new Map([
          ["a", a],
          ["b", `y/${b.replaceAll("/", "")}/${c.replaceAll("/", "")}`],
        ]);
        const at = expandPath(one, values);
        if (at === undefined) return;
        const url = new URL(`http://host${at}?q`);
        assert.equal(url.pathname, at, "no client normalises it to another path");
        assert.match(at, /^\/v1\/[^/]+\/x\/y\/[^/]+\/[^/]+:go$/);
        const back = matchPath(one, at);
        // A percent sign before 2F is kept as it is where a slash may stand, as the standard says.
        if (!/%2f/i.test(b + c)) assert.deepEqual(back, values);
      }),
      { numRuns: 1000 },
    );
  });
});

const bindingOf = (one: PathTemplate) =>
  ({ verb: "GET", template: one, variables: [], body: "none", responseBody: undefined }) as const;

/** Smaller wins: with a verb first, a longer verb before a shorter, then segment by segment. */
function rankOf(one: PathTemplate, at: string): string {
  const digits = { literal: "0", one: "1", rest: "2" } as const;
  const last = at.split("/").at(-1) as string;
  const verb = one.verb === undefined ? "9" : String(last.length - one.verb.length);
  return (
    verb +
    one.segments
      .map(({ kind }) => digits[kind])
      .join("")
      .padEnd(0)
  );
}
