import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { traceparentOf, withTraceparent } from "../../src/exchange/trace-context.ts";
import { type Metadata, MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const own = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01";

const headers = (...entries: readonly (readonly [string, string])[]): Metadata =>
  create(MetadataSchema, { entries: entries.map(([key, value]) => ({ key, value: utf8(value) })) });

const shown = ({ entries }: Metadata): [string, string][] =>
  entries.map(({ key, value }) => [key, Buffer.from(value).toString()]);

test("the context of a caller is read from its only traceparent", () => {
  assert.equal(traceparentOf(headers(["x", "1"], ["traceparent", valid])), valid);
});

for (const [what, text] of [
  ["of another version", valid.replace(/^00/, "01")],
  ["in capitals", valid.toUpperCase()],
  ["with a trace id of zeros", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`],
  ["with a parent id of zeros", `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`],
  ["that goes on", `${valid}-more`],
  ["with a line feed at its end", `${valid}\n`],
  ["that is empty", ""],
] as const) {
  test(`a traceparent ${what} is none`, () => {
    assert.equal(traceparentOf(headers(["traceparent", text])), undefined);
  });
}

test("several traceparents are none", () => {
  const both = headers(["traceparent", valid], ["traceparent", own]);
  assert.equal(traceparentOf(both), undefined);
});

test("without a span the very same headers go on", () => {
  const given = headers(["traceparent", valid], ["tracestate", "a=1"]);
  assert.equal(withTraceparent(given, undefined), given);
});

test("a span stands in the place of its caller's, and the state of the trace stays", () => {
  const given = headers(["traceparent", valid], ["tracestate", "a=1"], ["x", "1"]);
  assert.deepEqual(shown(withTraceparent(given, own)), [
    ["tracestate", "a=1"],
    ["x", "1"],
    ["traceparent", own],
  ]);
});

test("a state without a context that it belongs to does not go with a span", () => {
  const given = headers(["traceparent", "broken"], ["tracestate", "a=1"], ["x", "1"]);
  assert.deepEqual(shown(withTraceparent(given, own)), [
    ["x", "1"],
    ["traceparent", own],
  ]);
});
