/** The administrator's commands against a gateway that the program itself runs, alone in its network. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  administer as administerAt,
  list as listAt,
  runLoneGateway,
  service,
} from "./lone-gateway.ts";
import { assertApplied, assertRefused, causeway, type Ran } from "./support.ts";

const lone = runLoneGateway("admin");
const { data, founding, machine, socket } = lone;
const administer = (...argv: readonly string[]): Promise<Ran> => administerAt(lone, ...argv);
const list = (...argv: readonly string[]): ReturnType<typeof listAt> => listAt(lone, ...argv);
const methods = {
  read: "/causeway.demo.v1.DivisionService/GetDivision",
  write: "/causeway.demo.v1.DivisionService/ReportCorrection",
};
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
    const { code, stdout } = await causeway(
      "ledger",
      "status",
      "--admin",
      socket,
      "--output",
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

  test("a service may ask for two people: a second administrator puts the grant in force", async () => {
    const folder = machine.at("approver");
    const second = machine.at("approver.card");
    const keys = ["--role", "approver", "--folder", folder, "--card", second];
    await machine.run("administrator", "init", "--agency", "hangzhou/civil-affairs", ...keys);
    const { agencyKeys } = lone.city;
    const added = await machine.run(
      ...["administrator", "add", "--network", founding, "--card", second],
      ...["--folder", agencyKeys, folder, "--admin", socket, "--output", "json"],
    );
    assertApplied(added);
    assertApplied(await administer(...publish, ...fromProto, "--approvals", "2"));
    const ask = ["request", "create", "--service", service, "--method", methods.read];
    const asked = assertApplied(
      await administer(...ask, "--purpose", "address-check", "--legal-basis", "PIPL-13"),
    );
    const approve = ["request", "approve", asked["jti"] as string, "--days", "365"];
    const grant = assertApplied(await administer(...approve))["jti"] as string;
    const inForce = async (): Promise<boolean> =>
      (await list("grant", "list")).some((row) => row["grant"] === grant);
    assert.equal(await inForce(), false);
    assertRefused(
      await administer("grant", "approve", grant, "--consumer", "hangzhou/civil-affairs"),
      "SIGNER_NOT_ALLOWED",
      1,
    );
    const approved = await machine.run(
      ...["grant", "approve", grant, "--consumer", "hangzhou/civil-affairs"],
      ...["--folder", folder, "--admin", socket, "--output", "json"],
    );
    assertApplied(approved);
    assert.equal(await inForce(), true);
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

  test("a new administrator is added through the socket, and may be stated again", async () => {
    const keys = machine.at("second");
    await machine.run(
      "administrator",
      "init",
      "--agency",
      lone.city.agency,
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
      lone.city.agencyKeys,
      keys,
      "--passphrase-file",
      machine.passphraseFile,
      "--admin",
      socket,
      "--output",
      "json",
    ];
    assertApplied(await causeway(...add));
    assertApplied(await causeway(...add));
  });

  test("an incomplete statement is not carried", async () => {
    const out = machine.at("incomplete");
    await causeway(
      "agency",
      "enrol",
      "--network",
      founding,
      "--card",
      lone.city.agencyKeys,
      "--out",
      out,
    );
    const ran = await causeway("statement", "submit", out, "--admin", socket);
    assertRefused(ran, "STATEMENT_SIGNER_MISSING", 3);
  });

  test("a record is shown by its handle and by its address", async () => {
    const rows = await list("record", "list", "--limit", "5");
    assert.equal(rows.length, 5);
    const { handle, address } = rows[0] as { handle: string; address: string };
    const show = async (name: string): Promise<string> =>
      (await causeway("record", "show", name, "--admin", socket, "--output", "json")).stdout;
    assert.equal(await show(handle), await show(address));
    assert.equal(JSON.parse(await show("0/0")).body.network.name, "杭州");
    const unknown = await causeway("record", "show", `${"0".repeat(64)}/0`, "--admin", socket);
    assertRefused(unknown, "RECORD_UNKNOWN", 1);
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
      lone.city.gatewayKeys,
      "--passphrase-file",
      machine.passphraseFile,
      "--data",
      data,
    );
    assertRefused(ran, "JOURNAL_LOCKED", 1);
  });

  test("a key that was rotated out is refused, and whose is missing is said", async () => {
    const { city } = lone.city;
    const say = (...argv: readonly string[]): Promise<Ran> =>
      causeway(
        ...argv,
        ...["--network", founding, "--folder", city, "--admin", socket, "--output", "json"],
        ...["--passphrase-file", machine.passphraseFile],
      );
    assertApplied(await say("city", "rotate", "--new-folder", `${city}-2`));
    const ran = await say("vote", "calendar", "--as", "hangzhou", "--year", "2030");
    assertRefused(ran, "STATEMENT_SIGNER_MISSING", 3);
    assert.match(
      ran.stderr,
      /^causeway: the gateway refuses: missing authority in force of hangzhou$/m,
    );
  });

  test("SIGTERM ends it with 0, after which its socket does not answer", async () => {
    const { process: gateway } = lone;
    gateway.removeAllListeners("exit");
    gateway.kill("SIGTERM");
    const [code] = (await once(gateway, "exit")) as [number];
    assert.equal(code, 0);
    const ran = await causeway("service", "list", "--admin", socket);
    assertRefused(ran, "GATEWAY_UNAVAILABLE", 5);
    assert.ok(ran.stderr.startsWith(`causeway: no gateway answers at ${socket}\n`), ran.stderr);
  });
});
