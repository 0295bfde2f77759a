import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../src/base/bytes.ts";
import { policySetsParsedMax } from "../../src/base/limits.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { memoiseVerdicts } from "../../src/policy/memo.ts";
import type {
  CallContext,
  PolicyBlobs,
  PolicyQuery,
  PolicyVerdict,
} from "../../src/policy/ports.ts";
import {
  standardPolicyText,
  standardSchema,
  standardSchemaText,
} from "../../src/policy/standard.ts";
import { blobsOf, digestOf, getDivision, inside, purpose } from "./fixtures.ts";

const engine = createCedarEngine();

const context: CallContext = {
  method: getDivision,
  purpose,
  writes: false,
  consumer_city: "shenzhen",
  provider_city: "hangzhou",
  now: inside,
  grant: {
    legal_basis: "order-809",
    methods: [getDivision],
    purposes: [purpose],
    not_before: 0,
    expires: inside + 1,
  },
  attributes: {},
};

function queryOf(blobs: PolicyBlobs, more: Partial<CallContext> = {}): PolicyQuery {
  return {
    policyDigest: digestOf(blobs.policy),
    schemaDigest: digestOf(blobs.schema),
    blobs: () => blobs,
    request: {
      principal: "shenzhen/market-regulation",
      resource: "hangzhou/civil-affairs/divisions",
      context: { ...context, ...more },
    },
  };
}

function ask(policyText: string, more: Partial<CallContext> = {}): PolicyVerdict {
  return engine.evaluate(queryOf(blobsOf(policyText), more));
}

const permitAll = '@id("all") permit(principal, action, resource);';
const forbidAll = '@id("none") forbid(principal, action, resource);';
const overflow = "9223372036854775807 + context.now > 0";

test("the engine is named by its version and by the digest of its program", () => {
  const wasm = readFileSync("node_modules/@cedar-policy/cedar-wasm/nodejs/cedar_wasm_bg.wasm");
  const pinned = JSON.parse(readFileSync("package.json", "utf8")).dependencies;
  assert.equal(engine.name, "cedar-wasm");
  assert.equal(engine.version, pinned["@cedar-policy/cedar-wasm"]);
  assert.equal(
    Buffer.from(engine.digest).toString("hex"),
    createHash("sha256").update(wasm).digest("hex"),
  );
});

test("the standard policy and schema are the files that a provider publishes", () => {
  assert.equal(readFileSync("policies/standard.cedar", "utf8"), standardPolicyText);
  assert.equal(readFileSync("policies/standard.cedarschema", "utf8"), standardSchemaText);
});

type Row = readonly [
  claim: string,
  policyText: string,
  more: Partial<CallContext>,
  verdict: "permit" | "deny",
  policyIds: readonly string[],
];
const rows: readonly Row[] = [
  ["a set without policies denies", "", {}, "deny", []],
  ["what one policy permits is permitted", permitAll, {}, "permit", ["all"]],
  ["a forbid wins over a permit", `${permitAll}\n${forbidAll}`, {}, "deny", ["none"]],
  ["a forbid wins from any place", `${forbidAll}\n${permitAll}`, {}, "deny", ["none"]],
  [
    "policies that permit are named in order",
    `@id("b") permit(principal, action, resource);\n${permitAll}`,
    {},
    "permit",
    ["all", "b"],
  ],
  [
    "the standard set permits what the grant covers",
    standardPolicyText,
    {},
    "permit",
    ["covered-by-grant"],
  ],
  [
    "the standard set denies another purpose",
    standardPolicyText,
    { purpose: "statistics" },
    "deny",
    [],
  ],
  ["the standard set denies another method", standardPolicyText, { method: "/a.B/C" }, "deny", []],
  [
    "the standard set denies at the end of the grant",
    standardPolicyText,
    { now: inside + 1 },
    "deny",
    ["outside-period"],
  ],
  [
    "the standard set permits a write with a legal basis",
    standardPolicyText,
    { writes: true },
    "permit",
    ["covered-by-grant"],
  ],
  [
    "the standard set denies a write without one",
    standardPolicyText,
    { writes: true, grant: { ...context.grant, legal_basis: "" } },
    "deny",
    ["write-without-legal-basis"],
  ],
];
for (const [claim, policyText, more, verdict, policyIds] of rows) {
  test(claim, () => {
    assert.deepEqual(ask(policyText, more), { verdict, policyIds, failures: [] });
  });
}

