import { policyVerdictsMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import type { PolicyEngine, PolicyQuery, PolicyVerdict } from "./ports.ts";

/** Everything that a verdict depends on, as one text: equal texts have equal inputs. */
function keyOf({ policyDigest, schemaDigest, request }: PolicyQuery): string {
  const { principal, resource, context } = request;
  return JSON.stringify([policyDigest, schemaDigest, principal, resource, context]);
}

/**
 * The same engine, remembering at most `verdictsMax` verdicts on their exact inputs.
 * Grants, keys and membership are not among them: they are checked for every call.
 */
export function memoiseVerdicts(
  engine: PolicyEngine,
  verdictsMax: number = policyVerdictsMax,
): PolicyEngine {
  const verdicts = new Lru<string, PolicyVerdict>(verdictsMax);
  return {
    name: engine.name,
    version: engine.version,
    digest: engine.digest,
    evaluate(query: PolicyQuery): PolicyVerdict {
      const key = keyOf(query);
      const known = verdicts.get(key);
      if (known !== undefined) return known;
      const verdict = engine.evaluate(query);
      verdicts.set(key, verdict);
      return verdict;
    },
    validate: (blobs) => engine.validate(blobs),
  };
}
