import { Checker } from "./checker.ts";
import { foundedFacts } from "./facts.ts";
import { appendTo, createBatch, type Row } from "./history.ts";
import { Liar } from "./liar.ts";
import { allRules, type Rules } from "./mutants.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import { FollowSource, type Held } from "./follow-source.ts";
import { Network, type Wire } from "./network.ts";
import type { StartEvidence } from "../../src/ledger/embedded/term-start.ts";
import { Notes } from "./notes.ts";
import { SimNode } from "./node.ts";
import { Operator } from "./operator.ts";
import { Peers } from "./peers.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { World } from "./world.ts";
import { emptyLedger } from "./replica.ts";

export interface SimConfig {
  /** Machines; the first `founding` of them are the network's cities to begin with. */
  readonly cities: number;
  readonly founding: number;
  readonly quorum: number;
  readonly faults: number;
  readonly heartbeatMs: number;
  readonly skewMs: number;
  readonly inclusionBoundMs: number;
  readonly maxStalenessMs: number;
  readonly quietMs: number;
  readonly witnessWaitMs: number;
}

const noLeaf = new Uint8Array(32);

/** One schedule's network: machines, wires, signatures, and who looks at them. */
export class Sim {
  readonly world: World;
  readonly config: SimConfig;
  readonly rules: Rules;
  readonly network: Network;
  readonly notes: Notes = new Notes();
  readonly nodes: readonly SimNode[];
  readonly checker: Checker;
  readonly operator: Operator;
  readonly peers: Peers;
  /** First rows of every history. */
  readonly first: Map<number, Row | string> = new Map();
  /** What the appointed gateway shows of a start below the highest checkpoint, by term. */
  readonly evidence: Map<number, StartEvidence> = new Map();
  liar: Liar | undefined;
  /** Batch 0. */
  founded: Row;
  #batches = 0;

  constructor(
    seed: number,
    config: SimConfig,
    options: { readonly rules?: Rules; readonly isTold?: boolean } = {},
  ) {
    this.world = new World(seed, options);
    this.config = config;
    this.rules = options.rules ?? allRules;
    this.network = new Network(this.world);
    this.nodes = Array.from({ length: config.cities }, (_, city) => new SimNode(this, city));
    this.checker = new Checker(this);
    this.operator = new Operator(this);
    this.peers = new Peers(this);
    this.founded = this.#found();
  }

  get areVotesChecked(): boolean {
    return this.rules.votesStandOnTree;
  }

  /** A node serves one follow stream from what it holds. */
  follow(source: SimNode, wire: Wire<FollowItem>, held: Held, follower: SimNode): void {
    const { process } = source;
    if (process === undefined) return;
    if (this.liar?.city === source.city && this.liar.follows(wire, held, follower)) return;
    new FollowSource(source, process.replica, wire, held).pump();
  }

  nextBatch(): number {
    return this.#batches++;
  }

  /** Batch 0: the founding document, sealed by the first sequencer. */
  #found(): Row {
    const [first] = this.nodes as [SimNode];
    const batch = createBatch(this.nextBatch(), {
      gateway: 0,
      epoch: 0,
      seq: 0,
      prev: noLeaf,
      seenSize: 0,
      seenRoot: emptyRoot,
      sealedAtMs: first.clockMs,
      contents: [{ kind: "founding" }],
    });
    const key = this.notes.makeKey(0, 0);
    first.logKeys.set(0, key);
    const row = appendTo(undefined, batch, this);
    if (typeof row === "string") throw new TypeError(row);
    const { founding, quorum, faults } = this.config;
    const cities = Array.from({ length: founding }, (_, city) => city);
    const facts = foundedFacts(row.facts, { cities, quorum, faults, key });
    const founded: Row = { ...row, facts };
    this.first.set(batch.id, founded);
    first.disks.ledger.replace({ ...emptyLedger, rows: [founded] });
    first.disks.journal.replace({ batches: [batch], finalCount: 0, epoch: 0 });
    this.checker.released(first, batch);
    return founded;
  }
}
