import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import test, { describe } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { acceptsGzip } from "../../gateway/ledger/content-encoding.ts";
import { createLedgerReadHandler, type LedgerReadOptions } from "../../gateway/ledger/http-read.ts";
import { createRateLimiter } from "../../gateway/ledger/rate-limit.ts";
import { parseNote } from "../../src/note/note.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayService } from "../support/statements.ts";
import { TwoCities, until } from "./support.ts";

const sha = (...parts: readonly Uint8Array[]): Buffer =>
  parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

/** MTH of RFC 6962 section 2.1, written from its text. */
function treeHash(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return sha(Uint8Array.of(0), leaves[0] as Uint8Array);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha(Uint8Array.of(1), treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split)));
}

function withLength(bytes: Uint8Array, width: 2 | 4): Buffer {
  const length = Buffer.alloc(width);
  length.writeUIntBE(bytes.length, 0, width);
  return Buffer.concat([length, bytes]);
}

interface Served {
  readonly cities: TwoCities;
  readonly leaves: readonly Uint8Array[];
  readonly get: (path: string, method?: string) => Promise<Response>;
  readonly bytes: (path: string) => Promise<Buffer>;
  readonly base: string;
}

/** Serves what Shenzhen's replica holds after `count` more batches are final. */
async function served(
  t: test.TestContext,
  count: number,
  options: LedgerReadOptions = {},
  outside: () => Uint8Array | undefined = () => undefined,
): Promise<Served> {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  await hangzhou.running.engine.putBlob(utf8("descriptor"));
  const { batch } = await ledger.append(network.provider.gateway, [sayService(network)]);
  await hangzhou.running.engine.submit(batch);
  await appendMany(cities, count - 1);
  await cities.finalAtBoth(BigInt(count + 1));
  const { replica } = shenzhen.running;
  const handler = createLedgerReadHandler(
    { reader: replica.reader, final: () => replica.final(), outsideCosignatures: outside },
    options,
  );
  const server = createServer((request, response) => {
    if (!handler(request, response)) response.writeHead(418).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close().closeAllConnections());
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const get = (path: string, method = "GET"): Promise<Response> => fetch(base + path, { method });
  return {
    base,
    cities,
    leaves: ledger.batches.map(({ leaf }) => leaf),
    get,
    bytes: async (path) => {
      const response = await get(path);
      assert.equal(response.status, 200, path);
      return Buffer.from(await response.arrayBuffer());
    },
  };
}

async function appendMany({ ledger, network, hangzhou }: TwoCities, count: number): Promise<void> {
  let sent: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) {
    const { batch } = await ledger.appendEvidence(network.provider.gateway, [
      statusRecord(i),
      statusRecord(i + 1),
    ]);
    sent.push(hangzhou.running.engine.submit(batch));
    if (sent.length === 100) await Promise.all(sent.splice(0));
  }
  await Promise.all(sent);
  sent = [];
}

test("tiles hold the subtree hashes of the final tree, computed from the RFC's text", async (t) => {
  const { bytes, leaves, get } = await served(t, 299);
  assert.equal(leaves.length, 300);
  const level0 = leaves.map((leaf) => treeHash([leaf]));
  assert.deepEqual(await bytes("/tile/0/000"), Buffer.concat(level0.slice(0, 256)));
  assert.deepEqual(await bytes("/tile/0/001.p/44"), Buffer.concat(level0.slice(256)));
  assert.deepEqual(await bytes("/tile/0/001.p/3"), Buffer.concat(level0.slice(256, 259)));
  assert.deepEqual(await bytes("/tile/1/000.p/1"), treeHash(leaves.slice(0, 256)));
  for (const missing of ["/tile/0/001", "/tile/0/001.p/45", "/tile/1/000", "/tile/1/000.p/2"]) {
    assert.equal((await get(missing)).status, 404, missing);
  }
});

test("entry bundles hold the leaves behind their 16-bit lengths", async (t) => {
  const { bytes, leaves, get } = await served(t, 4);
  const bundle = Buffer.concat(leaves.map((leaf) => withLength(leaf, 2)));
  assert.deepEqual(await bytes("/tile/entries/000.p/5"), bundle);
  assert.equal((await get("/tile/entries/000.p/6")).status, 404);
});

test("the checkpoint is the newest final note, and its root is that of the leaves", async (t) => {
  const { bytes, leaves, cities, get } = await served(t, 3);
  const note = (await bytes("/checkpoint")).toString();
  const [origin, size, root] = note.split("\n");
  assert.equal(origin, `causeway/${cities.network.idHex}/0`);
  assert.equal(size, "4");
  assert.equal(root, treeHash(leaves).toString("base64"));
  const { headers } = await get("/checkpoint");
  assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
  assert.match(headers.get("cache-control") ?? "", /^public, max-age=\d$/);
});

