/** What a request asks for and a grant gives beside methods and purposes: as flags, and checked. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { compareText } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type {
  AuthorizationDetail,
  QuotaRule,
  QuotaShare,
  RequiredDurability,
} from "../../src/credential/statements.ts";
import { statusDetailsKey, statusMessageKey } from "../../src/policy/mask-metadata.ts";
import { validateMaskPaths } from "../../src/policy/mask-paths.ts";
import { digestBytes } from "../../src/policy/policy-request.ts";
import { type AdminClient, readStatementAt } from "./admin-client.ts";
import { integerFlag } from "./flags.ts";
import { findService } from "./service.ts";

export interface LimitOptions {
  /** Dotted paths of the answer's fields. */
  readonly field?: readonly string[] | undefined;
  readonly metadata?: readonly string[] | undefined;
  readonly quota?: QuotaRule | undefined;
  readonly maxMessages?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly durability?: RequiredDurability | undefined;
}

const periodUnitsS = { s: 1, m: 60, h: 3600, d: 24 * 3600 } as const;

/** Reads `<limit>/<period>`, such as `1000/1d`. */
export function quotaFlag(text: string): QuotaRule {
  const [, limit, count, unit] = /^(\d{1,15})\/(\d{1,8})([smhd])$/.exec(text) ?? [];
  const period_s = Number(count) * (periodUnitsS[unit as keyof typeof periodUnitsS] ?? 0);
  if (Number(limit) >= 1 && period_s >= 1 && period_s <= 366 * periodUnitsS.d) {
    return { limit: Number(limit), period_s };
  }
  throw new InvalidArgumentError(
    "It is a number of exchanges and a period of s, m, h or d, at most 366d, such as 1000/1d.",
  );
}

/** Collects `<gateway>=<limit>` of the shares of a quota. */
export function shareFlag(text: string, before: readonly QuotaShare[] = []): readonly QuotaShare[] {
  const [gateway = "", limit = "", ...more] = text.split("=");
  if (gateway === "" || more.length > 0) {
    throw new InvalidArgumentError(
      "It is a gateway's id and its share, such as city/agency/gw1=500.",
    );
  }
  return [...before, { gateway, limit: integerFlag(1)(limit) }];
}

/** Flags that limit what is asked for or given. */
export function withLimits(command: Command): Command {
  return command
    .option(
      "--field <path...>",
      "field of the answer that passes, such as division.name; all without it",
    )
    .option(
      "--metadata <key...>",
      `beside --field: header or trailer that passes; ${statusMessageKey} and ${statusDetailsKey} for those of a status`,
    )
    .option("--quota <n/period>", "exchanges in each period, such as 1000/1d", quotaFlag)
    .option("--max-messages <n>", "most messages of one answer", integerFlag(1))
    .option("--max-bytes <n>", "most message bytes of one answer", integerFlag(1))
    .addOption(
      new Option(
        "--durability <state>",
        "what an answer waits for: its receipt in the provider's journal, or final on the ledger",
      ).choices(["journal", "ledger"]),
    );
}

/** The members that the flags give; those that are not given are absent. */
export function limitsOf(options: LimitOptions): Partial<AuthorizationDetail> {
  const { field, metadata, quota, maxMessages, maxBytes, durability } = options;
  return {
    ...(field === undefined ? {} : { fields: sorted(field) }),
    ...(metadata === undefined ? {} : { metadata: sorted(metadata) }),
    ...(quota === undefined ? {} : { quota }),
    ...(maxMessages === undefined ? {} : { messages_max: maxMessages }),
    ...(maxBytes === undefined ? {} : { bytes_max: maxBytes }),
    ...(durability === undefined ? {} : { durability }),
  };
}

/** The limits of details in one line, as the flags would give them; empty without any. */
export function limitsText(details: readonly AuthorizationDetail[]): string {
  return details.map(limitText).join("; ");
}

function limitText(detail: AuthorizationDetail): string {
  const { fields, metadata, quota, messages_max, bytes_max, durability } = detail;
  const limits: readonly (readonly [string, string | number | undefined])[] = [
    ["field", fields?.join(",")],
    ["metadata", metadata?.join(",")],
    ["quota", quota === undefined ? undefined : `${quota.limit}/${quota.period_s}s`],
    ["max-messages", messages_max],
    ["max-bytes", bytes_max],
    ["durability", durability],
  ];
  return limits
    .flatMap(([name, limit]) => (limit === undefined ? [] : `${name}=${limit}`))
    .join(" ");
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort(compareText);
}

/**
 * Checks the fields of a detail against the descriptors that its service has published, of which the own
 * gateway has a copy. Throws SERVICE_UNKNOWN, MASK_INVALID, or USAGE_INVALID for metadata without fields.
 */
export async function checkLimits(client: AdminClient, detail: AuthorizationDetail): Promise<void> {
  const { service, methods, fields, metadata } = detail;
  if (fields === undefined) {
    if (metadata === undefined) return;
    throw new CausewayError(
      "USAGE_INVALID",
      "--metadata limits nothing without --field: name both",
    );
  }
  const entry = await findService(client, service);
  if (entry === undefined)
    throw new CausewayError("SERVICE_UNKNOWN", `${service} is not published`);
  const { descriptor } = await readStatementAt(client, entry.address, "service");
  const descriptors = await client.getBlob(digestBytes(descriptor));
  validateMaskPaths({ descriptors, methods, paths: fields });
}
