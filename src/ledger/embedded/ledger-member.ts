import { equalBytes } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { sha256 } from "../../base/sha256.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { kindOfBatch } from "../../record/batch.ts";
import { parseLeaf } from "../../record/leaf.ts";
import { cosignersBetween } from "../../registry/cosigning.ts";
import type { Engine, FinalCheckpoint, SealedBatch, SubmitResult } from "../ports.ts";
import type { LedgerWriter } from "../store/store.ts";
import { namedBlobs } from "./blob-names.ts";
import { Follower } from "./follower.ts";
import type { Inclusion } from "./judge-batch.ts";
import type { LedgerPeers } from "./ledger-peers.ts";
import type { CityWitness } from "./network.ts";
import type { OutsideWitness } from "./outside-witnesses.ts";
import { gatherStart, OwnTerm, type OwnTermOpened, type TermToOpen } from "./own-term.ts";
import type { LedgerHost, WitnessPort } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import { ReplicaSource } from "./replica-source.ts";
import { type LedgerReport, Sequencer } from "./sequencer.ts";

export interface LedgerMemberOptions {
  readonly gateway: string;
  logSigner(publicKey: Uint8Array): Signer | undefined;
  readonly replica: LedgerReplica;
  readonly store: LedgerWriter;
  readonly peers: LedgerPeers;
  witnessOf(witness: CityWitness): WitnessPort;
  /** City whose witness is hosted here. */
  readonly witness?: { readonly city: string };
  readonly outside?: readonly OutsideWitness[];
  readonly quietMs?: number | undefined;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly onReport: (report: LedgerReport) => void;
  readonly onFatal: (error: unknown) => void;
}

/** What this gateway does for the ledger in the newest term. */
type Role =
  | { readonly kind: "sequencer"; readonly term: bigint; readonly sequencer: Sequencer }
  | {
      readonly kind: "follower";
      readonly term: bigint;
      readonly follower: Follower;
      readonly source: ReplicaSource;
    };

/** How long the batch with the votes may take to come once the term may be opened. */
const openMs = 60_000;

/**
 * One gateway's part in the ledger: sequencer while the newest appointment names it and its log key is at
 * hand, follower otherwise, and in between the one that opens a term.
 */
export class LedgerMember {
  readonly engine: Engine;
  readonly host: LedgerHost;
  readonly #options: LedgerMemberOptions;
  #role: Role | undefined;
  #opening: OwnTerm | undefined;
  /** The own term in which this gateway signs nothing any more. */
  #deposedIn: bigint | undefined;
  #changes: Promise<void> = Promise.resolve();
  #isClosed = false;
  #cancelOpening: () => void = () => undefined;

