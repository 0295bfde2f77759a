/** The statements of a package: each signed by whom an earlier one gives the authority, from the founding document on. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf, cityOf } from "../base/ids.ts";
import { parseKey } from "../credential/key-text.ts";
import { boundKeys, missingSigners, type RequiredSigner } from "../credential/signers.ts";
import { networkId, openStatement, verifyStatement } from "../credential/statement.ts";
import type { GatewayBody, Statement } from "../credential/statements.ts";
import type { Verifier } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { keyDigest } from "../record/leaf.ts";
import type { LedgerRecord } from "../record/record.ts";

/** A statement at its address. */
export interface PlacedStatement {
  readonly index: bigint;
  readonly position: number;
  readonly statement: Statement;
}

interface KnownGateway {
  readonly index: bigint;
  readonly body: GatewayBody;
}

interface KnownAdministrator {
  readonly agency: string;
  readonly roles: readonly string[];
}

export class StatementChain {
  readonly #networkId: Uint8Array;
  readonly #verifier: Verifier;
  readonly #keys = new Map<string, Uint8Array>();
  /** Thumbprints of the authorities of cities and agencies. */
  readonly #authorities = new Map<string, string>();
  readonly #administrators = new Map<string, KnownAdministrator>();
  readonly #gateways = new Map<string, KnownGateway>();
  readonly #placed = new Map<string, PlacedStatement>();

  constructor(networkId: Uint8Array, verifier: Verifier) {
    this.#networkId = networkId;
    this.#verifier = verifier;
  }

  /** Takes the founding document and returns its payload. Throws NETWORK_UNKNOWN when it is another's. */
  async found({ body }: LedgerRecord): Promise<Uint8Array> {
    if (body.case !== "statement") throw notAStatement();
    const opened = openStatement(body.value.jws);
    if (!equalBytes(networkId(opened.payload), this.#networkId)) {
      throw new CausewayError("NETWORK_UNKNOWN", "the founding document is another network's");
    }
    const { statement, signers } = await verifyStatement(opened, () => undefined, this.#verifier);
    if (statement.name !== "network") throw notAStatement();
    this.#assertSigners(statement, signers);
    for (const { id, authority } of statement.body.cities) {
      this.#authorities.set(id, thumbprint(raw(authority)));
    }
    this.#place({ index: 0n, position: 0, statement });
    return opened.payload;
  }

  /** Takes a later statement: every signature and whom it speaks for. */
  async add(
    at: { readonly index: bigint; readonly position: number },
    record: LedgerRecord,
  ): Promise<void> {
    const { body } = record;
    if (body.case !== "statement") throw notAStatement();
    const opened = openStatement(body.value.jws);
    const keyOf = (kid: string): Uint8Array | undefined => this.#keys.get(kid);
    const { statement, signers } = await verifyStatement(opened, keyOf, this.#verifier);
    if (statement.claims.net !== toHex(this.#networkId)) {
      throw new CausewayError("NETWORK_WRONG", "a statement names another network");
    }
    this.#assertSigners(statement, signers);
    this.#learn(statement, at.index);
    this.#place({ ...at, statement });
  }

  at(
    address: { readonly index: bigint; readonly position: number } | undefined,
  ): Statement | undefined {
    return address === undefined
      ? undefined
      : this.#placed.get(`${address.index}/${address.position}`)?.statement;
  }

  /** Raw batch key of a gateway whose 8-byte digest a header at `index` names. */
  batchKey(gateway: string, digest: Uint8Array, index: bigint): Uint8Array | undefined {
    const key = this.#gatewayKey(gateway, index, "batch");
    return key !== undefined && equalBytes(keyDigest(key), digest) ? key : undefined;
  }

  tokenKey(gateway: string, index: bigint): Uint8Array | undefined {
    return this.#gatewayKey(gateway, index, "token");
  }

  #gatewayKey(gateway: string, index: bigint, use: "batch" | "token"): Uint8Array | undefined {
    const known = this.#gateways.get(gateway);
    return known === undefined || known.index > index ? undefined : raw(known.body[use]);
  }

  #assertSigners(statement: Statement, signers: readonly string[]): void {
    const missing = missingSigners(statement, signers, (kid, required) =>
      this.#speaks(kid, required),
    );
    if (missing.length > 0) {
      throw new CausewayError("STATEMENT_SIGNER_MISSING", "a statement lacks a signer");
    }
    const { name, claims } = statement;
    const { iss, sub } = claims;
    const isForeign =
      (name === "agency" && iss !== cityOf(sub)) ||
      ((name === "gateway" || name === "service" || name === "policy") && iss !== agencyOf(sub));
    if (isForeign)
      throw new CausewayError("SIGNER_NOT_ALLOWED", "the issuer may not speak of this");
    for (const { key } of boundKeys(statement)) this.#keys.set(thumbprint(key), key);
  }

  #speaks(kid: string, required: Exclude<RequiredSigner, { readonly key: Uint8Array }>): boolean {
    if ("authorityOf" in required) return this.#authorities.get(required.authorityOf) === kid;
    const known = this.#administrators.get(kid);
    return known?.agency === required.administratorOf && known.roles.includes(required.role);
  }

  #learn({ name, claims, body }: Statement, index: bigint): void {
    if (name === "agency") this.#authorities.set(claims.sub, thumbprint(raw(body.authority)));
    if (name === "gateway") this.#gateways.set(claims.sub, { index, body });
    if (name === "administrator") {
      this.#administrators.set(claims.sub, { agency: claims.iss, roles: body.roles });
    }
  }

  #place(placed: PlacedStatement): void {
    this.#placed.set(`${placed.index}/${placed.position}`, placed);
  }
}

function raw(text: string): Uint8Array {
  const key = parseKey(text);
  if (key === undefined) throw new CausewayError("STATEMENT_INVALID", "a key has not 32 bytes");
  return key;
}

function notAStatement(): CausewayError {
  return new CausewayError("EVIDENCE_INVALID", "a record that should be a statement is none");
}
