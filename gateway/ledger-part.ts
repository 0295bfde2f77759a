/** This process's part of the ledger with its network adapters: sequencer or follower, and the city's witness. */
import type { Clock, Scheduler } from "../src/base/clock.ts";
import { parsePayload } from "../src/credential/payloads.ts";
import type { Bounds, NetworkBody } from "../src/credential/statements.ts";
import type { Verifier } from "../src/crypto/ports.ts";
import {
  createLedgerNode,
  type FollowerRole,
  type LedgerNode,
  type LedgerNodeOptions,
  type SequencerRole,
} from "../src/ledger/embedded/ledger-node.ts";
import { foundingTerm } from "../src/ledger/embedded/network.ts";
import type { LedgerReport } from "../src/ledger/embedded/sequencer.ts";
import type { GatewayConfig } from "./config.ts";
import { createLedgerClient } from "./ledger/ledger-client.ts";
import { createWitnessClient } from "./ledger/witness-http.ts";
import type { LocalIdentity } from "./self.ts";
import { certificatePem } from "./tls.ts";

export interface LedgerPart {
  readonly node: LedgerNode;
  readonly bounds: Bounds;
  close(): Promise<void>;
}

export interface LedgerPartOptions {
  readonly config: GatewayConfig;
  readonly identity: LocalIdentity;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly stores: LedgerNodeOptions["stores"] | undefined;
  readonly report: (report: LedgerReport) => void;
  readonly onFatal: (error: unknown) => void;
}

/** The key that opens the follow stream: the witness's where it is hosted here, so that index 0 can become final. */
function followIdentity({ city, keys }: LocalIdentity): { keyPem: string; certificatePem: string } {
  const { privateKeyPem, certificateDer } = (city ?? keys).tls;
  return { keyPem: privateKeyPem, certificatePem: certificatePem(certificateDer) };
}

export async function createLedgerPart(options: LedgerPartOptions): Promise<LedgerPart> {
  const { config, identity, verifier, clock, scheduler } = options;
  const { network, keys, city, founding } = identity;
  const witnessClients: { close(): void }[] = [];
  const role = (): SequencerRole | FollowerRole => {
    const { gateway, address, tls } = foundingTerm(network);
    if (gateway === config.gateway && keys.log !== undefined) {
      return {
        kind: "sequencer",
        signer: keys.log,
        witnessOf: ({ address, tls }) => {
          const client = createWitnessClient({ address, tls });
          witnessClients.push(client);
          return client;
        },
      };
    }
    return {
      kind: "follower",
      client: createLedgerClient({ address, tls, identity: followIdentity(identity) }),
    };
  };
  const node = await createLedgerNode({
    folder: config.data,
    founding,
    role: role(),
    ...(city === undefined ? {} : { witness: { city: city.card.id, signer: city.witness } }),
    verifier,
    clock,
    scheduler,
    onReport: options.report,
    onFatal: options.onFatal,
    ...(options.stores === undefined ? {} : { stores: options.stores }),
  });
  const { body } = parsePayload("network", founding) as { readonly body: NetworkBody };
  return {
    node,
    bounds: body.bounds,
    close: async () => {
      await node.close();
      for (const client of witnessClients) client.close();
    },
  };
}
