/** Blobs of an export: each is named by the statements behind it, and says what they say of it. */
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import type { GrantBody } from "../credential/statements.ts";
import { namedBlobs } from "../ledger/embedded/blob-names.ts";
import { DescriptorSets } from "../policy/descriptors.ts";
import { validateMaskPaths } from "../policy/mask-paths.ts";
import { digestBytes } from "../policy/policy-request.ts";
import type { PolicyEngine } from "../policy/ports.ts";
import { checkPolicyPublication, checkServicePublication } from "../policy/publication.ts";
import type { RegistryState } from "../registry/state.ts";
import { findingAt, type Report } from "./findings.ts";
import type { FoldedBatch } from "./ledger-fold.ts";

export class PublishedBlobs {
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #descriptors = new DescriptorSets((digest) => this.blob(digest));
  #unnamed = new Map<string, Uint8Array>();
  readonly #engine: PolicyEngine | undefined;
  readonly #report: Report;

  /** Without an engine policies are not checked against their schemas. */
  constructor(engine: PolicyEngine | undefined, report: Report) {
    this.#engine = engine;
    this.#report = report;
  }

  readonly blob = (digest: Uint8Array): Uint8Array | undefined => this.#blobs.get(toHex(digest));

  /** A blob in front of the batch that names it. */
  put(content: Uint8Array): void {
    this.#unnamed.set(toHex(sha256(content)), content.slice());
  }

  /** Takes the blobs that a batch names, and checks its statements against them. */
  take(folded: FoldedBatch, state: RegistryState): void {
    const { index, batch, recordBytes } = folded;
    const at = { index, position: 0, gateway: batch.header.gateway };
    const named =
      batch.recordKind === "governance"
        ? namedBlobs(recordBytes.filter((_, position) => mayName(batch.facts[position])))
        : [];
    for (const { sha256: digest } of named) {
      const id = toHex(digest);
      const content = this.#unnamed.get(id);
      if (content !== undefined) this.#blobs.set(id, content);
      else if (!this.#blobs.has(id)) this.#report(findingAt(at, "BLOB_MISSING", { sha256: id }));
      this.#unnamed.delete(id);
    }
    this.#reportUnnamed(at);
    if (batch.recordKind === "governance") this.#checkPublications(folded, state);
  }

  /** At the end: no batch names what is left. */
  finish(index: bigint): void {
    this.#reportUnnamed({ index, position: 0, gateway: "" });
  }

  #reportUnnamed(at: { index: bigint; position: number; gateway: string }): void {
    for (const id of this.#unnamed.keys())
      this.#report(findingAt(at, "BLOB_UNNAMED", { sha256: id }));
    if (this.#unnamed.size > 0) this.#unnamed = new Map();
  }

  #checkPublications({ index, batch, applied }: FoldedBatch, state: RegistryState): void {
    const voids = new Set(applied.voids.map(({ position }) => position));
    for (const [position, fact] of batch.facts.entries()) {
      if (fact.kind !== "statement" || voids.has(position)) continue;
      try {
        this.#checkPublication(fact.said.statement, state);
      } catch (cause) {
        if (!(cause instanceof CausewayError)) throw cause;
        const at = { index, position, gateway: batch.header.gateway };
        const { code, fields } = cause;
        this.#report(
          code === "MASK_INVALID"
            ? findingAt(at, code, { path: fields["path"] ?? "" })
            : findingAt(at, "PUBLICATION_INVALID", { reason: code }),
        );
      }
    }
  }

  #checkPublication(
    {
      name,
      claims,
      body,
    }: Extract<FoldedBatch["batch"]["facts"][number], { kind: "statement" }>["said"]["statement"],
    state: RegistryState,
  ): void {
    if (name === "service") {
      const content = this.#blobs.get(body.descriptor);
      if (content !== undefined) checkServicePublication(body, content);
    }
    if (name === "grant") this.#checkMasks(body, state);
    if (name === "policy" && this.#engine !== undefined) {
      const policy = this.#blobs.get(body.policy);
      const schema = this.#blobs.get(body.schema);
      const service = state.services.get(claims.sub)?.at(-1);
      if (policy === undefined || schema === undefined || service === undefined) return;
      const blobs = { policy, schema };
      checkPolicyPublication({
        engine: this.#engine,
        body,
        blobs,
        service: { id: service.id, body: service.body },
      });
    }
  }

  #checkMasks({ authorization_details: details }: GrantBody, state: RegistryState): void {
    for (const { service, fields, methods } of details) {
      const body = state.services.get(service)?.at(-1)?.body;
      if (fields === undefined || body === undefined || !this.#blobs.has(body.descriptor)) continue;
      const descriptors = this.#descriptors.get(digestBytes(body.descriptor));
      validateMaskPaths({ descriptors, methods, paths: fields });
    }
  }
}

/** Whether a record may name blobs. One that is void for its signers names them all the same. */
function mayName(fact: FoldedBatch["batch"]["facts"][number] | undefined): boolean {
  if (fact?.kind !== "statement") return true;
  const { name } = fact.said.statement;
  return name === "service" || name === "policy";
}