const errors: readonly (readonly [
  claim: string,
  policyText: string,
  failing: readonly string[],
])[] = [
  [
    "a forbid that errs",
    `${permitAll}\n@id("f") forbid(principal, action, resource) when { ${overflow} };`,
    ["f"],
  ],
  [
    "a permit that errs beside one that permits",
    `${permitAll}\n@id("p") permit(principal, action, resource) when { ${overflow} };`,
    ["p"],
  ],
  [
    "two policies that err",
    `@id("z") permit(principal, action, resource) when { ${overflow} };\n@id("a") forbid(principal, action, resource) when { ${overflow} };`,
    ["a", "z"],
  ],
  ["a policy beside one without an id", `${permitAll}\npermit(principal, action, resource);`, [""]],
  ["two policies of one id", `${permitAll}\n${permitAll}`, [""]],
  [
    "a policy beside a template",
    `${permitAll}\n@id("t") permit(principal == ?principal, action, resource);`,
    [""],
  ],
  ["a text that does not parse", "permit(principal, action", [""]],
];
for (const [claim, policyText, failing] of errors) {
  test(`${claim} denies, as an error`, () => {
    const { verdict, policyIds, failures } = ask(policyText);
    assert.equal(verdict, "deny");
    assert.deepEqual(policyIds, []);
    assert.deepEqual(
      failures.map(({ policyId }) => policyId),
      failing,
    );
  });
}

const requests: readonly (readonly [claim: string, more: object])[] = [
  ["a member that the schema lacks", { extra: true }],
  ["a missing member", { grant: { ...context.grant, expires: undefined } }],
  ["a text for a number", { now: "1" }],
  ["a fraction", { now: 1.5 }],
  ["an attribute that the schema lacks", { attributes: { minor: true } }],
  [
    "an attribute in the form of an entity",
    { attributes: { __entity: { type: "Agency", id: "a" } } },
  ],
];
for (const [claim, more] of requests) {
  test(`a request with ${claim} is denied, as an error, whatever the policies say`, () => {
    const { verdict, failures } = ask(permitAll, more as Partial<CallContext>);
    assert.equal(verdict, "deny");
    assert.deepEqual(
      failures.map(({ policyId }) => policyId),
      [""],
    );
  });
}

test("a blob that is not UTF-8 denies, as an error", () => {
  const blobs = { policy: Uint8Array.of(0xff), schema: utf8(standardSchemaText) };
  assert.deepEqual(engine.evaluate(queryOf(blobs)).failures, [
    { policyId: "", message: "not UTF-8" },
  ]);
});

test("the program answers again after each call that made it throw", () => {
  for (let i = 0; i < 20; i++) {
    assert.equal(ask(permitAll, { purpose: "\ud800" }).verdict, "deny");
    assert.equal(ask(permitAll).verdict, "permit");
  }
});

const deep = 5000;
const depths: readonly (readonly [name: string, condition: string])[] = [
  ["brackets", `${"(".repeat(deep)}true${")".repeat(deep)}`],
  ["sets", `${"[".repeat(deep)}1${"]".repeat(deep)} == []`],
  ["records", `${"{a:".repeat(deep)}1${"}".repeat(deep)} == 1`],
  ["sums", `1${"+1".repeat(deep)} == 1`],
  ["a sum within the length of a policy", `1${"+1".repeat(1500)} == 1`],
  ["members", `context${".grant".repeat(deep)} == 1`],
  ["conditions", `${"if true then ".repeat(deep)}true${" else true".repeat(deep)}`],
];
for (const [name, condition] of depths) {
  test(`a policy of ${deep} nested ${name} is an error, and the next set is evaluated`, () => {
    const policyText = `${permitAll}\n@id("d") permit(principal, action, resource) when { ${condition} };`;
    assert.equal(engine.validate(blobsOf(policyText))[0]?.severity, "error");
    assert.equal(ask(policyText).verdict, "deny");
    assert.equal(ask(permitAll).verdict, "permit");
  });
}

function chain(length: number, uses: number): string {
  const types = Array.from({ length }, (_, i) => {
    const next = i + 1 < length ? `T${i + 1}` : "Long";
    const members = Array.from({ length: uses }, (__, member) => `m${member}: ${next}`);
    return `type T${i} = { ${members.join(", ")} };`;
  });
  return `${types.join("\n")}\n${standardSchemaText}`;
}

