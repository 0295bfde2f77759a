import type { Command } from "commander";
import { compareText } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import { type AccessRequestEntry, AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { type AdminClient, type AdminOptions, withAdminClient } from "./admin-client.ts";
import { type AdministratorOptions, sayAsAdministrator } from "./carry.ts";
import { integerFlag, withAdmin, withAdministrator, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { type OutputOptions, writeRows } from "./output.ts";

export interface RequestCreateOptions extends AdministratorOptions {
  readonly service: string;
  readonly method: readonly string[];
  readonly purpose: readonly string[];
  readonly legalBasis: string;
}

export interface RequestApproveOptions extends AdministratorOptions {
  readonly days: number;
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
  };
  await sayAsAdministrator("request", options, io, async () => ({
    sub: service,
    body: { authorization_details: [detail] },
  }));
}

/** Grants exactly what a request asks for, from now on for a number of days. */
export async function requestApprove(
  jti: string,
  options: RequestApproveOptions,
  io: Io,
): Promise<void> {
  await sayAsAdministrator("grant", options, io, async (client, { nowS }) => {
    const { consumer, payload } = await openRequest(client, jti);
    const details = JSON.parse(payload) as readonly AuthorizationDetail[];
    return {
      sub: consumer,
      nbf: nowS,
      exp: nowS + options.days * dayS,
      body: { request: jti, authorization_details: details },
    };
  });
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
      ({ jti, state, consumer, service, methods, purposes, address }) => ({
        request: jti,
        state,
        consumer,
        service,
        purposes,
        methods,
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
    request
      .command("create")
      .description("ask for access to a data service")
      .requiredOption("--service <id>", "the data service")
      .requiredOption("--method <path...>", "/package.Service/Method; may be given several times")
      .requiredOption("--purpose <code...>", "what it is needed for")
      .requiredOption("--legal-basis <code>", "law or rule that the access rests on"),
  ).action((options: RequestCreateOptions) => requestCreate(options, io));
  withFormat(
    withAdmin(request.command("list").description("list the access requests and their answers")),
  ).action((options: AdminOptions & OutputOptions) => requestList(options, io));
  withAdministrator(
    request
      .command("approve")
      .description("grant what a request asks for")
      .argument("<jti>", "the access request")
      .requiredOption("--days <n>", "how long the grant is in force", integerFlag(1)),
  ).action((jti: string, options: RequestApproveOptions) => requestApprove(jti, options, io));
  withAdministrator(
    request
      .command("deny")
      .description("deny a request")
      .argument("<jti>", "the access request")
      .requiredOption("--reason <code>", "a reason code; texts stay with the parties"),
  ).action((jti: string, options: RequestDenyOptions) => requestDeny(jti, options, io));
}
