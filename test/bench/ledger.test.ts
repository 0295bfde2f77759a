import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { type LedgerMeasurement, measureLedger } from "../../bench/ledger.ts";
import { snapshotEveryBatches } from "../../src/base/limits.ts";
import { formatLedgerReport } from "../../bench/ledger-report.ts";

const nodeFlags = ["--no-turbo-inline-js-wasm-calls"];

/** Everything in a figure is a number above 0, or says which one it is. */
function assertMeasured(figure: object): void {
  for (const [name, value] of Object.entries(figure) as [string, unknown][]) {
    if (typeof value === "number")
      assert.ok(value > 0 && Number.isFinite(value), `${name} ${value}`);
    else if (typeof value === "object" && value !== null) assertMeasured(value);
  }
}

describe("the bench of the ledger, in its smallest form", () => {
  let measured: LedgerMeasurement;

  before(async () => {
    measured = await measureLedger(
      {
        seconds: 0.4,
        warmSeconds: 0.1,
        callers: [1, 10],
        engineLoads: [
          { records: "receipts", arrivals: { kind: "paced", perSecond: 50 } },
          { records: "300 bytes", arrivals: { kind: "callers", callers: 10, window: 100 } },
          { records: "receipts", arrivals: { kind: "half" } },
        ],
        recordsPerPass: 400,
        tree: { sizes: [1000, 2000], rounds: 1, times: 3 },
        nodeFlags,
      },
      () => undefined,
    );
  });

  it("measures how fast records are sealed", () => {
    assert.deepEqual(
      measured.sealed.map(({ callers, recordBytes }) => [callers, recordBytes > 300]),
      [
        [1, false],
        [10, false],
        [1, true],
        [10, true],
      ],
    );
    assertMeasured(measured.sealed);
  });

  it("measures how fast four cities make them final", () => {
    assert.equal(measured.final.length, 3);
    assertMeasured(measured.final);
    for (const { seal, sealToFinal } of measured.final) assert.ok(seal.p50 < sealToFinal.p50);
  });

  it("measures how fast they are verified", () => {
    assert.equal(measured.verified.length, 8);
    assertMeasured(measured.verified);
  });

  it("measures what a longer ledger costs", () => {
    const { operations, processes, replicas } = measured.tree;
    assert.equal(operations.length, 12);
    assertMeasured(operations);
    assertMeasured(processes);
    assertMeasured(replicas);
    assert.deepEqual(
      operations.filter(({ leaves }) => leaves === 1000).map(({ toSmallest }) => toSmallest),
      [1, 1, 1, 1, 1, 1],
    );
  });

  it("opens a replica with as many batches to fold again as there can be", () => {
    assert.deepEqual(
      measured.tree.replicas.map(({ leaves, refolded }) => [leaves, refolded]),
      [
        [1000, snapshotEveryBatches - 1],
        [2000, snapshotEveryBatches - 1],
      ],
    );
  });

  it("prints every figure as a line", () => {
    const lines = formatLedgerReport(measured);
    assert.equal(lines.filter((line) => /NaN|undefined|null|Infinity/.test(line)).length, 0);
    assert.equal(lines.filter((line) => /^(fold|replica) /.test(line)).length, 8);
    assert.equal(lines.filter((line) => line.startsWith("a process over")).length, 2);
    assert.equal(lines.filter((line) => line.startsWith("a replica over")).length, 2);
  });
});
