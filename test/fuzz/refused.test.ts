/** What is refused changes nothing: mutated batches before the fold. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { toSealedBatch } from "../../gateway/ledger/ledger-messages.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { isReasonCode } from "../../src/base/reasons.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import { BatchSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type { BatchBytes } from "../../src/record/batch.ts";
import { apply } from "../../src/registry/apply.ts";
import { encodeSnapshot } from "../../src/registry/snapshot.ts";
import type { RegistryState } from "../../src/registry/state.ts";
import { verifyBatch } from "../../src/registry/verify-batch.ts";
import { bytesOf, mutant } from "./mutate.ts";
import { audit } from "./samples.ts";

const runs = Number(process.env["CAUSEWAY_FUZZ_RUNS"] ?? 100) * 4;
const { batches, states, rootAt } = audit.ledger;
const samples = batches.map(({ leaf, records }) =>
  toBinary(BatchSchema, create(BatchSchema, { leaf, records: [...records] })),
);

/** Why the fold refuses a batch as the next of a ledger of `size`; `undefined` when it takes it. */
async function refusalOf(batch: BatchBytes, size: number): Promise<string | undefined> {
  const state = states[size] as RegistryState;
  const verified = await verifyBatch(state, batch, audit.network.verifier);
  if (verified.kind === "rejected") return verified.reason;
  const applied = apply(state, verified, state.size, rootAt);
  return applied.kind === "rejected" ? applied.reason : undefined;
}

describe("the fold", () => {
  const before = states.map(encodeSnapshot);

  test("takes each batch where it stands", async () => {
    for (const [size, batch] of batches.entries()) {
      assert.equal(await refusalOf(batch, size), undefined);
    }
  });

  test("refuses every mutated batch with a reason, and each state stays as it was", async () => {
    await fc.assert(
      fc.asyncProperty(mutant(samples.length), fc.nat({ max: batches.length }), async (one, at) => {
        const bytes = bytesOf(one, samples);
        let batch: BatchBytes;
        try {
          batch = toSealedBatch(decodeMessage(BatchSchema, bytes));
        } catch (error) {
          assert.ok(error instanceof CausewayError);
          return;
        }
        // Mostly where the sample stands, so that more than the chain refuses it.
        const size = at % 4 === 0 ? at : one.sample;
        const refusal = await refusalOf(batch, size);
        const own = batches[size];
        const isOwn =
          own !== undefined &&
          Buffer.compare(own.leaf, batch.leaf) === 0 &&
          own.records.length === batch.records.length &&
          own.records.every((record, i) => {
            return Buffer.compare(record, batch.records[i] as Uint8Array) === 0;
          });
        // A mutation may leave bytes as they are, or change what the message around them says twice.
        if (isOwn) assert.equal(refusal, undefined);
        else assert.ok(refusal !== undefined && isReasonCode(refusal), `${refusal}`);
        const snapshot = encodeSnapshot(states[size] as RegistryState);
        assert.ok(Buffer.compare(snapshot, before[size] as Uint8Array) === 0, "the state changed");
      }),
      { numRuns: runs, includeErrorInReport: true },
    );
  });
});