test("records are served behind 32-bit lengths and hash to the root in their leaf", async (t) => {
  const { bytes, cities } = await served(t, 3);
  const batch = cities.ledger.batches[2];
  assert.ok(batch !== undefined);
  const body = await bytes("/records/2");
  assert.deepEqual(body, Buffer.concat(batch.records.map((record) => withLength(record, 4))));
  assert.deepEqual(treeHash(batch.records), Buffer.from(batch.header.recordsRoot));
});

test("a blob that a final statement names is served, another one is not", async (t) => {
  const { bytes, cities, get } = await served(t, 2);
  await cities.hangzhou.running.engine.putBlob(utf8("unnamed"));
  const named = sha(utf8("descriptor")).toString("hex");
  assert.deepEqual(await bytes(`/blobs/${named}`), Buffer.from("descriptor"));
  assert.equal((await get(`/blobs/${sha(utf8("unnamed")).toString("hex")}`)).status, 404);
  assert.equal((await get(`/blobs/${named.toUpperCase()}`)).status, 404);
});

test("the frozen note of an index is the first one of a size above it", async (t) => {
  const { bytes, cities } = await served(t, 3);
  const frozen = cities.hangzhou.running.replica.frozenNote(1n);
  assert.ok(frozen !== undefined && frozen.size > 1n);
  assert.deepEqual(await bytes("/final/1"), Buffer.from(frozen.note));
});

test("what is immutable says so, and HEAD has the headers without the body", async (t) => {
  const { get, cities } = await served(t, 3);
  const named = sha(utf8("descriptor")).toString("hex");
  for (const path of ["/tile/0/000.p/4", "/records/0", "/final/0", `/blobs/${named}`]) {
    const response = await get(path, "HEAD");
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
    assert.equal((await response.arrayBuffer()).byteLength, 0);
    assert.ok(Number(response.headers.get("content-length")) > 0);
  }
  assert.ok(cities.network.idHex.length === 64);
});

test("nothing above the final size is served", async (t) => {
  const { get, cities } = await served(t, 2);
  const { ledger, network, hangzhou, shenzhen } = cities;
  shenzhen.sockets.witness = undefined;
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  await hangzhou.running.engine.submit(batch);
  await until(() => shenzhen.running.replica.state().size === 4n, "the batch is included");
  for (const path of ["/records/3", "/final/3", "/tile/0/000.p/4", "/tile/entries/000.p/4"]) {
    assert.equal((await get(path)).status, 404, path);
  }
  assert.equal((await get("/records/2")).status, 200);
});

test("other methods are 405, what is malformed is 404, and other paths are left to others", async (t) => {
  const { get } = await served(t, 1);
  const response = await get("/checkpoint", "POST");
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("allow"), "GET, HEAD");
  for (const path of [
    "/records/-1",
    "/records/01",
    "/records/1/2",
    "/records/",
    "/tile/0/0",
    "/tile/64/000",
    "/tile/0/000.p/0",
    "/tile/0/000.p/256",
    "/final/x",
    "/blobs/00",
    `/records/${"9".repeat(30)}`,
  ]) {
    assert.equal((await get(path)).status, 404, path);
  }
  assert.equal((await get("/metrics")).status, 418);
});
describe("a client that takes gzip", () => {
  test("gets bundles and records compressed, and the same bytes as without", async (t) => {
    const { bytes, base } = await served(t, 40);
    for (const path of ["/tile/entries/000.p/41", "/tile/entries/000.p/40"]) {
      const raw = await rawGet(base, path, "br;q=1, gzip;q=0.5");
      assert.equal(raw.headers["content-encoding"], "gzip", path);
      assert.equal(raw.headers.vary, "accept-encoding");
      const plain = await rawGet(base, path, "identity");
      assert.equal(plain.headers["content-encoding"], undefined);
      assert.ok(raw.body.length < plain.body.length);
      assert.deepEqual(gunzipSync(raw.body), plain.body);
      assert.deepEqual(await bytes(path), plain.body);
    }
  });
  test("gets tiles and short bodies as they are", async (t) => {
    const { base } = await served(t, 40);
    for (const path of ["/tile/0/000.p/41", "/checkpoint", "/records/3"]) {
      const { headers } = await rawGet(base, path, "gzip");
      assert.equal(headers["content-encoding"], undefined, path);
    }
  });
  for (const [header, expected] of [
    [undefined, false],
    ["", false],
    ["identity", false],
    ["gzip", true],
    ["GZIP;q=0.1", true],
    ["gzip;q=0", false],
    ["gzip; q=0.000, *;q=1", false],
    ["*", true],
    ["*;q=0", false],
    ["deflate, br", false],
  ] as const) {
    test(`is one whose Accept-Encoding is ${header}: ${expected}`, () => {
      assert.equal(acceptsGzip(header), expected);
    });
  }
});

