/**
 * The policy engine on Cedar's WebAssembly build. The one file of this folder that needs Node: it
 * reads the .wasm file to name the engine by its digest.
 *
 * On Node 20 a process that calls it is started with `--no-turbo-inline-js-wasm-calls`.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type * as cedar from "@cedar-policy/cedar-wasm/nodejs";
import { compareText, parseUtf8 } from "../base/bytes.ts";
import { policySetsParsedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import { sha256 } from "../base/sha256.ts";
import { exceedsLevels, excessOf } from "./cedar-limits.ts";
import { idProblems, placeOf, type PolicyPart, problemOf } from "./cedar-source.ts";
import type {
  PolicyBlobs,
  PolicyEngine,
  PolicyFailure,
  PolicyProblem,
  PolicyQuery,
  PolicyRequest,
  PolicyVerdict,
} from "./ports.ts";

/** A parsed set, or why there is none. */
type Prepared =
  | { readonly kind: "parsed"; readonly slot: string }
  | { readonly kind: "failed"; readonly message: string };

type Cedar = typeof cedar;

const require = createRequire(import.meta.url);
const modulePath = require.resolve("@cedar-policy/cedar-wasm/nodejs");

/**
 * Cedar's program in this thread, and what it has parsed. Cedar keeps parsed sets by name for as long
 * as it lives and drops none; a name that is used again replaces its set, so the names are slots.
 */
interface Program {
  readonly cedar: Cedar;
  readonly slots: Lru<string, string>;
  readonly freeSlots: string[];
}

let program: Program | undefined;
let programDigest: Uint8Array | undefined;
/** Sets that do not parse, with the reason: not read again for every call. */
const failedSets = new Lru<string, string>(policySetsParsedMax);

function running(): Program {
  program ??= {
    cedar: require(modulePath) as Cedar,
    slots: new Lru(policySetsParsedMax),
    freeSlots: Array.from({ length: policySetsParsedMax }, (_, i) => `causeway/${i}`),
  };
  return program;
}

/** A program that threw has lost its stack pointer: the next call starts a new one. */
function abandonProgram(): void {
  program = undefined;
  delete require.cache[modulePath];
}

function digestOfProgram(): Uint8Array {
  programDigest ??= sha256(readFileSync(join(dirname(modulePath), "cedar_wasm_bg.wasm")));
  return programDigest;
}

/** The engine of this thread. Several may exist; they share what is parsed. */
export function createCedarEngine(): PolicyEngine {
  return {
    name: "cedar-wasm",
    version: running().cedar.getCedarVersion(),
    digest: digestOfProgram(),
    evaluate,
    validate,
  };
}

function evaluate(query: PolicyQuery): PolicyVerdict {
  const prepared = prepare(query);
  if (prepared.kind === "failed") return failed([{ policyId: "", message: prepared.message }]);
  const answer = ask(prepared.slot, query.request);
  if (answer.type === "failure") {
    return failed([{ policyId: "", message: messageOf(answer.errors) }]);
  }
  const { decision, diagnostics } = answer.response;
  if (diagnostics.errors.length > 0) {
    // Cedar skips a policy that fails, a forbid too: what it permits then is no permission.
    return failed(
      diagnostics.errors.map(({ policyId, error }) => ({ policyId, message: error.message })),
    );
  }
  return {
    verdict: decision === "allow" ? "permit" : "deny",
    policyIds: [...diagnostics.reason].sort(compareText),
    failures: [],
  };
}

function ask(slot: string, request: PolicyRequest): cedar.AuthorizationAnswer {
  const { principal, resource, context } = request;
  return guarded((cedar) =>
    cedar.statefulIsAuthorized({
      principal: { type: "Agency", id: principal },
      action: { type: "Action", id: "call" },
      resource: { type: "Service", id: resource },
      context: context as unknown as cedar.Context,
      preparsedPolicySetId: slot,
      preparsedSchemaName: slot,
      validateRequest: true,
      entities: [],
    }),
  );
}

function failed(failures: readonly PolicyFailure[]): PolicyVerdict {
  const sorted = [...failures].sort(
    (a, b) => compareText(a.policyId, b.policyId) || compareText(a.message, b.message),
  );
  return { verdict: "deny", policyIds: [], failures: sorted };
}

function prepare(query: PolicyQuery): Prepared {
  const key = `${query.policyDigest} ${query.schemaDigest}`;
  const known = running().slots.get(key);
  if (known !== undefined) return { kind: "parsed", slot: known };
  const broken = failedSets.get(key);
  if (broken !== undefined) return { kind: "failed", message: broken };

  const { parts, schemaText, problems } = parseSet(query.blobs());
  const problem = problems[0]?.message ?? storeSet(key, parts, schemaText);
  if (problem === undefined) return prepare(query);
  failedSets.set(key, problem);
  return { kind: "failed", message: problem };
}

/** Parses a set into a slot. Returns why it cannot, or `undefined`. */
function storeSet(
  key: string,
  parts: readonly PolicyPart[],
  schemaText: string,
): string | undefined {
  const { slots, freeSlots } = running();
  const slot = freeSlots.pop() ?? (slots.takeOldest() as string);
  const answers = [
    guarded((cedar) => cedar.preparsePolicySet(slot, { staticPolicies: recordOf(parts) })),
    guarded((cedar) => cedar.preparseSchema(slot, schemaText)),
  ];
  const errors = answers.flatMap((answer) => (answer.type === "failure" ? answer.errors : []));
  if (errors.length > 0) {
    freeSlots.push(slot);
    return messageOf(errors);
  }
  slots.set(key, slot);
  return undefined;
}

