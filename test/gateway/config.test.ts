import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { pino } from "pino";
import { stringify } from "yaml";
import { parseConfig, readWholeConfig } from "../../gateway/config.ts";
import { overridableKeys, variableName } from "../../gateway/config-overrides.ts";
import { type ReferenceRow, referenceRows } from "../../gateway/config-reference.ts";
import { changeOf } from "../../gateway/config-reload.ts";
import { configSchema } from "../../gateway/config-schema.ts";
import type { GatewayConfig, UpstreamConfig } from "../../gateway/config-types.ts";
import { leavesOf } from "../../gateway/config-walk.ts";
import { createReloader } from "../../gateway/reload.ts";
import { Upstreams } from "../../gateway/upstreams.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";

const base = `gateway: hangzhou/civil-affairs/gw1
keys: keys
passphrase_file: passphrase
founding: network.json
data: data
listeners:
  agency: 127.0.0.1:7001
  peer: 0.0.0.0:7002
  admin: run/admin.sock
  http: "[::1]:7003"
`;
const baseLines = base.split("\n").length - 1;

const parse = (more: string, variables: Record<string, string> = {}): GatewayConfig =>
  parseConfig(base + more, "/etc/causeway/gw.yaml", variables);

/** The lines of the error, with line numbers counted from behind the base. */
function problemsOf(more: string, variables: Record<string, string> = {}): readonly string[] {
  try {
    parse(more, variables);
  } catch (error) {
    const { code, message } = error as CausewayError;
    assert.equal(code, "CONFIG_INVALID");
    return message
      .split("\n")
      .map((line) =>
        line.replace(/^\/etc\/causeway\/gw\.yaml:(\d+)/, (_, n) => `${Number(n) - baseLines}`),
      );
  }
  return [];
}

const tls = "agency:\n  tls: {certificate_file: c, key_file: k}\n";
const issuers = "agency:\n  issuers: [{issuer: https://i, audiences: [a], jwks_file: j}]\n";