describe("a log with a minimum index", () => {
  test("answers 410 for what ends at or below it, and serves the rest", async (t) => {
    const { get } = await served(t, 599, { minimumIndex: 300n });
    for (const path of [
      "/tile/0/000",
      "/tile/0/000.p/200",
      "/tile/entries/000",
      "/records/0",
      "/records/299",
    ]) {
      const answer = await get(path);
      assert.equal(answer.status, 410, path);
      assert.equal(answer.headers.get("cache-control"), "no-store");
    }
    for (const path of [
      "/checkpoint",
      "/tile/0/001",
      "/tile/1/000.p/2",
      "/tile/entries/001",
      "/records/300",
      "/final/0",
    ]) {
      assert.equal((await get(path)).status, 200, path);
    }
  });
});

describe("the rate limit", () => {
  test("answers 429 with the time to wait, and serves again after it", async (t) => {
    let nowMs = 0;
    const limiter = createRateLimiter({ perSecond: 2, burst: 3 }, { monotonicMs: () => nowMs });
    const { get } = await served(t, 1, { limiter });
    for (let i = 0; i < 3; i++) assert.equal((await get("/checkpoint")).status, 200);
    const refused = await get("/checkpoint");
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get("retry-after"), "1");
    assert.equal((await get("/metrics")).status, 418);
    nowMs = 500;
    assert.equal((await get("/checkpoint")).status, 200);
    assert.equal((await get("/checkpoint")).status, 429);
  });
  test("never lets more pass than the burst and what has accrued", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 200 }),
        (burst, perSecond, pauses) => {
          let nowMs = 0;
          let passed = 0;
          const limiter = createRateLimiter({ perSecond, burst }, { monotonicMs: () => nowMs });
          for (const pause of pauses) {
            nowMs += pause;
            if (limiter("192.0.2.1") === undefined) passed++;
            assert.ok(passed <= burst + (nowMs * perSecond) / 1000 + 1e-6);
          }
        },
      ),
    );
  });
  test("counts each IPv4 address apart, and each /64 of IPv6 together", () => {
    const limiter = createRateLimiter({ perSecond: 1, burst: 1 }, { monotonicMs: () => 0 });
    const passes = (address: string): boolean => limiter(address) === undefined;
    assert.equal(passes("192.0.2.1"), true);
    assert.equal(passes("::ffff:192.0.2.1"), false);
    assert.equal(passes("192.0.2.2"), true);
    assert.equal(passes("2001:db8:0:1::1"), true);
    assert.equal(passes("2001:0db8::1:abcd:0:0:2"), false);
    assert.equal(passes("2001:db8:0:2::1"), true);
    assert.equal(passes("::1"), true);
  });
  test("that nobody could keep to is a RangeError", () => {
    for (const limit of [
      { perSecond: 0, burst: 1 },
      { perSecond: 1, burst: 0 },
    ]) {
      assert.throws(() => createRateLimiter(limit, { monotonicMs: () => 0 }), RangeError);
    }
  });
});

test("lines of outside witnesses stand behind the note of the checkpoint", async (t) => {
  const line = "— outside.example AAAAAAE=\n";
  const { bytes, cities } = await served(t, 2, {}, () => utf8(line));
  const note = cities.shenzhen.running.replica.final()?.note as Uint8Array;
  assert.deepEqual(await bytes("/checkpoint"), Buffer.concat([note, utf8(line)]));
  assert.deepEqual(
    parseNote(await bytes("/checkpoint")).signatures.at(-1)?.name,
    "outside.example",
  );
});

function rawGet(
  base: string,
  path: string,
  accept: string,
): Promise<{ readonly headers: IncomingHttpHeaders; readonly body: Buffer }> {
  return new Promise((resolve, reject) => {
    const sent = request(base + path, { headers: { "accept-encoding": accept } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(chunks) }));
    });
    sent.on("error", reject).end();
  });
}

test("whoever takes no answer is held no more than the bound, and others are told 503 until it goes", async (t) => {
  const { cities } = await served(t, 1);
  const { replica } = cities.shenzhen.running;
  const body = new Uint8Array(8 * 1024 * 1024);
  const reader = new Proxy(replica.reader, {
    get: (of, name) =>
      name === "batch" ? () => ({ body }) : (Reflect.get(of, name, of) as () => unknown).bind(of),
  });
  const archive = { reader, final: () => replica.final() };
  const handler = createLedgerReadHandler(archive, { bytesInFlightMax: 2 * body.length });
  const server = createServer((request, response) => void handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  const slow = [0, 1].map(() => connect(port, "127.0.0.1"));
  for (const socket of slow) {
    socket.pause();
    socket.write("GET /records/0 HTTP/1.1\r\nhost: a\r\n\r\n");
  }
  const get = (): Promise<Response> => fetch(`http://127.0.0.1:${port}/records/0`);
  let status = 200;
  const isBusy = async (): Promise<boolean> => {
    const response = await get();
    await response.arrayBuffer();
    ({ status } = response);
    return status === 503;
  };
  for (let i = 0; i < 100 && !(await isBusy()); i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(status, 503);
  for (const socket of slow) socket.destroy();
  for (let i = 0; i < 100 && (await isBusy()); i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(status, 200);
});
