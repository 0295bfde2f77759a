/** A record as a `.tlog-proof`: written over HTTP, verified offline, refused when a bit of it is another. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { cosigningNow } from "../../src/ledger/embedded/trust.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { parseTlogProof } from "../../src/note/tlog-proof.ts";
import { formatTlogPolicy, type TlogPolicy } from "../../src/note/tlog-policy.ts";
import { formatHandle } from "../../src/record/handle.ts";
import {
  formatRecordTlogProof,
  parseRecordTlogProof,
  verifyRecordTlogProof,
} from "../../src/record/record-tlog-proof.ts";
import { logKeyOf } from "../../src/registry/cosigning.ts";
import { run, ServedLedger } from "./served-ledger.ts";
import { assertRefused } from "./support.ts";

const served = new ServedLedger("proof", prepare);
const path = (name: string): string => served.at(name);
let policy: TlogPolicy;
let name: string;
let proofFile: string;

const prove = (what: string, out: string): ReturnType<typeof run> =>
  run(["ledger", "proof", what, "--from", served.from, "--out", path(out)]);
const verify = (file: string, ...trust: readonly string[]): ReturnType<typeof run> =>
  run(["ledger", "proof", "verify", path(file), ...trust, "--output", "ndjson"]);

async function prepare(): Promise<void> {
  const trust = served.replica.trust();
  const { rule, witnesses } = cosigningNow(trust);
  policy = {
    logs: [{ key: logKeyOf(trust.state, served.replica.term()) }],
    witnesses: witnesses.map(({ city, key }) => ({ name: city, key })),
    groups: [{ name: "group", threshold: rule.quorum, members: witnesses.map(({ city }) => city) }],
    quorum: "group",
  };
  writeFileSync(path("policy"), formatTlogPolicy(policy));
  name = `${served.replica.state().size - 1n}/0`;
  proofFile = path("a.tlog-proof");
  assert.equal((await prove(name, "a.tlog-proof")).code, 0);
}

describe("the proof of a record", () => {
  test("verifies with the founding document, and with a policy", async () => {
    for (const trust of [
      ["--founding", served.founding],
      ["--policy", path("policy")],
      ["--policy", path("policy"), "--network", served.audit.network.idHex],
    ]) {
      const { code, rows, stderr } = await verify("a.tlog-proof", ...trust);
      assert.equal(code, 0, stderr);
      const [row] = rows;
      assert.deepEqual(
        [row?.["valid"], row?.["address"], row?.["kind"], row?.["size"]],
        [true, name, "acknowledgement", String(served.replica.state().size)],
      );
    }
  });
  test("is a tlog-proof whose leaf is the entry that the log serves", () => {
    const bytes = new Uint8Array(readFileSync(proofFile));
    const { index, proof, checkpoint } = parseTlogProof(bytes);
    const { record } = parseRecordTlogProof(bytes);
    const stored = served.replica.batch(index);
    assert.equal(toHex(leafHash(record.leaf)), toHex(stored?.leafHash as Uint8Array));
    assert.deepEqual(checkpoint, served.replica.final()?.note);
    const { size } = served.replica.state();
    assert.deepEqual(proof, served.replica.inclusionProof(index, size));
  });
  test("may be named by handle, and is the same", async () => {
    const { leafHash: hash } = served.replica.batch(3n) as { leafHash: Uint8Array };
    await prove("3/0", "by-address");
    const ran = await prove(formatHandle(hash, 0), "by-handle");
    assert.equal(ran.code, 0, ran.stderr);
    assert.deepEqual(readFileSync(path("by-handle")), readFileSync(path("by-address")));
  });
  test("is written to standard output where no file is named", async () => {
    const { stdout } = await run(["ledger", "proof", name, "--from", served.from]);
    assert.equal(stdout, readFileSync(proofFile, "utf8"));
  });
  test("is made from the tree at the checkpoint's size, whatever came since", async () => {
    const note = served.replica.final()?.note as Uint8Array;
    const before0 = readFileSync(proofFile);
    await served.audit.read();
    await served.advance();
    served.liar = (request, response) => {
      if (request.url !== "/checkpoint") return false;
      response.end(note);
      return true;
    };
    await prove(name, "later");
    served.liar = () => false;
    assert.deepEqual(readFileSync(path("later")), before0);
  });
  test("with any one bit changed is refused", () => {
    const bytes = readFileSync(proofFile);
    const trust = served.replica.trust();
    const whole = new Uint8Array(bytes);
    const read = (changed: Uint8Array): unknown =>
      verifyRecordTlogProof(changed, (note) => {
        // A note is covered by its own tests: here it has to be the one that was verified.
        assert.deepEqual(note, parseTlogProof(whole).checkpoint);
        return trust;
      });
    read(whole);
    const checkpointAt = bytes.indexOf("\n\n") + 2;
    for (let bit = 0; bit < checkpointAt * 8; bit++) {
      const changed = whole.slice();
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.throws(() => read(changed), `bit ${bit}`);
    }
  });
  test("without a record is MALFORMED, with another one PROOF_INVALID", async () => {
    const parsed = parseRecordTlogProof(readFileSync(proofFile));
    const { record } = parseRecordTlogProof(readFileSync(path("by-address")));
    const swapped = formatRecordTlogProof({ ...parsed, record });
    writeFileSync(path("swapped"), swapped);
    assertRefused(await verify("swapped", "--policy", path("policy")), "PROOF_INVALID", 4);
    const text = readFileSync(proofFile, "utf8").replace(/^extra .*\n/m, "");
    writeFileSync(path("bare"), text);
    assertRefused(await verify("bare", "--policy", path("policy")), "MALFORMED", 1);
  });
  test("under a policy that asks for more than cosigned is QUORUM_NOT_MET", async () => {
    const note = served.audit.note({ cosigners: served.audit.cosigners.slice(0, 1) });
    const parsed = parseRecordTlogProof(readFileSync(proofFile));
    const { size } = served.replica.state();
    const proof = served.replica.inclusionProof(parsed.index, size);
    writeFileSync(path("thin"), formatRecordTlogProof({ ...parsed, proof, checkpoint: note }));
    assertRefused(await verify("thin", "--policy", path("policy")), "QUORUM_NOT_MET", 4);
  });
});

describe("a proof is refused", () => {
  const other = "ab".repeat(32);
  test("of a record that is not final, or not there", async () => {
    assertRefused(await prove("999/0", "never"), "INDEX_UNKNOWN", 1);
    assertRefused(await prove("0/4000", "never"), "RECORD_UNKNOWN", 1);
    assertRefused(await prove(`${other}/0`, "never"), "RECORD_UNKNOWN", 1);
  });
  test("by a name that is none, without a source, and without trust", async () => {
    assertRefused(await prove("first", "never"), "USAGE_INVALID", 2);
    assertRefused(await run(["ledger", "proof", "0/0"]), "USAGE_INVALID", 2);
    assertRefused(await verify("a.tlog-proof"), "USAGE_INVALID", 2);
  });
  test("when it is of another network than the one that was asked for", async () => {
    const trust = ["--founding", served.founding, "--network", other];
    assertRefused(await verify("a.tlog-proof", ...trust), "NETWORK_UNKNOWN", 4);
  });
  test("under a policy that cannot be read, and without a file", async () => {
    writeFileSync(path("broken"), utf8("quorum none\r\n"));
    assertRefused(await verify("a.tlog-proof", "--policy", path("broken")), "MALFORMED", 1);
    const trust = ["--policy", path("policy")];
    assertRefused(await verify("nowhere", ...trust), "FILE_UNREADABLE", 1);
  });
  test("by a gateway whose record is not the leaf's", async () => {
    served.liar = (request, response) => {
      if (request.url !== "/records/3") return false;
      response.end(Buffer.from([0, 0, 0, 1, 7]));
      return true;
    };
    const ran = await prove("3/0", "never");
    served.liar = () => false;
    assertRefused(ran, "PROOF_INVALID", 4);
  });
  test("by a gateway that has pruned what it needs", async () => {
    served.options = { minimumIndex: 256n };
    const ran = await prove("3/0", "never");
    served.options = {};
    assertRefused(ran, "TILE_MISSING", 5);
  });
});
