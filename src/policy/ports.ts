/** What the decision asks of a policy engine, and the generic model in which every policy speaks. */
import type { ContextValue } from "./attributes.ts";

/** `Agency::"<principal>"` calls (`Action::"call"`) `Service::"<resource>"` in this context. */
export interface PolicyRequest {
  /** Id of the consumer agency. */
  readonly principal: string;
  /** Id of the data service. */
  readonly resource: string;
  readonly context: CallContext;
}

/** The members of the policy's `context`, named as a policy reads them. */
export interface CallContext {
  /** Full method path. */
  readonly method: string;
  readonly purpose: string;
  readonly writes: boolean;
  readonly consumer_city: string;
  readonly provider_city: string;
  /** Unix seconds at which the call is decided. */
  readonly now: number;
  readonly grant: GrantContext;
  /** As the service statement declares them. */
  readonly attributes: Readonly<Record<string, ContextValue>>;
}

export interface GrantContext {
  readonly legal_basis: string;
  readonly methods: readonly string[];
  readonly purposes: readonly string[];
  /** Unix seconds: in force while not_before ≤ now < expires. */
  readonly not_before: number;
  readonly expires: number;
}

/** A policy set and its schema, as the published blobs. */
export interface PolicyBlobs {
  readonly policy: Uint8Array;
  readonly schema: Uint8Array;
}

export interface PolicyQuery {
  /** SHA-256 of the blobs, lower-case hex: what the engine remembers a parsed set by. */
  readonly policyDigest: string;
  readonly schemaDigest: string;
  /** Reads the blobs; asked only when the set is not parsed yet. What it throws passes through. */
  blobs(): PolicyBlobs;
  readonly request: PolicyRequest;
}

export interface PolicyFailure {
  /** Empty when the request or the set as a whole could not be evaluated. */
  readonly policyId: string;
  /** For the operator's log. It may quote values of the request: never to be recorded or sent. */
  readonly message: string;
}

export interface PolicyVerdict {
  /** `deny` when anything failed, whatever the policies say. */
  readonly verdict: "permit" | "deny";
  /** Ids of the policies that determined the verdict, ascending; empty for the default deny. */
  readonly policyIds: readonly string[];
  /** Ascending by policy id. */
  readonly failures: readonly PolicyFailure[];
}

/** Something that is wrong with a policy set, and where. */
export interface PolicyProblem {
  readonly severity: "error" | "warning";
  readonly blob: "policy" | "schema";
  readonly policyId?: string;
  /** From 1; columns in characters. */
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
}

export interface PolicyEngine {
  readonly name: string;
  readonly version: string;
  /** SHA-256 of the engine's program, 32 bytes. */
  readonly digest: Uint8Array;
  /** A pure function of the query's blobs and request. */
  evaluate(query: PolicyQuery): PolicyVerdict;
  /** Empty when the set parses and validates against its schema in strict mode. */
  validate(blobs: PolicyBlobs): readonly PolicyProblem[];
}