interface Failure {
  readonly type: "failure";
  readonly errors: cedar.DetailedError[];
  readonly warnings: cedar.DetailedError[];
}

/**
 * Calls the program. It throws for what its JSON cannot carry and for what exceeds its stack, both of
 * which are kept from it; to us that is one more failure.
 */
function guarded<T extends { readonly type: string }>(call: (cedar: Cedar) => T): T | Failure {
  const { cedar } = running();
  try {
    return call(cedar);
  } catch (cause) {
    abandonProgram();
    const message = cause instanceof Error ? cause.message : String(cause);
    const error = { message, help: null, code: null, url: null, severity: null };
    return { type: "failure", errors: [error], warnings: [] };
  }
}

function messageOf(errors: readonly cedar.DetailedError[]): string {
  return errors.map(({ message }) => message).join("; ");
}

interface ParsedSet {
  readonly policyText: string;
  readonly schemaText: string;
  readonly parts: readonly PolicyPart[];
  readonly problems: readonly PolicyProblem[];
}

/** Reads both blobs as far as they can be read without asking whether they agree. */
function parseSet(blobs: PolicyBlobs): ParsedSet {
  const problems: PolicyProblem[] = [];
  function textOf(blob: PolicyProblem["blob"]): string {
    const text = parseUtf8(blobs[blob]);
    if (text === undefined) problems.push({ severity: "error", blob, message: "not UTF-8" });
    const excess = text === undefined ? undefined : excessOf(text, blob);
    if (text === undefined || excess === undefined) return text ?? "";
    const { message, start } = excess;
    problems.push({ severity: "error", blob, ...placeOf(text, start), message });
    return "";
  }
  const policyText = textOf("policy");
  const schemaText = textOf("schema");
  if (problems.length > 0) return { policyText, schemaText, parts: [], problems };

  const policies = parsePolicies(policyText);
  const schema = guarded((cedar) => cedar.checkParseSchema(schemaText));
  const schemaErrors = schema.type === "failure" ? schema.errors : [];
  problems.push(
    ...policies.problems,
    ...schemaErrors.map((error) =>
      problemOf({ error, severity: "error", blob: "schema", text: schemaText }),
    ),
  );
  return { policyText, schemaText, parts: policies.parts, problems };
}

function parsePolicies(text: string): Pick<ParsedSet, "parts" | "problems"> {
  const split = guarded((cedar) => cedar.policySetTextToParts(text));
  if (split.type === "failure") {
    const problems = split.errors.map((error) =>
      problemOf({ error, severity: "error", blob: "policy", text }),
    );
    return { parts: [], problems };
  }
  if (split.policy_templates.length > 0) {
    const message = "a template stands in the set; nothing links it";
    return { parts: [], problems: [{ severity: "error", blob: "policy", message }] };
  }
  const problems: PolicyProblem[] = [];
  const parts: PolicyPart[] = [];
  let end = 0;
  for (const policyText of inSourceOrder(split.policies)) {
    const start = text.indexOf(policyText, end);
    end = start + policyText.length;
    const answer = guarded((cedar) => cedar.policyToJson(policyText));
    const json = answer.type === "success" ? answer.json : undefined;
    parts.push({ id: json?.annotations?.["id"], text: policyText, start });
    if (json !== undefined && !exceedsLevels(json.conditions)) continue;
    const message = "the policy's conditions are nested too deep";
    problems.push({ severity: "error", blob: "policy", ...placeOf(text, start), message });
  }
  return { parts, problems: [...problems, ...idProblems(text, parts)] };
}

/** Cedar returns the policies sorted by the ids that it counts: policy0, policy1, policy10, policy2. */
function inSourceOrder(sorted: readonly string[]): readonly string[] {
  const ids = sorted.map((_, i) => `policy${i}`);
  const places = new Map(ids.toSorted(compareText).map((id, i) => [id, i]));
  return ids.map((id) => sorted[places.get(id) as number] as string);
}

function recordOf(parts: readonly PolicyPart[]): Record<string, string> {
  return Object.fromEntries(parts.map(({ id, text }) => [id ?? "", text]));
}

function validate(blobs: PolicyBlobs): readonly PolicyProblem[] {
  const set = parseSet(blobs);
  return set.problems.length > 0 ? set.problems : typeProblems(set);
}

/** What Cedar's strict validation says of policies that parse. */
function typeProblems({ policyText, schemaText, parts }: ParsedSet): readonly PolicyProblem[] {
  const answer = guarded((cedar) =>
    cedar.validate({
      validationSettings: { mode: "strict" },
      schema: schemaText,
      policies: { staticPolicies: recordOf(parts) },
    }),
  );
  if (answer.type === "failure") {
    return answer.errors.map((error) =>
      problemOf({ error, severity: "error", blob: "policy", text: policyText }),
    );
  }
  const placed = (severity: PolicyProblem["severity"]) => (found: cedar.ValidationError) => {
    const part = parts.find(({ id }) => id === found.policyId);
    const { error, policyId } = found;
    return problemOf({
      error,
      severity,
      blob: "policy",
      text: policyText,
      start: part?.start ?? 0,
      policyId,
    });
  };
  return [
    ...answer.validationErrors.map(placed("error")),
    ...answer.validationWarnings.map(placed("warning")),
  ].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || compareText(a.message, b.message));
}
