import type { Command } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import { AdminService, type GrantEntry } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { type AdminClient, type AdminOptions, withAdminClient } from "./admin-client.ts";
import { type AdministratorOptions, sayAsAdministrator } from "./carry.ts";
import { withAdmin, withAdministrator, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { type OutputOptions, type Row, writeRow, writeRows } from "./output.ts";

export interface GrantRevokeOptions extends AdministratorOptions {
  readonly reason: string;
}

/** Prints the grants. */
export async function grantList(options: AdminOptions & OutputOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const { grants } = await client.call(AdminService.method.listGrants, {});
    const rows = grants.map((grant): Row => {
      const { jti, state, consumer, service, expires, address } = grant;
      return { grant: jti, state, consumer, service, expires: timeText(expires), address };
    });
    writeRows(io, rows, { ...options, none: "No grant is on the ledger." });
  });
}

/** Prints one grant whole. */
export async function grantShow(
  jti: string,
  options: AdminOptions & OutputOptions,
  io: Io,
): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const grant = await findGrant(client, jti);
    const { state, consumer, provider, service, methods, purposes, address, revokedBy } = grant;
    const { notBefore, expires, payload } = grant;
    const row: Row = {
      grant: jti,
      state,
      consumer,
      provider,
      service,
      methods,
      purposes,
      not_before: timeText(notBefore),
      expires: timeText(expires),
      address,
      revoked_by: revokedBy,
      authorization: JSON.parse(payload) as Readonly<Record<string, unknown>>,
    };
    writeRow(io, row, options);
  });
}

/** Revokes a grant: it acts at the own gateway at once, everywhere when final. */
export async function grantRevoke(jti: string, options: GrantRevokeOptions, io: Io): Promise<void> {
  await sayAsAdministrator("revocation", options, io, async (client) => {
    const { consumer } = await findGrant(client, jti);
    return { sub: consumer, body: { grant: jti, reason: options.reason } };
  });
}

/** Approves a grant that waits for a second person. */
export async function grantApprove(
  jti: string,
  options: AdministratorOptions & { readonly consumer: string },
  io: Io,
): Promise<void> {
  await sayAsAdministrator("approval", options, io, async () => ({
    sub: options.consumer,
    body: { grant: jti },
  }));
}

async function findGrant(client: AdminClient, jti: string): Promise<GrantEntry> {
  const { grants } = await client.call(AdminService.method.listGrants, {});
  const grant = grants.find((one) => one.jti === jti);
  if (grant === undefined) throw new CausewayError("GRANT_UNKNOWN", `no grant ${jti}`);
  return grant;
}

function timeText(seconds: bigint): string {
  return seconds === 0n ? "" : new Date(Number(seconds) * 1000).toISOString();
}

export function registerGrant(program: Command, io: Io): void {
  const grant = program.command("grant").description("what a provider has granted to a consumer");
  withFormat(withAdmin(grant.command("list").description("list the grants"))).action(
    (options: AdminOptions & OutputOptions) => grantList(options, io),
  );
  withFormat(
    withAdmin(grant.command("show").description("show one grant").argument("<jti>", "the grant")),
  ).action((jti: string, options: AdminOptions & OutputOptions) => grantShow(jti, options, io));
  withAdministrator(
    grant
      .command("approve")
      .description("approve a grant that waits for a second approver")
      .argument("<jti>", "the grant")
      .requiredOption("--consumer <agency>", "the agency that it is for"),
  ).action((jti: string, options: AdministratorOptions & { readonly consumer: string }) =>
    grantApprove(jti, options, io),
  );
  withAdministrator(
    grant
      .command("revoke")
      .description("end a grant at once")
      .argument("<jti>", "the grant")
      .requiredOption("--reason <code>", "a reason code; texts stay with the parties"),
  ).action((jti: string, options: GrantRevokeOptions) => grantRevoke(jti, options, io));
}
