/**
 * A place to try: a network of two cities on loopback in front of one gRPC server. Its founding, its
 * gateways and its statements are those of any other network, made by the same commands.
 */
import { CausewayError } from "../../src/base/errors.ts";
import { toHex } from "../../src/base/bytes.ts";
import type { Io } from "../cli/io.ts";
import { counted } from "../cli/output.ts";
import { createDevFolder } from "./dev-folder.ts";
import {
  type DevMember,
  devPurpose,
  devSystem,
  inside,
  createMembers,
  writeConfiguration,
} from "./dev-member.ts";
import { foundNetwork } from "./dev-network.ts";
import type { DevService } from "./dev-services.ts";
import {
  grantEverything,
  publishServices,
  serviceId,
  untilReady,
  type DevIo,
} from "./dev-sharing.ts";
import { GatewayProcesses } from "./gateway-processes.ts";

export interface DevUpOptions {
  /** `host:port` of the gRPC server, plaintext. */
  readonly upstream: string;
  readonly services: readonly DevService[];
  /** Where callers reach the consumer's gateway; a free port on loopback unless given. */
  readonly listen?: string | undefined;
  /** An empty or new folder, which stays; a temporary one unless given. */
  readonly folder?: string | undefined;
  /** Leaves a temporary folder where it is. */
  readonly keep?: boolean | undefined;
}

export interface DevNetwork {
  readonly folder: string;
  readonly isKept: boolean;
  readonly provider: DevMember;
  readonly consumer: DevMember;
  /** Rejects when a gateway ends by itself. */
  readonly ended: Promise<never>;
  /** Ends both gateways and removes what is not kept. */
  close(): Promise<void>;
}

// A guess at the passphrase costs 2^10 here, 2^18 with the commands themselves: the passphrase stands beside the keys.
const scryptLogN = 10;
const passphraseBytes = 16;

/**
 * Brings the network up; resolves when the first call can be made. What fails leaves nothing running, and
 * no folder that was not asked for.
 *
 * @param options.tell Told each step as it begins.
 * @param options.signal Ends the work early: rejects with CANCELLED.
 */
export async function devUp(
  options: DevUpOptions & { readonly tell: (step: string) => void; readonly signal: AbortSignal },
  io: Io,
): Promise<DevNetwork> {
  const folder = createDevFolder(options);
  const gateways = new GatewayProcesses();
  const ending = new AbortController();
  const close = async (): Promise<void> => {
    await gateways.stop();
    folder.close();
  };
  const work = bringUp(
    { ...options, folder: folder.path, gateways },
    { ...io, signal: ending.signal },
  );
  try {
    const members = await Promise.race([work, gateways.ended, aborted(options.signal)]);
    return { folder: folder.path, isKept: folder.isKept, ...members, ended: gateways.ended, close };
  } catch (error) {
    ending.abort();
    await gateways.stop();
    // What is under way may still write: the folder is removed after it.
    await work.catch(() => undefined);
    folder.close();
    throw error;
  }
}

async function bringUp(
  options: Parameters<typeof devUp>[0] & {
    readonly folder: string;
    readonly gateways: GatewayProcesses;
  },
  outer: DevIo,
): Promise<{ readonly provider: DevMember; readonly consumer: DevMember }> {
  const { services, tell, upstream, folder, gateways, listen } = options;
  const passphrase = toHex(outer.random(passphraseBytes));
  const members = await createMembers(folder, { listen, passphrase });
  const { provider, consumer } = members;
  // What the commands print is for those who type them: here only a failure is told.
  const io: DevIo = {
    ...outer,
    write: () => undefined,
    warn: () => undefined,
    environment: { passphraseFile: inside(provider, "passphrase") },
    scryptLogN,
  };
  const step = (what: string): void => {
    outer.signal.throwIfAborted();
    tell(what);
  };
  step("two cities make their keys and found a network");
  await foundNetwork(members, io);
  const upstreams = Object.fromEntries(
    services.map((service) => [serviceId(provider, service), upstream]),
  );
  writeConfiguration(provider, { upstreams });
  writeConfiguration(consumer, {
    agency_systems: [{ id: devSystem, loopback: true, defaults: { purpose: devPurpose } }],
  });
  step("each city starts its gateway");
  for (const member of [provider, consumer]) gateways.start(member.folder);
  await untilReady([provider, consumer], io);
  const sharing = { ...members, services };
  step(`${countOf(services)} published`);
  await publishServices(sharing, io);
  step("access is asked for and granted");
  await grantEverything(sharing, io);
  return members;
}

function countOf(services: readonly DevService[]): string {
  const methods = services.reduce((sum, service) => sum + service.methods.length, 0);
  return `${counted(services.length, "data service")} with ${counted(methods, "method")} ${services.length === 1 ? "is" : "are"}`;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(new CausewayError("CANCELLED", "ended before it was ready"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
