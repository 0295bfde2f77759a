/** The offline commands over a ledger served by the real replica and HTTP handler. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createLedgerReadHandler } from "../../gateway/ledger/http-read.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import { Check } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { altered, AuditLedger, type TestRecord } from "../audit/audit-ledger.ts";
import { causeway } from "./support.ts";

let audit: AuditLedger;
let receipt: TestRecord;
let folder: string;
let store: SqliteLedgerStore;
let server: Server;
let from: string;

before(async () => {
  audit = await AuditLedger.create("offline");
  ({ receipt } = await audit.read());
  folder = await mkdtemp(join(tmpdir(), "causeway-offline-"));
  store = new SqliteLedgerStore(join(folder, "ledger.sqlite"));
  const { network } = audit;
  const replica = await LedgerReplica.open({
    network: readLedgerNetwork(network.payload),
    store,
    verifier: network.verifier,
    clock: { nowMs: () => audit.ledger.nowMs, monotonicMs: () => audit.ledger.nowMs },
  });
  for (const entry of audit.entries) {
    if (entry.kind === "blob") replica.putBlob(sha256(entry.content), entry.content);
    if (entry.kind === "batch") {
      const [inclusion] = await replica.include([entry], "stop");
      assert.equal(inclusion?.kind, "included");
    }
    if (entry.kind === "note") assert.equal(replica.takeFinal(entry.note), true);
  }
  const handle = createLedgerReadHandler({ reader: replica.reader, final: () => replica.final() });
  server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  from = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  await new Promise((resolve) => server.close(resolve));
  store.close();
  await rm(folder, { recursive: true, force: true });
});

describe("offline commands", () => {
  const path = (name: string): string => join(folder, name);

  test("ledger export writes the ledger byte for byte, and nothing beside it", async () => {
    const { code, stderr } = await causeway(
      "ledger",
      "export",
      "--from",
      from,
      "--out",
      path("a.export"),
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      new Uint8Array(readFileSync(path("a.export"))),
      new Uint8Array(await audit.bytes()),
    );
  });

  test("ledger verify ends with 0 and says what was not checked", async () => {
    const argv = ["ledger", "verify", path("a.export"), "--network", audit.network.idHex];
    const { code, stdout, stderr } = await causeway(...argv);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /No findings\./);
    assert.match(stdout, /not checked: freshness/);
    assert.match(stdout, /not checked: decisions/);
  });

  test("audit replay prints JSON for programs", async () => {
    const argv = ["audit", "replay", path("a.export"), "--network", audit.network.idHex];
    const { code, stdout, stderr } = await causeway(...argv, "--output", "json");
    assert.equal(code, 0, stderr);
    const summary = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(summary["size"], String(audit.ledger.size));
    assert.equal(summary["matched"], 1);
    assert.equal(summary["findings_count"], 0);
  });

  test("audit replay of a changed export ends with 4 and names the first bad index", async () => {
    const bytes = readFileSync(path("a.export"));
    const at = bytes.indexOf(Buffer.from(receipt.bytes));
    bytes[at + 40] = (bytes[at + 40] as number) ^ 1;
    writeFileSync(path("changed.export"), bytes);
    const argv = ["audit", "replay", path("changed.export"), "--network", audit.network.idHex];
    const { code, stdout, stderr } = await causeway(...argv, "--output", "ndjson");
    assert.equal(code, 4);
    assert.match(stderr, new RegExp(`the first bad index is ${receipt.index}\\b`));
    const [finding] = stdout
      .split("\n")
      .map((line) => (line === "" ? {} : JSON.parse(line)) as Record<string, unknown>);
    assert.equal(finding?.["code"], "BATCH_REJECTED");
    assert.equal(finding?.["address"], String(receipt.index));
  });

  test("audit replay names who lied between two sides, and what settles it where nobody can be named", async () => {
    const lying = audit.fork();
    const call = lying.call();
    const shown = await lying.seal(lying.provider, [lying.receipt(call)]);
    const answered = lying.acknowledgement(call, shown);
    const beyond = altered(answered, ({ body }) => {
      if (body.case !== "acknowledgement" || body.value.progress === undefined) return;
      body.value.progress.framesEnd = 9n;
      body.value.progress.messages = 8n;
    });
    await lying.seal(lying.consumer, [beyond]);
    const other = lying.call();
    const seen = await lying.seal(lying.provider, [lying.receipt(other)]);
    const failed = altered(lying.acknowledgement(other, seen), ({ body }) => {
      if (body.case === "acknowledgement") body.value.check = Check.COMMITMENT_MISMATCH;
    });
    await lying.seal(lying.consumer, [failed]);
    writeFileSync(path("lying.export"), await lying.bytes());
    const argv = ["audit", "replay", path("lying.export"), "--network", audit.network.idHex];
    const json = await causeway(...argv, "--output", "json");
    assert.equal(json.code, 4);
    const { findings } = JSON.parse(json.stdout) as { findings: Record<string, unknown>[] };
    const ids = [lying.consumer.id, lying.provider.id];
    const told = findings.map(({ code, convicts, one_of, settled_by }) => [
      code,
      convicts,
      one_of,
      settled_by,
    ]);
    assert.deepEqual(told, [
      ["ACKNOWLEDGED_BEYOND_RECEIPT", ids[0], [], ""],
      ["CHECK_FAILED", "", ids, "RESPONSE_OPENED"],
    ]);
    const table = await causeway(...argv);
    assert.match(table.stdout, /CONVICTS +ONE_OF +SETTLED_BY/);
    assert.match(table.stdout, /settled by RESPONSE_OPENED: the evidence package of the receipt/);
  });

  test("audit replay with a later checkpoint shows freshness, and a cut against one", async () => {
    writeFileSync(path("later.note"), audit.note());
    const argv = ["audit", "replay", path("a.export"), "--network", audit.network.idHex];
    const fresh = await causeway(...argv, "--checkpoint", path("later.note"));
    assert.equal(fresh.code, 0, fresh.stderr);
    assert.doesNotMatch(fresh.stdout, /not checked: freshness/);
    const longer = audit.fork();
    await longer.seal(longer.provider, [longer.receipt(longer.call())]);
    writeFileSync(path("longer.note"), longer.note());
    const cut = await causeway(...argv, "--checkpoint", path("longer.note"));
    assert.equal(cut.code, 4);
    assert.match(cut.stdout, /TRUNCATED/);
  });

  for (const source of ["--from", "--export"]) {
    test(`evidence export ${source} and verify go together`, async () => {
      const file = path(`evidence${source}.json`);
      const { idHex } = audit.network;
      const value = source === "--from" ? from : path("a.export");
      const name = `${receipt.index}/0`;
      const made = await causeway(
        "evidence",
        "export",
        name,
        source,
        value,
        "--network",
        idHex,
        "--out",
        file,
      );
      assert.equal(made.code, 0, made.stderr);
      const verified = await causeway("evidence", "verify", file, "--network", idHex);
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(verified.stdout, /step acknowledgement +verified/);
    });
  }

  test("evidence verify of a changed package ends with 4 and names the step", async () => {
    const text = readFileSync(path("evidence--export.json"), "utf8");
    const line = /"leaf": "(.)/.exec(text)?.[1] as string;
    writeFileSync(
      path("changed.json"),
      text.replace(`"leaf": "${line}`, `"leaf": "${line === "A" ? "B" : "A"}`),
    );
    const { code, stderr, stdout } = await causeway(
      "evidence",
      "verify",
      path("changed.json"),
      "--network",
      audit.network.idHex,
      "--output",
      "json",
    );
    assert.equal(code, 4);
    assert.match(stderr, /step record/);
    assert.equal((JSON.parse(stdout) as { valid: boolean }).valid, false);
  });

  const wrong: readonly (readonly [string, number, readonly string[]])[] = [
    ["a network id that is none", 2, ["audit", "replay", "x", "--network", "xyz"]],
    ["a file that is not there", 1, ["audit", "replay", "/nowhere", "--network", "00".repeat(32)]],
    [
      "a record name that is none",
      2,
      ["evidence", "export", "first", "--export", "x", "--network", "00".repeat(32), "--out", "y"],
    ],
    [
      "a gateway that is not there",
      5,
      ["ledger", "export", "--from", "127.0.0.1:1", "--out", "/tmp/never.export"],
    ],
  ];
  for (const [name, expected, argv] of wrong) {
    test(`${name} ends with ${expected}`, async () => {
      assert.equal((await causeway(...argv)).code, expected);
    });
  }
});
