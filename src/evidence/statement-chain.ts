/** The statements of a package: each signed by whom an earlier one gives the authority, from the founding document on. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf, cityOf, isId } from "../base/ids.ts";
import { parseKey } from "../credential/key-text.ts";
import { boundKeys, missingSigners, type RequiredSigner } from "../credential/signers.ts";
import { networkId, openStatement, verifyStatement } from "../credential/statement.ts";
import type { GatewayBody, Statement, VerifiedStatement } from "../credential/statements.ts";
import type { Verifier } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { keyDigest } from "../record/leaf.ts";
import type { LedgerRecord } from "../record/record.ts";
import type { CityTrust } from "./city-trust.ts";
import type { Located } from "./located.ts";

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

interface KnownAuthority {
  readonly index: bigint;
  /** Thumbprint. */
  readonly kid: string;
}

interface KnownAdministrator {
  readonly agency: string;
  readonly roles: readonly string[];
}

export class StatementChain {
  readonly #networkId: Uint8Array;
  readonly #verifier: Verifier;
  readonly #keys = new Map<string, Uint8Array>();
  /** Of the agencies, each in the order of the ledger. */
  readonly #authorities = new Map<string, KnownAuthority[]>();
  readonly #administrators = new Map<string, KnownAdministrator>();
  readonly #gateways = new Map<string, KnownGateway[]>();
  readonly #placed = new Map<string, PlacedStatement>();
  readonly #trust: CityTrust;

  /** `trust` says who the authorities of the cities are. */
  constructor(networkId: Uint8Array, verifier: Verifier, trust: CityTrust) {
    this.#networkId = networkId;
    this.#verifier = verifier;
    this.#trust = trust;
  }

  /** Takes the founding document. Throws NETWORK_UNKNOWN when it is another's. */
  async found({ body }: LedgerRecord): Promise<VerifiedStatement> {
    if (body.case !== "statement") throw notAStatement();
    const opened = openStatement(body.value.jws);
    if (!equalBytes(networkId(opened.payload), this.#networkId)) {
      throw new CausewayError("NETWORK_UNKNOWN", "the founding document is another network's");
    }
    const said = await verifyStatement(opened, () => undefined, this.#verifier);
    const { statement, signers } = said;
    if (statement.name !== "network") throw notAStatement();
    if (missingSigners(statement, signers, () => false).length > 0) throw signerMissing();
    this.#place({ index: 0n, position: 0, statement });
    return said;
  }

  /** Takes a later statement: every signature and whom it speaks for. */
  async add(located: Located): Promise<void> {
    const { index, position, record } = located;
    const { body } = record;
    if (body.case !== "statement") throw notAStatement();
    const opened = openStatement(body.value.jws);
    const keyOf = (kid: string): Uint8Array | undefined =>
      this.#keys.get(kid) ?? this.#trust.keyOf(kid);
    const { statement, signers } = await verifyStatement(opened, keyOf, this.#verifier);
    if (statement.claims.net !== toHex(this.#networkId)) {
      throw new CausewayError("NETWORK_WRONG", "a statement names another network");
    }
    this.#assertSigners(statement, signers, located);
    this.#learn(statement, index);
    this.#place({ index, position, statement });
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
    return this.#gatewayKeys(gateway, index, "batch").find((key) =>
      equalBytes(keyDigest(key), digest),
    );
  }

  /** Raw token key of a gateway with this thumbprint. */
  tokenKey(gateway: string, kid: string, index: bigint): Uint8Array | undefined {
    return this.#gatewayKeys(gateway, index, "token").find((key) => thumbprint(key) === kid);
  }

  #gatewayKeys(gateway: string, index: bigint, use: "batch" | "token"): readonly Uint8Array[] {
    const known = this.#gateways.get(gateway) ?? [];
    return known.filter((fact) => fact.index <= index).map(({ body }) => raw(body[use]));
  }

  #assertSigners(statement: Statement, signers: readonly string[], at: Located): void {
    const missing = missingSigners(statement, signers, (kid, required) =>
      this.#speaks(kid, required, at),
    );
    if (missing.length > 0) throw signerMissing();
    const { name, claims } = statement;
    const { iss, sub } = claims;
    const isForeign =
      (name === "agency" && iss !== cityOf(sub)) ||
      ((name === "gateway" || name === "service" || name === "policy") && iss !== agencyOf(sub));
    if (isForeign)
      throw new CausewayError("SIGNER_NOT_ALLOWED", "the issuer may not speak of this");
    for (const { key } of boundKeys(statement)) this.#keys.set(thumbprint(key), key);
  }

  #speaks(
    kid: string,
    required: Exclude<RequiredSigner, { readonly key: Uint8Array }>,
    at: Located,
  ): boolean {
    if ("authorityOf" in required) {
      const { authorityOf } = required;
      return isId(authorityOf, 1)
        ? this.#trust.isAuthority(kid, authorityOf, at)
        : this.#agencyAuthority(authorityOf, at) === kid;
    }
    const known = this.#administrators.get(kid);
    return known?.agency === required.administratorOf && known.roles.includes(required.role);
  }

  /** The newest one that a record has seen. */
  #agencyAuthority(agency: string, { index, leaf }: Located): string | undefined {
    const known = this.#authorities.get(agency);
    return known?.findLast((one) => index === 0n || one.index < leaf.header.seenSize)?.kid;
  }

  #learn({ name, claims, body }: Statement, index: bigint): void {
    if (name === "agency") {
      const kid = thumbprint(raw(body.authority));
      this.#authorities.set(claims.sub, [
        ...(this.#authorities.get(claims.sub) ?? []),
        { index, kid },
      ]);
    }
    if (name === "gateway") {
      this.#gateways.set(claims.sub, [...(this.#gateways.get(claims.sub) ?? []), { index, body }]);
    }
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

function signerMissing(): CausewayError {
  return new CausewayError("STATEMENT_SIGNER_MISSING", "a statement lacks a signer");
}

function notAStatement(): CausewayError {
  return new CausewayError("EVIDENCE_INVALID", "a record that should be a statement is none");
}
