/** Services published and granted in a place to try, by the commands of both administrators. */
import { writeFileSync } from "node:fs";
import { CausewayError } from "../../src/base/errors.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { type AdminClient, withAdminClient } from "../cli/admin-client.ts";
import type { AdministratorOptions } from "../cli/carry.ts";
import type { Io } from "../cli/io.ts";
import { policyPublish } from "../cli/policy.ts";
import { requestApprove, requestCreate } from "../cli/request.ts";
import { servicePublish } from "../cli/service.ts";
import { type DevMember, devPurpose, inside } from "./dev-member.ts";
import type { DevService } from "./dev-services.ts";

/** Services that are worked on at once. */
const concurrency = 8;
const pollMs = 50;
const waitMs = 60_000;
const grantDays = 365;
const legalBasis = "trial";

/** What the commands are given, and when they are to give up. */
export interface DevIo extends Io {
  readonly signal: AbortSignal;
}

export interface Sharing {
  readonly provider: DevMember;
  readonly consumer: DevMember;
  readonly services: readonly DevService[];
}

/** Id of a data service of the provider. */
export function serviceId({ agency }: DevMember, { name }: DevService): string {
  return `${agency}/${name}`;
}

function asAdministrator(member: DevMember): AdministratorOptions {
  return {
    admin: inside(member, "admin.sock"),
    folder: inside(member, "administrator"),
    passphraseFile: inside(member, "passphrase"),
    output: "json",
  };
}

/** Publishes every service with the standard policy. Resolves when the consumer's gateway has verified them. */
export async function publishServices(sharing: Sharing, io: DevIo): Promise<void> {
  const { provider, consumer, services } = sharing;
  await forEach(services, async (service) => {
    const descriptors = inside(provider, `${service.name}.binpb`);
    writeFileSync(descriptors, service.descriptors);
    const id = serviceId(provider, service);
    const method = service.methods.map(({ path, writes }) => (writes ? `${path}=writes` : path));
    await servicePublish(
      {
        ...asAdministrator(provider),
        id,
        descriptors,
        method,
        purpose: [devPurpose],
        sharing: "conditional",
      },
      io,
    );
    await policyPublish({ ...asAdministrator(provider), service: id }, io);
  });
  await until(consumer, io, async (client) => {
    const { services: known } = await client.call(AdminService.method.listServices, {});
    return services.every((service) =>
      known.some((one) => one.id === serviceId(provider, service) && one.policyAddress !== ""),
    );
  });
}

/** Grants every method of every service to the consumer. Resolves when its gateway knows the grants. */
export async function grantEverything(sharing: Sharing, io: DevIo): Promise<void> {
  const { provider, consumer, services } = sharing;
  const asked: string[] = [];
  await forEach(services, async (service) => {
    const said = await saidBy(io, (listening) =>
      requestCreate(
        {
          ...asAdministrator(consumer),
          service: serviceId(provider, service),
          method: service.methods.map(({ path }) => path),
          purpose: [devPurpose],
          legalBasis,
        },
        listening,
      ),
    );
    asked.push(said);
  });
  await until(provider, io, async (client) => {
    const { accessRequests } = await client.call(AdminService.method.listAccessRequests, {});
    return asked.every((jti) => accessRequests.some((one) => one.jti === jti));
  });
  const granted: string[] = [];
  await forEach(asked, async (jti) => {
    const options = { ...asAdministrator(provider), days: grantDays };
    granted.push(await saidBy(io, (listening) => requestApprove(jti, options, listening)));
  });
  await until(consumer, io, async (client) => {
    const { grants } = await client.call(AdminService.method.listGrants, {});
    return granted.every((jti) =>
      grants.some((one) => one.jti === jti && one.state === "IN_FORCE"),
    );
  });
}

/** Waits until both gateways take calls. */
export async function untilReady(members: readonly DevMember[], io: DevIo): Promise<void> {
  for (const member of members) {
    await until(member, io, async (client) => {
      const { notReady, finalSize } = await client.call(AdminService.method.getStatus, {});
      return notReady.length === 0 && finalSize > 0n;
    });
  }
}

/** The id of the statement that a command carries. */
async function saidBy(io: Io, command: (io: Io) => Promise<void>): Promise<string> {
  let printed = "";
  await command({
    ...io,
    write: (text) => {
      printed += text;
    },
  });
  return (JSON.parse(printed) as { readonly jti: string }).jti;
}

/** Asks a gateway until it says yes, or rejects with what it said last after a minute. */
async function until(
  member: DevMember,
  io: DevIo,
  holds: (client: AdminClient) => Promise<boolean>,
): Promise<void> {
  const lastMs = io.clock.monotonicMs() + waitMs;
  const options = { admin: inside(member, "admin.sock") };
  for (;;) {
    const isLast = io.clock.monotonicMs() > lastMs;
    const yes = await withAdminClient(options, io, holds).catch((error: unknown) => {
      // It listens on its socket only once it has started.
      if (isLast || (error as { code?: unknown }).code !== "GATEWAY_UNAVAILABLE") throw error;
      return false;
    });
    if (yes) return;
    if (io.signal.aborted) throw new CausewayError("CANCELLED", "ended before it was ready");
    if (isLast)
      throw new CausewayError("LEDGER_BEHIND", `${member.gateway} is not ready within a minute`);
    await new Promise<void>((resolve) => void io.scheduler.after(pollMs, resolve));
  }
}

async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
