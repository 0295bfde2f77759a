/** The ledger read by other people's code: the checksum database's packages of the Go project. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { runLoneGateway } from "../cli/lone-gateway.ts";
import { type Liar, ServedLedger } from "../cli/served-ledger.ts";
import { causeway } from "../cli/support.ts";
import { cosigningNow } from "../../src/ledger/embedded/trust.ts";
import { formatTlogPolicy } from "../../src/note/tlog-policy.ts";
import { logKeyOf } from "../../src/registry/cosigning.ts";

/** Where the Go program stands; tests run in the project's folder. */
const source = join("test", "interop", "go");
const builds = whyNotBuilt();

/** Why the program cannot be built here, or `undefined`. */
function whyNotBuilt(): string | undefined {
  const version = spawnSync("go", ["version"], { encoding: "utf8" });
  if (version.status !== 0) return "no Go toolchain is installed";
  const download = spawnSync("go", ["mod", "download"], { cwd: source, timeout: 60_000 });
  return download.status === 0 ? undefined : "golang.org/x/mod cannot be downloaded";
}

const served = new ServedLedger("interop", prepare);
const lone = builds === undefined ? runLoneGateway("interop-gateway") : undefined;

async function prepare(): Promise<void> {
  if (builds !== undefined) return;
  const { audit, replica } = served;
  for (let i = 0; i < 520; i++) {
    const record = audit.receipt(audit.call());
    await audit.seal(audit.provider, [record], { hold: i % 40 !== 39 });
  }
  await served.advance();
  const trust = replica.trust();
  const { rule, witnesses } = cosigningNow(trust);
  writePolicy("policy", rule.quorum, witnesses);
  const build = spawnSync("go", ["build", "-o", served.at("interop"), "."], {
    cwd: source,
    encoding: "utf8",
  });
  assert.equal(build.status, 0, build.stderr);
}

function writePolicy(
  name: string,
  threshold: number,
  witnesses: ReturnType<typeof cosigningNow>["witnesses"],
): void {
  const trust = served.replica.trust();
  const policy = formatTlogPolicy({
    logs: [{ key: logKeyOf(trust.state, served.replica.term()) }],
    witnesses: witnesses.map(({ city, key }) => ({ name: city, key })),
    groups: [{ name: "all", threshold, members: witnesses.map(({ city }) => city) }],
    quorum: "all",
  });
  writeFileSync(served.at(name), policy);
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function verify(policy: string, address: string): Promise<Ran> {
  try {
    const ran = await promisify(execFile)(served.at("interop"), [policy, address]);
    return { code: 0, ...ran };
  } catch (error) {
    const { code, stdout, stderr } = error as Ran;
    return { code, stdout, stderr };
  }
}

describe("the Go project's packages", { skip: builds }, () => {
  test("verify checkpoint, cosignatures, tiles, entries and proofs of a served ledger", async () => {
    const { code, stdout, stderr } = await verify(served.at("policy"), served.from);
    assert.equal(code, 0, stderr);
    const final = served.replica.final();
    const root = Buffer.from(final?.root as Uint8Array).toString("base64");
    assert.ok((final?.size ?? 0n) > 512n);
    assert.match(
      stdout,
      new RegExp(`^size ${final?.size} root ${escaped(root)} cosigned \\d+\\n$`),
    );
  });

  test("verify a running gateway with the policy that it prints", async () => {
    assert.ok(lone !== undefined);
    const policy = join(lone.root, "policy");
    const printed = await causeway("ledger", "policy", "--admin", lone.socket, "--out", policy);
    assert.equal(printed.code, 0, printed.stderr);
    const { code, stdout, stderr } = await verify(policy, lone.http);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^size [1-9]\d* root \S+ cosigned 1\n$/);
  });

  const lies: readonly (readonly [string, RegExp])[] = [
    ["/checkpoint", /malformed|invalid signature/],
    ["/tile/0/000", /inconsistent|downloaded/],
    ["/tile/0/002.p", /inconsistent|downloaded/],
    ["/tile/1/000", /inconsistent|downloaded/],
    ["/tile/entries/001", /is not the leaf|ends after its bundle|holds more/],
  ];
  // Older versions of the packages used a full tile's hashes unchecked: they do not pass.
  for (const [prefix, expected] of lies) {
    test(`refuse a ledger whose ${prefix} has another bit`, async (t) => {
      served.liar = changing(prefix);
      t.after(() => (served.liar = () => false));
      const { code, stderr } = await verify(served.at("policy"), served.from);
      assert.equal(code, 1);
      assert.match(stderr, expected);
    });
  }
  test("refuse a checkpoint with fewer cosignatures than the policy asks for", async (t) => {
    const { audit } = served;
    const note = audit.note({ cosigners: audit.cosigners.slice(0, 1) });
    served.liar = (request, response) => {
      if (request.url !== "/checkpoint") return false;
      response.end(note);
      return true;
    };
    t.after(() => (served.liar = () => false));
    const { code, stderr } = await verify(served.at("policy"), served.from);
    assert.equal(code, 1);
    assert.match(stderr, /1 of \d witnesses have cosigned/);
  });
});

test("the Go program names the version of its one dependency", () => {
  assert.match(
    readFileSync(join(source, "go.mod"), "utf8"),
    /golang\.org\/x\/mod v\d+\.\d+\.\d+\n/,
  );
});

function changing(prefix: string): Liar {
  return (request, response) => {
    const path = request.url ?? "";
    if (!path.startsWith(prefix) || request.headers["x-honest"] !== undefined) return false;
    fetch(`http://${served.from}${path}`, { headers: { "x-honest": "1" } })
      .then(async (answer) => {
        const body = new Uint8Array(await answer.arrayBuffer());
        body[40] = (body[40] as number) ^ 1;
        response.end(body);
      })
      .catch(() => response.destroy());
    return true;
  };
}

function escaped(text: string): string {
  return text.replace(/[+/=]/g, "\\$&");
}
