import type { Command } from "commander";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { policyTextBytesMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { PolicyBody, ServiceBody } from "../../src/credential/statements.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import type { PolicyBlobs } from "../../src/policy/ports.ts";
import { checkPolicyPublication } from "../../src/policy/publication.ts";
import { standardPolicyText, standardSchema } from "../../src/policy/standard.ts";
import { readBounded } from "../keys/files.ts";
import { readStatementAt } from "./admin-client.ts";
import { type AdministratorOptions, sayAsAdministrator } from "./carry.ts";
import { withAdministrator } from "./flags.ts";
import type { Io } from "./io.ts";
import { findService } from "./service.ts";

export interface PolicyPublishOptions extends AdministratorOptions {
  readonly service: string;
  /** Cedar policies; the standard ones unless given. */
  readonly policy?: string | undefined;
  /** Cedar schema; the standard one for the service's attributes unless given. */
  readonly schema?: string | undefined;
}

/** Publishes the policy set of a service, or its next version, after it has been validated. */
export async function policyPublish(options: PolicyPublishOptions, io: Io): Promise<void> {
  const { service: id } = options;
  await sayAsAdministrator("policy", options, io, async (client) => {
    const entry = await findService(client, id);
    if (entry === undefined) throw new CausewayError("SERVICE_UNKNOWN", `${id} is not published`);
    const service = await readStatementAt(client, entry.address, "service");
    const blobs = await readBlobs(options, service);
    const { policyAddress } = entry;
    const newest =
      policyAddress === "" ? undefined : await readStatementAt(client, policyAddress, "policy");
    const body: PolicyBody = {
      version: (newest?.version ?? 0) + 1,
      policy: toHex(sha256(blobs.policy)),
      policy_bytes: blobs.policy.length,
      schema: toHex(sha256(blobs.schema)),
      schema_bytes: blobs.schema.length,
    };
    const engine = createCedarEngine();
    const warnings = checkPolicyPublication({
      engine,
      body,
      blobs,
      service: { id, body: service },
    });
    for (const { message } of warnings) io.warn(`warning: ${message}\n`);
    await client.putBlob(blobs.policy);
    await client.putBlob(blobs.schema);
    return { sub: id, body };
  });
}

async function readBlobs(
  options: PolicyPublishOptions,
  service: ServiceBody,
): Promise<PolicyBlobs> {
  const { policy, schema } = options;
  return {
    policy:
      policy === undefined
        ? utf8(standardPolicyText)
        : await readBounded(policy, policyTextBytesMax),
    schema:
      schema === undefined
        ? utf8(standardSchema(service.attributes))
        : await readBounded(schema, policyTextBytesMax),
  };
}

export function registerPolicy(program: Command, io: Io): void {
  const policy = program.command("policy").description("Cedar policies of a data service");
  withAdministrator(
    policy
      .command("publish")
      .description("validate and publish the policy set of a data service, or its next version")
      .requiredOption("--service <id>", "the data service")
      .option("--policy <file>", "Cedar policies; without it what the grant covers is permitted")
      .option("--schema <file>", "Cedar schema; without it the standard one for the service"),
  ).action((options: PolicyPublishOptions) => policyPublish(options, io));
}
