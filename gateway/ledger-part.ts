/** This process's part of the ledger with its network adapters: sequencer or follower, and the city's witness. */
import { equalBytes } from "../src/base/bytes.ts";
import type { Clock, Scheduler } from "../src/base/clock.ts";
import type { Bounds } from "../src/credential/statements.ts";
import type { Verifier } from "../src/crypto/ports.ts";
import {
  createLedgerNode,
  type LedgerNode,
  type LedgerNodeOptions,
} from "../src/ledger/embedded/ledger-node.ts";
import type { OutsideWitness } from "../src/ledger/embedded/outside-witnesses.ts";
import type { LedgerReport } from "../src/ledger/embedded/sequencer.ts";
import { parseVerifierKey } from "../src/note/verifier-key.ts";
import type { GatewayConfig, OutsideWitnessConfig } from "./config.ts";
import { createLedgerClient, type TlsIdentity } from "./ledger/ledger-client.ts";
import { createOutsideWitnessClient, createWitnessClient } from "./ledger/witness-client.ts";
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
  /** How long a sequencer serves nothing after its start; the ledger's own choice unless told. */
  readonly quietMs?: number | undefined;
}

/**
 * The key that opens the links to other members: the gateway's once it stands on the ledger, and before
 * that the one of the witness that is hosted here, so that index 0 can become final.
 */
function identityOf({ city, tls }: LocalIdentity, isOnLedger: boolean): TlsIdentity {
  const { privateKeyPem, certificateDer } = isOnLedger ? tls.current : (city?.tls ?? tls.current);
  return { keyPem: privateKeyPem, certificatePem: certificatePem(certificateDer) };
}

function outsideWitness({ name, vkey, url }: OutsideWitnessConfig): OutsideWitness {
  return { name, key: parseVerifierKey(vkey), port: createOutsideWitnessClient(url) };
}

export async function createLedgerPart(options: LedgerPartOptions): Promise<LedgerPart> {
  const { config, identity, verifier, clock, scheduler } = options;
  const { city, founding, logs } = identity;
  const isOnLedger = (): boolean => node.replica.view().gateway(config.gateway) !== undefined;
  const node: LedgerNode = await createLedgerNode({
    folder: config.data,
    founding,
    gateway: config.gateway,
    logSigner: (publicKey) =>
      [...logs.values()].find((key) => equalBytes(key.publicKey, publicKey)),
    connect: ({ address, tls }) =>
      createLedgerClient({ address, tls, identity: () => identityOf(identity, isOnLedger()) }),
    witnessOf: ({ address, tls }) => createWitnessClient({ address, tls }),
    ...(city === undefined ? {} : { witness: { city: city.card.id, signer: city.witness } }),
    quietMs: options.quietMs ?? config.ledger?.quiet_ms,
    outside: (config.ledger?.outside_witnesses ?? []).map(outsideWitness),
    verifier,
    clock,
    scheduler,
    onReport: options.report,
    onFatal: options.onFatal,
    ...(options.stores === undefined ? {} : { stores: options.stores }),
  });
  return { node, bounds: node.network.bounds, close: () => node.close() };
}
