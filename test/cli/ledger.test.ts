/** A ledger read over HTTP from a gateway that the program itself runs: verified, and joined. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import { exitCodeOfReason } from "../../gateway/cli/exit-codes.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { evaluatePolicy } from "../../src/note/evaluate-policy.ts";
import { parseTlogPolicy } from "../../src/note/tlog-policy.ts";
import { parseNoteKey } from "../../src/note/verifier-key.ts";
import { freeAddress } from "../support/free-port.ts";
import { administer, runLoneGateway, service } from "./lone-gateway.ts";
import { assertRefused, causeway, type Ran } from "./support.ts";
import { cardOf } from "./two-cities.ts";

const lone = runLoneGateway("ledger");
const { founding, machine, root, socket } = lone;
const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
/** What a gateway might serve in the place of the ledger. */
const corruptions: readonly (readonly [
  string,
  string,
  (path: string, body: Uint8Array) => Uint8Array,
])[] = [
  [
    "a record is changed",
    "BATCH_INVALID",
    (path, body) => (path === "/records/2" ? flip(body, body.length - 1) : body),
  ],
  [
    "a leaf's signature is changed",
    "SIGNATURE_INVALID",
    (path, body) => (path.startsWith("/tile/entries/") ? flip(body, 2) : body),
  ],
  [
    "a record is cut off",
    "MALFORMED",
    (path, body) => (path === "/records/1" ? body.subarray(0, -1) : body),
  ],
  [
    "a frozen note's cosignature is cut off",
    "QUORUM_NOT_MET",
    (path, body) =>
      path.startsWith("/final/") ? body.subarray(0, body.lastIndexOf(0x0a, -2) + 1) : body,
  ],
];
describe("the ledger over HTTP", () => {
  test("verifies from the founding document alone, to the root that the gateway states", async () => {
    // Void, each of them, and on the ledger all the same.
    for (const purpose of ["a", "b", "c"]) {
      const ask = ["request", "create", "--service", service, "--method", "/a.B/C"];
      await administer(lone, ...ask, "--purpose", purpose, "--legal-basis", "PIPL-13");
    }
    const verify = ["ledger", "verify", "--founding", founding, "--from", lone.http];
    const ran = await causeway(...verify, "--output", "json");
    assert.equal(ran.code, 0, ran.stderr);
    const said = JSON.parse(ran.stdout) as Record<string, unknown>;
    const status = await causeway("ledger", "status", "--admin", socket, "--output", "json");
    const { final_root, registry_digest } = JSON.parse(status.stdout) as Record<string, unknown>;
    assert.deepEqual([said["root"], said["registry_digest"]], [final_root, registry_digest]);
  });

  for (const [what, reason, corrupt] of corruptions) {
    test(`is refused with ${reason} when ${what}`, async (t) => {
      const liar = createServer((request, response) => {
        fetch(`http://${lone.http}${request.url}`)
          .then(async (answer) => {
            const body = new Uint8Array(await answer.arrayBuffer());
            response.writeHead(answer.status).end(corrupt(request.url ?? "", body));
          })
          .catch(() => response.destroy());
      });
      await once(liar.listen(0, "127.0.0.1"), "listening");
      t.after(() => liar.close());
      const { port } = liar.address() as { port: number };
      const ran = await causeway(
        "ledger",
        "verify",
        "--founding",
        founding,
        "--from",
        `127.0.0.1:${port}`,
      );
      assert.match(ran.stdout + ran.stderr, new RegExp(`\\b${reason}\\b`), ran.stderr);
      assert.notEqual(ran.code, 0);
    });
  }
});

describe("joining", () => {
  test("an empty replica is created for the network that the bootstrap serves", async () => {
    const folder = join(root, "joined");
    const join0 = [
      "network",
      "join",
      "--founding",
      founding,
      "--bootstrap",
      lone.http,
      "--data",
      folder,
    ];
    const ran = await causeway(...join0, "--output", "json");
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(Number(JSON.parse(ran.stdout).final_size) > 1);
    assert.ok(existsSync(join(folder, "ledger.sqlite")));
    assertRefused(await causeway(...join0), "FOLDER_NOT_EMPTY", 1);
  });

  test("a bootstrap of another network is refused, and nothing is created", async () => {
    const other = join(root, "other.json");
    await causeway(
      "network",
      "draft",
      "--name",
      "Another",
      "--city",
      cardOf(lone.city.city),
      "--sequencer",
      cardOf(lone.city.gatewayKeys),
      "--out",
      other,
    );
    await machine.run(
      "network",
      "sign",
      "--draft",
      other,
      "--folder",
      lone.city.city,
      lone.city.gatewayKeys,
    );
    const folder = join(root, "other");
    const ran = await causeway(
      "network",
      "join",
      "--founding",
      other,
      "--bootstrap",
      lone.http,
      "--data",
      folder,
    );
    assertRefused(ran, "CHECKPOINT_INVALID", 4);
    assert.ok(!existsSync(folder));
  });

  test("a bootstrap that does not answer is unavailable", async () => {
    const ran = await causeway(
      "network",
      "join",
      "--founding",
      founding,
      "--bootstrap",
      await freeAddress(),
      "--data",
      join(root, "nowhere"),
    );
    assertRefused(ran, "LEDGER_UNAVAILABLE", 5);
  });
});