const expansions: readonly (readonly [claim: string, schemaText: string])[] = [
  ["types that double forty times", chain(40, 2)],
  ["types that double twenty times", chain(20, 2)],
  ["types of a hundred members three deep", chain(3, 100)],
  ["a chain of thousands of types", chain(8000, 1)],
  ["a type of itself", `type Loop = { again?: Loop };\n${standardSchemaText}`],
];
for (const [claim, schemaText] of expansions) {
  test(`a schema with ${claim} is refused before the engine reads it`, () => {
    const blobs = { policy: utf8(permitAll), schema: utf8(schemaText) };
    const [problem] = engine.validate(blobs);
    assert.equal(problem?.message, "the types hold more than 10000 names");
    assert.equal(engine.evaluate(queryOf(blobs)).verdict, "deny");
  });
}

test("a schema of a few types within types is accepted", () => {
  const blobs = { policy: utf8(permitAll), schema: utf8(chain(8, 2)) };
  assert.deepEqual(engine.validate(blobs), []);
});

test("a long set of texts is no deep policy", () => {
  const codes = Array.from({ length: 2000 }, (_, i) => `"purpose-(${i}"`).join(", ");
  const policyText = `@id("listed") permit(principal, action, resource) when { ![${codes}].contains(context.purpose) };`;
  assert.deepEqual(engine.validate(blobsOf(policyText)), []);
  assert.equal(ask(policyText).verdict, "permit");
});

test("more sets than are kept parsed give each its own verdict, again and again", () => {
  const count = policySetsParsedMax + 8;
  const texts = Array.from(
    { length: count },
    (_, i) => `@id("set-${i}") permit(principal, action, resource);`,
  );
  for (const round of [0, 1]) {
    for (const [i, text] of texts.entries()) {
      assert.deepEqual(ask(text).policyIds, [`set-${i}`], `round ${round}`);
      assert.equal(ask(`permit(broken ${i}`).verdict, "deny");
    }
  }
});

test("a parsed set is not read again, and one that is not at hand is no verdict", () => {
  const blobs = blobsOf('@id("once") permit(principal, action, resource);');
  let reads = 0;
  const query = { ...queryOf(blobs), blobs: () => (reads++, blobs) };
  engine.evaluate(query);
  engine.evaluate(query);
  assert.equal(reads, 1);
  const other = blobsOf('@id("never") permit(principal, action, resource);');
  const missing = new Error("missing");
  const absent = {
    ...queryOf(other),
    blobs: () => {
      throw missing;
    },
  };
  assert.throws(() => engine.evaluate(absent), missing);
  assert.equal(engine.evaluate(queryOf(other)).verdict, "permit");
});

const problems: readonly (readonly [
  claim: string,
  policyText: string,
  blob: string,
  place: string,
])[] = [
  [
    "an unknown member of the context",
    `${permitAll}\n// 注释\n@id("x")\npermit(principal, action, resource)\nwhen { "西湖" == context.city };`,
    "policy",
    "5:16",
  ],
  [
    "a comparison of two types",
    '@id("x") permit(principal, action, resource) when { context.now == "1" };',
    "policy",
    "1:53",
  ],
  ["a text that does not parse", `${permitAll}\npermit(`, "policy", "2:8"],
  ["a policy without an id", `${permitAll}\npermit(principal, action, resource);`, "policy", "2:1"],
  [
    "an id that may not stand in a record",
    '@id("A b") permit(principal, action, resource);',
    "policy",
    "1:1",
  ],
  [
    "an id twice",
    `${permitAll}\n@id("all")\nforbid(principal, action, resource);`,
    "policy",
    "2:1",
  ],
];
for (const [claim, policyText, blob, place] of problems) {
  test(`validation names the place of ${claim}`, () => {
    const [problem, ...others] = engine.validate(blobsOf(policyText));
    assert.equal(problem?.severity, "error");
    assert.equal(problem?.blob, blob);
    assert.equal(`${problem?.line}:${problem?.column}`, place);
    assert.deepEqual(others, []);
  });
}

test("the place of a policy is its own, also among many and beside its own text in another", () => {
  const ids = Array.from({ length: 12 }, (_, i) => `@id("p${i}") ${permitAll.slice(10)}`);
  ids[11] = "permit(principal, action, resource);";
  const problems = engine.validate(blobsOf(ids.join("\n")));
  assert.deepEqual(
    problems.map(({ line, column, message }) => [line, column, message]),
    [[12, 1, "the policy has no @id"]],
  );
});

test("a schema that does not parse is named with its place", () => {
  const blobs = { policy: utf8(permitAll), schema: utf8("entity Agency;\nentity {") };
  const [problem] = engine.validate(blobs);
  assert.equal(problem?.blob, "schema");
  assert.equal(problem?.line, 2);
});

