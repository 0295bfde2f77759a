import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { formatReport } from "../../bench/report.ts";
import { run, type RunFigures } from "../../bench/run.ts";

describe("the bench of exchanges and of a stream, in its smallest form", () => {
  let figures: RunFigures;

  before(async () => {
    figures = await run(
      {
        rows: ["exchanges", "stream"],
        rounds: 1,
        seconds: 1,
        warmSeconds: 0.5,
        warmExchanges: 1,
        inFlight: [1, 4],
        sizeExponent: 4,
        nodeFlags: ["--no-turbo-inline-js-wasm-calls"],
      },
      () => undefined,
    );
  });

  it("measures each chain at each number of calls in flight", () => {
    const { chains = [] } = figures.exchanges ?? {};
    assert.deepEqual(
      chains.map(({ chain, inFlight }) => `${chain} ${inFlight}`),
      [1, 4].flatMap((n) => [`base ${n}`, `evidence off ${n}`, `evidence on ${n}`]),
    );
    for (const { exchangesPerSecond, p50Ms, p99Ms } of chains) {
      assert.ok(exchangesPerSecond > 0);
      assert.ok(p50Ms > 0 && p99Ms >= p50Ms);
    }
  });

  it("holds the chains against each other in the same round", () => {
    const { comparisons = [] } = figures.exchanges ?? {};
    assert.equal(comparisons.length, 6);
    for (const { throughput } of comparisons) assert.ok(throughput > 0);
  });

  it("says what exchanges leave on the ledger and on both disks", () => {
    const { ledger = [], disk } = figures.exchanges ?? {};
    // A receipt and an acknowledgement, each in a batch with others or alone.
    for (const { bytesPerExchange, recordsPerBatch } of ledger) {
      assert.ok(bytesPerExchange > 1000 && recordsPerBatch >= 1);
    }
    assert.ok(disk !== undefined && disk.exchanges > 0);
    for (const { journal, ledger: stored, other } of [disk.consumer, disk.provider]) {
      assert.ok(journal > 0 && stored > 0 && other > 0);
    }
  });

  it("measures one stream, and that every message of it came", () => {
    const { stream } = figures;
    assert.ok(stream !== undefined && stream.throughput > 0);
    assert.deepEqual(
      stream.chains.map(({ chain }) => chain),
      ["base", "evidence on"],
    );
    for (const { megabytesPerSecond } of stream.chains) assert.ok(megabytesPerSecond > 0);
  });

  it("prints every figure, and what was not measured", () => {
    const report = formatReport(figures);
    assert.doesNotMatch(report, /NaN|undefined|Infinity/);
    assert.match(report, /^cost of a million exchanges$/m);
    assert.match(report, /^evidence on \/ base: \d+\.\d\d \(aim >= 1\.20\)$/m);
    assert.match(report, /^records sealed\/s: not measured$/m);
  });
});
