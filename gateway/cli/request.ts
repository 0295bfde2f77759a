import type { Command } from "commander";
import { compareText } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { AuthorizationDetail, QuotaShare } from "../../src/credential/statements.ts";
import { type AccessRequestEntry, AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { isWithinRequest } from "../../src/registry/within.ts";
import { type AdminClient, type AdminOptions, withAdminClient } from "./admin-client.ts";
import {
  checkLimits,
  type LimitOptions,
  limitsOf,
  limitsText,
  shareFlag,
  withLimits,
} from "./authorization.ts";
import { type AdministratorOptions, sayAsAdministrator } from "./carry.ts";
import { integerFlag, withAdmin, withAdministrator, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { type OutputOptions, writeRows } from "./output.ts";

export interface RequestCreateOptions extends AdministratorOptions, LimitOptions {
  readonly service: string;
  readonly method: readonly string[];
  readonly purpose: readonly string[];
  readonly legalBasis: string;
}

export interface RequestApproveOptions extends AdministratorOptions, LimitOptions {
  readonly days: number;
  /** Of the request's methods and purposes; all unless given. */
  readonly method?: readonly string[] | undefined;
  readonly purpose?: readonly string[] | undefined;
  /** How a quota is shared among the provider's gateways. */
  readonly share?: readonly QuotaShare[] | undefined;
}

export interface RequestDenyOptions extends AdministratorOptions {
  readonly reason: string;
}

const dayS = 24 * 3600;

/** Asks for access to a data service. */
export async function requestCreate(options: RequestCreateOptions, io: Io): Promise<void> {
  const { service, method, purpose, legalBasis } = options;
  const detail: AuthorizationDetail = {
    type: "causeway-service",
    service,
    methods: method.toSorted(compareText),
    purposes: purpose.toSorted(compareText),
    legal_basis: legalBasis,
    ...limitsOf(options),
  };
  await sayAsAdministrator("request", options, io, async (client) => {
    await checkLimits(client, detail);
    return { sub: service, body: { authorization_details: [detail] } };
  });
}

/** Grants what a request asks for, or less of it, from now on for a number of days. */
export async function requestApprove(
  jti: string,
  options: RequestApproveOptions,
  io: Io,
): Promise<void> {
  await sayAsAdministrator("grant", options, io, async (client, { nowS }) => {
    const { consumer, payload } = await openRequest(client, jti);
    const asked = JSON.parse(payload) as readonly AuthorizationDetail[];
    const details = asked.map((detail) => narrowed(detail, options));
    for (const detail of details) await checkLimits(client, detail);
    return {
      sub: consumer,
      nbf: nowS,
      exp: nowS + options.days * dayS,
      body: { request: jti, authorization_details: details },
    };
  });
}

/** What the flags leave of a detail. Throws OUTSIDE_REQUEST when they give more than was asked for. */
function narrowed(asked: AuthorizationDetail, options: RequestApproveOptions): AuthorizationDetail {
  const { method, purpose, share } = options;
  const detail: AuthorizationDetail = {
    ...asked,
    ...(method === undefined ? {} : { methods: method.toSorted(compareText) }),
    ...(purpose === undefined ? {} : { purposes: purpose.toSorted(compareText) }),
    ...limitsOf(options),
  };
  if (!isWithinRequest(detail, asked)) {
    const message = "the flags give more than was asked for: compare with `causeway request list`";
    throw new CausewayError("OUTSIDE_REQUEST", message);
  }
  if (share === undefined) return detail;
  if (detail.quota === undefined) {
    throw new CausewayError("USAGE_INVALID", "--share shares out a quota: name --quota too");
  }
  const shares = share.toSorted((a, b) => compareText(a.gateway, b.gateway));
  return { ...detail, quota: { ...detail.quota, shares } };
}

/** Denies a request. The reason is a code: texts stay with the parties. */
export async function requestDeny(jti: string, options: RequestDenyOptions, io: Io): Promise<void> {
  await sayAsAdministrator("denial", options, io, async (client) => {
    const { consumer } = await openRequest(client, jti);
    return { sub: consumer, body: { request: jti, reason: options.reason } };
  });
}

/** Prints the access requests. */
export async function requestList(options: AdminOptions & OutputOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const { accessRequests } = await client.call(AdminService.method.listAccessRequests, {});
    const rows = accessRequests.map(
      ({ jti, state, consumer, service, methods, purposes, address, payload }) => ({
        request: jti,
        state,
        consumer,
        service,
        purposes,
        methods,
        limits: limitsText(JSON.parse(payload) as readonly AuthorizationDetail[]),
        address,
      }),
    );
    writeRows(io, rows, { ...options, none: "No access request is on the ledger." });
  });
}

async function openRequest(client: AdminClient, jti: string): Promise<AccessRequestEntry> {
  const { accessRequests } = await client.call(AdminService.method.listAccessRequests, {});
  const request = accessRequests.find((one) => one.jti === jti);
  if (request === undefined) throw new CausewayError("REQUEST_UNKNOWN", `no access request ${jti}`);
  if (request.state === "OPEN") return request;
  throw new CausewayError("ALREADY_TAKEN", `the access request is ${request.state.toLowerCase()}`);
}

export function registerRequest(program: Command, io: Io): void {
  const request = program.command("request").description("requests for access to data services");
  withAdministrator(
    withLimits(
      request
        .command("create")
        .description("ask for access to a data service")
        .requiredOption("--service <id>", "the data service")
        .requiredOption("--method <path...>", "/package.Service/Method; may be given several times")
        .requiredOption("--purpose <code...>", "what it is needed for")
        .requiredOption("--legal-basis <code>", "law or rule that the access rests on"),
    ),
  ).action((options: RequestCreateOptions) => requestCreate(options, io));
  withFormat(
    withAdmin(request.command("list").description("list the access requests and their answers")),
  ).action((options: AdminOptions & OutputOptions) => requestList(options, io));
  withAdministrator(
    withLimits(
      request
        .command("approve")
        .description("grant what a request asks for, or as much of it as the flags leave")
        .argument("<jti>", "the access request")
        .requiredOption("--days <n>", "how long the grant is in force", integerFlag(1))
        .option("--method <path...>", "only these of its methods")
        .option("--purpose <code...>", "only for these of its purposes")
        .option(
          "--share <gateway=n>",
          "share of the quota that one provider gateway gives out; without shares they count what they see of each other",
          shareFlag,
        ),
    ),
  ).action((jti: string, options: RequestApproveOptions) => requestApprove(jti, options, io));
  withAdministrator(
    request
      .command("deny")
      .description("deny a request")
      .argument("<jti>", "the access request")
      .requiredOption("--reason <code>", "a reason code; texts stay with the parties"),
  ).action((jti: string, options: RequestDenyOptions) => requestDeny(jti, options, io));
}