describe("a configuration", () => {
  test("needs little, and has absolute paths and defaults for the rest", () => {
    const config = parse("");
    assert.equal(config.passphrase_file, "/etc/causeway/passphrase");
    assert.equal(config.listeners.admin, "/etc/causeway/run/admin.sock");
    assert.deepEqual(config.agency_systems, []);
    assert.deepEqual(config.agency, { issuers: [], failures: { per_second: 5, burst: 20 } });
    assert.deepEqual(config.limits, { message_bytes_max: 4 * 1024 * 1024, drain_ms: 5000 });
  });

  test("says of an upstream in short what it says at length", () => {
    const short = parse("upstreams: {hangzhou/civil-affairs/a: '127.0.0.1:9'}\n");
    const long = parse("upstreams: {hangzhou/civil-affairs/a: {grpc: '127.0.0.1:9'}}\n");
    assert.deepEqual(short.upstreams, long.upstreams);
  });

  test("takes a key digest as openssl prints it", () => {
    const pin = Array.from({ length: 32 }, () => "AB").join(":");
    const systems = `agency_systems: [{id: a, tls: {spki_sha256: ["${pin}"]}}]\n`;
    const config = parse(tls + systems);
    assert.deepEqual(config.agency_systems[0]?.tls?.spki_sha256, ["ab".repeat(32)]);
  });

  const wrong: Readonly<Record<string, readonly [text: string, ...problems: string[]]>> = {
    "an unknown key": ["lgo: info\n", "1: lgo: there is no such key; did you mean log?"],
    "an unknown key below": [
      "agency_systems:\n  - id: desk\n    loopbak: true\n",
      "3: agency_systems[0].loopbak: there is no such key; did you mean loopback?",
    ],
    "an unknown key that is like none": [
      "limits: {zebra: 1}\n",
      "1: limits.zebra: there is no such key; there are: message_bytes_max, drain_ms",
    ],
    "a wrong type": [
      "limits:\n  drain_ms: soon\n",
      '2: limits.drain_ms: expected milliseconds, 0 to 600000, not "soon"',
    ],
    "a number out of range": [
      "limits: {drain_ms: -1}\n",
      "1: limits.drain_ms: expected milliseconds, 0 to 600000, not -1",
    ],
    "a word that is none of those": [
      "log: loud\n",
      '1: log: expected `debug`, `info`, `warn`, `error`, `silent`, not "loud"',
    ],
    "a section that is none": [
      "http: 5\n",
      "1: http: expected a section with requests_per_second, burst, minimum_index, not 5",
    ],
    "a missing key": [
      "witness: {keys: w, passphrase_file: p}\n",
      "1: witness.listen: it is missing; expected host:port",
    ],
    "a number in the place of a text": [
      "agency_systems:\n  - id: a\n    loopback: true\n    defaults: {case: 2026}\n",
      "4: agency_systems[0].defaults.case: expected text, not 2026; put it in quotes",
    ],
    "what is no YAML, with its column": [
      "log: }\n",
      '1:6: Unexpected flow-map-end token in YAML stream: "}"',
    ],
    "a second document": ["---\nlog: info\n", "1:1: a second document begins: the file holds one"],
    "an alias of nothing": ["log: *a\n", "1: *a: no such anchor is before it"],
    "an alias inside of what it names": [
      "http:\n  burst: &a [*a]\n",
      "2: *a stands in what it names",
    ],
    "a key that is given twice": ["log: info\nlog: warn\n", "2: log: the key is given twice"],
    "an address without a port": [
      "upstreams:\n  hangzhou/civil-affairs/a: localhost\n",
      '2: upstreams.hangzhou/civil-affairs/a: an address is host:port, not "localhost"',
    ],
    "a port beyond all": [
      "upstreams: {hangzhou/civil-affairs/a: {grpc: 'x:70000'}}\n",
      '1: upstreams.hangzhou/civil-affairs/a.grpc: a port is 1 to 65535, not "x:70000"',
    ],
    "a service of another agency": [
      "upstreams: {shenzhen/civil-affairs/a: 'x:1'}\n",
      "1: upstreams.shenzhen/civil-affairs/a: it is no data service of hangzhou/civil-affairs",
    ],
    "a name that is no service": [
      "upstreams: {a: 'x:1'}\n",
      "1: upstreams.a: a data service id is city/agency/service",
    ],
    "a system without a way to authenticate": [
      "agency_systems: [{id: a}]\n",
      "1: agency_systems[0]: it has no way to authenticate: loopback, tls or jwt",
    ],
    "two loopback systems": [
      "agency_systems:\n  - {id: a, loopback: true}\n  - {id: b, loopback: true}\n",
      "3: agency_systems[1].loopback: it is another system's already: one may be the caller of what shows nothing",
    ],
    "two systems of one name": [
      "agency_systems:\n  - {id: a, loopback: true}\n  - {id: a, jwt: {issuer: https://i, clients: [c]}}\n" +
        issuers,
      "3: agency_systems[1].id: a is given twice, at a before",
    ],
    "one certificate of two systems": [
      `${tls}agency_systems:\n  - {id: a, tls: {spki_sha256: [${"ab".repeat(32)}]}}\n  - {id: b, tls: {spki_sha256: [${"AB".repeat(32)}]}}\n`,
      `5: agency_systems[1].tls.spki_sha256: ${"ab".repeat(32)} is given twice, at a before`,
    ],
    "one client of two systems": [
      `${issuers}agency_systems:\n  - {id: a, jwt: {issuer: https://i, clients: [c]}}\n  - {id: b, jwt: {issuer: https://i, clients: [c]}}\n`,
      "5: agency_systems[1].jwt.clients: c of https://i is given twice, at a before",
    ],
    "certificates without TLS": [
      `agency_systems: [{id: a, tls: {spki_sha256: [${"ab".repeat(32)}]}}]\n`,
      "1: agency_systems[0].tls: the listener has no agency.tls",
    ],
    "names without an authority": [
      `${tls}agency_systems: [{id: a, tls: {names: ["DNS:a"]}}]\n`,
      "3: agency_systems[0].tls.names: names count only under agency.tls.client_ca_file",
    ],
    "a loopback system under TLS": [
      `${tls}agency_systems: [{id: a, loopback: true}]\n`,
      "3: agency_systems[0].loopback: it does not go with agency.tls",
    ],
    "an issuer that is not known": [
      "agency_systems: [{id: a, jwt: {issuer: https://i, clients: [c]}}]\n",
      "1: agency_systems[0].jwt.issuer: https://i is none of agency.issuers",
    ],
    "an issuer without keys": [
      "agency:\n  issuers:\n    - {issuer: https://i, audiences: [a]}\n",
      "3: agency.issuers[0]: it has one of jwks_file and jwks_url",
    ],
    "keys over plain HTTP": [
      "agency: {issuers: [{issuer: i, audiences: [a], jwks_url: 'http://idp.example/'}]}\n",
      '1: agency.issuers[0].jwks_url: a URL is https://, or http:// on a loopback address, not "http://idp.example/"',
    ],
    "an algorithm that is not taken": [
      "agency: {issuers: [{issuer: i, audiences: [a], jwks_file: j, algorithms: [HS256]}]}\n",
      '1: agency.issuers[0].algorithms[0]: expected `Ed25519`, `EdDSA`, `ES256`, not "HS256"',
    ],
  };
  for (const [what, [text, ...problems]] of Object.entries(wrong)) {
    test(`with ${what} says where and what would be right`, () => {
      assert.deepEqual(problemsOf(text), problems);
    });
  }

  test("tells all of its problems at once, in their order", () => {
    const found = problemsOf("log: loud\nlimits: {drain_ms: x, y: 1}\nhttp:\n  burst: 0\n");
    assert.deepEqual(
      found.map((line) => line.split(": ").slice(0, 2).join(" ")),
      ["1 log", "2 limits.drain_ms", "2 limits.y", "4 http.burst"],
    );
  });

  test("takes plaintext callers on a loopback address only", () => {
    const text = base.replace("127.0.0.1:7001", "10.0.0.1:7001");
    assert.throws(() => parseConfig(text, "gw.yaml"), {
      code: "CONFIG_INVALID",
      message: "gw.yaml:7: listeners.agency: without agency.tls only a loopback address is allowed",
    });
    assert.equal(parseConfig(text + tls, "gw.yaml").listeners.agency, "10.0.0.1:7001");
  });

  for (const host of [
    "127.evil.example",
    "localhost.example",
    "0.0.0.0",
    "[::]",
    "127.0.0.1.example",
  ]) {
    test(`does not take ${host} for a loopback address`, () => {
      const text = base.replace("127.0.0.1:7001", `"${host}:7001"`);
      assert.throws(() => parseConfig(text, "gw.yaml"), { code: "CONFIG_INVALID" });
    });
  }

  test("is empty: it holds no key", () => {
    for (const text of ["", "# later\n", "---\n"]) {
      assert.throws(() => parseConfig(text, "gw.yaml"), {
        code: "CONFIG_INVALID",
        message: "gw.yaml:1: the file: it holds no key",
      });
    }
  });

  test("is empty, a list or of more than a megabyte: CONFIG_INVALID", () => {
    for (const text of ["", "- a\n", `# ${"x".repeat(1024 * 1024)}\n`]) {
      assert.throws(() => parseConfig(text, "gw.yaml"), { code: "CONFIG_INVALID" });
    }
  });
});

