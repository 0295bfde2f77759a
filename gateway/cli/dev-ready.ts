/** What `causeway dev up` prints once calls can be made. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type DevMember, devPurpose } from "../dev/dev-member.ts";
import type { DevService } from "../dev/dev-services.ts";
import type { DevNetwork } from "../dev/dev-up.ts";
import { counted } from "./output.ts";

export interface DevReady {
  readonly network: DevNetwork;
  readonly services: readonly DevService[];
  readonly upstream: string;
}

interface MemberRow {
  readonly gateway: string;
  readonly folder: string;
  readonly admin: string;
  readonly listeners: DevMember["listeners"];
}

/** One line for programs. */
export interface DevReadyRow {
  readonly event: "ready";
  /** `host:port` where agency systems call, plaintext and without metadata. */
  readonly call: string;
  /** What a call is for that does not say. */
  readonly purpose: string;
  readonly upstream: string;
  readonly folder: string;
  readonly provider: MemberRow;
  readonly consumer: MemberRow;
  readonly services: readonly {
    readonly id: string;
    readonly service: string;
    readonly methods: DevService["methods"];
  }[];
}

export function devReadyRow({ network, services, upstream }: DevReady): DevReadyRow {
  const { provider, consumer, folder } = network;
  return {
    event: "ready",
    call: consumer.listeners.agency,
    purpose: devPurpose,
    upstream,
    folder,
    provider: memberRow(provider),
    consumer: memberRow(consumer),
    services: services.map(({ name, typeName, methods }) => ({
      id: `${provider.agency}/${name}`,
      service: typeName,
      methods,
    })),
  };
}

function memberRow({ gateway, folder, listeners }: DevMember): MemberRow {
  return { gateway, folder, admin: join(folder, "admin.sock"), listeners };
}

const buf: string = join(
  dirname(createRequire(import.meta.url).resolve("@bufbuild/buf/package.json")),
  "bin",
  "buf",
);
const program: string = fileURLToPath(new URL("main.js", import.meta.url));

/** What people read: where to call, one call to paste, and where the evidence is. */
export function devReadyText(ready: DevReady & { readonly seconds: string }): string {
  const { network, services, upstream, seconds } = ready;
  const { provider, consumer, folder } = network;
  const call = consumer.listeners.agency;
  const [first] = services as readonly [DevService, ...DevService[]];
  const path = (first.methods.find(({ writes }) => !writes) ?? first.methods[0])?.path ?? "";
  const schema = join(provider.folder, `${first.name}.binpb`);
  const listed = services.map(({ name, typeName, methods }) => {
    const writing = methods.filter(({ writes }) => writes).length;
    return `  ${typeName}  as ${provider.agency}/${name}, ${counted(methods.length, "method")}, ${writing} of which ${writing === 1 ? "writes" : "write"}`;
  });
  return `
Ready after ${seconds} s. Two gateways stand before ${upstream}:

${listed.join("\n")}

Call ${call} with the stubs that you have: plaintext gRPC, no metadata needed. For example:

  node ${buf} curl --protocol grpc --http2-prior-knowledge --schema ${schema} \\
      --data '{}' -v http://${call}${path}

Each answer carries causeway-exchange-id and causeway-receipt as trailers. The evidence, from another terminal:

  alias causeway='node ${program}'
  causeway exchange list --admin ${join(provider.folder, "admin.sock")}     # the provider's receipts
  causeway exchange list --admin ${join(consumer.folder, "admin.sock")}     # the consumer's acknowledgements
  causeway ledger status --admin ${join(consumer.folder, "admin.sock")}
  causeway grant list --admin ${join(provider.folder, "admin.sock")}

Keys, ledgers and logs are in ${folder}${network.isKept ? "" : ", which is removed in the end"}.
Ctrl-C ends it.
`;
}
