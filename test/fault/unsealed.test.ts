import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CausewayError } from "../../src/base/errors.ts";
import type { Sealer } from "../../src/ledger/ports.ts";
import { openRecord, type RecordCase } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { type Attempt, matchAttempts } from "./attempts.ts";
import { FinalLedger } from "./final-ledger.ts";

/** Refuses the next record of a kind, as a full queue does. */
class RefusingSealer {
  refused: RecordCase | undefined;

  wrap(sealer: Sealer): Sealer {
    return {
      seal: (queued) => {
        const kind = openRecord(queued.record).body.case;
        if (kind !== this.refused) return sealer.seal(queued);
        this.refused = undefined;
        return Promise.reject(new CausewayError("BUSY", "the sealing queue is full"));
      },
    };
  }
}

describe("a closing that could not be sealed", () => {
  const provider = new RefusingSealer();
  const consumer = new RefusingSealer();
  let running: Running;
  let ledger: FinalLedger;

  before(async () => {
    running = await startTwoCities({
      overrides: {
        provider: { wrapSealer: (sealer) => provider.wrap(sealer) },
        consumer: { wrapSealer: (sealer) => consumer.wrap(sealer) },
      },
    });
    ledger = new FinalLedger(running.cities.consumer.addresses.http);
  });

  after(() => running?.close());

  async function closed(count: number): Promise<Attempt> {
    let attempts: readonly Attempt[] = [];
    await eventually("every attempt is closed on both sides", async () => {
      await ledger.update();
      attempts = matchAttempts(ledger.records);
      const isOpen = attempts.some((attempt) =>
        [attempt.provider, attempt.consumer].includes("open"),
      );
      return attempts.length === count && !isOpen;
    });
    return attempts.at(-1) as Attempt;
  }

  it("of a method that writes is sealed GATEWAY_ERROR later, without a restart", async () => {
    provider.refused = "receipt";
    const answer = await running.client.reportCorrection("330106");
    assert.equal(answer.reason, "BUSY");
    const attempt = await closed(1);
    assert.equal(attempt.provider, "closed gateway error");
    assert.equal(attempt.consumer, "closed gateway error");
  });

  it("of an answer is sealed GATEWAY_ERROR later, and the answer is not handed over", async () => {
    consumer.refused = "acknowledgement";
    const answer = await running.client.getDivision("330106");
    assert.equal(answer.reason, "BUSY");
    assert.equal(answer.message, undefined);
    const attempt = await closed(2);
    assert.equal(attempt.provider, "receipt");
    assert.equal(attempt.consumer, "closed gateway error");
  });
});
