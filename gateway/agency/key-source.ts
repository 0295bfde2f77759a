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
  /**
   * Whether the keys are so old that nothing more is taken under them before they are fetched again. What is
   * only old is fetched beside the calls, when somebody asks.
   */
  isOverdue(): boolean;
  /** Grows with each set that is fetched. */
  readonly generation: number;
}

/** Opens the source. Throws FILE_UNREADABLE and CONFIG_INVALID for a file; a URL is fetched when it is needed. */
export async function openKeySource(
  config: IssuerConfig,
  ports: KeySourcePorts,
): Promise<KeySource> {
  if (config.jwks_file === undefined) return new FetchedKeys(config, ports);
  const keys = await readKeySet(config.jwks_file, ports.verifier);
  return { keysFor: () => Promise.resolve(keys), isOverdue: () => false, generation: 0 };
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
  #failedAtMs: number | undefined;
  #fetching: Promise<void> | undefined;

  constructor(config: IssuerConfig, ports: KeySourcePorts) {
    this.#config = config;
    this.#ports = ports;
  }

  get generation(): number {
    return this.#generation;
  }

  async keysFor(kid: string): Promise<KeySet> {
    const keys = this.#keys;
    if (!this.isOverdue() && keys?.has(kid) === true) return keys;
    await this.#fetch(this.#ports.clock.monotonicMs());
    if (this.#keys !== undefined) return this.#keys;
    throw new CausewayError("ISSUER_UNAVAILABLE", "the issuer's keys were never fetched");
  }

  isOverdue(): boolean {
    if (this.#keys === undefined) return false;
    const nowMs = this.#ports.clock.monotonicMs();
    const refreshMs = this.#config.jwks_refresh_s * 1000;
    const ageMs = nowMs - this.#fetchedAtMs;
    if (ageMs >= refreshMs) void this.#fetch(nowMs);
    const overdueAtMs = this.#fetchedAtMs + 2 * refreshMs;
    // An issuer that was asked since, and did not answer, holds up nobody.
    return nowMs >= overdueAtMs && (this.#failedAtMs ?? overdueAtMs - 1) < overdueAtMs;
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
      this.#failedAtMs = clock.monotonicMs();
      this.#ports.onFetchFailed(issuer, error);
    }
  }
}