describe("the environment", () => {
  test("sets texts, numbers, lists and what the file leaves out", () => {
    const config = parse("log: warn\n", {
      CAUSEWAY_LOG: "debug",
      CAUSEWAY_LISTENERS_AGENCY: "127.0.0.1:1",
      CAUSEWAY_LIMITS_DRAIN_MS: "7",
      CAUSEWAY_AGENCY_SYSTEMS: "[{id: desk, loopback: true}]",
      CAUSEWAY_HTTP_BURST: "9",
    });
    assert.equal(config.log, "debug");
    assert.equal(config.listeners.agency, "127.0.0.1:1");
    assert.equal(config.limits.drain_ms, 7);
    assert.deepEqual(config.agency_systems, [{ id: "desk", loopback: true }]);
    assert.equal(config.http?.burst, 9);
  });

  test("names paths from the working directory, as any command does", () => {
    const config = parse("", { CAUSEWAY_PASSPHRASE_FILE: "p", CAUSEWAY_DATA: "/var/d" });
    assert.equal(config.passphrase_file, resolve("p"));
    assert.equal(config.data, "/var/d");
  });

  test("passes over empty variables, other programs' and those of the project's tests", () => {
    const config = parse("log: warn\n", {
      CAUSEWAY_LOG: "",
      LOG: "debug",
      CAUSEWAY_FUZZ_RUNS: "5",
    });
    assert.equal(config.log, "warn");
  });

  test("is refused for a variable that names no key, with the nearest one", () => {
    assert.deepEqual(problemsOf("", { CAUSEWAY_LISTENER_AGENCY: "x", CAUSEWAY_ZEBRA: "1" }), [
      "CAUSEWAY_LISTENER_AGENCY: no key has this variable; did you mean CAUSEWAY_LISTENERS_AGENCY?",
      "CAUSEWAY_ZEBRA: no key has this variable",
    ]);
  });

  test("is refused for a value without an end, which is no YAML value", () => {
    assert.deepEqual(problemsOf("", { CAUSEWAY_AGENCY_SYSTEMS: "&a [*a]" }), [
      'CAUSEWAY_AGENCY_SYSTEMS: agency_systems: expected list, not "&a [*a]"',
    ]);
  });

  test("is refused for a value that is wrong, which names the variable", () => {
    assert.deepEqual(problemsOf("", { CAUSEWAY_LIMITS_DRAIN_MS: "soon" }), [
      'CAUSEWAY_LIMITS_DRAIN_MS: limits.drain_ms: expected milliseconds, 0 to 600000, not "soon"',
    ]);
    assert.deepEqual(problemsOf("", { CAUSEWAY_LISTENERS_AGENCY: "0.0.0.0:1" }), [
      "CAUSEWAY_LISTENERS_AGENCY: listeners.agency: without agency.tls only a loopback address is allowed",
    ]);
  });

  test("has one variable for each key, and no two keys share one", () => {
    const names = leavesOf(configSchema)
      .filter(
        ({ path, schema }) =>
          !path.includes("*") && !path.includes("[]") && schema.type !== "object",
      )
      .map(({ path }) => variableName(path));
    assert.equal(new Set(names).size, names.length);
    assert.deepEqual([...overridableKeys(configSchema).keys()], names);
  });
});

