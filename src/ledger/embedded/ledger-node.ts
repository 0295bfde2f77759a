import { toHex } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import type { TermFact } from "../../registry/state.ts";
import type { Engine, FinalCheckpoint } from "../ports.ts";
import { SqliteLedgerStore } from "../store/sqlite-store.ts";
import { SqliteWitnessStore } from "../store/sqlite-witness-store.ts";
import type { LedgerWriter, WitnessStore } from "../store/store.ts";
import { CityWitnesses } from "./city-witnesses.ts";
import { LedgerMember } from "./ledger-member.ts";
import { LedgerPeers } from "./ledger-peers.ts";
import { type CityWitness, type LedgerNetwork, readLedgerNetwork } from "./network.ts";
import type { OwnTermOpened, TermToOpen } from "./own-term.ts";
import type { OutsideWitness } from "./outside-witnesses.ts";
import type { LedgerClient, LedgerHost, LedgerPeer, WitnessPort } from "./ports.ts";
import { LedgerReplica } from "./replica.ts";
import type { LedgerReport } from "./sequencer.ts";
import { Witness } from "./witness.ts";
import type { TermPromise } from "./witness-types.ts";

/** A city's witness that this process hosts. */
export interface HostedWitness {
  readonly city: string;
  readonly signer: Signer;
}

export interface LedgerNodeOptions {
  /** Folder of `ledger.sqlite` and `witness.sqlite`; it exists. */
  readonly folder: string;
  /** Payload of the founding document. */
  readonly founding: Uint8Array;
  /** The own id. */
  readonly gateway: string;
  /** The log key of an appointment of this gateway; `undefined` when it is not at hand. */
  logSigner(publicKey: Uint8Array): Signer | undefined;
  /** The peer listener of another member. */
  connect(peer: LedgerPeer): LedgerClient;
  /** Not asked for the witness that this process hosts itself. */
  witnessOf(witness: CityWitness): WitnessPort & { close?(): void };
  readonly witness?: HostedWitness;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** How long a sequencer serves nothing after its start; `sequencerQuietMs` unless told. */
  readonly quietMs?: number | undefined;
  /** Witnesses of others that a sequencer asks once a size is final. */
  readonly outside?: readonly OutsideWitness[];
  readonly onReport?: (report: LedgerReport) => void;
  /** The store failed, or an invariant is broken: the process has to end. */
  readonly onFatal: (error: unknown) => void;
  /** Stands in for the stores of the folder: wrapped ones of a test that ends the process between two steps. */
  readonly stores?: {
    ledger?(open: () => LedgerWriter): LedgerWriter;
    witness?(open: () => WitnessStore): WitnessStore;
  };
}

/** What a city is asked to vote for. */
export interface Appointment {
  readonly term: bigint;
  /** Raw. */
  readonly logKey: Uint8Array;
  readonly sequencer: LedgerPeer;
}

export interface LedgerNode {
  readonly network: LedgerNetwork;
  readonly replica: LedgerReplica;
  readonly engine: Engine;
  /** What the ledger service of the peer listener serves; only a sequencer takes batches. */
  readonly host: LedgerHost;
  readonly witness: WitnessPort | undefined;
  /** The lines of witnesses outside that have cosigned this newest final checkpoint too; each ends in LF. */
  outsideCosignatures(final: FinalCheckpoint): Uint8Array | undefined;
  /** Whether this process sequences the newest term. */
  isSequencer(): boolean;
  /** Called when a newer appointment of a sequencer is included here. Returns how to stop. */
  onTerm(listener: (fact: TermFact) => void): () => void;
  /**
   * Before the authority of the city whose witness is hosted here signs a vote: from then on nothing of a
   * lower term is cosigned. The sequencer to be is asked first for what comes.
   * Throws MEMBER_UNKNOWN when no witness is hosted here.
   */
  promiseTerm(appointment: Appointment): Promise<TermPromise>;
  /**
   * Makes this gateway ready to open a term: the replica is brought to its start, and the batches of the
   * own chain that are not there come first. Resolves when the engine waits for the batch with the votes;
   * `opened` tells what became of it.
   */
  openTerm(term: TermToOpen): Promise<OwnTermOpened>;
  /** Sequences or follows, as the newest appointment says. Until then the node answers from what it holds. */
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
  const { verifier, clock, scheduler, folder, onFatal } = options;
  const onReport = options.onReport ?? ((): void => undefined);
  const network = readLedgerNetwork(options.founding);
  const openStore = (): LedgerWriter => new SqliteLedgerStore(`${folder}/${ledgerFile}`);
  const store = options.stores?.ledger?.(openStore) ?? openStore();
  let promises: WitnessStore | undefined;
  try {
    const replica = await LedgerReplica.open({ network, store, verifier, clock });
    const connect = (peer: LedgerPeer): LedgerClient => options.connect(peer);
    const peers = new LedgerPeers({ own: options.gateway, replica, connect });
    const witnesses = new CityWitnesses(options.witness?.city, (witness) =>
      options.witnessOf(witness),
    );
    if (options.witness !== undefined) {
      const open = (): WitnessStore => new SqliteWitnessStore(`${folder}/${witnessFile}`);
      promises = options.stores?.witness?.(open) ?? open();
      const shared = { replica, verifier, clock, scheduler, store: promises, onReport, onFatal };
      witnesses.own = new Witness({
        ...options.witness,
        ...shared,
        forward: ({ batch }) => member.forward(batch),
      });
    }
    const member: LedgerMember = new LedgerMember({
      ...options,
      store,
      replica,
      peers,
      witnessOf: (witness) => witnesses.of(witness),
      onReport,
    });
    const stored = promises;
    return {
      network,
      replica,
      engine: member.engine,
      host: member.host,
      witness: witnesses.own,
      outsideCosignatures: (final) => member.outsideCosignatures(final),
      isSequencer: () => member.isSequencer(),
      onTerm: (listener) => replica.onTerm(listener),
      promiseTerm: ({ term, logKey, sequencer }) =>
        witnesses.promise({ term, choice: toHex(logKey) }, () => peers.hint(term, sequencer)),
      openTerm: (term) => member.openTerm(term),
      start: () => member.start(),
      close: async () => {
        await member.close();
        witnesses.close();
        peers.close();
        await replica.settled();
        await replica.settled();
        store.close();
        stored?.close();
      },
    };
  } catch (error) {
    store.close();
    promises?.close();
    throw error;
  }
}
