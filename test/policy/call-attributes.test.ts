import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concatBytes, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import { opensCommitment } from "../../src/crypto/commitments.ts";
import {
  type AttributeDatum,
  decodeAttributeValue,
  readAttributeValue,
} from "../../src/policy/attributes.ts";
import {
  type CallFacts,
  type GatheredAttributes,
  gatherAttributes,
} from "../../src/policy/call-attributes.ts";
import { DescriptorSets } from "../../src/policy/descriptors.ts";
import { checkServicePublication } from "../../src/policy/publication.ts";
import { serviceBody } from "./fixtures.ts";
import { descriptors, requestMethod, sized, tag, varint } from "./mask-types.ts";

const sets = new DescriptorSets(() => descriptors);
const call: CallFacts = {
  consumerGateway: "shenzhen/finance/gw1",
  attempt: 2,
  case: utf8("case-7"),
  official: undefined,
  idempotency: undefined,
  request: new Uint8Array(0),
  provider: {},
};

function body(attributes: readonly Partial<ServiceAttribute>[]): ReturnType<typeof serviceBody> {
  const plain = { type: "text", personal: false, source: "request" } as const;
  return serviceBody({
    descriptor: toHex(sha256(descriptors)),
    descriptor_bytes: descriptors.length,
    methods: [
      { path: requestMethod, writes: false, client_streaming: false, server_streaming: false },
    ],
    attributes: attributes.map((one) => ({ name: "x", ...plain, ...one })),
  });
}

function gather(
  attributes: readonly Partial<ServiceAttribute>[],
  facts: Partial<CallFacts> = {},
): GatheredAttributes {
  return gatherAttributes({
    service: body(attributes),
    method: requestMethod,
    facts: { ...call, ...facts },
    descriptors: sets,
    random: (bytes) => new Uint8Array(bytes).fill(5),
  });
}

function values(...args: Parameters<typeof gather>): Readonly<Record<string, AttributeDatum>> {
  const { attributes } = gather(...args);
  return Object.fromEntries(attributes.map(({ name, value }) => [name, readAttributeValue(value)]));
}

const number = (field: number, value: number): Uint8Array =>
  concatBytes(tag(field, 0), varint(value));

describe("attributes of the request", () => {
  test("stand at the path that is declared, or at the field of their name", () => {
    const request = concatBytes(
      sized(1, "title"),
      sized(3, concatBytes(sized(1, "leaf"), number(2, 7), number(4, 1))),
      sized(18, "b"),
      sized(18, "a"),
    );
    assert.deepEqual(
      values(
        [
          { name: "title" },
          { name: "owner", path: "leaf.name" },
          { name: "count", path: "leaf.count", type: "integer" },
          { name: "flag", path: "leaf.flag", type: "boolean" },
          { name: "names", type: "text-set" },
        ],
        { request },
      ),
      { title: "title", owner: "leaf", count: 7n, flag: true, names: ["a", "b"] },
    );
  });

  test("have their default where a field does not know whether it is set", () => {
    assert.deepEqual(values([{ name: "title" }, { name: "names", type: "text-set" }]), {
      title: "",
      names: [],
    });
  });

  test("are absent below a message that is not set, and in a field that knows it is not", () => {
    const attributes = [
      { name: "owner", path: "leaf.name" },
      { name: "maybe", type: "integer" as const },
      { name: "text" },
    ];
    assert.deepEqual(values(attributes), {});
  });

  test("are absent where the request is a stream", () => {
    assert.deepEqual(values([{ name: "title" }], { request: undefined }), {});
  });

  test("have the one reading that every decoder gives them", () => {
    const twice = concatBytes(sized(1, "first"), sized(1, "last"));
    assert.deepEqual(values([{ name: "title" }], { request: twice }), { title: "last" });
    const mistyped = concatBytes(sized(1, "title"), number(1, 3), utf8(""));
    assert.deepEqual(values([{ name: "title" }], { request: mistyped }), { title: "title" });
  });

  test("of bytes that are no message are MALFORMED", () => {
    assert.throws(
      () => gather([{ name: "title" }], { request: Uint8Array.of(0x0a, 0x05, 0x61) }),
      (error) => error instanceof CausewayError && error.code === "MALFORMED",
    );
  });

  test("that no record would hold are MALFORMED", () => {
    const text = (bytes: number): Uint8Array => sized(1, "é".repeat(bytes / 2));
    const title = { name: "title", type: "text" as const };
    assert.doesNotThrow(() => gather([title], { request: text(4096) }));
    const names = { name: "names", type: "text-set" as const };
    const many = concatBytes(...Array.from({ length: 600 }, (_, i) => sized(18, String(i))));
    for (const [attribute, request] of [
      [title, text(4098)],
      [names, many],
    ] as const) {
      assert.throws(() => gather([attribute], { request }), {
        code: "MALFORMED",
        fields: { attribute: attribute.name },
      });
    }
  });

  test("are not looked for when none is declared", () => {
    const broken = { request: Uint8Array.of(0xff) };
    assert.deepEqual(
      gather([{ name: "attempt", type: "integer", source: "token" }], broken).openings,
      [],
    );
  });
});

test("attributes of the token say who calls, and what the call names", () => {
  assert.deepEqual(
    values([
      { name: "consumer_gateway", source: "token" },
      { name: "attempt", type: "integer", source: "token" },
      { name: "has_case", type: "boolean", source: "token" },
      { name: "has_official", type: "boolean", source: "token" },
      { name: "official", personal: true, source: "token" },
    ]),
    { consumer_gateway: "shenzhen/finance/gw1", attempt: 2n, has_case: true, has_official: false },
  );
});

test("attributes of the provider are what it says, and no member of every object", () => {
  const declared = [
    { name: "open", type: "boolean", source: "provider" },
    { name: "constructor", source: "provider" },
  ] as const;
  assert.deepEqual(values(declared, { provider: { open: true } }), { open: true });
});

test("a personal attribute is committed to, and its opening is for the provider to keep", () => {
  const { attributes, openings } = gather([{ name: "case", personal: true, source: "token" }]);
  const [attribute] = attributes;
  const [opening] = openings;
  assert.ok(attribute?.commitment !== undefined && opening !== undefined);
  assert.equal(opening.label, "attribute/case");
  assert.ok(opensCommitment(attribute.commitment, opening));
  assert.equal(readAttributeValue(decodeAttributeValue(opening.value)), "case-7");
});

describe("a service's attributes", () => {
  test("are published when they can be found", () => {
    checkServicePublication(
      body([
        { name: "owner", path: "leaf.name" },
        { name: "has_case", type: "boolean", source: "token" },
        { name: "anything", source: "provider" },
      ]),
      descriptors,
    );
  });

  const wrong: readonly (readonly [string, Partial<ServiceAttribute>])[] = [
    ["a field that no request has", { name: "nothing" }],
    ["a field in a list", { name: "x", path: "leaves.name" }],
    ["a field of another type", { name: "title", type: "integer" }],
    ["a field with a fraction", { name: "ratio" }],
    ["a token attribute that is none", { name: "mood", source: "token" }],
    ["a token attribute of another type", { name: "attempt", source: "token" }],
    ["a case that is public", { name: "case", source: "token" }],
  ];
  for (const [what, attribute] of wrong) {
    test(`of ${what} are DESCRIPTOR_INVALID`, () => {
      assert.throws(
        () => checkServicePublication(body([attribute]), descriptors),
        (error) =>
          error instanceof CausewayError &&
          error.code === "DESCRIPTOR_INVALID" &&
          error.fields["attribute"] === attribute.name,
      );
    });
  }
});
