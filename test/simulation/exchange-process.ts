/** One start of a gateway: both sides of the exchange as the product has them, driven as its process drives them. */
import { toHex } from "../../src/base/bytes.ts";
import { agencyOf } from "../../src/base/ids.ts";
import { LocalTakings } from "../../gateway/admin/local-takings.ts";
import { tokenKeyOf } from "../../gateway/peers.ts";
import { decideAndReserve, QuotaUsageCounter } from "../../gateway/quota-usage.ts";
import { createCallToken, verifyCallToken } from "../../src/credential/call-token.ts";
import { ConsumerSide } from "../../src/exchange/consumer.ts";
import type { ConsumerPorts } from "../../src/exchange/consumer-attempt.ts";
import { HeldLeaves } from "../../src/exchange/held-leaves.ts";
import { JoinedCalls } from "../../src/exchange/joined-calls.ts";
import { KnownAttempts } from "../../src/exchange/known-attempts.ts";
import { MissingReceipts } from "../../src/exchange/missing-receipts.ts";
import type { ExchangePorts, FrameBody, Self } from "../../src/exchange/ports.ts";
import { ProviderSide, type ProviderPorts } from "../../src/exchange/provider.ts";
import { SentAcknowledgements } from "../../src/exchange/sent-acknowledgements.ts";
import { UnacknowledgedReceipts } from "../../src/exchange/unacknowledged.ts";
import { UnknownAttempts } from "../../src/exchange/unknown-attempts.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import type { Sealer } from "../../src/ledger/ports.ts";
import { DescriptorSets } from "../../src/policy/descriptors.ts";
import { Masks } from "../../src/policy/mask.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { answeredAtOnce } from "./exchange-answered.ts";
import { SimCaller } from "./exchange-caller.ts";
import { fastSigner, fastTokens, fastVerifier } from "./exchange-crypto.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import { SimHeld } from "./exchange-held.ts";
import { SimSealer } from "./exchange-journal.ts";
import { LookBack } from "./exchange-look-back.ts";
import { LinkPool } from "./exchange-network.ts";
import { SimReplica } from "./exchange-replica.ts";
import type { ExchangeSim } from "./exchange-sim.ts";
import { StandingCalls } from "./exchange-standing.ts";
import type { SimGrant, SimMethod } from "./exchange-universe.ts";
import { answerBytesMax, SimUpstream } from "./exchange-upstream.ts";

const openPrefix = "provider/open/";
const tokenLifeS = 60;

export class SimProcess {
  readonly sim: ExchangeSim;
  readonly gateway: SimGateway;
  readonly self: Self;
  readonly replica: SimReplica;
  readonly journal: SimSealer;
  readonly localTakings: LocalTakings;
  readonly quotas: QuotaUsageCounter;
  readonly provider: ProviderSide;
  readonly consumer: ConsumerSide;
  readonly unknown: UnknownAttempts;
  readonly leaves: HeldLeaves;
  readonly held: MissingReceipts;
  readonly sent: SentAcknowledgements;
  readonly unacknowledged: UnacknowledgedReceipts;
  readonly #lookBack: LookBack;
  readonly joined: JoinedCalls = new JoinedCalls();
  readonly callers: Set<SimCaller> = new Set();
  /** Of an honest consumer. */
  readonly #standing: StandingCalls | undefined;
  readonly #sealer: Sealer;
  readonly #openBefore: Set<string>;
  /** Revocations that act and are not durable, by their records. */
  readonly #revoking = new Map<Uint8Array, SimGrant["verified"]>();
  /** What the newest header of the chain named at the start. */
  readonly #seenAtStart: bigint;
  isAlive = true;
  #isSubmitting = false;

