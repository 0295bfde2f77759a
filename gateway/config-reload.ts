/** Which keys of a new configuration a running gateway takes, and which wait for its next start. */
import { isDeepStrictEqual } from "node:util";
import { configSchema } from "./config-schema.ts";
import type { GatewayConfig } from "./config-types.ts";
import { valueAt, withValue } from "./config-values.ts";
import { isOneKey, leavesOf } from "./config-walk.ts";

export interface ConfigChange {
  /** The new configuration, with what cannot be taken as it was. */
  readonly config: GatewayConfig;
  /** Keys that are taken, in the order of the schema. */
  readonly taken: readonly string[];
  /** Keys that differ and are left as they were. */
  readonly left: readonly string[];
}

export function changeOf(before: GatewayConfig, after: GatewayConfig): ConfigChange {
  const taken: string[] = [];
  const left: string[] = [];
  let config: unknown = after;
  for (const { path, meta, default: value } of leavesOf(configSchema).filter(isOneKey)) {
    const old = valueAt(before, path);
    if (isDeepStrictEqual(old ?? value, valueAt(after, path) ?? value)) continue;
    const name = path.join(".");
    if (meta.reload === true && !isNewTls(name, before, after)) {
      taken.push(name);
    } else {
      left.push(name);
      config = withValue(config, path, old);
    }
  }
  return { config: sectionsAsBefore(before, config as GatewayConfig, left), taken, left };
}

/** A listener that speaks TLS does not begin to do so while it is open, nor does it stop. */
function isNewTls(name: string, before: GatewayConfig, after: GatewayConfig): boolean {
  const isSwitch = (before.agency.tls === undefined) !== (after.agency.tls === undefined);
  return isSwitch && name.startsWith("agency.tls.");
}

/** A section that was absent is absent again when each of its keys was left. */
function sectionsAsBefore(
  before: GatewayConfig,
  config: GatewayConfig,
  left: readonly string[],
): GatewayConfig {
  const wasLeft = (section: string): boolean => left.some((name) => name.startsWith(`${section}.`));
  const { agency, witness, ledger } = before;
  return {
    ...config,
    ...(wasLeft("witness") ? { witness } : {}),
    ...(wasLeft("ledger") ? { ledger } : {}),
    ...(wasLeft("agency.tls") ? { agency: { ...config.agency, tls: agency.tls } } : {}),
  };
}
