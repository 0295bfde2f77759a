import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { connect, type SecureClientSessionOptions } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { measureBesideNginx, type NginxFigures } from "../../bench/beside-nginx.ts";
import { formatBesideNginx, formatBesideTessera } from "../../bench/beside-report.ts";
import { measureBesideTessera, type TesseraFigures } from "../../bench/beside-tessera.ts";
import { type GoProgram, isBuilt, startGoProgram } from "../../bench/go-programs.ts";
import { isMissing, type Missing } from "../../bench/missing.ts";
import { findNginx, type Nginx, startNginx, tlsFiles } from "../../bench/nginx.ts";
import { benchMethod } from "../../bench/raw-grpc.ts";

const nginx = findNginx();
const noNginx = isMissing(nginx) ? nginx.missing : false;
const notBuilt = (...programs: readonly GoProgram[]): string | false =>
  programs.every(isBuilt) ? false : "not built: node scripts/optional.mjs bench";

/** The figures, where nothing is missing. */
function measured<T extends object>(figures: T | Missing): T {
  if (isMissing(figures)) assert.fail(figures.missing);
  return figures;
}

function assertPrinted(lines: readonly string[]): void {
  assert.deepEqual(
    lines.filter((line) => /NaN|undefined|Infinity|not measured/.test(line)),
    [],
  );
}

describe("the gateways beside two hops of nginx, in its smallest form", {
  skip: noNginx || notBuilt("grpc-client", "grpc-upstream"),
}, () => {
  let figures: NginxFigures;

  before(async () => {
    const plan = {
      rounds: 1,
      seconds: 2,
      warmSeconds: 0.5,
      warmExchanges: 1,
      inFlight: [1, 32],
      answerBytes: 500,
      nodeFlags: ["--no-turbo-inline-js-wasm-calls"],
    };
    figures = measured(await measureBesideNginx(plan, () => undefined));
  });

  it("measures both chains with the same client and upstream", () => {
    assert.deepEqual(
      figures.chains.map(({ chain, inFlight }) => `${chain} ${inFlight}`),
      ["nginx 1", "evidence on 1", "nginx 32", "evidence on 32"],
    );
    for (const { exchangesPerSecond, p50Ms, p99Ms, cpuSecondsPer1000 } of figures.chains) {
      assert.ok(exchangesPerSecond > 0);
      assert.ok(p50Ms > 0 && p99Ms >= p50Ms);
      assert.ok(cpuSecondsPer1000.all > 0);
    }
  });

  it("holds the gateways against nginx in the same round", () => {
    assert.deepEqual(
      figures.comparisons.map(({ chain, against, inFlight }) => [chain, against, inFlight]),
      [
        ["evidence on", "nginx", 1],
        ["evidence on", "nginx", 32],
      ],
    );
    for (const { throughput } of figures.comparisons) assert.ok(throughput > 0);
  });

  it("prints every figure, with the aim at 32 in flight", () => {
    const lines = formatBesideNginx(figures);
    assertPrinted(lines);
    const withAim = lines.filter((line) => line.endsWith("exchanges/s >= 0.50"));
    assert.equal(withAim.length, 1);
    assert.match(withAim[0] ?? "", /^evidence on \/ nginx +32 /);
  });
});

describe("the hops of nginx", { skip: noNginx || notBuilt("grpc-upstream") }, () => {
  it("show each other certificates: the second takes no call without one", async (t) => {
    const upstream = await startGoProgram("grpc-upstream", ["-answer", "AAAA"]);
    t.after(() => upstream.stop());
    const folder = mkdtempSync(join(tmpdir(), "causeway-nginx-"));
    const to = { upstream: `127.0.0.1:${upstream.port}`, folder };
    const chain = await startNginx(nginx as Nginx, to);
    t.after(() => chain.stop());
    const { certificate, key } = tlsFiles(folder).consumer;
    const shown = { cert: readFileSync(certificate), key: readFileSync(key) };
    const secondHop = `https://127.0.0.1:${chain.hops.provider.port}`;
    assert.equal(await statusOf(secondHop, {}), 400);
    assert.equal(await statusOf(secondHop, shown), 200);
    assert.equal(await statusOf(`http://${chain.target}`, {}), 200);
  });
});

/** HTTP status of one empty gRPC call. */
async function statusOf(authority: string, tls: SecureClientSessionOptions): Promise<unknown> {
  const session = connect(authority, { ...tls, rejectUnauthorized: false });
  try {
    const headers = { ":method": "POST", ":path": benchMethod.path, te: "trailers" };
    const call = session.request({ ...headers, "content-type": "application/grpc" });
    call.resume().end(Buffer.alloc(5));
    const [answer] = await once(call, "response");
    await once(call, "close");
    return answer[":status"];
  } finally {
    session.close();
  }
}

describe("the sealer beside Tessera, in its smallest form", {
  skip: notBuilt("tessera-append"),
}, () => {
  let figures: TesseraFigures;

  before(async () => {
    const plan = {
      rounds: 1,
      warmMs: 200,
      measuredMs: 500,
      callers: [16, 64],
      recordBytes: 300,
      batchEntriesMax: [16, 64],
      batchAgeMsMax: 250,
    };
    figures = measured(await measureBesideTessera(plan, () => undefined));
  });

  it("measures the sealer, and Tessera with each batch that so many callers can fill", () => {
    assert.deepEqual(
      figures.measured.map(({ callers, batchEntriesMax }) => [callers, batchEntriesMax]),
      [
        [16, undefined],
        [16, 16],
        [64, undefined],
        [64, 16],
        [64, 64],
      ],
    );
    for (const { recordsPerSecond, p50Ms, p99Ms, cpuUsPerRecord } of figures.measured) {
      assert.ok(recordsPerSecond > 0 && cpuUsPerRecord > 0);
      assert.ok(p50Ms > 0 && p99Ms >= p50Ms);
    }
  });

  it("holds the sealer against the fastest of Tessera's settings", () => {
    const of = (callers: number, batchEntriesMax?: number): number =>
      figures.measured.find((m) => m.callers === callers && m.batchEntriesMax === batchEntriesMax)
        ?.recordsPerSecond ?? Number.NaN;
    const fastest = Math.max(of(64, 16), of(64, 64));
    assert.equal(figures.comparisons[1]?.throughput, of(64) / fastest);
  });

  it("prints every figure, and of which release", () => {
    const lines = formatBesideTessera(figures);
    assertPrinted(lines);
    assert.match(lines.join("\n"), /Tessera v\d+\.\d+\.\d+/);
  });
});

describe("a part whose program is not on this machine", () => {
  it("is reported as not measured, with what is missing", () => {
    assert.deepEqual(formatBesideNginx({ missing: "no nginx" }), [
      "beside two hops of nginx: not measured: no nginx",
    ]);
    assert.deepEqual(formatBesideTessera({ missing: "no go" }), [
      "records sealed/s beside Tessera: not measured: no go",
    ]);
  });
});
