import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../src/base/bytes.ts";
import { AssertionError, CausewayError } from "../../src/base/errors.ts";
import { isReasonCode } from "../../src/base/reasons.ts";
import { bytesOf, mutant } from "./mutate.ts";
import { targets } from "./targets.ts";
import { type Target, textOf } from "./target.ts";
import { startWatchdog } from "./watchdog.ts";

const runs = Number(process.env["CAUSEWAY_FUZZ_RUNS"] ?? 100);
const watchdog = startWatchdog();
before(() => assert.ok(Number.isSafeInteger(runs) && runs > 0, "CAUSEWAY_FUZZ_RUNS is a number"));
after(() => watchdog.close());

type Outcome =
  | { readonly kind: "read"; readonly value: unknown }
  | { readonly kind: "refused"; readonly reason: string };

/** What a decoder makes of an input. Anything but its value or a documented refusal fails the test. */
async function outcomeOf(target: Target, input: Uint8Array): Promise<Outcome> {
  watchdog.before(target.name, input);
  const given = input.slice();
  try {
    const value = await target.read(given);
    const isRefusal = value === undefined || target.isRefusal?.(value) === true;
    return isRefusal ? { kind: "refused", reason: "value" } : { kind: "read", value };
  } catch (error) {
    if (target.own === true) {
      assert.ok(error instanceof AssertionError || error instanceof RangeError, stackOf(error));
      return { kind: "refused", reason: error.name };
    }
    assert.ok(error instanceof CausewayError, stackOf(error));
    assert.ok(isReasonCode(error.code));
    assert.ok(
      target.reasons.includes(error.code),
      `${error.code} is not documented: ${stackOf(error)}`,
    );
    return { kind: "refused", reason: error.code };
  } finally {
    assert.ok(Buffer.compare(given, input) === 0, "the input was changed");
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Objects, elements and bytes that a value holds: what it costs to keep. Views of one buffer count once each. */
function weigh(value: unknown, depth = 0): number {
  if (typeof value === "string") return 1 + value.length;
  if (typeof value !== "object" || value === null) return 1;
  if (value instanceof Uint8Array) return 1 + value.length;
  // A cycle, or a structure that no input describes.
  if (depth > 64) return Number.POSITIVE_INFINITY;
  const inner = value instanceof Map ? [...value].flat() : Object.values(value);
  return inner.reduce<number>((sum, one) => sum + weigh(one, depth + 1), 1);
}

/** A short element on the wire may be an object of many members in memory; no more than that. */
const weightPerByte = 256;
const weightMin = 256 * 1024;

async function checkInput(target: Target, input: Uint8Array): Promise<void> {
  const outcome = await outcomeOf(target, input);
  const again = await outcomeOf(target, input);
  assert.equal(again.kind, outcome.kind, "the same input was judged otherwise the second time");
  if (outcome.kind === "refused") {
    assert.deepEqual(again, outcome);
    return;
  }
  assert.ok(weigh(outcome.value) <= weightMin + weightPerByte * input.length, "it grew too much");
  if (target.print !== undefined) {
    const printed = target.print(outcome.value as never);
    assert.ok(Buffer.compare(printed, input) === 0, "what was accepted prints otherwise");
  }
  if (target.sealed === true) {
    const isSample = target.samples.some((sample) => Buffer.compare(sample, input) === 0);
    assert.ok(isSample, "a changed input was accepted");
  }
}

/** Text has lost what is no UTF-8 before a decoder of text gets it. */
function inputOf(target: Target, bytes: Uint8Array): Uint8Array {
  return target.text === true ? utf8(textOf(bytes)) : bytes;
}

for (const target of targets) {
  describe(`the decoder of ${target.name}`, () => {
    test("takes what is valid", async () => {
      for (const sample of target.samples) {
        const outcome = await outcomeOf(target, sample);
        assert.equal(outcome.kind, "read", outcome.kind === "refused" ? outcome.reason : "");
        await checkInput(target, sample);
      }
    });

    test("answers every mutation with a value or a documented refusal", async () => {
      const numRuns = Math.max(1, Math.ceil(runs / (target.oneIn ?? 1)));
      await fc.assert(
        fc.asyncProperty(mutant(target.samples.length), (one) =>
          checkInput(target, inputOf(target, bytesOf(one, target.samples))),
        ),
        { numRuns, includeErrorInReport: true },
      );
    });
  });
}
