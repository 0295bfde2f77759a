/** A ledger read over HTTP from a gateway that the program itself runs: verified, and joined. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import { administer, freePorts, runLoneGateway, service } from "./lone-gateway.ts";
import { assertRefused, causeway } from "./support.ts";
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
    const [port] = await freePorts(1);
    const ran = await causeway(
      "network",
      "join",
      "--founding",
      founding,
      "--bootstrap",
      `127.0.0.1:${port}`,
      "--data",
      join(root, "nowhere"),
    );
    assertRefused(ran, "LEDGER_UNAVAILABLE", 5);
  });
});
