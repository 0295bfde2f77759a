import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CausewayError } from "../../src/base/errors.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import type { AttributeDatum } from "../../src/policy/attributes.ts";
import {
  answered,
  bytes,
  methods,
  publishedAt,
  settle,
  TestProvider,
  unary,
} from "../support/test-provider.ts";

const text = { type: "text", personal: false, source: "provider" } as const;
const standing: ServiceAttribute = { ...text, name: "standing" };
const clearance: ServiceAttribute = { ...text, name: "clearance" };

interface Lookup {
  /** What the service declares that it is looked up for. */
  readonly names: readonly string[];
  readonly find: (said: Record<string, AttributeDatum>) => void;
  readonly fail: (error: unknown) => void;
}

/** A provider that has a call whose attributes are looked up. */
async function lookingUp(): Promise<{ provider: TestProvider; lookups: Lookup[] }> {
  const provider = new TestProvider();
  const lookups: Lookup[] = [];
  provider.published = publishedAt(1n, { attributes: [standing] });
  provider.lookUp = ({ body }) =>
    new Promise((find, fail) => {
      lookups.push({ names: body.attributes.map(({ name }) => name), find, fail });
    });
  provider.call(1n, unary);
  await settle();
  return { provider, lookups };
}

describe("a service that is published anew while the attributes of a call are looked up", () => {
  it("has them looked up again, as the new publication declares them", async () => {
    const { provider, lookups } = await lookingUp();
    provider.published = publishedAt(2n, { attributes: [standing, clearance] });
    lookups[0]?.find({ standing: "good" });
    await settle();
    assert.deepEqual(
      lookups.map(({ names }) => names),
      [["standing"], ["standing", "clearance"]],
    );
    lookups[1]?.find({ standing: "good", clearance: "high" });
    await settle();
    assert.deepEqual(provider.decided, [{ standing: "good", clearance: "high" }]);
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.deepEqual(
      provider.records().map(({ case: kind }) => kind),
      ["receipt"],
    );
  });

  it("has them looked up again when the earlier lookup failed", async () => {
    const { provider, lookups } = await lookingUp();
    provider.published = publishedAt(2n, { attributes: [clearance] });
    lookups[0]?.fail(new CausewayError("ATTRIBUTES_UNAVAILABLE", "no such column"));
    await settle();
    lookups[1]?.find({ clearance: "high" });
    await settle();
    assert.deepEqual(provider.decided, [{ clearance: "high" }]);
  });

  it("is not called as what it was: a method that streams now is no call of one answer", async () => {
    const { provider, lookups } = await lookingUp();
    const streaming = methods.map((method) => ({ ...method, server_streaming: true }));
    provider.published = publishedAt(2n, { methods: streaming });
    lookups[0]?.find({ standing: "good" });
    await settle();
    const [refusal] = provider.records();
    assert.ok(refusal?.case === "refusal");
    assert.equal(refusal.value.reason, "CALL_STATEMENT_INVALID");
    assert.equal(refusal.value.upstreamCalled, false);
    assert.equal(provider.reserved, 0);
  });

  it("turns the call away when it is published anew at each lookup", async () => {
    const { provider, lookups } = await lookingUp();
    for (let index = 2n; lookups.length < index && index < 10n; index++) {
      provider.published = publishedAt(index, { attributes: [standing] });
      lookups.at(-1)?.find({ standing: "good" });
      await settle();
    }
    assert.equal(lookups.length, 3);
    const [sent] = provider.sent(1n);
    assert.ok(sent?.case === "failed");
    assert.equal(sent.value.reason, "LEDGER_BEHIND");
    assert.deepEqual([provider.decided, provider.sealed, provider.reserved], [[], [], 0]);
    assert.equal(provider.side.openAttempts, 0);
  });
});

it("a service whose descriptors lack the method ends no call as an internal error", async () => {
  const provider = new TestProvider();
  provider.published = publishedAt(1n, { attributes: [standing] });
  provider.lookUp = () => {
    throw new CausewayError("DESCRIPTOR_INVALID", "no method");
  };
  provider.call(1n, unary);
  await settle();
  const [sent] = provider.sent(1n);
  assert.ok(sent?.case === "failed");
  assert.equal(sent.value.reason, "DESCRIPTOR_INVALID");
});
