/** What the README and the pages of docs/ tell people to type exists, and takes the options that it is given. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Command } from "commander";
import { createProgram } from "../../gateway/cli/program.ts";
import { systemClock, systemRandom, systemScheduler } from "../../gateway/runtime.ts";

const readme = readFileSync("README.md", "utf8");
const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
  scripts: Readonly<Record<string, string>>;
};
const blocks = [...readme.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, text]) => text ?? "");
const lines = blocks.flatMap((block) => block.split("\n")).filter((line) => line !== "");

function quiet(): Command {
  return createProgram({
    write: () => undefined,
    warn: () => undefined,
    clock: systemClock,
    scheduler: systemScheduler,
    random: systemRandom,
    environment: {},
  });
}

/** Reads a command line as the program does, without running it. */
function parse(words: readonly string[]): void {
  let command = quiet();
  let rest = [...words];
  for (;;) {
    const next = command.commands.find((one) => one.name() === rest[0]);
    if (next === undefined) break;
    command = next;
    rest = rest.slice(1);
  }
  if (words.join() === "--help") return;
  assert.equal(command.commands.length, 0, `no command ${words.join(" ")}`);
  const { operands, unknown } = command.parseOptions(rest);
  assert.deepEqual(unknown, [], `options of causeway ${words.join(" ")}`);
  const wanted = command.registeredArguments.filter(({ required }) => required).length;
  assert.ok(operands.length >= wanted, `causeway ${words.join(" ")} lacks an argument`);
  const atMost = command.registeredArguments.some(({ variadic }) => variadic)
    ? Number.POSITIVE_INFINITY
    : command.registeredArguments.length;
  assert.ok(operands.length <= atMost, `causeway ${words.join(" ")} has an argument too many`);
  for (const option of command.options.filter(({ mandatory }) => mandatory)) {
    const value: unknown = command.getOptionValue(option.attributeName());
    assert.notEqual(value, undefined, `causeway ${words.join(" ")} lacks ${option.long}`);
  }
}

/** The words of a command line as a shell reads them; `<what to put in>` is one word. */
function wordsOf(line: string): readonly string[] {
  const words = line.replaceAll(/<[^<>]*>/g, "X").match(/'[^']*'|"[^"]*"|[^\s]+/g) ?? [];
  const end = words.findIndex((word) => /^(#|[|&])/.test(word));
  const own = end < 0 ? words : words.slice(0, end);
  return own.map((word) => word.replaceAll(/^['"]|['"]$/g, "")).filter((word) => word !== "…");
}

/** Commands of `causeway` in the code blocks of a page, those over several lines as one. */
function commandsOf(page: string): readonly string[] {
  const code = [...page.matchAll(/^```(?:sh)?\n([^]*?)^```$/gm)].map(([, text]) => text ?? "");
  return code
    .join("\n")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .flatMap((line) => /(?:^|\$\()(causeway .*?)\)?$/.exec(line.trim())?.[1] ?? []);
}

describe("the pages of docs/", () => {
  for (const page of readdirSync("docs").filter((name) => name.endsWith(".md"))) {
    for (const line of commandsOf(readFileSync(join("docs", page), "utf8"))) {
      it(`\`${line}\` of ${page} can be typed`, () => parse(wordsOf(line).slice(1)));
    }
  }
});

describe("the README", () => {
  it("has commands to type", () => assert.ok(lines.length >= 10));

  for (const line of lines) {
    it(`\`${line}\` can be typed`, () => {
      const [program, ...words] = line.split(" ");
      if (program === "causeway") return parse(words);
      if (program === "npm") {
        const script = words[0] === "run" ? words[1] : words[0];
        assert.ok(script !== undefined && Object.hasOwn(scripts, script), `no script ${script}`);
        return;
      }
      const alias = /^alias causeway="node \$PWD\/dist\/(gateway\/cli\/main)\.js"$/.exec(line);
      assert.ok(alias !== null && existsSync(`${alias[1]}.ts`), `unknown program in: ${line}`);
    });
  }

  for (const [, target = ""] of readme.matchAll(/\]\(([^)#]+)\)/g)) {
    it(`links to ${target}, which exists`, () => assert.ok(existsSync(target)));
  }
});