test("a policy that can never apply is a warning", () => {
  const text = '@id("never") permit(principal, action, resource) when { false };';
  assert.deepEqual(
    engine.validate(blobsOf(text)).map(({ severity, policyId }) => [severity, policyId]),
    [["warning", "never"]],
  );
});

test("the schema of declared attributes types them", () => {
  const schema = utf8(
    standardSchema([
      { name: "age-band", type: "integer", personal: true, source: "provider" },
      { name: "tags", type: "text-set", personal: false, source: "provider" },
    ]),
  );
  const policy = utf8(
    '@id("x") permit(principal, action, resource) when { context.attributes["age-band"] < 3 && context.attributes.tags.contains("a") };',
  );
  assert.deepEqual(engine.validate({ policy, schema }), []);
  const attributes = { "age-band": 2, tags: ["a"] };
  assert.equal(engine.evaluate(queryOf({ policy, schema }, { attributes })).verdict, "permit");
  assert.equal(
    engine.evaluate(queryOf({ policy, schema }, { attributes: { tags: ["a"] } })).verdict,
    "deny",
  );
});

test("the schema of declared attributes has those of the request as optional", () => {
  const schema = utf8(
    standardSchema([{ name: "region", type: "text", personal: false, source: "request" }]),
  );
  const when = (condition: string): Uint8Array =>
    utf8(`@id("x") permit(principal, action, resource) when { ${condition} };`);
  const unguarded = when('context.attributes.region == "a"');
  assert.equal(engine.validate({ policy: unguarded, schema })[0]?.severity, "error");
  const policy = when('context.attributes has region && context.attributes.region == "a"');
  assert.deepEqual(engine.validate({ policy, schema }), []);
  for (const [attributes, verdict] of [
    [{ region: "a" }, "permit"],
    [{}, "deny"],
  ] as const) {
    const query = queryOf({ policy, schema }, { attributes });
    const { verdict: found, failures } = engine.evaluate(query);
    assert.deepEqual([found, failures], [verdict, []]);
  }
});

test("a remembered verdict is the engine's own, for every request and set", () => {
  const sets = [
    standardPolicyText,
    permitAll,
    `${permitAll}\n${forbidAll}`,
    `${permitAll}\n@id("f") forbid(principal, action, resource) when { ${overflow} };`,
  ].map((text) => blobsOf(text));
  const few = memoiseVerdicts(engine, 3);
  const query = fc.record({
    set: fc.nat(sets.length - 1),
    principal: fc.constantFrom("shenzhen/a", "shenzhen/b"),
    resource: fc.constantFrom("hangzhou/a/b", "hangzhou/a/c"),
    more: fc.record({
      purpose: fc.constantFrom(purpose, "statistics", `${purpose}"`),
      writes: fc.boolean(),
      now: fc.constantFrom(inside, inside + 1),
    }),
  });
  fc.assert(
    fc.property(fc.array(query, { minLength: 1, maxLength: 12 }), (queries) => {
      for (const { set, principal, resource, more } of queries) {
        const asked = queryOf(sets[set]!, more);
        const full = { ...asked, request: { ...asked.request, principal, resource } };
        assert.deepEqual(few.evaluate(full), engine.evaluate(full));
      }
    }),
    { numRuns: 60 },
  );
});

test("an equal request is answered from memory, and another one never", () => {
  let asked = 0;
  const counting = memoiseVerdicts({
    ...engine,
    evaluate: (query) => (asked++, engine.evaluate(query)),
  });
  const set = blobsOf(permitAll);
  const base = queryOf(set);
  counting.evaluate(base);
  counting.evaluate(queryOf(set));
  assert.equal(asked, 1);
  const others: PolicyQuery[] = [
    queryOf(set, { now: inside + 1 }),
    queryOf(set, { writes: true }),
    queryOf(set, { purpose: "p" }),
    queryOf(set, { grant: { ...context.grant, expires: inside + 2 } }),
    queryOf(set, { attributes: { a: true } }),
    { ...base, request: { ...base.request, principal: "shenzhen/finance" } },
    { ...base, request: { ...base.request, resource: "hangzhou/civil-affairs/streets" } },
    queryOf(blobsOf(forbidAll)),
    queryOf({ policy: set.policy, schema: utf8(`${standardSchemaText}\n`) }),
  ];
  for (const other of others) counting.evaluate(other);
  assert.equal(asked, 1 + others.length);
});