  constructor(gateway: SimGateway) {
    this.gateway = gateway;
    this.sim = gateway.sim;
    const { sim } = this;
    const { rules, universe, world } = sim;
    const { disk } = gateway;
    this.self = {
      gateway: gateway.id,
      agency: agencyOf(gateway.id),
      boot: sim.bytes(16),
      startedAtMs: gateway.nowMs,
      network: universe.network.id,
    };
    const { self } = this;
    this.replica = new SimReplica(gateway.applied, universe.blobs);
    const { replica } = this;
    const tip = disk.batches.at(-1);
    this.#seenAtStart = tip === undefined ? 0n : openLeaf(tip.leaf).header.seenSize;
    const { reader } = disk;
    this.#openBefore = new Set(reader.states(openPrefix).map(({ key }) => key));
    const isProvider = gateway === sim.provider;
    this.journal = new SimSealer({
      disk,
      gateway: gateway.id,
      network: self.network,
      boot: self.boot,
      signer: fastSigner(gateway.keys.batch),
      nowMs: () => gateway.nowMs,
      seen: () => replica.final(),
      after: (delayMs, work) => void this.after(delayMs, work),
      delays: () => gateway.sealDelays(),
      onClosed: (batch) => sim.checker.closed(this, batch),
      onCommitted: (batch) => {
        for (const record of batch.records) this.#revoking.delete(record);
        gateway.lies?.committed(batch.records);
        sim.checker.committed(this, batch);
        this.submit();
      },
      releasesEarly: !(isProvider ? rules.receiptsDurable : rules.acknowledgementsDurable),
      ...gateway.lies?.journal(this),
    });
    this.localTakings = new LocalTakings({
      agency: self.agency,
      clock: { nowMs: () => gateway.nowMs, monotonicMs: () => world.nowMs },
      gateway: gateway.id,
      replica,
      journal: rules.takingsKept ? reader : { ...reader, unfinished: () => [] },
    });
    this.quotas = new QuotaUsageCounter({
      replica,
      journal: rules.quotasKept ? reader : { newest: () => [] },
      gateway: gateway.id,
      startedAtMs: gateway.nowMs,
    });
    const honest: Sealer = {
      seal: (queued) => {
        const { kind, record, decidedAtMs, states } = queued;
        const checked = rules.rechecked ? queued : { kind, record, decidedAtMs, states };
        const sealed = this.journal.seal(
          rules.openKept ? checked : { ...checked, states: checked.states.filter(isNotOpen) },
        );
        this.#standing?.queued(record, sealed);
        return sealed;
      },
    };
    const isHonestConsumer = !isProvider && gateway.lies === undefined;
    this.#standing = isHonestConsumer ? new StandingCalls(this) : undefined;
    this.#sealer = gateway.lies?.sealer(honest, this) ?? honest;
    const ports = this.#ports();
    this.leaves = new HeldLeaves({
      leafAt: (place) => replica.atPlace(place),
      inclusionBoundMs: () => universe.network.body.bounds.inclusion_bound_s * 1000,
    });
    this.held = new MissingReceipts({
      leaves: this.leaves,
      store: new SimHeld(gateway.heldDisk, (delayMs, work) => this.after(delayMs, work)),
      sealer: this.#sealer,
      clock: ports.clock,
      hasState: (key) => reader.state(key) !== undefined,
      onForked: ({ leaf, place }) => sim.checker.forked(place.gateway, leaf),
      onFailure: () => undefined,
    });
    this.sent = new SentAcknowledgements({ replica });
    this.unacknowledged = new UnacknowledgedReceipts({
      clock: ports.clock,
      replica,
      leaves: this.leaves,
      defer: (work) => ports.defer(work),
      unansweredMax: () => universe.network.body.bounds.unacknowledged_receipts,
      onForked: ({ leaf, place }) => sim.checker.forked(place.gateway, leaf),
    });
    this.#lookBack = new LookBack(this, this.unacknowledged);
    this.provider = new ProviderSide(this.#providerPorts(ports));
    const known = new KnownAttempts();
    known.load(reader.states("consumer/"));
    const token = fastSigner(gateway.keys.token);
    this.unknown = new UnknownAttempts(
      { ...ports, ownTokenKeys: () => [token.publicKey], journal: reader },
      known,
    );
    const pool = new LinkPool(this);
    const consumerPorts: ConsumerPorts = {
      ...ports,
      held: this.held,
      sent: this.sent,
      localTakings: this.localTakings,
      connect: (gateways) => pool.connect(gateways),
      openStream: (link, listener) => pool.openStream(link, listener),
      issueToken: (to, root, n) => {
        const issuedAt = Math.floor(gateway.nowMs / 1000);
        const parties = { iss: gateway.id, aud: to.peer, net: universe.network.idHex };
        const fresh = { jti: sim.bytes(16), nonce: to.peerBoot };
        const times = { iat: issuedAt, exp: issuedAt + tokenLifeS };
        return {
          token: createCallToken({ ...parties, ...fresh, ...times, root, n }, token),
          issuedAt,
        };
      },
    };
    this.consumer = new ConsumerSide(consumerPorts, known);
  }

  /** Runs unless the process has ended by then. */
  after(delayMs: number, work: () => void): () => void {
    return this.sim.world.after(delayMs, () => {
      if (this.isAlive) work();
    });
  }

  start(): void {
    const { replica, gateway, sim } = this;
    sim.world.note(`${gateway.name} starts as ${toHex(this.self.boot)}`);
    void this.held.load();
    const notFinal = gateway.disk.reader
      .unfinished()
      .map(({ number }) => gateway.disk.reader.batch(number) as JournalBatch);
    this.sent.load(notFinal, (leafHash) => {
      const index = replica.indexOfLeaf(leafHash);
      const included = index === undefined ? undefined : replica.batch(index);
      return this.leaves.gatewayOf(leafHash) ?? included?.header.gateway;
    });
    this.#lookBack.start();
    replica.onIncluded((batch) => {
      this.leaves.onIncluded(batch);
      this.unacknowledged.onIncluded(batch);
      this.provider.onIncluded(batch);
      this.consumer.onIncluded(batch);
      this.#standing?.look();
    });
    this.localTakings.whenTaken(() => {
      this.provider.recheckOpen();
      this.consumer.recheckOpen();
    });
    replica.onFinal((final) => {
      for (const link of sim.links) {
        if (link.consumer.process === this) link.consumer.push(final);
        if (link.provider.process === this) link.provider.push(final);
      }
      this.leaves.onFinal(final);
      this.held.onFinal();
      this.sent.final(final.size);
      this.unacknowledged.onFinal();
      this.#lookBack.save();
    });
    this.#startCatchingUp();
    this.#tick();
    this.submit();
  }

  /** An agency system calls. */
  call(method: SimMethod, mustEnd = false): void {
    const caller = new SimCaller(this, method, mustEnd);
    this.callers.add(caller);
    this.sim.checker.counts.calls += 1;
    this.consumer.handle(caller, { id: "registry" }).then(
      () => {
        caller.isHandled = true;
      },
      (error: unknown) => this.sim.checker.fail(`a call was not handled: ${String(error)}`),
    );
  }

  /** An administrator of the provider's agency takes a grant away. */
  revoke({ verified, revocation: record }: SimGrant): void {
    const { rules } = this.sim;
    if (rules.takingsAct) this.localTakings.accept(verified, record);
    this.sim.checker.revoked(verified);
    this.#revoking.set(record, verified);
    const decidedAtMs = this.gateway.nowMs;
    this.journal.seal({ kind: "governance", record, decidedAtMs, states: [] }).catch(() => {
      this.localTakings.withdraw(record);
      if (this.#revoking.delete(record)) this.sim.checker.withdrawn(verified);
    });
  }

  /** The process is gone, and with it what is not durable. */
  end(): void {
    this.isAlive = false;
    this.localTakings.close();
    this.quotas.close();
    for (const verified of this.#revoking.values()) this.sim.checker.withdrawn(verified);
  }

  /** What leaves on a link or a stream. */
  says(body: FrameBody): readonly FrameBody[] {
    const { lies } = this.gateway;
    if (lies === undefined) this.sim.checker.sends(this, body);
    if (body.case === "call") this.#standing?.called(body.value);
    return lies?.frames(body) ?? [body];
  }

  /** Own batches go to the ledger in their order. */
  submit(): void {
    const { disk } = this.gateway;
    const batch = disk.batches[disk.submitted];
    if (this.#isSubmitting || batch === undefined) return;
    if (this.gateway.lies?.withholds(batch.records) === true) return;
    this.#isSubmitting = true;
    this.after(this.sim.latencyMs(), () => {
      this.#isSubmitting = false;
      const result = this.sim.ledger.submit(batch);
      if (result === "included") disk.submitted += 1;
      else if (result === "later") {
        this.#isSubmitting = true;
        this.after(500, () => {
          this.#isSubmitting = false;
          this.submit();
        });
        return;
      } else {
        this.sim.checker.refused(this, result.refused);
        return;
      }
      this.submit();
    });
  }

  get isQuiet(): boolean {
    return (
      this.journal.isIdle && this.provider.openAttempts === 0 && this.consumer.openExchanges === 0
    );
  }

  #startCatchingUp(): void {
    const { replica, gateway } = this;
    const { reader } = gateway.disk;
    const work = async (): Promise<void> => {
      if (replica.final().size < this.#seenAtStart) return;
      if (this.#openBefore.size > 0) {
        const open = reader.states(openPrefix).filter(({ key }) => this.#openBefore.has(key));
        await this.provider.closeAfterRestart(open);
        this.#openBefore.clear();
      }
      if (this.provider.hasUnsealed) await this.provider.closeUnsealed(reader.states(openPrefix));
      await this.unknown.scan();
    };
    let running: Promise<void> = Promise.resolve();
    const catchUp = (): void => {
      running = running.then(work).catch(() => undefined);
    };
    catchUp();
    replica.onFinal(catchUp);
  }

  #tick(): void {
    this.after(500, () => {
      this.consumer.flushRefusals();
      this.provider.flushRefusals();
      this.#tick();
    });
  }

  #ports(): ExchangePorts {
    const { sim, gateway, self, replica } = this;
    const masks = new Masks(new DescriptorSets((digest) => replica.blob(digest)));
    return {
      self,
      clock: { nowMs: () => gateway.nowMs, monotonicMs: () => sim.world.nowMs },
      scheduler: { after: (delayMs, work) => this.after(delayMs, work) },
      defer: (work) => void this.after(0, work),
      random: (length) => sim.bytes(length),
      verifier: fastVerifier,
      replica,
      sealer: this.#sealer,
      openings: { put: () => undefined },
      events: {
        exchangeEnded: ({ outcome }) => sim.checker.ended(gateway, outcome),
        refused: () => undefined,
        segmentSealed: () => undefined,
        internalError: ({ error }) => sim.checker.internalError(this, error),
        startSpan: () => ({ trace: undefined, sealed: () => undefined, end: () => undefined }),
      },
      masks: gateway.lies?.masks?.(masks) ?? masks,
      messageBytesMax: answerBytesMax,
    };
  }

  #providerPorts(ports: ExchangePorts): ProviderPorts {
    const { replica, self, sim, gateway } = this;
    const { universe, rules } = sim;
    const upstream = new SimUpstream(this);
    const waits = this.unacknowledged;
    const unacknowledged = rules.answersAwaited
      ? waits
      : answeredAtOnce(waits, (work) => void this.after(0, work));
    return {
      ...ports,
      unacknowledged,
      expected: { expect: () => () => undefined },
      joined: this.joined,
      localTakings: gateway.lies?.takings ?? this.localTakings,
      upstream: () => upstream,
      decide: (view, attempt, earlyTakings) =>
        decideAndReserve(
          this.quotas,
          { view, attempt, earlyTakings, blob: (digest) => replica.blob(digest) },
          [],
          universe.engine,
        ),
      verifyToken: (token, issuer) => {
        const keyOf = (kid: string): Uint8Array | undefined => tokenKeyOf(replica, kid, issuer);
        const boot = rules.nonceChecked ? self.boot : sim.nonceOf(token, self.boot);
        return verifyCallToken({
          token,
          expected: {
            issuer,
            audience: self.gateway,
            network: universe.network.idHex,
            boot,
            nowMs: gateway.nowMs,
            skewS: 5,
            lifeS: tokenLifeS,
          },
          keyOf,
          verifier: fastVerifier,
          remembered: fastTokens(keyOf),
        });
      },
    };
  }
}

function isNotOpen({ key }: { readonly key: string }): boolean {
  return !key.startsWith(openPrefix) && !key.startsWith("consumer/open/");
}
