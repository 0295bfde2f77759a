import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { fromBinary, type JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { statusOfHttpAnswer, messageOfHttpAnswer } from "../../gateway/transcoding/http-answer.ts";
import { bindingsOf } from "../../gateway/transcoding/http-binding.ts";
import { httpRequestOf, messageOfHttpRequest } from "../../gateway/transcoding/http-request.ts";
import { grpcCodeNames, grpcCodeOf, httpStatusOf } from "../../gateway/transcoding/http-status.ts";
import { JsonValues } from "../../gateway/transcoding/json-values.ts";
import { matchPath } from "../../gateway/transcoding/path-template.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import { buildDescriptorSet, Library } from "./library.ts";
import { openServiceDescriptors } from "../../gateway/transcoding/service-descriptors.ts";

const isCode = (code: string) => (error: unknown) =>
  error instanceof CausewayError && error.code === code;

describe("a request message as HTTP", () => {
  let library: Library;
  before(async () => {
    library = await Library.build();
  });

  const style = (names: "json" | "proto" = "json") => ({
    registry: library.descriptors.registry,
    names,
  });

  function sent(name: string, json: JsonValue, names: "json" | "proto" = "json") {
    const method = library.method(name);
    const message = library.encode(method.input.name, json);
    const parts = httpRequestOf(method, bindingsOf(method), message, style(names));
    if (parts === undefined) return undefined;
    const { binding: _binding, body, ...rest } = parts;
    if (body !== undefined) assert.equal(body.contentType, "application/json");
    return { ...rest, body: body && Buffer.from(body.data).toString() };
  }

  function received(name: string, at: number, target: string, body = ""): JsonValue {
    const method = library.method(name);
    const binding = bindingsOf(method)[at];
    const [path = "", query = ""] = target.split("?");
    const variables = binding && matchPath(binding.template, path);
    if (binding === undefined || variables === undefined) throw new Error("another path");
    const parts = { variables, query, body };
    const bytes = messageOfHttpRequest(method, binding, parts, library.descriptors.registry);
    return library.decode(method.input.name, bytes);
  }

  test("takes a name with several segments into the path", () => {
    assert.deepEqual(sent("GetBook", { name: "shelves/1/books/a b" }), {
      verb: "GET",
      target: "/v1/shelves/1/books/a%20b",
      body: undefined,
    });
  });
  test("goes under the first additional binding that its path fits", () => {
    assert.equal(sent("GetBook", { name: "old/1" })?.target, "/v1/archive/old/1");
  });
  test("has no form when a path would leave its place", () => {
    assert.equal(sent("GetBook", { name: "old/../../admin" }), undefined);
  });
  test("leaves the rest to the query: nested, repeated, enumerations, well-known types", () => {
    const target = sent("Search", {
      shelf: "s",
      pageSize: 5,
      tags: ["a&b", "c"],
      kinds: ["KIND_NOVEL", "KIND_ATLAS"],
      author: { name: "Lǐ", born: 700 },
      since: "2026-01-02T03:04:05Z",
      lent: false,
      cover: "+/8=",
      pages: "0",
    })?.target;
    assert.equal(
      target,
      "/v1/shelves/s/books?pageSize=5&tags=a%26b&tags=c&kinds=KIND_NOVEL&kinds=KIND_ATLAS" +
        "&author.name=L%C7%90&author.born=700&since=2026-01-02T03%3A04%3A05Z&lent=false&cover=%2B%2F8%3D&pages=0",
    );
  });
  test("names fields as in the .proto file where that is asked for", () => {
    assert.equal(
      sent("Search", { shelf: "s", pageSize: 5 }, "proto")?.target,
      "/v1/shelves/s/books?page_size=5",
    );
    assert.equal(sent("Search", { pageSize: 5 }, "proto")?.body, '{"page_size":5}');
  });
  test("goes into a body whole when a query cannot hold it", () => {
    const parts = sent("Search", { shelf: "s", filter: { a: [1] } });
    assert.equal(parts?.target, "/v1/books:search");
    assert.deepEqual(JSON.parse(parts?.body ?? ""), { shelf: "s", filter: { a: [1] } });
  });
  test("gives one field to the body, without what the path holds, and the rest to the query", () => {
    const parts = sent("Update", {
      book: { name: "shelves/1/books/2", title: "T" },
      dryRun: true,
    });
    assert.deepEqual(parts, {
      verb: "PATCH",
      target: "/v1/shelves/1/books/2?dryRun=true",
      body: '{"title":"T"}',
    });
  });
  test("has defaults of fields without presence in its path, and a verb of its own", () => {
    assert.deepEqual(sent("Count", {}), {
      verb: "REPORT",
      target: "/v1/counts/KIND_UNSPECIFIED/0/false",
      body: undefined,
    });
  });
  test("is refused when the bytes are no such message", () => {
    const method = library.method("GetBook");
    assert.throws(
      () => httpRequestOf(method, bindingsOf(method), Uint8Array.of(10, 200), style()),
      isCode("MALFORMED"),
    );
  });

  test("is read back with numbers, truth values and enumerations from texts", () => {
    assert.deepEqual(received("Count", 0, "/v1/counts/2/9007199254740993/true"), {
      id: "9007199254740993",
      kind: "KIND_ATLAS",
      exact: true,
    });
  });
  test("is read with both names of a field as one", () => {
    const query = "/v1/shelves/s/books?page_size=3&author.name=a+b&lent=true";
    assert.deepEqual(received("Search", 0, query), {
      shelf: "s",
      pageSize: 3,
      author: { name: "a b" },
      lent: true,
    });
  });
  test("is read with the path above the body", () => {
    const body = '{"name":"other","title":"T"}';
    assert.deepEqual(received("Update", 0, "/v1/shelves/1/books/2?dryRun=true", body), {
      book: { name: "shelves/1/books/2", title: "T" },
      dryRun: true,
    });
  });

  const refused: readonly (readonly [string, string, number, string, string?])[] = [
    ["an unknown parameter", "Search", 0, "/v1/shelves/s/books?x=1"],
    ["a parameter twice", "Search", 0, "/v1/shelves/s/books?pageSize=1&page_size=2"],
    ["a parameter that the path holds", "Search", 0, "/v1/shelves/s/books?shelf=t"],
    [
      "a parameter into a list of messages",
      "Update",
      0,
      "/v1/shelves/1/books/2?book.translators.name=1",
      "{}",
    ],
    [
      "a parameter into the field of the body",
      "Update",
      0,
      "/v1/shelves/1/books/2?book.title=1",
      "{}",
    ],
    ["a number that is none", "Search", 0, "/v1/shelves/s/books?pageSize=many"],
    ["an empty number", "Search", 0, "/v1/shelves/s/books?pageSize="],
    ["an unknown name of an enumeration", "Search", 0, "/v1/shelves/s/books?kinds=NOVEL"],
    ["a broken escape", "Search", 0, "/v1/shelves/s/books?pageSize=%f"],
    ["a query beside a whole body", "Search", 1, "/v1/books:search?pageSize=1", "{}"],
    ["a body where there is none", "Search", 0, "/v1/shelves/s/books", "{}"],
    ["an unknown member of the body", "Search", 1, "/v1/books:search", '{"x":1}'],
    ["a member twice", "Search", 1, "/v1/books:search", '{"shelf":"a","shelf":"b"}'],
    ["a body that is no JSON", "Search", 1, "/v1/books:search", "{"],
    ["a body that closes its member", "Update", 0, "/v1/shelves/1/books/2", '{},"dryRun":true'],
    [
      "a body that is nested too deep",
      "Search",
      1,
      "/v1/books:search",
      `{"filter":${'{"a":'.repeat(200)}1${"}".repeat(200)}}`,
    ],
  ];
  for (const [what, name, at, target, body] of refused) {
    test(`with ${what} is refused, and no value stands in the message`, () => {
      assert.throws(
        () => received(name, at, target, body),
        (error) => isCode("MALFORMED")(error) && !/many|NOVEL/.test((error as Error).message),
      );
    });
  }

  test("is the same after the way there and back", () => {
    const name = fc
      .string({ unit: "grapheme", minLength: 1 })
      .filter((text) => !/[\p{Cs}/\\%]|^\.\.?$/u.test(text));
    const author = fc.record(
      {
        name: fc.string({ unit: "grapheme" }).filter((t) => !/\p{Cs}/u.test(t)),
        born: fc.integer({ min: -1000, max: 3000 }),
      },
      { requiredKeys: [] },
    );
    const request = fc.record(
      {
        shelf: name,
        pageSize: fc.integer({ min: 1, max: 1000 }),
        tags: fc.array(
          fc.string({ unit: "grapheme" }).filter((t) => !/\p{Cs}/u.test(t)),
          { minLength: 1 },
        ),
        kinds: fc.array(fc.constantFrom("KIND_NOVEL", "KIND_ATLAS", 7), { minLength: 1 }),
        author: author.filter(({ name: text, born }) => (text ?? "") !== "" || (born ?? 0) !== 0),
        lent: fc.boolean(),
        cover: fc
          .uint8Array({ minLength: 1 })
          .map((bytes) => Buffer.from(bytes).toString("base64")),
        pages: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
      },
      { requiredKeys: ["shelf"] },
    );
    fc.assert(
      fc.property(request, fc.constantFrom("json" as const, "proto" as const), (json, names) => {
        const method = library.method("Search");
        const message = library.encode("SearchRequest", json as JsonValue);
        const parts = httpRequestOf(method, bindingsOf(method), message, style(names));
        assert.ok(parts !== undefined);
        assert.deepEqual(
          received("Search", 0, parts.target),
          library.decode("SearchRequest", message),
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe("an annotation", () => {
  const broken: Readonly<Record<string, string>> = {
    "a path field that the request does not have": 'get: "/v1/{other}"',
    "a path field that is a message": 'get: "/v1/{inner}"',
    "a path field that is a list": 'get: "/v1/{list}"',
    "a body field that the request does not have": 'post: "/v1" body: "other"',
    "a body of a GET": 'get: "/v1" body: "*"',
    "an answer's field that there is not": 'get: "/v1" response_body: "other"',
    "a template that is none": 'get: "v1"',
    "no path": 'body: "*"',
    "a custom method that is no token": 'custom { kind: "GET /x" path: "/v1" }',
    "bindings inside bindings":
      'get: "/v1" additional_bindings { get: "/v2" additional_bindings { get: "/v3" } }',
  };
  test("that does not fit its method is refused", async () => {
    const entries = Object.entries(broken);
    const methods = entries.map(
      ([, rule], i) => `rpc M${i}(M) returns (M) { option (google.api.http) = { ${rule} }; }`,
    );
    const bytes = await buildDescriptorSet(`syntax = "proto3"; package p;
      import "google/api/annotations.proto";
      message M { string id = 1; M inner = 2; repeated string list = 3; }
      service S { ${methods.join("\n")} }`);
    const descriptors = openServiceDescriptors(bytes);
    for (const [i, [what]] of entries.entries()) {
      const method = descriptors.method(`/p.S/M${i}`);
      assert.ok(method !== undefined);
      assert.throws(() => bindingsOf(method), isCode("DESCRIPTOR_INVALID"), what);
    }
  });
  test("is none on a method without one", async () => {
    assert.deepEqual(bindingsOf((await Library.build()).method("Plain")), []);
  });
});

describe("an HTTP answer", () => {
  let library: Library;
  before(async () => {
    library = await Library.build();
  });
  const answer = (name: string, body: string): JsonValue => {
    const method = library.method(name);
    const binding = bindingsOf(method)[0];
    assert.ok(binding !== undefined);
    const bytes = messageOfHttpAnswer(method, binding, body, library.descriptors.registry);
    return library.decode(method.output.name, bytes);
  };

  test("is read by either name, and members that are not published are left out", () => {
    assert.deepEqual(
      answer("GetBook", '{"printed_at":"2026-01-01T00:00:00Z","secret":1,"pages":12}'),
      {
        printedAt: "2026-01-01T00:00:00Z",
        pages: "12",
      },
    );
  });
  test("is one field of the message where the annotation says so", () => {
    assert.deepEqual(answer("ListBooks", '[{"title":"A"}]'), { books: [{ title: "A" }] });
  });
  test("without a body is the empty message", () => assert.deepEqual(answer("GetBook", ""), {}));
  test("that is another JSON is refused", () => {
    assert.throws(() => answer("GetBook", '{"pages":"x"}'), isCode("MALFORMED"));
    assert.throws(() => answer("ListBooks", '[],"total":1'), isCode("MALFORMED"));
  });

  const status = (code: number, body: string) => {
    const { grpcCode, message, details } = statusOfHttpAnswer(
      code,
      body,
      library.descriptors.registry,
    );
    const held = details.length === 0 ? 0 : fromBinary(StatusSchema, details).details.length;
    return [grpcCode, message, held];
  };
  const info = '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"d"}';
  test("that is a google.rpc.Status keeps code, message and details", () => {
    assert.deepEqual(status(400, `{"code":9,"message":"shut","details":[${info}]}`), [
      9,
      "shut",
      1,
    ]);
  });
  test("with the status as the member error keeps it too", () => {
    const body = `{"error":{"code":404,"message":"gone","status":"NOT_FOUND","details":[${info}]}}`;
    assert.deepEqual(status(404, body), [5, "gone", 1]);
  });
  test("with details of an unknown type keeps code and message", () => {
    const body = '{"code":9,"message":"shut","details":[{"@type":"type.googleapis.com/x.Y"}]}';
    assert.deepEqual(status(400, body), [9, "shut", 0]);
  });
  for (const body of [
    '{"message":"name of a person"}',
    "name of a person",
    '{"code":0,"message":"x"}',
    '{"code":99,"message":"x"}',
    '{"error":"x"}',
    "[]",
    "null",
  ]) {
    test(`with the body ${body} has the status of its code, and nothing of the body`, () => {
      assert.deepEqual(status(503, body), [14, "HTTP status 503", 0]);
    });
  }
});

describe("status codes", () => {
  for (const [code, name] of grpcCodeNames.entries()) {
    test(`${name} has an HTTP status, which leads to a code of the same HTTP status`, () => {
      const http = httpStatusOf(code);
      if (code === 0) assert.equal(http, 200);
      else assert.equal(httpStatusOf(grpcCodeOf(http)), http);
    });
  }
  test("a redirect is an unknown error, other 4xx and 5xx are errors of their side", () => {
    assert.deepEqual([302, 418, 599].map(grpcCodeOf), [2, 9, 13]);
  });
});

describe("a stream of JSON values", () => {
  const cut = (text: string, sizes: readonly number[] = []): string[] => {
    const values = new JsonValues(1_000_000);
    const bytes = Buffer.from(text);
    const found: string[] = [];
    let at = 0;
    for (const size of [...sizes, bytes.length]) {
      for (const value of values.push(bytes.subarray(at, at + size))) {
        found.push(Buffer.from(value).toString());
      }
      at += size;
    }
    values.finish();
    return found;
  };
  test("is cut the same however its bytes arrive, as lines and as an array", () => {
    const value = fc.dictionary(
      fc.string(),
      fc.anything({ withNullPrototype: false, maxDepth: 1, values: [fc.string(), fc.integer()] }),
    );
    const sizes = fc.array(fc.integer({ min: 0, max: 20 }));
    fc.assert(
      fc.property(fc.array(value), sizes, fc.boolean(), (objects, parts, isArray) => {
        const texts = objects.map((one) => JSON.stringify(one));
        const text = isArray ? `[${texts.join(" ,\n")}]` : texts.join("\n");
        assert.deepEqual(cut(text, parts), texts);
      }),
    );
  });
  for (const text of [
    "{",
    "[{}",
    "[{},]",
    "[,{}]",
    "[{}{}]",
    "{}]",
    "[{}] {}",
    "1",
    '"a"',
    "{}{",
  ]) {
    test(`that is ${text} is refused`, () =>
      assert.throws(() => cut(text), isCode("PROTOCOL_ERROR")));
  }
  test("with a value above the limit is refused", () => {
    assert.throws(() => cut(`{"a":"${"x".repeat(1_000_000)}"}`), isCode("MESSAGE_TOO_LARGE"));
  });
});