describe("the files of a configuration", () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "gw.yaml");
  writeFileSync(join(folder, "network.json"), "{}");

  test("are looked at: what is missing is named with its line", () => {
    writeFileSync(file, base);
    assert.throws(() => readWholeConfig(file), {
      code: "CONFIG_INVALID",
      message: `${file}:3: passphrase_file: the secret ${join(folder, "passphrase")} cannot be read`,
    });
  });

  for (const mode of [0o640, 0o604, 0o660, 0o601]) {
    test(`with a secret are refused when its mode is ${mode.toString(8)}`, () => {
      const secret = join(folder, `passphrase-${mode}`);
      writeFileSync(secret, "x", { mode: 0o600 });
      writeFileSync(file, base.replace("passphrase\n", `passphrase-${mode}\n`));
      assert.equal(readWholeConfig(file).passphrase_file, secret);
      rmSync(secret);
      const before = process.umask(0);
      writeFileSync(secret, "x", { mode });
      process.umask(before);
      assert.throws(() => readWholeConfig(file), {
        code: "CONFIG_INVALID",
        message: `${file}:3: passphrase_file: ${secret} can be read by others: set its mode to 0600`,
      });
    });
  }
});

describe("a reload", () => {
  const before = parse("log: info\n");

  test("takes what it can, and names what waits for the next start", () => {
    const after = parse(
      "log: debug\nlimits: {drain_ms: 9, message_bytes_max: 2048}\nlinks: {per_peer: 2}\nwitness: {keys: w, passphrase_file: p, listen: 'x:1'}\n",
    );
    const { config, taken, left } = changeOf(before, after);
    assert.deepEqual(taken, ["limits.message_bytes_max", "limits.drain_ms", "log"]);
    assert.deepEqual(left, [
      "witness.keys",
      "witness.passphrase_file",
      "witness.listen",
      "links.per_peer",
    ]);
    assert.deepEqual(config, {
      ...before,
      log: "debug",
      limits: { message_bytes_max: 2048, drain_ms: 9 },
      witness: undefined,
    });
  });

  test("does not begin to speak TLS on an open listener", () => {
    const { config, left } = changeOf(before, parse(tls));
    assert.deepEqual(left, ["agency.tls.certificate_file", "agency.tls.key_file"]);
    assert.equal(config.agency.tls, undefined);
  });

  test("of nothing new changes nothing", () => {
    const { taken, left } = changeOf(before, parse("log: info\nhttp: {burst: 4000}\n"));
    assert.deepEqual([taken, left], [[], []]);
  });

  const silent = pino({ level: "silent" });

  test("that is wrong is logged as its problems, without where the program found them", async () => {
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => void lines.push(line) });
    const before = parse("log: warn\n");
    const reread = (): GatewayConfig => parse("log: loud\nlgo: info\n");
    const reloader = createReloader(before, { reread, logger });
    await assert.rejects(reloader.reload(), { code: "CONFIG_INVALID" });
    await setImmediate();
    const [line = "", ...more] = lines;
    assert.equal(more.length, 0);
    const { event, code, problems } = JSON.parse(line) as Record<string, unknown>;
    assert.deepEqual([event, code], ["configuration refused", "CONFIG_INVALID"]);
    assert.equal((problems as readonly string[]).length, 2);
    assert.ok(!line.includes("at parse"), line);
  });

  const parts = (log: string[]): { prepare: (config: GatewayConfig) => () => void }[] => [
    { prepare: (config) => () => void log.push(`first ${config.log}`) },
    {
      prepare: (config) => {
        if (config.log === "error") throw new Error("no");
        return () => void log.push(`second ${config.log}`);
      },
    },
  ];

  test("puts all parts under the new configuration, or none", async () => {
    const log: string[] = [];
    let next = "log: debug\n";
    const reloader = createReloader(before, { reread: () => parse(next), logger: silent });
    for (const part of parts(log)) reloader.add(part);
    assert.deepEqual(await reloader.reload(), { taken: ["log"], left: [] });
    assert.deepEqual(log, ["first debug", "second debug"]);
    next = "log: error\n";
    await assert.rejects(reloader.reload(), { message: "no" });
    next = "log: loud\n";
    await assert.rejects(reloader.reload(), { code: "CONFIG_INVALID" });
    assert.deepEqual(log, ["first debug", "second debug"]);
    assert.equal(reloader.config.log, "debug");
  });

  test("that is refused closes what was opened for it, and keeps what is in force", async () => {
    const agency = "hangzhou/civil-affairs";
    const opened: string[] = [];
    const open = (service: string, config: UpstreamConfig): UpstreamConnector => {
      const name = `${service} ${"grpc" in config ? config.grpc : ""}`;
      if (name.endsWith("bad")) throw new CausewayError("CONFIG_INVALID", name);
      opened.push(name);
      const close = async (): Promise<void> => void opened.splice(opened.indexOf(name), 1);
      return { close } as unknown as UpstreamConnector;
    };
    const entries = (one: string, two: string): GatewayConfig =>
      ({
        ...before,
        upstreams: { [`${agency}/one`]: { grpc: one }, [`${agency}/two`]: { grpc: two } },
      }) as GatewayConfig;
    const upstreams = new Upstreams(entries("1", "2"), open);
    const inForce = [`${agency}/one 1`, `${agency}/two 2`];
    let next = entries("3", "bad");
    const reloader = createReloader(entries("1", "2"), { reread: () => next, logger: silent });
    reloader.add(upstreams);
    let isRefusing = false;
    reloader.add({
      prepare: async () => {
        if (isRefusing) throw new CausewayError("FILE_UNREADABLE", "no");
        return () => undefined;
      },
    });
    await assert.rejects(reloader.reload(), { code: "CONFIG_INVALID" });
    assert.deepEqual(opened, inForce);
    [next, isRefusing] = [entries("3", "2"), true];
    await assert.rejects(reloader.reload(), { code: "FILE_UNREADABLE" });
    assert.deepEqual(opened, inForce);
    isRefusing = false;
    await reloader.reload();
    assert.deepEqual(opened, [`${agency}/two 2`, `${agency}/one 3`]);
  });

  test("that would not go with what is left as it was is refused", async () => {
    const reread = (): GatewayConfig =>
      parse(`${tls}agency_systems: [{id: a, tls: {spki_sha256: [${"ab".repeat(32)}]}}]\n`);
    const reloader = createReloader(before, { reread, logger: silent });
    await assert.rejects(reloader.reload(), {
      code: "CONFIG_INVALID",
      message:
        /^agency_systems\[0\]\.tls: the listener has no agency\.tls, as long as agency\.tls\./,
    });
  });

  test("without a file is refused", async () => {
    const reloader = createReloader(before, { logger: silent });
    await assert.rejects(reloader.reload(), { code: "CONFIG_INVALID" });
  });
});

describe("docs/configuration.md", () => {
  const page = readFileSync("docs/configuration.md", "utf8");

  test("is what the schema says", async () => {
    const script: { formatConfigurationPage(rows: readonly ReferenceRow[]): string } = await import(
      pathToFileURL(resolve("scripts/configuration.mjs")).href
    );
    assert.equal(page, script.formatConfigurationPage(referenceRows()));
  });

  test("shows an example that is right", () => {
    const [, example = ""] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    const config = parseConfig(example, "gateway.yaml");
    assert.equal(config.agency_systems.length, 2);
    assert.equal(stringify(config.agency.issuers[0]?.official_claim).trim(), "employee_number");
  });
});