  constructor(options: LedgerMemberOptions) {
    this.#options = options;
    const { replica, onReport } = options;
    replica.onFault((fault) =>
      onReport({
        event: "ledger distrusted",
        reason: fault.reason,
        ...(fault.index === undefined ? {} : { size: fault.index }),
      }),
    );
    replica.onTerm(() => void this.#settle());
    this.engine = {
      submit: async (batch) => {
        this.#assertTrusted();
        this.#hold(batch);
        const result = await this.#submitter().submit(batch);
        if (this.#role?.kind === "follower") this.#role.follower.hearSequencer();
        return result;
      },
      putBlob: async (content) => {
        this.#assertTrusted();
        return this.#blobs().putBlob(sha256(content), content);
      },
    };
    this.host = {
      submit: (batch) => this.#sequencer().submit(batch),
      putBlob: async (digest, content) => this.#sequencer().putBlob(digest, content),
      blob: (digest) => replica.blob(digest),
      follow: (start, signal) => this.#source().follow(start, signal),
    };
  }

  /** The lines of witnesses outside that have cosigned this newest final checkpoint too; each ends in LF. */
  outsideCosignatures({ note }: FinalCheckpoint): Uint8Array | undefined {
    const joined = this.#role?.kind === "sequencer" ? this.#role.sequencer.publicNote() : undefined;
    const isOfIt = joined !== undefined && equalBytes(joined.subarray(0, note.length), note);
    return isOfIt ? joined.subarray(note.length) : undefined;
  }

  isSequencer(): boolean {
    return this.#role?.kind === "sequencer";
  }

  start(): void {
    void this.#settle();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#abandon(new CausewayError("SHUTTING_DOWN", "the gateway is shutting down"));
    await this.#changes;
    await this.#leave();
  }

  /** Hands a batch to the sequencer and to every city's witness but the own one. Tells nothing. */
  forward(batch: SealedBatch): void {
    const { replica } = this.#options;
    const quietly = (sent: Promise<unknown>): void => void sent.catch(() => undefined);
    quietly(this.#submitWithBlobs(batch));
    const { state } = replica.trust();
    const sizes = { from: state.size || 1n, to: state.size || 1n };
    for (const witness of cosignersBetween(state, sizes)) {
      if (witness.city === this.#options.witness?.city) continue;
      quietly(this.#options.witnessOf(witness).holdBatch(batch));
    }
  }

  /** The blobs that its statements name come first, as its own gateway has put them. */
  async #submitWithBlobs(batch: SealedBatch): Promise<SubmitResult> {
    if (kindOfBatch(parseLeaf(batch.leaf).header) === "governance") {
      for (const { sha256: digest } of namedBlobs(batch.records)) {
        const content = this.#options.replica.blob(digest);
        if (content !== undefined) await this.#blobs().putBlob(digest, content);
      }
    }
    return this.#submitter().submit(batch);
  }

  async openTerm(wanted: TermToOpen): Promise<OwnTermOpened> {
    const { replica, scheduler, gateway } = this.#options;
    this.#assertNewTerm(wanted.term);
    const { start, base, lead, evidence } = await gatherStart(wanted, this.#options);
    const run = this.#changes.then(async () => {
      this.#assertNewTerm(wanted.term);
      this.#abandon(new CausewayError("CANCELLED", "another term is opened"));
      // What is stored stays as it is until the term opens: nothing is followed and nothing sequenced.
      await this.#leave();
      const pending = await replica.beginTerm(wanted.term, base);
      for (const batch of lead) assertIncluded(await pending.include(batch));
      const own = new OwnTerm(pending, { replica, gateway, evidence });
      for (const batch of wanted.own) await submitOwn(own, batch);
      this.#opening = own;
      this.#cancelOpening = scheduler.after(openMs, () => {
        this.#abandon(new CausewayError("VOTES_MISSING", `term ${wanted.term} was not opened`));
        void this.#settle();
      });
      return { term: wanted.term, start, opened: own.opened };
    });
    this.#changes = run.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await run;
    } catch (error) {
      void this.#settle();
      throw error;
    }
  }

