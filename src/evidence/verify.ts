/**
 * Verifies an evidence package offline, in any runtime. Trust is the network id alone; what is verified is
 * said step by step, and at the first failure its reason.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { openCallToken } from "../credential/call-token.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { Begin, Call, Decision } from "../gen/causeway/record/v1/parts_pb.ts";
import type { QuorumCheckpoint } from "../note/quorum.ts";
import { parseTlogProof } from "../note/tlog-proof.ts";
import { openCallStatement, verifyCallPath } from "../record/call-tree.ts";
import { formatAddress, formatHandle } from "../record/handle.ts";
import { verifyLeaf } from "../record/leaf.ts";
import { verifyRecordProof } from "../record/proof.ts";
import { CityTrust } from "./city-trust.ts";
import { checkpointOf, type ClaimedCheckpoint, isBehind, locate, type Located } from "./located.ts";
import { opensOne } from "./openings.ts";
import {
  changedEvidenceVersion,
  type EvidencePackage,
  evidenceVersion,
  parseEvidence,
  type ProvenEvidence,
} from "./package.ts";
import { StatementChain } from "./statement-chain.ts";
import {
  type EvidenceStep,
  type EvidenceStepName,
  evidenceSteps,
  type EvidenceVerification,
  notShown,
  type ProvenFacts,
} from "./verification.ts";

export type { EvidenceStep, EvidenceStepName, EvidenceVerification, ProvenFacts };

/** Verifies the text of a package. It throws for nothing that the text holds. */
export async function verifyEvidence(options: {
  readonly text: string;
  /** 32 bytes: the network that is trusted. */
  readonly networkId: Uint8Array;
  readonly verifier: Verifier;
}): Promise<EvidenceVerification> {
  const steps: EvidenceStep[] = [];
  const check = new Verification(options.networkId, options.verifier, steps);
  let step: EvidenceStepName = "format";
  try {
    for (step of evidenceSteps) await check.run(step, options.text);
    return { valid: true, steps, facts: check.facts(), notShown };
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    steps.push({ name: step, outcome: "failed", detail: cause.message, reason: cause.code });
    return { valid: false, steps, facts: undefined, notShown };
  }
}

class Verification {
  readonly #networkId: Uint8Array;
  readonly #verifier: Verifier;
  readonly #steps: EvidenceStep[];
  readonly #chain: StatementChain;
  #evidence!: EvidencePackage;
  readonly #trust: CityTrust;
  /** The checkpoint that the last change is final by. */
  #changedAt: ClaimedCheckpoint | undefined;
  #note!: Uint8Array;
  #checkpoint!: QuorumCheckpoint;
  #record!: Located;
  /** Of the record, or of the one that it follows. */
  #begin: { readonly call: Call | undefined; readonly decision: Decision | undefined } | undefined;
  #begunIndex = 0n;

  constructor(networkId: Uint8Array, verifier: Verifier, steps: EvidenceStep[]) {
    this.#networkId = networkId;
    this.#verifier = verifier;
    this.#steps = steps;
    this.#trust = new CityTrust(networkId, verifier);
    this.#chain = new StatementChain(networkId, verifier, this.#trust);
  }