describe("the own gateway's view of the ledger", () => {
  const status = async (): Promise<Record<string, unknown>> => {
    const ran = await causeway("ledger", "status", "--admin", socket, "--output", "json");
    assert.equal(ran.code, 0, ran.stderr);
    return JSON.parse(ran.stdout) as Record<string, unknown>;
  };

  test("names what other people's tools need: keys in C2SP text, term, witnesses and HTTP address", async () => {
    const said = await status();
    const { network, origin, log_key, cosigners, witnesses } = said;
    assert.equal(origin, `causeway/${String(network)}/0`);
    assert.equal(parseNoteKey(String(log_key)).name, origin);
    const [cosigner] = cosigners as string[];
    const key = parseNoteKey(String(cosigner));
    assert.deepEqual([key.name, key.type], [`causeway/${String(network)}/hangzhou`, 4]);
    assert.match(String((witnesses as string[])[0]), /^hangzhou=127\.0\.0\.1:\d+$/);
    assert.match(
      String(said["term_sequencer"]),
      /^hangzhou\/civil-affairs\/gw1 at 127\.0\.0\.1:\d+$/,
    );
    assert.deepEqual([said["term"], said["quorum"], said["http_address"]], ["0", 1, lone.http]);
    assert.ok(Number(said["final_age_ms"]) < 60_000 && Number(said["included_age_ms"]) >= 0);
  });

  test("prints a policy under which its checkpoint is valid", async () => {
    const printed = await causeway("ledger", "policy", "--admin", socket);
    assert.equal(printed.code, 0, printed.stderr);
    const policy = parseTlogPolicy(utf8(printed.stdout));
    assert.equal(policy.logs[0]?.url, `http://${lone.http}`);
    const answer = await fetch(`http://${lone.http}/checkpoint`);
    const note = new Uint8Array(await answer.arrayBuffer());
    const verifier = createNodeVerifier();
    const { checkpoint, witnesses } = evaluatePolicy({
      policy,
      note,
      verify: verifier.verify.bind(verifier),
    });
    assert.equal(checkpoint.origin, (await status())["origin"]);
    assert.deepEqual(
      witnesses.map(({ name }) => name),
      ["hangzhou"],
    );
  });

  test("follows from the admin socket as it does over HTTP", async () => {
    const flags = ["--once", "--output", "ndjson"] as const;
    const own = await causeway("ledger", "follow", "--admin", socket, ...flags);
    assert.equal(own.code, 0, own.stderr);
    const trust = ["--from", lone.http, "--founding", founding] as const;
    const verified = await causeway("ledger", "follow", ...trust, ...flags);
    assert.equal(verified.code, 0, verified.stderr);
    assert.equal(own.stdout, verified.stdout);
    assert.match(own.stdout, /^\{"event":"batch","index":"0",/);
  });

  test("goes on as batches come, until the size that it is told", async () => {
    const size = Number((await status())["final_size"]);
    const argv = ["--admin", socket, "--from-index", String(size), "--until", String(size + 1)];
    const following = causeway("ledger", "follow", ...argv, "--output", "ndjson");
    const ask = ["request", "create", "--service", service, "--method", "/a.B/D"];
    await administer(lone, ...ask, "--purpose", "d", "--legal-basis", "PIPL-13");
    const { code, stdout } = await following;
    assert.equal(code, 0);
    const [batch, final] = stdout.split("\n").map((line) => (line === "" ? {} : JSON.parse(line)));
    assert.deepEqual([batch.index, batch.kind, batch.voids], [String(size), "governance", 1]);
    assert.deepEqual([final.event, final.size], ["final", String(size + 1)]);
  });

  test("writes a proof that verifies with the founding document, and with the policy", async () => {
    const [proof, policy] = [join(root, "0.tlog-proof"), join(root, "policy")];
    const wrote = await causeway("ledger", "proof", "0/1", "--admin", socket, "--out", proof);
    assert.equal(wrote.code, 0, wrote.stderr);
    await causeway("ledger", "policy", "--admin", socket, "--out", policy);
    for (const trust of [
      ["--founding", founding],
      ["--policy", policy],
    ]) {
      const ran = await causeway("ledger", "proof", "verify", proof, ...trust);
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stdout, /^address +0\/1$/m);
    }
  });
});

describe("exit codes of the ledger's commands", () => {
  const network = "ab".repeat(32);
  const rows: readonly (readonly [number, string, () => Promise<Ran>])[] = [
    [0, "done", () => causeway("ledger", "status", "--admin", socket)],
    [1, "failed", () => causeway("ledger", "proof", "9999/0", "--from", lone.http)],
    [2, "wrong usage", () => causeway("ledger", "verify", "--network", "xyz", "--from", lone.http)],
    [2, "an unknown flag", () => causeway("ledger", "status", "--nothing")],
    [
      4,
      "verification failed",
      () => causeway("ledger", "verify", "--network", network, "--from", lone.http),
    ],
    [5, "unavailable", () => causeway("ledger", "status", "--admin", join(root, "none.sock"))],
  ];
  for (const [code, what, run] of rows) {
    test(`${code}: ${what}`, async () => {
      const ran = await run();
      assert.equal(ran.code, code, ran.stderr);
    });
  }
  test("3: denied", () => {
    for (const reason of ["SIGNER_NOT_ALLOWED", "MEMBER_NOT_ACTIVE"] as const) {
      assert.equal(exitCodeOfReason(reason), 3);
    }
  });
});
