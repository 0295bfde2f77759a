import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type DescField, type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import fc from "fast-check";
import { concatBytes, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { DescriptorSets } from "../../src/policy/descriptors.ts";
import { createMask, type Mask, Masks } from "../../src/policy/mask.ts";
import { validateMaskPaths } from "../../src/policy/mask-paths.ts";
import {
  anyMethod,
  descriptors,
  group,
  method,
  oldMethod,
  randomMessage,
  sized,
  tag,
  typeOf,
  varint,
} from "./mask-types.ts";

const answer = typeOf("Answer");

function masked(paths: readonly string[], ...parts: Uint8Array[]): string {
  return toHex(mask(paths).apply(concatBytes(...parts)));
}

function mask(paths: readonly string[], of: string = method): Mask {
  return createMask({ descriptors, method: of, paths });
}

function hex(...parts: Uint8Array[]): string {
  return toHex(concatBytes(...parts));
}

const refused = (error: unknown): boolean =>
  error instanceof CausewayError && error.code === "MASK_UNAPPLICABLE";

/** What a decoder shows of the allowed paths; `whole` is a message that passes without its Any fields. */
function shown(
  message: ReflectMessage,
  isAllowed: (path: string) => "whole" | "part" | "no",
  at = "",
): unknown {
  const out: Record<string, unknown> = {};
  for (const field of message.fields) {
    const path = `${at}${field.name}`;
    const allowed = isAllowed(path);
    if (allowed === "no" || !message.isSet(field)) continue;
    if (allowed === "part" && field.message === undefined) continue;
    if (isAny(field.message) && allowed !== "whole") continue;
    out[field.name] = valueOf(message, field, (inner) =>
      shown(inner, isAny(field.message) ? () => "whole" : isAllowed, `${path}.`),
    );
  }
  return out;
}

function isAny(type: DescMessage | undefined): boolean {
  return type?.typeName === "google.protobuf.Any";
}

function valueOf(
  message: ReflectMessage,
  field: DescField,
  inner: (message: ReflectMessage) => unknown,
): unknown {
  switch (field.fieldKind) {
    case "message":
      return inner(message.get(field));
    case "list":
      return [...message.get(field)].map((one) =>
        field.listKind === "message" ? inner(one as ReflectMessage) : one,
      );
    case "map":
      return [...message.get(field)].map(([key, one]) => [
        key,
        field.mapKind === "message" ? inner(one as ReflectMessage) : one,
      ]);
    default:
      return message.get(field);
  }
}

/** Everything that a decoder shows, unknown fields of every depth included. */
function everything(message: ReflectMessage): unknown {
  const out: Record<string, unknown> = {};
  if ((message.getUnknown() ?? []).length > 0) out["?"] = message.getUnknown();
  for (const field of message.fields) {
    if (message.isSet(field)) out[field.name] = valueOf(message, field, everything);
  }
  return out;
}

function decoded(bytes: Uint8Array): ReflectMessage {
  return reflect(answer, fromBinary(answer, bytes) as Message);
}

const candidates = [
  "id",
  "node",
  "node.title",
  "node.leaf",
  "node.leaf.name",
  "node.leaf.info",
  "node.leaves.count",
  "node.leaves.numbers",
  "node.by_key",
  "node.by_key.name",
  "node.labels",
  "node.signed",
  "node.child",
  "node.child.child.title",
  "node.child.text",
  "node.text",
  "node.inner",
  "node.inner.count",
  "node.wide",
  "node.detail",
  "node.details",
  "node.maybe",
  "node.small",
  "node.extra",
  "node.names",
  "nodes.names",
  "nodes.text",
  "nodes.child",
  "old",
  "old.kind",
  "old.kinds",
  "old.part",
  "old.part.word",
  "old.parts.other",
];

const arbitraryPaths = fc
  .subarray(candidates)
  .map((paths) => paths.filter((path) => !paths.some((above) => path.startsWith(`${above}.`))));

/** How a path relates to the mask. An Any has to be named by its own path. */
function allowance(paths: readonly string[]): (path: string) => "whole" | "part" | "no" {
  const anyPaths = /(?:\.|^)(?:info|detail|details|extra)$/;
  return (path) => {
    if (paths.includes(path)) return "whole";
    if (paths.some((below) => below.startsWith(`${path}.`))) return "part";
    const above = paths.some((one) => path.startsWith(`${one}.`));
    return above && !anyPaths.test(path) ? "whole" : "no";
  };
}

describe("the mask of random messages", () => {
  const runs = { numRuns: 600 };
  const cases = [arbitraryPaths, fc.integer()] as const;

  test("leaves exactly the allowed fields of what a decoder shows", () => {
    fc.assert(
      fc.property(...cases, (paths, seed) => {
        const { bytes } = randomMessage(answer, seed);
        const result = mask(paths).apply(bytes);
        assert.deepEqual(everything(decoded(result)), shown(decoded(bytes), allowance(paths)));
      }),
      runs,
    );
  });

  test("changes nothing when it is applied again", () => {
    fc.assert(
      fc.property(...cases, (paths, seed) => {
        const result = mask(paths).apply(randomMessage(answer, seed, true).bytes);
        assert.deepEqual(mask(paths).apply(result), result);
      }),
      runs,
    );
  });

  test("holds no text of a field that it excludes", () => {
    fc.assert(
      fc.property(...cases, (paths, seed) => {
        const { bytes, planted } = randomMessage(answer, seed, true);
        const left = Buffer.from(mask(paths).apply(bytes)).toString("latin1");
        const isAllowed = allowance(paths);
        for (const { text, path } of planted) {
          const isPart = path.includes("?") || isAllowed(owner(path)) !== "whole";
          if (isPart) assert.ok(!left.includes(text), `${path} passes under ${paths.join(" ")}`);
        }
      }),
      runs,
    );
  });

  test("is a message or refused MASK_UNAPPLICABLE, whatever the bytes", () => {
    const whole = mask(["id", "node", "nodes", "old"]);
    fc.assert(
      fc.property(fc.integer(), fc.nat(), fc.integer({ min: 1, max: 255 }), (seed, at, flip) => {
        const { bytes } = randomMessage(answer, seed);
        if (bytes.length === 0) return;
        const i = at % bytes.length;
        bytes[i] = (bytes[i] as number) ^ flip;
        let result: Uint8Array;
        try {
          result = whole.apply(bytes);
        } catch (error) {
          assert.ok(refused(error));
          return;
        }
        assert.ok(result.length <= bytes.length);
        assert.deepEqual(whole.apply(result), result);
      }),
      runs,
    );
  });
});

/** The field that decides about a planted text: what an Any holds passes with the Any. */
function owner(path: string): string {
  return path.replace(/((?:^|\.)(?:info|detail|details|extra))\..*$/, "$1");
}

describe("a mask", () => {
  const node = (...parts: Uint8Array[]): Uint8Array => sized(1, concatBytes(...parts));

  test("without paths lets nothing through", () => {
    assert.equal(masked([], sized(3, "id"), node(sized(1, "t"))), "");
  });

  test("keeps a submessage of which nothing is left, as a decoder shows that it is there", () => {
    assert.equal(masked(["node.title"], node(sized(2, "secret"))), hex(node()));
  });

  test("drops a value of another wire type than the field's", () => {
    const number = concatBytes(tag(3, 0), varint(7));
    assert.equal(masked(["id"], number, concatBytes(tag(3, 5), utf8("four"))), "");
    assert.equal(masked(["node"], group(1, sized(1, "title"))), "");
    assert.equal(masked(["old.part"], sized(4, sized(3, sized(1, "word")))), hex(sized(4, "")));
  });

  test("gives tags, lengths and numbers their shortest form", () => {
    const padded = concatBytes(tag(3, 2, 2), varint(2, 3), utf8("id"));
    assert.equal(masked(["id"], padded), hex(sized(3, "id")));
    const maybe = concatBytes(tag(14, 0), varint(5, 4));
    assert.equal(masked(["node.maybe"], node(maybe)), hex(node(tag(14, 0), varint(5))));
  });

  test("lets nothing through in the bits of a number that no decoder takes", () => {
    const leaf = (...parts: Uint8Array[]): Uint8Array => node(sized(3, concatBytes(...parts)));
    const passed = (path: string, part: Uint8Array): string => masked([path], leaf(part));
    const hidden = 0x5ec2e7n << 32n;
    const flag = (value: bigint): Uint8Array => concatBytes(tag(4, 0), varint(value));
    assert.equal(passed("node.leaf.flag", flag(hidden)), hex(leaf(flag(1n))));
    assert.equal(passed("node.leaf.flag", flag(0n)), hex(leaf(flag(0n))));
    const count = (value: bigint): Uint8Array => concatBytes(tag(2, 0), varint(value));
    assert.equal(passed("node.leaf.count", count(hidden + 7n)), hex(leaf(count(7n))));
    // A negative number has ten bytes, all of which its encoders write.
    assert.equal(passed("node.leaf.count", count(-7n)), hex(leaf(count(-7n))));
    assert.equal(passed("node.leaf.count", count(-1n)), hex(leaf(count(-1n))));
    const marked = -7n ^ hidden;
    assert.equal(passed("node.leaf.count", count(marked)), hex(leaf(count((1n << 32n) - 7n))));
    const packed = (...values: bigint[]): Uint8Array =>
      sized(3, concatBytes(...values.map((value) => varint(value))));
    const most = (1n << 32n) - 1n;
    assert.equal(
      passed("node.leaf.numbers", packed(1n, hidden + most, hidden, most)),
      hex(leaf(packed(1n, most, 0n, most))),
    );
    const label = (key: bigint): Uint8Array =>
      node(sized(6, concatBytes(tag(1, 0), varint(key), sized(2, "x"))));
    assert.equal(masked(["node.labels"], label(hidden + 3n)), hex(label(3n)));
    const kind = (value: bigint): Uint8Array => sized(4, concatBytes(tag(1, 0), varint(value)));
    assert.equal(masked(["old.kind"], kind(hidden + 2n)), hex(kind(2n)));
    const maybe = node(tag(14, 0), varint(hidden + 2n));
    assert.equal(masked(["node.maybe"], maybe), hex(maybe));
  });

  test("leaves only the last of a value that stands twice", () => {
    assert.equal(masked(["id"], sized(3, "first"), sized(3, "last")), hex(sized(3, "last")));
  });

  test("joins the parts of a submessage as a decoder does", () => {
    const parts = [node(sized(1, "a"), sized(2, "x")), node(sized(1, "b"))];
    assert.equal(masked(["node.title"], ...parts), hex(node(sized(1, "b"))));
  });

  test("joins more parts of a submessage than a call has arguments", () => {
    const part = node(sized(1, "a"));
    const parts = Buffer.alloc(300_000 * part.length, part);
    assert.equal(masked(["node.title"], parts), hex(part));
  });

  test("drops an allowed member of a oneof that an excluded one has replaced", () => {
    assert.equal(
      masked(["node.text"], node(sized(9, "text"), sized(10, sized(1, "n")))),
      hex(node()),
    );
    const again = [
      sized(10, sized(1, "n")),
      sized(9, "text"),
      sized(10, concatBytes(tag(2, 0), varint(1))),
    ];
    assert.equal(masked(["node.inner"], node(...again)), hex(node(again[2] as Uint8Array)));
  });

  test("drops an Any inside of a message that passes whole, and passes one that it names", () => {
    const any = concatBytes(sized(1, "type.example/T"), sized(2, "content"), sized(9, "unknown"));
    const named = concatBytes(sized(1, "type.example/T"), sized(2, "content"));
    assert.equal(masked(["node"], node(sized(12, any), sized(13, any))), hex(node()));
    assert.equal(
      masked(["node.detail"], node(sized(12, any), sized(13, any))),
      hex(node(sized(12, named))),
    );
    assert.equal(masked(["node.detail.value"], node(sized(12, any))), hex(node()));
    assert.equal(toHex(mask(["value"], anyMethod).apply(any)), "");
  });

  test("drops what a closed enum does not have, in a packed list too", () => {
    const old = (...parts: Uint8Array[]): Uint8Array => sized(4, concatBytes(...parts));
    const packed = sized(2, Uint8Array.of(1, 9, 2, 7));
    assert.equal(masked(["old.kinds"], old(packed)), hex(old(sized(2, Uint8Array.of(1, 2)))));
    assert.equal(masked(["old.kinds"], old(sized(2, Uint8Array.of(9)))), hex(old()));
    const one = concatBytes(tag(1, 0), varint(1));
    assert.equal(masked(["old.kind"], old(one, tag(1, 0), varint(9))), hex(old(one)));
  });

  test("drops an extension", () => {
    assert.equal(masked(["old"], sized(4, sized(100, "grown"))), hex(sized(4, "")));
  });

  const malformed: readonly (readonly [string, Uint8Array])[] = [
    ["a field number 0", Uint8Array.of(0x02, 0x00)],
    ["a tag of more than 32 bits", Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f, 0x00)],
    ["a length past the end", Uint8Array.of(0x1a, 0x05, 0x61)],
    ["a varint without an end", Uint8Array.of(0x08, 0x80)],
    ["a varint of eleven bytes", concatBytes(tag(9, 0), varint(1, 10))],
    [
      "a varint of more than 64 bits",
      concatBytes(tag(9, 0), new Uint8Array(9).fill(255), Uint8Array.of(2)),
    ],
    ["a group without an end", concatBytes(tag(8, 3), sized(1, "x"))],
    ["a group that ends as another", concatBytes(tag(8, 3), tag(9, 4))],
    ["an end of no group", tag(8, 4)],
    ["a wire type 6", tag(8, 6)],
    ["a fixed number that is cut off", concatBytes(tag(8, 1), utf8("four"))],
    ["a packed list that is cut off", sized(1, sized(16, "three"))],
    ["messages nested 101 deep", nested(101)],
    [
      "unknown groups nested 101 deep",
      Array.from({ length: 100 }).reduce<Uint8Array>(
        (inner) => group(200, inner),
        new Uint8Array(0),
      ),
    ],
  ];
  for (const [name, bytes] of malformed) {
    test(`refuses ${name}`, () => {
      assert.throws(() => mask(["id", "node"]).apply(bytes), refused);
    });
  }

  test("follows messages nested 100 deep", () => {
    const bytes = nested(100);
    assert.deepEqual(mask(["node"]).apply(bytes), bytes);
  });

  test("takes linear time for duplicates nested in duplicates", () => {
    let bytes = sized(1, "x");
    for (let i = 0; i < 90; i++)
      bytes = concatBytes(sized(8, bytes), sized(8, ""), sized(1, "a"), sized(1, "b"));
    const started = process.hrtime.bigint();
    mask(["node"]).apply(sized(1, bytes));
    assert.ok(process.hrtime.bigint() - started < 500_000_000n);
  });

  test("is compiled once for the same descriptors, method and paths", () => {
    assert.equal(mask(["id"]), mask(["id"]));
    assert.notEqual(mask(["id"]), mask(["node"]));
    const sets = new DescriptorSets(() => descriptors);
    const options = { descriptor: sha256(descriptors), method, paths: ["id"] };
    assert.equal(new Masks(sets).get(options), mask(["id"]));
  });

  test("under descriptors that are not at hand is BLOB_MISSING", () => {
    const masks = new Masks(new DescriptorSets(() => undefined));
    assert.throws(
      () => masks.get({ descriptor: new Uint8Array(32), method, paths: ["id"] }),
      (error) => error instanceof CausewayError && error.code === "BLOB_MISSING",
    );
  });
});

