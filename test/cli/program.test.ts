import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import { type ReasonCode, reasonCodes } from "../../src/base/reasons.ts";
import { exitCodeOf, exitCodeOfReason, exitCodes } from "../../gateway/cli/exit-codes.ts";
import { quorumOf } from "../../gateway/cli/network-draft.ts";
import { createProgram } from "../../gateway/cli/program.ts";
import { createProcessIo } from "../../gateway/cli/io.ts";
import { writeRow, writeRows } from "../../gateway/cli/output.ts";
import { causeway, temporaryRoot } from "./support.ts";

const main = fileURLToPath(new URL("../../gateway/cli/main.js", import.meta.url));
const root = temporaryRoot("program");

function commandsBelow(
  command: Command,
  names: readonly string[] = [],
): readonly (readonly string[])[] {
  return command.commands.flatMap((child) => {
    const path = [...names, child.name()];
    return [path, ...commandsBelow(child, path)];
  });
}

const commands = commandsBelow(createProgram(createProcessIo()));

describe("help", () => {
  for (const path of commands) {
    test(`causeway ${path.join(" ")} --help says what it does and ends with 0`, async () => {
      const { code, stdout, stderr } = await causeway(...path, "--help");
      assert.equal(code, exitCodes.ok);
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`^Usage: causeway ${path.join(" ")}`));
      const [, , description = ""] = stdout.split("\n");
      assert.match(description, /^[A-Za-z]/);
    });
  }

  test("every option of every command says what it is", () => {
    const undescribed: string[] = [];
    const visit = (command: Command, name: string): void => {
      for (const option of command.options) {
        if (option.description === "") undescribed.push(`${name} ${option.flags}`);
      }
      for (const child of command.commands) visit(child, `${name} ${child.name()}`);
    };
    visit(createProgram(createProcessIo()), "causeway");
    assert.deepEqual(undescribed, []);
  });

  test("the founding commands and the administrator's commands are there", () => {
    const names = new Set(commands.map((path) => path.join(" ")));
    const expected = [
      "city init",
      "agency init",
      "agency enrol",
      "gateway init",
      "gateway enrol",
      "gateway run",
      "administrator init",
      "administrator add",
      "network draft",
      "network sign",
      "network merge",
      "network found",
      "network join",
      "statement sign",
      "statement show",
      "statement submit",
      "service publish",
      "service list",
      "policy publish",
      "request create",
      "request list",
      "request approve",
      "request deny",
      "grant list",
      "grant show",
      "grant revoke",
      "exchange list",
      "exchange show",
      "opening show",
      "opening erase",
      "record list",
      "record show",
      "ledger status",
    ];
    assert.deepEqual(
      expected.filter((name) => !names.has(name)),
      [],
    );
  });
});

test("help says which options a command needs", async () => {
  const { stdout } = await causeway("request", "approve", "--help");
  const text = stdout.replace(/\s+/g, " ");
  assert.match(text, /--days <n> how long the grant is in force \(needed\)/);
  assert.match(text, /--admin <socket> admin socket of the own gateway \(needed\)/);
  assert.ok(!/--quota <n\/period> [^-]*\(needed\)/.test(text));
});

test("an address that is none is wrong usage, whichever command reads it", async () => {
  const out = join(root, "nothing");
  for (const argv of [
    ["ledger", "export", "--from", "nonsense", "--out", out],
    ["ledger", "proof", "0/0", "--from", "nonsense", "--out", out],
  ]) {
    const ran = await causeway(...argv);
    assert.equal(ran.code, exitCodes.usage, ran.stderr);
    assert.match(ran.stderr, /reason {2}USAGE_INVALID: /);
  }
});

describe("wrong usage ends with 2", () => {
  const lines: readonly (readonly string[])[] = [
    [],
    ["nonsense"],
    ["city"],
    ["city", "init", "--id", "hangzhou"],
    ["agency", "init", "--id", "a/b", "--name", "B", "--role", "king", "--folder", join(root, "x")],
    [
      "network",
      "draft",
      "--name",
      "N",
      "--city",
      "c",
      "--sequencer",
      "s",
      "--out",
      "o",
      "--quorum",
      "-1",
    ],
    [
      "network",
      "draft",
      "--name",
      "N",
      "--city",
      "c",
      "--sequencer",
      "s",
      "--out",
      "o",
      "--bound",
      "skew=5",
    ],
    ["ledger", "status", "--admin", "x", "--output", "xml"],
    ["service", "list", "--admin", "x", "--unknown"],
  ];
  for (const argv of lines) {
    test(`causeway ${argv.join(" ")}`, async () => {
      const { code, stdout } = await causeway(...argv);
      assert.equal(code, exitCodes.usage);
      assert.equal(stdout, "");
    });
  }
});

