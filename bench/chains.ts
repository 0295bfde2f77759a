/** The chains that are compared, each from its first hop to the one upstream that all of them share. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AdminClient, adminClient, eventually } from "../test/support/admin-client.ts";
import { grantAccess } from "../test/support/granted.ts";
import { grantStreams } from "../test/support/running-streams.ts";
import type { Member, TwoCities } from "../test/support/two-cities.ts";
import { certificatePem } from "../gateway/tls.ts";
import { type Child, startChild } from "./child.ts";
import type { TlsFile } from "./transport-only.ts";

export type ChainName = "base" | "nginx" | "evidence off" | "evidence on";

export interface Chain {
  readonly name: ChainName;
  /** `host:port` of the first hop. */
  readonly target: string;
  /** The two hops between client and upstream. */
  readonly hops: { readonly consumer: Child; readonly provider: Child };
  /** Resolves when nothing of the calls so far is left to do. */
  settle(): Promise<void>;
  /** Batches on the ledger; absent where there is none. */
  ledgerSize?(): Promise<bigint>;
  stop(): Promise<void>;
}

export interface ChainOptions {
  /** `host:port` */
  readonly upstream: string;
  readonly nodeFlags: readonly string[];
}

const settleMs = 120_000;
const moduleAt = (name: string): URL => new URL(`./${name}.js`, import.meta.url);
const local = (port: number): string => `127.0.0.1:${port}`;
const settled = async (): Promise<void> => undefined;

async function stopBoth({ consumer, provider }: Chain["hops"]): Promise<void> {
  await consumer.stop();
  await provider.stop();
}

/** BASE: two relays in plain grpc-js, without TLS. */
export async function startBase({ upstream, nodeFlags }: ChainOptions): Promise<Chain> {
  const relay = moduleAt("base-relay");
  const provider = await startChild(relay, ["--target", upstream], nodeFlags);
  const consumer = await startChild(relay, ["--target", local(provider.port)], nodeFlags);
  const hops = { consumer, provider };
  return {
    name: "base",
    target: local(consumer.port),
    hops,
    settle: settled,
    stop: () => stopBoth(hops),
  };
}

/** The transport of the gateways alone, under the keys of the two cities. */
export async function startEvidenceOff(
  { upstream, nodeFlags }: ChainOptions,
  cities: TwoCities,
): Promise<Chain> {
  const main = moduleAt("transport-only");
  const tlsOf = (own: Member, peer: Member): string => {
    const file = join(own.folder, "transport-only.json");
    const { certificateDer, privateKeyPem } = own.gateway.tls;
    const tls: TlsFile = {
      certificate: certificatePem(certificateDer),
      privateKey: privateKeyPem,
      peer: Buffer.from(peer.gateway.tls.certificateDer).toString("base64"),
    };
    writeFileSync(file, JSON.stringify(tls), { mode: 0o600 });
    return file;
  };
  const providerTls = ["--tls", tlsOf(cities.provider, cities.consumer)];
  const provider = await startChild(
    main,
    ["--role", "provider", ...providerTls, "--upstream", upstream],
    nodeFlags,
  );
  const consumerTls = ["--tls", tlsOf(cities.consumer, cities.provider)];
  const consumer = await startChild(
    main,
    ["--role", "consumer", ...consumerTls, "--provider", local(provider.port)],
    nodeFlags,
  );
  const hops = { consumer, provider };
  return {
    name: "evidence off",
    target: local(consumer.port),
    hops,
    settle: settled,
    stop: () => stopBoth(hops),
  };
}

/** Both gateways of the product, with a published service and a grant for all of it. */
export async function startEvidenceOn(
  options: Pick<ChainOptions, "nodeFlags"> & { readonly grants?: "divisions" | "streams" },
  cities: TwoCities,
): Promise<Chain> {
  const { nodeFlags, grants = "divisions" } = options;
  const start = ({ configFile }: Member): Promise<Child> =>
    startChild(moduleAt("gateway"), ["--config", configFile], nodeFlags);
  const [provider, consumer] = await Promise.all([start(cities.provider), start(cities.consumer)]);
  const admins = { provider: adminClient(cities.provider), consumer: adminClient(cities.consumer) };
  const both: readonly AdminClient[] = [admins.provider, admins.consumer];
  await eventually("both gateways are ready", async () => {
    const states = await Promise.all(both.map((admin) => admin.status()));
    return states.every(({ notReady }) => notReady.length === 0);
  });
  await (grants === "streams" ? grantStreams : grantAccess)(cities, admins);
  const hops = { consumer, provider };
  return {
    name: "evidence on",
    target: local(consumer.port),
    hops,
    settle: () =>
      eventually(
        "every sealed record is final",
        async () => {
          const states = await Promise.all(both.map((admin) => admin.status()));
          return states.every(({ journalNotFinal }) => journalNotFinal === 0n);
        },
        settleMs,
      ),
    ledgerSize: async () => (await admins.provider.status()).finalSize,
    stop: async () => {
      for (const admin of both) admin.close();
      await stopBoth(hops);
    },
  };
}
