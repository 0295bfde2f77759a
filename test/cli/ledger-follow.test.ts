/** Following over HTTP: everything verified, gone on from where it ended, and stopped by a fork. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { readTile } from "../../src/merkle/tile-hashes.ts";
import { parseTilePath } from "../../src/merkle/tile-path.ts";
import { storeTree } from "../merkle/support.ts";
import { run, ServedLedger } from "./served-ledger.ts";
import { assertRefused } from "./support.ts";

const served = new ServedLedger("follow");
let number = 0;
const newFolder = (): string => served.at(`data-${number++}`);
const following = (data: string, ...more: readonly string[]): string[] => [
  ...["ledger", "follow", "--from", served.from, "--founding", served.founding],
  ...["--data", data, "--output", "ndjson", "--once", ...more],
];

describe("ledger follow", () => {
  test("prints every batch and every final size in order", async () => {
    const { code, rows, stderr } = await run(following(newFolder()));
    assert.equal(code, 0, stderr);
    const { size } = served.replica.state();
    const batches = rows.filter(({ event }) => event === "batch");
    assert.deepEqual(
      batches.map(({ index }) => index),
      Array.from({ length: Number(size) }, (_, i) => String(i)),
    );
    const [first] = batches;
    const stored = served.replica.batch(0n);
    assert.equal(first?.["leaf_hash"], toHex(stored?.leafHash as Uint8Array));
    assert.deepEqual([first?.["kind"], first?.["records"]], ["governance", stored?.records.length]);
    const finals = rows.filter(({ event }) => event === "final");
    assert.equal(finals.at(-1)?.["root"], toHex(served.replica.final()?.root as Uint8Array));
    for (const [at, row] of rows.entries()) {
      if (row["event"] !== "final") continue;
      const before = rows.slice(0, at).filter(({ event }) => event === "batch").length;
      assert.equal(row["size"], String(before));
    }
  });
  test("goes on from its folder with what came since, and with nothing when nothing came", async () => {
    const data = newFolder();
    await run(following(data));
    assert.deepEqual((await run(following(data))).rows, []);
    const held = served.replica.state().size;
    await served.audit.read();
    await served.advance();
    const { rows } = await run(following(data));
    assert.deepEqual(
      rows.map(({ event, index, size }) => [event, index ?? size]),
      [
        ["batch", String(held)],
        ["final", String(held + 1n)],
        ["batch", String(held + 1n)],
        ["final", String(held + 2n)],
      ],
    );
  });
  test("prints from an index on, and ends at the size that it is told", async () => {
    const size = served.replica.state().size;
    const argv = ["ledger", "follow", "--from", served.from, "--founding", served.founding];
    const more = ["--from-index", String(size - 1n), "--until", String(size), "--output", "ndjson"];
    const { code, rows } = await run([...argv, ...more]);
    assert.equal(code, 0);
    assert.deepEqual(
      rows.filter(({ event }) => event === "batch").map(({ index }) => index),
      [String(size - 1n)],
    );
  });
  test("prints one line for each event in a table", async () => {
    const argv = ["ledger", "follow", "--from", served.from, "--once"];
    const { stdout } = await run([...argv, "--network", served.audit.network.idHex]);
    assert.match(stdout, /^batch {2}0 {2}\S+ {2}\S+ {2}governance {2}\d+ {2}0 {2}[0-9a-f]{64}$/m);
    assert.match(stdout, /^final {2}1 {2}\S+ {2}[0-9a-f]{64}$/m);
  });
  test("waits for a gateway that is asked too often, and reads bundles that come compressed unasked", async (t) => {
    let asked = 0;
    served.liar = (request, response) => {
      request.headers["accept-encoding"] = "gzip";
      if (asked++ !== 3) return false;
      response.writeHead(429, { "retry-after": "1" }).end();
      return true;
    };
    t.after(() => (served.liar = () => false));
    const { code, rows } = await run(following(newFolder()));
    assert.equal(code, 0);
    assert.equal(rows.at(-1)?.["size"], String(served.replica.state().size));
  });
  test("asks once more where a connection ends without an answer", async (t) => {
    let asked = 0;
    served.liar = (request) => {
      if (asked++ !== 3) return false;
      request.socket.destroy();
      return true;
    };
    t.after(() => (served.liar = () => false));
    const { code, rows, stderr } = await run(following(newFolder()));
    assert.equal(code, 0, stderr);
    assert.equal(rows.at(-1)?.["size"], String(served.replica.state().size));
  });
  test("of a gateway that ends every connection is LEDGER_UNAVAILABLE with --once", async (t) => {
    let asked = 0;
    served.liar = (request) => {
      asked++;
      request.socket.destroy();
      return true;
    };
    t.after(() => (served.liar = () => false));
    assertRefused(await run(following(newFolder())), "LEDGER_UNAVAILABLE", 5);
    assert.equal(asked, 2);
  });
  test("is LEDGER_FORK when the log has signed another history, keeps both heads and follows no more", async (t) => {
    const data = newFolder();
    await run(following(data));
    const held = served.replica.final()?.note as Uint8Array;
    const lie = served.audit.note({ root: new Uint8Array(32).fill(7) });
    served.liar = (request, response) => {
      if (request.url !== "/checkpoint") return false;
      response.end(lie);
      return true;
    };
    t.after(() => (served.liar = () => false));
    assertRefused(await run(following(data)), "LEDGER_FORK", 4);
    served.liar = () => false;
    assertRefused(await run(following(data)), "LEDGER_FORK", 4);
    const store = new SqliteLedgerStore(join(data, "ledger.sqlite"));
    const [fault] = store.reader.faults();
    store.close();
    assert.deepEqual(
      [fault?.reason, toHex(fault?.held as Uint8Array), toHex(fault?.shown as Uint8Array)],
      ["LEDGER_FORK", toHex(held), toHex(lie)],
    );
  });
  test("is LEDGER_FORK when a longer tree does not begin with what was verified", async (t) => {
    const data = newFolder();
    await run(following(data));
    const size = served.replica.state().size;
    // Both of these logs have the same signer, and another leaf at the same index.
    const lying = served.audit.fork();
    await served.audit.seal(served.audit.provider, [served.audit.receipt(served.audit.call())]);
    await served.advance();
    assert.equal((await run(following(data))).code, 0);
    await lying.seal(lying.provider, [lying.receipt(lying.call()), lying.receipt(lying.call())]);
    await lying.read();
    const leaves = lying.entries.flatMap((entry) => (entry.kind === "batch" ? [entry.leaf] : []));
    const tree = storeTree(leaves);
    served.liar = (request, response) => {
      const path = (request.url ?? "").slice(1);
      const tile = parseTilePath(path);
      if (path === "checkpoint") response.end(lying.note());
      else if (tile !== undefined && tile.level !== "entries") {
        const { level, index, width } = tile;
        response.end(readTile({ level, index, width }, tree));
      } else return false;
      return true;
    };
    t.after(() => (served.liar = () => false));
    assert.ok(lying.ledger.size > size);
    assertRefused(await run(following(data)), "LEDGER_FORK", 4);
  });
  for (const [what, prefix] of [
    ["tile", "/tile/0/"],
    ["entry bundle", "/tile/entries/"],
  ] as const) {
    test(`of a ${what} with a bit changed is PROOF_INVALID before anything of it is used`, async (t) => {
      const upstream = served.from;
      served.liar = (request, response) => {
        const path = request.url ?? "";
        if (!path.startsWith(prefix) || request.headers["x-honest"] !== undefined) return false;
        fetch(`http://${upstream}${path}`, { headers: { "x-honest": "1" } })
          .then(async (answer) => {
            const body = new Uint8Array(await answer.arrayBuffer());
            body[9] = (body[9] as number) ^ 1;
            response.end(body);
          })
          .catch(() => response.destroy());
        return true;
      };
      t.after(() => (served.liar = () => false));
      const ran = await run(following(newFolder()));
      assertRefused(ran, "PROOF_INVALID", 4);
      assert.deepEqual(ran.rows, []);
      const out = served.at("never.export");
      const exported = await run(["ledger", "export", "--from", upstream, "--out", out]);
      assertRefused(exported, "PROOF_INVALID", 4);
      assert.equal(existsSync(out) || existsSync(`${out}.part`), false);
    });
  }
  test("refuses a head that nobody has signed, and trusts the log all the same", async (t) => {
    const data = newFolder();
    await run(following(data));
    const text = new TextDecoder().decode(served.replica.final()?.note);
    const [origin, size, , ...rest] = text.split("\n");
    const note = [origin, size, Buffer.alloc(32, 7).toString("base64"), ...rest].join("\n");
    served.liar = (request, response) => {
      if (request.url !== "/checkpoint") return false;
      response.end(note);
      return true;
    };
    t.after(() => (served.liar = () => false));
    assertRefused(await run(following(data)), "SIGNATURE_INVALID", 4);
    served.liar = () => false;
    assert.equal((await run(following(data))).code, 0);
  });
  test("takes an older head of a gateway that lags for what it is", async (t) => {
    const data = newFolder();
    const old = served.replica.final()?.note as Uint8Array;
    await served.audit.read();
    await served.advance();
    await run(following(data));
    served.liar = (request, response) => {
      if (request.url !== "/checkpoint") return false;
      response.end(old);
      return true;
    };
    t.after(() => (served.liar = () => false));
    const { code, rows } = await run(following(data));
    assert.deepEqual([code, rows], [0, []]);
  });
  test("of a gateway that is not there is LEDGER_UNAVAILABLE with --once", async () => {
    const argv = ["ledger", "follow", "--from", "127.0.0.1:1", "--founding", served.founding];
    assertRefused(await run([...argv, "--once"]), "LEDGER_UNAVAILABLE", 5);
  });
  test("without a source, or with two, is wrong usage", async () => {
    assertRefused(await run(["ledger", "follow"]), "USAGE_INVALID", 2);
    const both = ["--from", served.from, "--admin", "/nowhere.sock"];
    assertRefused(await run(["ledger", "follow", ...both]), "USAGE_INVALID", 2);
  });
});