/** A message with `depth` messages inside of one another, the answer among them. */
function nested(depth: number): Uint8Array {
  let bytes = new Uint8Array(0);
  for (let i = 0; i < depth - 2; i++) bytes = new Uint8Array(sized(8, bytes));
  return sized(1, bytes);
}

describe("the paths of a mask", () => {
  function check(paths: readonly string[], ...methods: string[]): void {
    validateMaskPaths({ descriptors, methods: methods.length > 0 ? methods : [method], paths });
  }

  test("lead through lists, maps, groups and recursive types", () => {
    check(["id", "node.by_key.name", "node.child.child.title", "nodes.names", "old.parts.word"]);
  });

  test("may lead into the response of another of the methods", () => {
    check(["id", "must"], method, oldMethod);
  });

  test("may name an Any", () => {
    check(["node.detail", "node.extra"]);
  });

  const wrong: readonly (readonly [string, readonly string[], string])[] = [
    ["a field that is not there", ["node.nothing"], "node.nothing"],
    ["a field below a number", ["id.length"], "id.length"],
    ["a field inside of an Any", ["node.detail.value"], "node.detail.value"],
    ["a field by its JSON name", ["node.byKey"], "node.byKey"],
    ["paths that are not ascending", ["node", "id"], "id"],
    ["a path twice", ["id", "id"], "id"],
    ["a path below another", ["node", "node.title"], "node.title"],
  ];
  for (const [name, paths, path] of wrong) {
    test(`${name} is MASK_INVALID`, () => {
      assert.throws(
        () => check(paths),
        (error) =>
          error instanceof CausewayError &&
          error.code === "MASK_INVALID" &&
          error.fields["path"] === path,
      );
    });
  }

  test("that leave out a required field are MASK_INVALID", () => {
    check(["may", "must"], oldMethod);
    assert.throws(
      () => check(["may"], oldMethod),
      (error) => error instanceof CausewayError && error.fields["path"] === "must",
    );
  });

  test("of a method that is not there are DESCRIPTOR_INVALID", () => {
    assert.throws(
      () => check(["id"], "/test.mask.Reader/None"),
      (error) => error instanceof CausewayError && error.code === "DESCRIPTOR_INVALID",
    );
  });
});
