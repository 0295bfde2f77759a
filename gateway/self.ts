/** What a gateway process knows of itself before anything runs: founding document, keys, identity. */
import type { GatewayConfig } from "./config.ts";
import { readSecretFile } from "./config.ts";
import {
  openKeyFolder,
  openWitnessKeys,
  unlockFolder,
  type GatewayKeys,
  type PrivateKey,
  type WitnessKeys,
} from "./keys/key-folder.ts";
import { openLogKeys } from "./keys/log-keys.ts";
import { OwnTls } from "./own-tls.ts";
import { readStatementFile } from "./statement-file.ts";
import { equalBytes, utf8 } from "../src/base/bytes.ts";
import { CausewayError } from "../src/base/errors.ts";
import { cityOf } from "../src/base/ids.ts";
import { openStatement } from "../src/credential/statement.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../src/ledger/embedded/network.ts";

export interface LocalIdentity {
  readonly keys: GatewayKeys;
  /** The TLS key of the gateway in use: that of `keys`, until another takes its place. */
  readonly tls: OwnTls;
  /** Every log key of the folder by term; one that is made later comes when it is looked for. */
  readonly logs: Map<bigint, PrivateKey>;
  /** Set on the gateway that hosts its city's witness. */
  readonly city: WitnessKeys | undefined;
  /** Payload of the founding document. */
  readonly founding: Uint8Array;
  readonly network: LedgerNetwork;
}

/** Payload of a founding document whose signatures are well-formed; the fold verifies them. */
export function readFounding(file: string): Uint8Array {
  const { jws, payload } = readStatementFile(file);
  const opened = openStatement(jws);
  if (opened.statement.name !== "network" || payload !== new TextDecoder().decode(opened.payload)) {
    throw new CausewayError("STATEMENT_INVALID", `${file} is not a founding document`);
  }
  return utf8(payload);
}

/** Opens the keys that the configuration names. Throws KEY_LOCKED, CONFIG_INVALID, FILE_UNREADABLE. */
export async function openIdentity(config: GatewayConfig): Promise<LocalIdentity> {
  const founding = readFounding(config.founding);
  const keys = await gatewayKeysOf(config);
  const network = readLedgerNetwork(founding);
  const city = await witnessKeysOf(config);
  return { keys, tls: new OwnTls(keys.tls), logs: new Map(keys.logs), city, founding, network };
}

/** The own keys. Throws as `openIdentity`. */
export async function gatewayKeysOf(
  config: Pick<GatewayConfig, "gateway" | "keys" | "passphrase_file">,
): Promise<GatewayKeys> {
  const passphrase = readSecretFile(config.passphrase_file);
  const keys = await openKeyFolder(config.keys, passphrase, "gateway");
  if (keys.card.id === config.gateway) return keys;
  throw new CausewayError("CONFIG_INVALID", `${config.keys} holds the keys of ${keys.card.id}`);
}

/** A log key of the folder, also one that was made after the start. Throws KEY_LOCKED, FILE_UNREADABLE. */
export async function findLogKey(
  config: GatewayConfig,
  { logs }: LocalIdentity,
  publicKey: Uint8Array,
): Promise<PrivateKey | undefined> {
  const find = (): PrivateKey | undefined =>
    [...logs.values()].find((key) => equalBytes(key.publicKey, publicKey));
  if (find() === undefined) {
    const identity = await unlockFolder(config.keys, readSecretFile(config.passphrase_file));
    for (const [term, key] of await openLogKeys(config.keys, identity)) logs.set(term, key);
  }
  return find();
}

/** The keys of the witness that this gateway hosts. Throws as `openIdentity`. */
export async function witnessKeysOf({
  gateway,
  witness,
}: Pick<GatewayConfig, "gateway" | "witness">): Promise<WitnessKeys | undefined> {
  if (witness === undefined) return undefined;
  const city = await openWitnessKeys(witness.keys, readSecretFile(witness.passphrase_file));
  if (city.card.id !== cityOf(gateway)) {
    throw new CausewayError("CONFIG_INVALID", `${witness.keys} holds the keys of ${city.card.id}`);
  }
  return city;
}