  async run(step: EvidenceStepName, text: string): Promise<void> {
    const detail = await this.#runStep(step, text);
    this.#steps.push(
      detail === undefined
        ? { name: step, outcome: "absent", detail: "" }
        : { name: step, outcome: "verified", detail },
    );
  }

  facts(): ProvenFacts {
    const { index, position, leaf, record } = this.#record;
    const { size, timeMs, cosigned } = this.#checkpoint;
    return {
      address: formatAddress(index, position),
      handle: formatHandle(leaf.leafHash, position),
      kind: record.body.case ?? "",
      gateway: leaf.header.gateway,
      sealedAtMs: Number(leaf.header.sealedAt),
      finalAtMs: timeMs,
      size,
      cities: cosigned.map(({ city }) => city),
    };
  }

  #runStep(step: EvidenceStepName, text: string): Promise<string | undefined> | string | undefined {
    switch (step) {
      case "format":
        return this.#format(text);
      case "founding":
        return this.#founding();
      case "changes":
        return this.#changes();
      case "checkpoint":
        return this.#readCheckpoint();
      case "statements":
        return this.#statements();
      case "record":
        return this.#provenRecord();
      case "opened":
        return this.#opened();
      case "call":
        return this.#call();
      case "decision":
        return this.#decision();
      case "acknowledgement":
        return this.#acknowledgement();
      case "openings":
        return this.#openings();
    }
  }

  #format(text: string): string {
    this.#evidence = parseEvidence(text);
    if (this.#evidence.network !== toHex(this.#networkId)) {
      throw new CausewayError("NETWORK_UNKNOWN", "the package is of another network");
    }
    const { changes } = this.#evidence;
    return `version ${changes === undefined ? evidenceVersion : changedEvidenceVersion}`;
  }

  async #founding(): Promise<string> {
    const [first] = this.#evidence.statements;
    if (first === undefined) throw invalid("there is no founding document");
    const proven = verifyRecordProof(first);
    this.#trust.found(await this.#chain.found(proven.record), { ...proven, index: 0n });
    return `signed by ${this.#trust.cityCount} cities`;
  }

  /** From each checkpoint to the next, the cities of the one before let in those that cosign the other. */
  async #changes(): Promise<string | undefined> {
    const { changes } = this.#evidence;
    if (changes === undefined) return undefined;
    let before: Located | undefined;
    let count = 0;
    for (const list of changes) {
      const checkpoint = checkpointOf(list[0] as ProvenEvidence);
      for (const proven of list) {
        const located = locate(proven, checkpoint, this.#networkId);
        if (before !== undefined && !isBehind(located, before)) {
          throw invalid("the changes are not ascending");
        }
        // Below that checkpoint its tree counts: under another one the cities of before would not be asked.
        if (located.index < (this.#changedAt?.size ?? 0n)) {
          throw invalid(
            "a change stands under a later checkpoint than the one that it is final by",
          );
        }
        await this.#trust.add(located);
        before = located;
      }
      this.#trust.readCheckpoint(checkpoint.note, this.#changedAt?.size ?? 0n);
      this.#changedAt = checkpoint;
      count += list.length;
    }
    return `${count} statements of cities, final by ${changes.length} checkpoints of their own`;
  }

  #readCheckpoint(): string {
    this.#note = parseTlogProof(this.#evidence.record.proof).checkpoint;
    const from = this.#changedAt?.size ?? 0n;
    this.#checkpoint = this.#trust.readCheckpoint(this.#note, from);
    const { size, cosigned } = this.#checkpoint;
    if (size < from) throw invalid("the checkpoint lies before the last change");
    return `size ${size}, cosigned by ${cosigned.map(({ city }) => city).join(", ")}`;
  }

  async #statements(): Promise<string> {
    const { statements } = this.#evidence;
    let before: Located | undefined;
    for (const proven of statements) {
      const located = this.#locate(proven);
      if (before === undefined) {
        if (located.index !== 0n || located.position !== 0)
          throw invalid("it does not begin at 0/0");
      } else {
        if (!isBehind(located, before)) throw invalid("the statements are not ascending");
        await this.#chain.add(located);
      }
      before = located;
    }
    return `${statements.length} statements, each signed by whom an earlier one names`;
  }

  #provenRecord(): string {
    this.#record = this.#locate(this.#evidence.record);
    this.#verifyLeaf(this.#record);
    const { record, index, position } = this.#record;
    this.#begin = partsOf(this.#record);
    this.#begunIndex = index;
    return `${record.body.case} at ${formatAddress(index, position)}`;
  }

  #opened(): string | undefined {
    const { opened } = this.#evidence;
    const { body } = this.#record.record;
    const follows =
      body.case === "receipt" && body.value.start.case === "prevRecord"
        ? body.value.start.value.hash
        : undefined;
    if ((opened === undefined) !== (follows === undefined)) {
      throw invalid("a record that follows another comes with it, and no other does");
    }
    if (opened === undefined || follows === undefined) return undefined;
    const located = this.#locate(opened);
    this.#verifyLeaf(located);
    const sameChain = located.leaf.header.gateway === this.#record.leaf.header.gateway;
    if (!sameChain || !equalBytes(located.recordHash, follows)) {
      throw invalid("the record that is followed is another one");
    }
    this.#begin = partsOf(located);
    this.#begunIndex = located.index;
    return formatAddress(located.index, located.position);
  }

  #call(): string | undefined {
    const call = this.#begin?.call;
    if (call === undefined) return undefined;
    const { claims, jws } = openCallToken(call.token);
    const key = this.#chain.tokenKey(claims.iss, jws.kid, this.#begunIndex);
    if (key === undefined) {
      throw new CausewayError(
        "TOKEN_KEY_UNKNOWN",
        "no statement binds the token's key to its issuer",
      );
    }
    if (!this.#verifier.verify(key, jws.signingInput, jws.signature)) {
      throw new CausewayError(
        "TOKEN_SIGNATURE_INVALID",
        "the call token's signature does not verify",
      );
    }
    if (claims.aud !== this.#record.leaf.header.gateway) {
      throw new CausewayError("TOKEN_AUDIENCE_WRONG", "the call token is for another gateway");
    }
    const { statement, index, path } = call;
    openCallStatement(statement);
    if (!verifyCallPath({ statement, index, path, count: claims.n, root: claims.root })) {
      throw new CausewayError(
        "CALL_STATEMENT_INVALID",
        "the call statement is not under the token's root",
      );
    }
    return `called by ${claims.iss}`;
  }

  /** The facts that the decision names are those of the package. */
  #decision(): string | undefined {
    const decision = this.#begin?.decision;
    if (decision === undefined) return undefined;
    const [grant, service, policy] = [decision.grant, decision.service, decision.policy].map((at) =>
      this.#chain.at(at),
    );
    const agrees =
      (decision.grantJti === "" ||
        (grant?.name === "grant" && grant.claims.jti === decision.grantJti)) &&
      service?.name === "service" &&
      BigInt(service.body.version) === decision.serviceVersion &&
      service.body.descriptor === toHex(decision.descriptorDigest) &&
      (decision.policy === undefined ||
        (policy?.name === "policy" &&
          policy.body.policy === toHex(decision.policyDigest) &&
          policy.body.schema === toHex(decision.schemaDigest)));
    if (!agrees) throw invalid("the facts that the decision names are not in the package");
    return `grant ${decision.grantJti}`;
  }

  #acknowledgement(): string | undefined {
    const { acknowledgement } = this.#evidence;
    if (acknowledgement === undefined) return undefined;
    const located = this.#locate(acknowledgement);
    this.#verifyLeaf(located);
    const { body } = located.record;
    const { leaf, position, recordHash } = this.#record;
    const answers =
      body.case === "acknowledgement" &&
      body.value.receipt?.position === position &&
      equalBytes(body.value.receipt.leafHash, leaf.leafHash) &&
      equalBytes(body.value.receiptRecord, recordHash);
    if (!answers) {
      throw new CausewayError(
        "ACKNOWLEDGEMENT_INVALID",
        "the acknowledgement answers another record",
      );
    }
    return `${located.leaf.header.gateway} at ${formatAddress(located.index, located.position)}`;
  }

  #openings(): string | undefined {
    const { openings } = this.#evidence;
    if (openings.length === 0) return undefined;
    for (const opening of openings) {
      if (opensOne(opening, this.#record.record, this.#begin?.call)) continue;
      throw new CausewayError(
        "COMMITMENT_MISMATCH",
        "an opening opens no commitment of the record",
      );
    }
    return openings.map(({ label }) => label).join(", ");
  }

  /** Under the one checkpoint of the package. */
  #locate(proven: ProvenEvidence): Located {
    const { size, root } = this.#checkpoint;
    return locate(proven, { note: this.#note, size, root }, this.#networkId);
  }

  #verifyLeaf({ leaf, index }: Located): void {
    const { gateway, key } = leaf.header;
    const publicKey = this.#chain.batchKey(gateway, key, index);
    if (publicKey === undefined) {
      throw new CausewayError("KEY_UNKNOWN", "no statement binds the batch key to its gateway");
    }
    verifyLeaf({ leaf, publicKey, verifier: this.#verifier });
  }
}

function partsOf({ record: { body } }: Located): {
  readonly call: Call | undefined;
  readonly decision: Decision | undefined;
} {
  const begin: Begin | undefined =
    body.case === "opened"
      ? body.value.begin
      : body.case === "receipt" && body.value.start.case === "begin"
        ? body.value.start.value
        : undefined;
  if (begin !== undefined) return { call: begin.call, decision: begin.decision };
  if (body.case === "refusal") return { call: body.value.call, decision: body.value.decision };
  if (body.case === "closed") return { call: undefined, decision: body.value.decision };
  return { call: undefined, decision: undefined };
}

function invalid(why: string): CausewayError {
  return new CausewayError("EVIDENCE_INVALID", why);
}
