/** etcd and its command line client, as they are published, with two gateways between them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freeAddress } from "../support/free-port.ts";
import { type DevUp, type Ended, run, startDevUp, startProgram } from "../support/dev-up.ts";
import { built, missing } from "./built.ts";

const services = ["KV", "Watch", "Lease"].map((name) => `etcdserverpb.${name}`);

describe("etcd, through two gateways", { skip: missing("etcd", "etcdctl", "descriptors") }, () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-"));
  let server: ReturnType<typeof startProgram>;
  let dev: DevUp;

  before(async () => {
    const address = await freeAddress();
    const [client, peer] = [`http://${address}`, `http://${await freeAddress()}`];
    server = startProgram(built("etcd"), [
      ...["--data-dir", join(folder, "etcd"), "--unsafe-no-fsync"],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", `default=${peer}`],
    ]);
    const descriptors = join(folder, "etcd.binpb");
    writeFileSync(descriptors, execFileSync(built("descriptors"), services));
    const up = ["--upstream", address, "--descriptors", descriptors];
    const readOnly = ["--read-only", "/etcdserverpb.KV/Range", "/etcdserverpb.Watch/*"];
    dev = await startDevUp([...up, ...readOnly], { env: { TMPDIR: folder } });
    await server.printed((_, stderr) => stderr.includes("ready to serve client requests"));
  });

  after(async () => {
    await dev?.stop();
    server?.child.kill("SIGKILL");
    await server?.ended;
    rmSync(folder, { recursive: true, force: true });
  });

  const etcdctl = (...argv: readonly string[]): Promise<Ended> =>
    run(built("etcdctl"), ["--endpoints", dev.ready.call, ...argv]);
  const start = (...argv: readonly string[]): ReturnType<typeof startProgram> =>
    startProgram(built("etcdctl"), ["--endpoints", dev.ready.call, ...argv]);

  async function printed(expected: string | RegExp, ...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await etcdctl(...argv);
    assert.equal(code, 0, stderr);
    if (typeof expected === "string") assert.equal(stdout, expected);
    else assert.match(stdout, expected);
    return stdout;
  }

  it("puts, gets and deletes keys", async () => {
    await printed("OK\n", "put", "city/hangzhou", "杭州");
    await printed("city/hangzhou\n杭州\n", "get", "city/hangzhou");
    await printed("1\n", "del", "city/hangzhou");
    await printed("", "get", "city/hangzhou");
  });

  it("carries a value of a mebibyte", async () => {
    const value = "a".repeat(1024 * 1024);
    const file = join(folder, "value");
    writeFileSync(file, value);
    const shell = `exec "$0" --endpoints "$1" put large < "$2"`;
    const put = await run("sh", ["-c", shell, built("etcdctl"), dev.ready.call, file]);
    assert.deepEqual(
      { code: put.code, stdout: put.stdout },
      { code: 0, stdout: "OK\n" },
      put.stderr,
    );
    const got = await etcdctl("get", "large", "--print-value-only");
    assert.equal(got.stdout.length, value.length + 1, got.stderr);
  });

  it("watches a key: a stream in both directions tells each change as it comes", async () => {
    // From the first revision on: nothing depends on when the watch begins.
    const watch = start("watch", "watched", "--rev=1");
    let told = "";
    try {
      for (const value of ["one", "two", "three"]) {
        await printed("OK\n", "put", "watched", value);
        told += `PUT\nwatched\n${value}\n`;
        await watch.printed((stdout) => stdout === told);
      }
    } finally {
      watch.child.kill("SIGINT");
    }
    assert.equal((await watch.ended).stdout, told);
  });

  it("keeps a lease alive by a stream, and loses its key when the lease is revoked", async () => {
    const granted = await printed(
      /^lease [0-9a-f]+ granted with TTL\(60s\)\n$/,
      "lease",
      "grant",
      "60",
    );
    const [, lease = ""] = granted.split(" ");
    await printed("OK\n", "put", "leased", "value", `--lease=${lease}`);
    const kept = await etcdctl("lease", "keep-alive", "--once", lease);
    assert.match(kept.stdout, /keepalived with TTL\(60\)/, kept.stderr);
    await printed(`lease ${lease} revoked\n`, "lease", "revoke", lease);
    await printed("", "get", "leased");
  });

  it("takes a lock, which rests on a lease, a transaction and a watch", async () => {
    const { code, stdout, stderr } = await etcdctl("lock", "gate", "echo", "held");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "held\n" }, stderr);
  });
});
