/** The configuration of a gateway process: one YAML file, checked whole, errors with their line. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CausewayError } from "../src/base/errors.ts";
import { checkTogether } from "./config-checks.ts";
import { override } from "./config-overrides.ts";
import { formatPath, type Problem, problemsOf } from "./config-problems.ts";
import { configSchema } from "./config-schema.ts";
import { checkFiles } from "./config-secrets.ts";
import type { GatewayConfig } from "./config-types.ts";
import { mapTexts } from "./config-walk.ts";
import { type KeyPath, parseYaml } from "./config-yaml.ts";

export { readSecretFile } from "./config-secrets.ts";
export {
  type GatewayConfig,
  type HttpConfig,
  httpDefaults,
  type LedgerConfig,
  type OutsideWitnessConfig,
} from "./config-types.ts";

/** Variables of the environment that set keys, by name. */
export type Variables = Readonly<Record<string, string>>;

interface Read {
  readonly config: GatewayConfig;
  /** `file:line`, or the variable that set the key. */
  readonly placeOf: (path: KeyPath) => string;
}

/**
 * Parses a configuration. `file` names it in errors, and is what relative paths start from.
 * Throws CONFIG_INVALID, one line for each problem: where, which key, and what would be right.
 */
export function parseConfig(text: string, file: string, variables: Variables = {}): GatewayConfig {
  return parse(text, file, variables).config;
}

function parse(text: string, file: string, variables: Variables): Read {
  const yaml = parseYaml(text, file);
  const { value, variableOf } = override(yaml.value, variables, configSchema);
  const placeOf = (path: KeyPath): string => variableOf(path) ?? `${file}:${yaml.lineOf(path)}`;
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const problems = problemsOf(parsed.error.issues, value, configSchema);
    throw invalid(
      problems.toSorted((a, b) => yaml.lineOf(a.path) - yaml.lineOf(b.path)),
      placeOf,
    );
  }
  const config = withAbsolutePaths(parsed.data, dirname(resolve(file)));
  const problems = checkTogether(config);
  if (problems.length > 0) throw invalid(problems, placeOf);
  return { config, placeOf };
}

function invalid(problems: readonly Problem[], placeOf: (path: KeyPath) => string): CausewayError {
  const lines = problems.map(
    ({ path, text }) => `${placeOf(path)}: ${formatPath(path) || "the file"}: ${text}`,
  );
  return new CausewayError("CONFIG_INVALID", lines.join("\n"));
}

function withAbsolutePaths(config: GatewayConfig, folder: string): GatewayConfig {
  const absolute = mapTexts(config, configSchema, (text, { path }) =>
    path === true ? resolve(folder, text) : text,
  );
  return absolute as GatewayConfig;
}

/** Reads and parses a configuration file. Throws FILE_UNREADABLE, or as `parseConfig` does. */
export function readConfig(file: string, variables: Variables = {}): GatewayConfig {
  return parseConfig(textOf(file), file, variables);
}

/** As `readConfig`; every file that the configuration names is looked at too. */
export function readWholeConfig(file: string, variables: Variables = {}): GatewayConfig {
  const { config, placeOf } = parse(textOf(file), file, variables);
  const problems = checkFiles(config);
  if (problems.length > 0) throw invalid(problems, placeOf);
  return config;
}

/** As `readWholeConfig`; `look` tells what else is wrong with a configuration that is right so far. */
export async function checkConfig(
  file: string,
  variables: Variables,
  look: (config: GatewayConfig) => Promise<readonly Problem[]>,
): Promise<GatewayConfig> {
  const { config, placeOf } = parse(textOf(file), file, variables);
  const unreadable = checkFiles(config);
  const problems = unreadable.length > 0 ? unreadable : await look(config);
  if (problems.length > 0) throw invalid(problems, placeOf);
  return config;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `the configuration ${file} cannot be read`, {
      cause,
    });
  }
}