  #assertNewTerm(term: bigint): void {
    const newest = this.#options.replica.term();
    if (term > newest.term) return;
    throw new CausewayError("TERM_ENDED", `term ${newest.term} has begun`);
  }

  #abandon(error: CausewayError): void {
    this.#cancelOpening();
    this.#opening?.abandon(error);
    this.#opening = undefined;
  }

  /** Takes the role that the newest appointment gives. One change at a time. */
  #settle(): Promise<void> {
    const change = this.#changes.then(() => this.#takeRole());
    this.#changes = change.catch((error: unknown) => this.#options.onFatal(error));
    return this.#changes;
  }

  async #takeRole(): Promise<void> {
    if (this.#isClosed) return;
    const fact = this.#options.replica.term();
    if (this.#opening !== undefined) {
      if (fact.gateway !== this.#options.gateway) return;
      this.#cancelOpening();
    }
    const signer = this.#ownSigner();
    const kind = signer === undefined ? "follower" : "sequencer";
    if (this.#role?.kind === kind && (kind === "follower" || this.#role.term === fact.term)) {
      // The new sequencer is a better source than whoever told of it.
      if (this.#role.kind === "follower") this.#role.follower.lookAgain();
      return;
    }
    await this.#leave();
    const opening = this.#opening;
    this.#opening = undefined;
    this.#role = signer === undefined ? this.#follow() : this.#sequence(signer, opening);
  }

  #ownSigner(): Signer | undefined {
    const { gateway, replica } = this.#options;
    const fact = replica.term();
    if (fact.gateway !== gateway || fact.term === this.#deposedIn) return undefined;
    return this.#options.logSigner(fact.logKey);
  }

  #sequence(signer: Signer, opening: OwnTerm | undefined): Role {
    const { term } = this.#options.replica.term();
    // Nobody can hold anything of a log that has just begun here.
    const begun = opening === undefined ? {} : { quietMs: 0, evidence: opening.evidence };
    const onEnded = (): void => {
      // Whoever is the sequencer now has to be found.
      this.#deposedIn = term;
      void this.#settle();
    };
    const sequencer = new Sequencer({ ...this.#options, ...begun, signer, onEnded });
    sequencer.start();
    return { kind: "sequencer", term, sequencer };
  }

  #follow(): Role {
    const { replica, peers, scheduler, onReport, onFatal } = this.#options;
    const { term } = replica.term();
    const sources = (): ReturnType<LedgerPeers["sources"]> => peers.sources();
    const follower = new Follower({ replica, sources, scheduler, onReport, onFatal });
    const source = new ReplicaSource(replica);
    follower.start();
    return { kind: "follower", term, follower, source };
  }

  async #leave(): Promise<void> {
    const role = this.#role;
    this.#role = undefined;
    if (role?.kind === "sequencer") role.sequencer.close();
    if (role?.kind !== "follower") return;
    role.source.close();
    await role.follower.close();
  }

  #sequencer(): Sequencer {
    if (this.#role?.kind === "sequencer") return this.#role.sequencer;
    throw new CausewayError("LEDGER_UNAVAILABLE", "this gateway is not the sequencer");
  }

  #source(): Pick<LedgerHost, "follow"> {
    if (this.#role?.kind === "sequencer") return this.#role.sequencer;
    if (this.#role?.kind === "follower") return this.#role.source;
    throw new CausewayError("LEDGER_UNAVAILABLE", "this gateway follows nothing yet");
  }

  #submitter(): { submit(batch: SealedBatch): Promise<SubmitResult> } {
    if (this.#opening !== undefined) return this.#opening;
    if (this.#role?.kind === "sequencer") return this.#role.sequencer;
    return this.#remote();
  }

  #blobs(): Pick<LedgerHost, "putBlob"> {
    return this.#role?.kind === "sequencer" ? this.#role.sequencer : this.#remote();
  }

  #remote(): NonNullable<ReturnType<LedgerPeers["sequencer"]>> {
    const client = this.#options.peers.sequencer();
    if (client !== undefined) return client;
    throw new CausewayError("LEDGER_UNAVAILABLE", "this gateway does not sequence any more");
  }

  /** The own city's witness notices when the sequencer leaves it out. */
  #hold(batch: SealedBatch): void {
    const { replica, gateway } = this.#options;
    const { state } = replica.trust();
    if (state.size === 0n) return;
    const city = gateway.split("/")[0];
    const sizes = { from: state.size, to: state.size };
    const witness = cosignersBetween(state, sizes).find((one) => one.city === city);
    if (witness === undefined) return;
    const port = this.#options.witnessOf(witness);
    void port.holdBatch(batch).catch(() => undefined);
  }

  /** Nothing is handed to a ledger that is trusted no more. */
  #assertTrusted(): void {
    const fault = this.#options.replica.fault();
    if (fault === undefined) return;
    throw new CausewayError(fault.reason, "this replica trusts the ledger no more");
  }
}

/** A batch of the own chain that the term's start holds already is known there by its place. */
async function submitOwn(own: OwnTerm, batch: SealedBatch): Promise<void> {
  const inclusion = await own.submit(batch);
  if (inclusion.kind === "rejected" && inclusion.reason === "BATCH_KNOWN") return;
  assertIncluded(inclusion);
}

function assertIncluded(inclusion: Inclusion): void {
  if (inclusion.kind === "included") return;
  const { reason, atSize } = inclusion;
  throw new CausewayError(reason, `a batch has no place at ${atSize}, before the votes`);
}
