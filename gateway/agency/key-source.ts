/** The keys of one identity provider: from a file, or fetched and kept. */
import { readFileSync, statSync } from "node:fs";
import type { Clock } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { keySetFetchAgainMs } from "../../src/base/limits.ts";
import { type KeySet, parseKeySet } from "../../src/credential/key-set.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import type { IssuerConfig } from "./config.ts";
import type { FetchKeySet } from "./fetch-key-set.ts";

export interface KeySourcePorts {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly verifier: Verifier;
  readonly fetchKeySet: FetchKeySet;
  /** A fetch that failed: the keys fetched last hold. */
  onFetchFailed(issuer: string, error: unknown): void;
}

export interface KeySource {
  /**
   * The issuer's keys, fetched again when `kid` is none of them and the last attempt is long enough ago.
   * Rejects with ISSUER_UNAVAILABLE when none were ever had.
   */
  keysFor(kid: string): Promise<KeySet>;
  /** Grows with each set that differs from the one before. */
  readonly generation: number;
}

/** Opens the source. Throws FILE_UNREADABLE and CONFIG_INVALID for a file; a URL is fetched when it is needed. */
export async function openKeySource(
  config: IssuerConfig,
  ports: KeySourcePorts,
): Promise<KeySource> {
  if (config.jwks_file === undefined) return new FetchedKeys(config, ports);
  const keys = await readKeySet(config.jwks_file, ports.verifier);
  return { keysFor: () => Promise.resolve(keys), generation: 0 };
}

async function readKeySet(file: string, verifier: Verifier): Promise<KeySet> {
  let bytes: Uint8Array;
  try {
    // Whoever can write it can make anyone's tokens.
    if ((statSync(file).mode & 0o002) !== 0) {
      throw new CausewayError("FILE_UNREADABLE", `${file} can be written by others`);
    }
    bytes = readFileSync(file);
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw new CausewayError("FILE_UNREADABLE", `the JWK set ${file} cannot be read`, { cause });
  }
  try {
    return await parseKeySet(bytes, verifier);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw new CausewayError("CONFIG_INVALID", `${file}: ${cause.message}`, { cause });
  }
}

class FetchedKeys implements KeySource {
  readonly #config: IssuerConfig;
  readonly #ports: KeySourcePorts;
  #keys: KeySet | undefined;
  #generation = 0;
  #fetchedAtMs = 0;
  #triedAtMs: number | undefined;
  #fetching: Promise<void> | undefined;

  constructor(config: IssuerConfig, ports: KeySourcePorts) {
    this.#config = config;
    this.#ports = ports;
  }

  get generation(): number {
    return this.#generation;
  }

  async keysFor(kid: string): Promise<KeySet> {
    const nowMs = this.#ports.clock.monotonicMs();
    const keys = this.#keys;
    if (keys?.has(kid) === true) {
      // A call does not wait for keys that are only old.
      if (nowMs - this.#fetchedAtMs >= this.#config.jwks_refresh_s * 1000) void this.#fetch(nowMs);
      return keys;
    }
    await this.#fetch(nowMs);
    if (this.#keys !== undefined) return this.#keys;
    throw new CausewayError("ISSUER_UNAVAILABLE", "the issuer's keys were never fetched");
  }

  /** One fetch at a time, and not again within the minute, whatever the one before gave. */
  #fetch(nowMs: number): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    if (this.#triedAtMs !== undefined && nowMs - this.#triedAtMs < keySetFetchAgainMs) {
      return Promise.resolve();
    }
    this.#triedAtMs = nowMs;
    this.#fetching = this.#load().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #load(): Promise<void> {
    const { clock, verifier, fetchKeySet } = this.#ports;
    const { issuer, jwks_url: url = "", jwks_ca_file: caFile } = this.#config;
    try {
      this.#keys = await parseKeySet(await fetchKeySet({ url, caFile }), verifier);
      this.#fetchedAtMs = clock.monotonicMs();
      this.#generation++;
    } catch (error) {
      this.#ports.onFetchFailed(issuer, error);
    }
  }
}
