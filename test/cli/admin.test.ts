/** The administrator's commands against a gateway that the program itself runs, alone in its network. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { causeway, Machine, type Ran, temporaryRoot } from "./support.ts";
import { cardOf, type CityOnMachine, enrolMembers, initCity } from "./two-cities.ts";

const program = fileURLToPath(new URL("../../gateway/cli/main.js", import.meta.url));
const root = temporaryRoot("admin");
const machine = new Machine(join(root, "machine"));
const socket = machine.at("admin.sock");
const founding = machine.at("network.json");
const data = machine.at("data");
const service = "hangzhou/civil-affairs/divisions";
const methods = {
  read: "/causeway.demo.v1.DivisionService/GetDivision",
  write: "/causeway.demo.v1.DivisionService/ReportCorrection",
};
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
    (path, body) => (path.startsWith("/tile/") ? flip(body, 2) : body),
  ],
  [
    "a record is cut off",
    "MALFORMED",
    (path, body) => (path === "/records/1" ? body.subarray(0, -1) : body),
  ],
  [
    "the checkpoint's cosignature is cut off",
    "QUORUM_NOT_MET",
    (path, body) =>
      path === "/checkpoint" ? body.subarray(0, body.lastIndexOf(0x0a, -2) + 1) : body,
  ],
];
let city: CityOnMachine;
let http: string;
let gateway: ChildProcess | undefined;

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

async function foundAlone(): Promise<void> {
  const [witness, peer, web, agency] = (await freePorts(4)) as [number, number, number, number];
  http = `127.0.0.1:${web}`;
  city = await initCity(machine, {
    id: "hangzhou",
    division: "330100",
    agency: "hangzhou/civil-affairs",
    witness: `127.0.0.1:${witness}`,
    peer: `127.0.0.1:${peer}`,
    http,
    sequencer: true,
  });
  await causeway(
    "network",
    "draft",
    "--name",
    "杭州",
    "--city",
    cardOf(city.city),
    "--sequencer",
    cardOf(city.gatewayKeys),
    "--bound",
    "heartbeat_s=1",
    "--out",
    founding,
  );
  await machine.run(
    "network",
    "sign",
    "--draft",
    founding,
    "--folder",
    city.city,
    city.gatewayKeys,
  );
  const statements = await enrolMembers(city, founding);
  await machine.run(
    "network",
    "found",
    "--network",
    founding,
    "--statement",
    ...statements,
    "--folder",
    city.gatewayKeys,
    "--data",
    data,
  );
  const config = `
gateway: hangzhou/civil-affairs/gw1
keys: ${city.gatewayKeys}
passphrase_file: ${machine.passphraseFile}
founding: ${founding}
data: ${data}
listeners:
  agency: 127.0.0.1:${agency}
  peer: 127.0.0.1:${peer}
  admin: ${socket}
  http: ${http}
witness:
  keys: ${city.city}
  passphrase_file: ${machine.passphraseFile}
  listen: 127.0.0.1:${witness}
log: error
`;
  writeFileSync(machine.at("gateway.yaml"), config);
}

/** The product's own program, as an operator starts it. */
async function startGateway(): Promise<void> {
  const child = spawn(
    process.execPath,
    [program, "gateway", "run", "--config", machine.at("gateway.yaml")],
    {
      stdio: ["ignore", "inherit", "pipe"],
    },
  );
  gateway = child;
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
      if (said.includes("is running")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${code}\n${said}`)));
  });
}

before(async () => {
  await foundAlone();
  await startGateway();
});

after(async () => {
  if (gateway === undefined || gateway.exitCode !== null) return;
  gateway.kill("SIGKILL");
  await once(gateway, "exit");
});

/** Runs a command that the administrator signs. */
function administer(...argv: readonly string[]): Promise<Ran> {
  return causeway(
    ...argv,
    "--admin",
    socket,
    "--folder",
    city.administratorKeys,
    "--passphrase-file",
    machine.passphraseFile,
    "--format",
    "json",
  );
}

async function list(...argv: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const { code, stdout, stderr } = await causeway(...argv, "--admin", socket, "--format", "json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

function assertApplied(ran: Ran): Record<string, string> {
  assert.equal(ran.code, 0, ran.stderr);
  const row = JSON.parse(ran.stdout) as Record<string, string>;
  assert.deepEqual([row["state"], row["effect"]], ["final", "applied"]);
  return row;
}

function assertRefused(ran: Ran, reason: string, code: number): void {
  assert.match(ran.stderr, new RegExp(`reason  ${reason}:`), ran.stderr);
  assert.equal(ran.code, code);
}

const publish = [
  "service",
  "publish",
  "--id",
  service,
  "--purpose",
  "address-check",
  "--sharing",
  "conditional",
];
const fromProto = [
  "--proto",
  "proto/causeway/demo/v1/division.proto",
  "--method",
  methods.read,
  `${methods.write}=writes`,
];

describe("an administrator's commands", () => {
  test("ledger status shows a ledger whose batch 0 is final", async () => {
    await assertEventuallyFinal();
    const { code, stdout } = await causeway(
      "ledger",
      "status",
      "--admin",
      socket,
      "--format",
      "json",
    );
    assert.equal(code, 0);
    const status = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(status["gateway"], "hangzhou/civil-affairs/gw1");
    assert.equal(status["sequencer"], true);
    assert.equal(status["quorum"], 1);
  });

  test("a policy for a service that is not published is refused before anything is signed", async () => {
    assertRefused(
      await administer("policy", "publish", "--service", service),
      "SERVICE_UNKNOWN",
      1,
    );
  });

  test("a service is published from its .proto file, and then the next version", async () => {
    const first = assertApplied(await administer(...publish, ...fromProto));
    assert.match(first["address"] ?? "", /^[1-9]\d*\/0$/);
    assertApplied(await administer(...publish, ...fromProto));
    const [entry] = await list("service", "list");
    assert.equal(entry?.["version"], "2");
    assert.deepEqual(entry["methods"], [methods.read, methods.write]);
  });

  test("a method that the descriptor set lacks is refused", async () => {
    const ran = await administer(
      ...publish,
      ...fromProto,
      "--method",
      "/causeway.demo.v1.DivisionService/Drop",
    );
    assertRefused(ran, "DESCRIPTOR_INVALID", 1);
  });

  test("a staleness beyond the network's bound is final and void, with its reason", async () => {
    const ran = await administer(...publish, ...fromProto, "--max-staleness", "901");
    assertRefused(ran, "OUTSIDE_BOUNDS", 1);
    const row = JSON.parse(ran.stdout) as Record<string, string>;
    assert.deepEqual([row["state"], row["effect"]], ["final", "void OUTSIDE_BOUNDS"]);
  });

  test("the standard policy is published; one that does not validate is not", async () => {
    assertApplied(await administer("policy", "publish", "--service", service));
    const wrong = machine.at("wrong.cedar");
    writeFileSync(
      wrong,
      '@id("a")\npermit (principal, action, resource) when { context.nonsense };\n',
    );
    const ran = await administer("policy", "publish", "--service", service, "--policy", wrong);
    assertRefused(ran, "POLICY_INVALID", 1);
    const [entry] = await list("service", "list");
    assert.notEqual(entry?.["policy"], "");
  });

  test("a request is approved, and its grant shown and revoked once", async () => {
    const ask = ["request", "create", "--service", service, "--method", methods.read];
    const asked = assertApplied(
      await administer(...ask, "--purpose", "address-check", "--legal-basis", "PIPL-13"),
    );
    const jti = asked["jti"] as string;
    const granted = assertApplied(await administer("request", "approve", jti, "--days", "365"));
    const grant = granted["jti"] as string;
    assertRefused(await administer("request", "deny", jti, "--reason", "late"), "ALREADY_TAKEN", 1);

    const [row] = await list("grant", "list");
    assert.deepEqual([row?.["grant"], row?.["state"]], [grant, "IN_FORCE"]);
    const shown = await causeway("grant", "show", grant, "--admin", socket);
    assert.match(shown.stdout, /"legal_basis": "PIPL-13"/);

    assertApplied(await administer("grant", "revoke", grant, "--reason", "ended"));
    const [after] = await list("grant", "list");
    assert.equal(after?.["state"], "REVOKED");
    assertRefused(
      await administer("grant", "revoke", grant, "--reason", "ended"),
      "ALREADY_TAKEN",
      1,
    );
  });

  test("a request is denied, and outside the service's purposes it is void", async () => {
    const ask = [
      "request",
      "create",
      "--service",
      service,
      "--method",
      methods.read,
      "--legal-basis",
      "PIPL-13",
    ];
    assertRefused(await administer(...ask, "--purpose", "marketing"), "OUTSIDE_REQUEST", 1);
    const asked = assertApplied(await administer(...ask, "--purpose", "address-check"));
    assertApplied(
      await administer("request", "deny", asked["jti"] as string, "--reason", "not-needed"),
    );
    const rows = await list("request", "list");
    assert.equal(rows.find((row) => row["request"] === asked["jti"])?.["state"], "DENIED");
  });

  test("a new administrator is added through the socket, and adding it twice is void", async () => {
    const keys = machine.at("second");
    await machine.run(
      "administrator",
      "init",
      "--agency",
      city.agency,
      "--role",
      "auditor",
      "--folder",
      keys,
    );
    const add = [
      "administrator",
      "add",
      "--network",
      founding,
      "--card",
      keys,
      "--folder",
      city.agencyKeys,
      keys,
      "--passphrase-file",
      machine.passphraseFile,
      "--admin",
      socket,
      "--format",
      "json",
    ];
    assertApplied(await causeway(...add));
    assertRefused(await causeway(...add), "NOT_SUPPORTED", 1);
  });

  test("an incomplete statement is not carried", async () => {
    const out = machine.at("incomplete");
    await causeway(
      "agency",
      "enrol",
      "--network",
      founding,
      "--card",
      city.agencyKeys,
      "--out",
      out,
    );
    const ran = await causeway("statement", "submit", out, "--admin", socket);
    assertRefused(ran, "STATEMENT_SIGNER_MISSING", 3);
  });

  test("a record is shown by its handle and by its address", async () => {
    const rows = await list("exchange", "list", "--limit", "5");
    assert.equal(rows.length, 5);
    const { handle, address } = rows[0] as { handle: string; address: string };
    const show = async (name: string): Promise<string> =>
      (await causeway("record", "show", name, "--admin", socket, "--format", "json")).stdout;
    assert.equal(await show(handle), await show(address));
    assert.equal(JSON.parse(await show("0/0")).body.network.name, "杭州");
    const unknown = await causeway("record", "show", `${"0".repeat(64)}/0`, "--admin", socket);
    assertRefused(unknown, "RECORD_UNKNOWN", 1);
  });
});

describe("the ledger over HTTP", () => {
  test("verifies from the founding document alone, to the root that the gateway states", async () => {
    const verify = ["ledger", "verify", "--founding", founding, "--http", http, "--format", "json"];
    const ran = await causeway(...verify);
    assert.equal(ran.code, 0, ran.stderr);
    const said = JSON.parse(ran.stdout) as Record<string, unknown>;
    const status = await causeway("ledger", "status", "--admin", socket, "--format", "json");
    const { final_root, registry_digest } = JSON.parse(status.stdout) as Record<string, unknown>;
    assert.deepEqual([said["root"], said["registry_digest"]], [final_root, registry_digest]);
    assert.ok(Number(said["void_records"]) >= 3);
  });

  for (const [what, reason, corrupt] of corruptions) {
    test(`is refused with ${reason} when ${what}`, async (t) => {
      const liar = createHttpServer((request, response) => {
        fetch(`http://${http}${request.url}`)
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
        "--http",
        `127.0.0.1:${port}`,
      );
      assert.match(ran.stderr, new RegExp(`reason  ${reason}:`), ran.stderr);
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
      http,
      "--data",
      folder,
    ];
    const ran = await causeway(...join0, "--format", "json");
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
      cardOf(city.city),
      "--sequencer",
      cardOf(city.gatewayKeys),
      "--out",
      other,
    );
    await machine.run("network", "sign", "--draft", other, "--folder", city.city, city.gatewayKeys);
    const folder = join(root, "other");
    const ran = await causeway(
      "network",
      "join",
      "--founding",
      other,
      "--bootstrap",
      http,
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

describe("the running gateway", () => {
  test("founding in its data folder again is refused while it runs", async () => {
    const statements = ["agency", "gateway", "administrator"].map((name) =>
      machine.at(`hangzhou-${name}.statement`),
    );
    const ran = await causeway(
      "network",
      "found",
      "--network",
      founding,
      "--statement",
      ...statements,
      "--folder",
      city.gatewayKeys,
      "--passphrase-file",
      machine.passphraseFile,
      "--data",
      data,
    );
    assertRefused(ran, "JOURNAL_LOCKED", 1);
  });

  test("SIGTERM ends it with 0, after which its socket does not answer", async () => {
    assert.ok(gateway !== undefined);
    gateway.removeAllListeners("exit");
    gateway.kill("SIGTERM");
    const [code] = (await once(gateway, "exit")) as [number];
    assert.equal(code, 0);
    assertRefused(await causeway("service", "list", "--admin", socket), "GATEWAY_UNAVAILABLE", 5);
  });
});

async function assertEventuallyFinal(): Promise<void> {
  const deadlineMs = Date.now() + 10_000;
  for (;;) {
    const { stdout } = await causeway("ledger", "status", "--admin", socket, "--format", "json");
    if (stdout !== "" && Number(JSON.parse(stdout).final_size) > 0) return;
    assert.ok(Date.now() < deadlineMs, "batch 0 became final");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