describe("exit codes", () => {
  const expected: readonly (readonly [ReasonCode, number])[] = [
    ["CONFIG_INVALID", 2],
    ["USAGE_INVALID", 2],
    ["STATEMENT_INVALID", 1],
    ["FOLDER_NOT_EMPTY", 1],
    ["KEY_LOCKED", 1],
    ["FILE_UNREADABLE", 1],
    ["STORAGE_FAILED", 1],
    ["INTERNAL", 1],
    ["STATEMENT_SIGNER_MISSING", 3],
    ["SIGNER_NOT_ALLOWED", 3],
    ["POLICY_DENIED", 3],
    ["GRANT_REVOKED", 3],
    ["QUOTA_EXHAUSTED", 3],
    ["TOKEN_SIGNATURE_INVALID", 4],
    ["SIGNATURE_INVALID", 4],
    ["PROOF_INVALID", 4],
    ["LEDGER_FORK", 4],
    ["QUORUM_NOT_MET", 4],
    ["FINDINGS", 4],
    ["GATEWAY_UNAVAILABLE", 5],
    ["LEDGER_BEHIND", 5],
    ["DEADLINE", 5],
    ["BUSY", 5],
  ];
  for (const [code, exit] of expected) {
    test(`${code} ends with ${exit}`, () => assert.equal(exitCodeOfReason(code), exit));
  }

  test("no reason ends with 0", () => {
    assert.deepEqual(
      reasonCodes.filter((code) => exitCodeOfReason(code) === exitCodes.ok),
      [],
    );
  });

  test("a statement without effect is a failure, whatever its reason", () => {
    const fields = { effect: "void" };
    assert.equal(exitCodeOf(new CausewayError("SIGNER_NOT_ALLOWED", "void", { fields })), 1);
    assert.equal(exitCodeOf(new CausewayError("SIGNER_NOT_ALLOWED", "denied")), 3);
  });

  test("what is no reason of ours is a failure", () => {
    assert.equal(exitCodeOf(new TypeError("a defect")), exitCodes.failure);
  });
});

describe("the quorum of n cities", () => {
  // [cities, quorum, faults], from q ≥ ⌈(n+f+1)/2⌉ with f = 1 from n = 3.
  for (const [cities, quorum, faults] of [
    [1, 1, 0],
    [2, 2, 0],
    [3, 3, 1],
    [4, 3, 1],
    [5, 4, 1],
    [7, 5, 1],
  ] as const) {
    test(`of ${cities} is ${quorum}, with ${faults} that may lie`, () => {
      assert.deepEqual(quorumOf(cities), { quorum, faults });
    });
  }

  test("any two quorums share a city, also when one is asked for", () => {
    for (let cities = 1; cities <= 31; cities++) {
      for (let wanted = 1; wanted <= 32; wanted++) {
        const isPossible = wanted <= cities && 2 * wanted > cities;
        if (isPossible) {
          const { quorum, faults } = quorumOf(cities, wanted);
          assert.ok(quorum === wanted && faults >= 0 && 2 * quorum >= cities + faults + 1);
        } else {
          assert.throws(() => quorumOf(cities, wanted), { code: "USAGE_INVALID" });
        }
      }
    }
  });
});

describe("output", () => {
  const printed = (write: (io: { write(text: string): void }) => void): string => {
    let text = "";
    write({ write: (part) => (text += part) });
    return text;
  };
  const rows = [
    { name: "杭州", cities: ["a", "b"], ready: true },
    { name: "x", cities: [], ready: false },
  ];

  test("a table keeps its columns under Chinese names", () => {
    const text = printed((io) => writeRows(io, rows, { none: "none" }));
    assert.equal(text, "NAME  CITIES  READY\n杭州  a, b    yes\nx             no\n");
  });

  test("an empty table says so, and an empty list is an empty list", () => {
    assert.equal(
      printed((io) => writeRows(io, [], { none: "Nothing." })),
      "Nothing.\n",
    );
    assert.equal(
      printed((io) => writeRows(io, [], { output: "json", none: "" })),
      "[]\n",
    );
    assert.equal(
      printed((io) => writeRows(io, [], { output: "ndjson", none: "" })),
      "",
    );
  });

  test("JSON and lines of JSON hold the rows themselves", () => {
    const json = printed((io) => writeRows(io, rows, { output: "json", none: "" }));
    assert.deepEqual(JSON.parse(json), rows);
    const lines = printed((io) => writeRows(io, rows, { output: "ndjson", none: "" }));
    assert.deepEqual(
      lines
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
      rows,
    );
    const one = printed((io) => writeRow(io, rows[0] ?? {}, { output: "ndjson" }));
    assert.deepEqual(JSON.parse(one), rows[0]);
  });
});

describe("the program itself", () => {
  test("names the reason and the next step on standard error, and ends with its code", () => {
    const ran = spawnSync(
      process.execPath,
      [main, "ledger", "status", "--admin", join(root, "no.sock")],
      { encoding: "utf8" },
    );
    assert.equal(ran.status, exitCodes.unavailable);
    assert.equal(ran.stdout, "");
    assert.match(ran.stderr, /reason {2}GATEWAY_UNAVAILABLE: /);
    assert.match(ran.stderr, /next {4}Start it with `causeway gateway run`/);
  });

  test("ends like any program when nobody reads its output any more, without a word", async () => {
    const child = spawn(process.execPath, [main, "--help"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const [code] = (await once(child, "close")) as [number | null];
    assert.deepEqual([code, said], [141, ""]);
  });

  test("goes on to its end when nobody reads its standard error", async () => {
    const words = [main, "ledger", "status", "--admin", join(root, "no.sock")];
    const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] });
    child.stderr.destroy();
    const [code] = (await once(child, "close")) as [number | null];
    assert.equal(code, exitCodes.unavailable);
  });

  test("asks for nothing when standard input is no terminal", () => {
    const ran = spawnSync(
      process.execPath,
      [
        main,
        "city",
        "init",
        "--id",
        "hangzhou",
        "--division",
        "330100",
        "--witness-address",
        "h:1",
        "--folder",
        join(root, "keys"),
      ],
      { encoding: "utf8", input: "a passphrase\n", env: { PATH: process.env["PATH"] } },
    );
    assert.equal(ran.status, exitCodes.usage);
    assert.match(ran.stderr, /reason {2}USAGE_INVALID: /);
  });
});
