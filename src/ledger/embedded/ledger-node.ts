import { equalBytes } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { sha256 } from "../../base/sha256.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import type { Engine } from "../ports.ts";
import { SqliteLedgerStore } from "../store/sqlite-store.ts";
import { SqliteWitnessStore } from "../store/sqlite-witness-store.ts";
import type { LedgerWriter, WitnessStore } from "../store/store.ts";
import { Follower } from "./follower.ts";
import { type CityWitness, foundingTerm, type LedgerNetwork, readLedgerNetwork } from "./network.ts";
import type { LedgerClient, LedgerHost, WitnessPort } from "./ports.ts";
import { LedgerReplica } from "./replica.ts";
import { type LedgerReport, Sequencer } from "./sequencer.ts";
import { Witness } from "./witness.ts";

/** A city's witness that this process hosts. */
export interface HostedWitness {
  readonly city: string;
  readonly signer: Signer;
}

/** The sequencer holds the log key of the term and reaches every city's witness. */
export interface SequencerRole {
  readonly kind: "sequencer";
  readonly signer: Signer;
  /** Not asked for the witness that this process hosts itself. */
  readonly witnessOf: (witness: CityWitness) => WitnessPort;
}

/** A follower reaches the sequencer. */
export interface FollowerRole {
  readonly kind: "follower";
  readonly client: LedgerClient;
}

export interface LedgerNodeOptions {
  /** Folder of `ledger.sqlite` and `witness.sqlite`; it exists. */
  readonly folder: string;
  /** Payload of the founding document. */
  readonly founding: Uint8Array;
  readonly role: SequencerRole | FollowerRole;
  readonly witness?: HostedWitness;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly onReport?: (report: LedgerReport) => void;
  /** The store failed, or an invariant is broken: the process has to end. */
  readonly onFatal: (error: unknown) => void;
  /** Stands in for the stores of the folder: wrapped ones of a test that ends the process between two steps. */
  readonly stores?: {
    ledger?(open: () => LedgerWriter): LedgerWriter;
    witness?(open: () => WitnessStore): WitnessStore;
  };
}

export interface LedgerNode {
  readonly network: LedgerNetwork;
  readonly replica: LedgerReplica;
  readonly engine: Engine;
  /** What the ledger service of the peer listener serves; on a sequencer only. */
  readonly host: LedgerHost | undefined;
  readonly witness: WitnessPort | undefined;
  /** Sequences or follows. Until then the node answers from what it holds. */
  start(): void;
  close(): Promise<void>;
}

export const ledgerFile: string = "ledger.sqlite";
export const witnessFile: string = "witness.sqlite";

/**
 * This process's part of an embedded ledger: its replica, the sequencer or what follows it, and the
 * city's witness where it is hosted here. All I/O but the disk comes in as ports.
 * Throws what opening the replica throws, and KEY_UNKNOWN when a key is not the one that the network names.
 */
export async function createLedgerNode(options: LedgerNodeOptions): Promise<LedgerNode> {
  const { verifier, clock, scheduler, folder, role } = options;
  const network = readLedgerNetwork(options.founding);
  assertLogKey(network, role);
  const openStore = (): LedgerWriter => new SqliteLedgerStore(`${folder}/${ledgerFile}`);
  const store = options.stores?.ledger?.(openStore) ?? openStore();
  let promises: WitnessStore | undefined;
  try {
    const replica = await LedgerReplica.open({ network, store, verifier, clock });
    let witness: Witness | undefined;
    if (options.witness !== undefined) {
      const open = (): WitnessStore => new SqliteWitnessStore(`${folder}/${witnessFile}`);
      promises = options.stores?.witness?.(open) ?? open();
      const { onFatal } = options;
      const shared = { replica, verifier, clock, scheduler, store: promises, onFatal };
      witness = new Witness({ ...options.witness, ...shared });
    }
    const part = createPart(options, { replica, store, witness });
    return {
      network,
      replica,
      witness,
      ...part,
      close: async () => {
        await part.close();
        witness?.close();
        await replica.settled();
        store.close();
        promises?.close();
      },
    };
  } catch (error) {
    store.close();
    promises?.close();
    throw error;
  }
}

interface Parts {
  readonly replica: LedgerReplica;
  readonly store: LedgerWriter;
  readonly witness: Witness | undefined;
}

type Part = Pick<LedgerNode, "engine" | "host" | "start" | "close">;

function createPart(options: LedgerNodeOptions, parts: Parts): Part {
  const { replica } = parts;
  const onReport = options.onReport ?? ((): void => undefined);
  replica.onFault((fault) =>
    onReport({
      event: "ledger distrusted",
      reason: fault.reason,
      ...(fault.index === undefined ? {} : { size: fault.index }),
    }),
  );
  return options.role.kind === "sequencer"
    ? createSequencerPart(options, options.role, { ...parts, onReport })
    : createFollowerPart(options, options.role, { ...parts, onReport });
}

type Report = (report: LedgerReport) => void;

function createSequencerPart(
  options: LedgerNodeOptions,
  role: SequencerRole,
  parts: Parts & { readonly onReport: Report },
): Part {
  const { witness, replica, onReport } = parts;
  const { verifier, clock, scheduler, onFatal } = options;
  const sequencer = new Sequencer({
    replica,
    store: parts.store,
    verifier,
    clock,
    scheduler,
    onReport,
    onFatal,
    signer: role.signer,
    witnessOf: (key) =>
      witness !== undefined && key.city === options.witness?.city ? witness : role.witnessOf(key),
  });
  return {
    host: sequencer,
    engine: trusting(replica, {
      submit: (batch) => sequencer.submit(batch),
      putBlob: (content) => sequencer.putBlob(sha256(content), content),
    }),
    start: () => sequencer.start(),
    close: async () => sequencer.close(),
  };
}

function createFollowerPart(
  options: LedgerNodeOptions,
  { client }: FollowerRole,
  parts: Parts & { readonly onReport: Report },
): Part {
  const { replica, onReport } = parts;
  const { scheduler, onFatal } = options;
  const follower = new Follower({ replica, client, scheduler, onReport, onFatal });
  return {
    host: undefined,
    engine: trusting(replica, {
      submit: (batch) => client.submit(batch),
      putBlob: (content) => client.putBlob(sha256(content), content),
    }),
    start: () => follower.start(),
    close: async () => {
      await follower.close();
      client.close();
    },
  };
}

/** Nothing is handed to a ledger that is trusted no more. */
function trusting(replica: LedgerReplica, engine: Engine): Engine {
  const assertTrusted = (): void => {
    const fault = replica.fault();
    if (fault !== undefined) {
      throw new CausewayError(fault.reason, "this replica trusts the ledger no more");
    }
  };
  return {
    submit: async (batch) => {
      assertTrusted();
      return engine.submit(batch);
    },
    putBlob: async (content) => {
      assertTrusted();
      return engine.putBlob(content);
    },
  };
}

function assertLogKey(network: LedgerNetwork, role: SequencerRole | FollowerRole): void {
  if (role.kind === "follower") return;
  const { logKey: publicKey } = foundingTerm(network);
  if (equalBytes(publicKey, role.signer.publicKey)) return;
  throw new CausewayError("KEY_UNKNOWN", "the network names another log key for this term");
}
