/** The generic model of a policy request, made from the facts of a call. */
import { parseHex } from "../base/bytes.ts";
import { assertInvariant, CausewayError } from "../base/errors.ts";
import { agencyOf, cityOf } from "../base/ids.ts";
import type { ServiceMethod } from "../credential/statements.ts";
import type { GrantFact, PolicyFact } from "../registry/state.ts";
import type { Attempt } from "./grant-check.ts";
import type { PolicyQuery, PolicyRequest } from "./ports.ts";

/** What the policy is asked about an attempt that the grant check permits. */
export function requestOf(
  attempt: Attempt,
  method: ServiceMethod,
  grant: GrantFact,
  attributes: PolicyRequest["context"]["attributes"],
): PolicyRequest {
  const { detail, standing } = grant;
  const consumer = agencyOf(attempt.consumerGateway);
  assertInvariant(
    standing.nbf !== undefined && standing.exp !== undefined,
    "the grant check permits without a period",
  );
  return {
    principal: consumer,
    resource: attempt.service,
    context: {
      method: attempt.method,
      purpose: attempt.purpose,
      writes: method.writes,
      consumer_city: cityOf(consumer),
      provider_city: cityOf(attempt.service),
      now: attempt.evaluatedAtS,
      grant: {
        legal_basis: detail.legal_basis,
        methods: detail.methods,
        purposes: detail.purposes,
        not_before: standing.nbf,
        expires: standing.exp,
      },
      attributes,
    },
  };
}

/** The request under the policy in force. Its blobs are read when the engine asks: BLOB_MISSING when one is not at hand. */
export function queryOf(
  { body }: PolicyFact,
  request: PolicyRequest,
  blob: (sha256: Uint8Array) => Uint8Array | undefined,
): PolicyQuery {
  function read(digest: string): Uint8Array {
    const content = blob(digestBytes(digest));
    if (content !== undefined) return content;
    throw new CausewayError("BLOB_MISSING", "a published blob is not at hand", {
      fields: { sha256: digest },
    });
  }
  return {
    policyDigest: body.policy,
    schemaDigest: body.schema,
    blobs: () => ({ policy: read(body.policy), schema: read(body.schema) }),
    request,
  };
}

/** The 32 bytes of a digest that the registry holds as hex. */
export function digestBytes(hex: string): Uint8Array {
  const bytes = parseHex(hex);
  assertInvariant(bytes?.length === 32, "the registry holds a digest that is none");
  return bytes;
}
