/** The composition root: everything that a gateway process is made of is wired here and nowhere else. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Clock, RandomBytes, Scheduler } from "../src/base/clock.ts";
import type { CausewayError } from "../src/base/errors.ts";
import { agencyOf } from "../src/base/ids.ts";
import { signaturesVerifiedMax } from "../src/base/limits.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import { createNodeVerifier } from "../src/crypto/node.ts";
import { rememberVerified } from "../src/crypto/remember-verified.ts";
import type { Self } from "../src/exchange/ports.ts";
import type { UpstreamConnector } from "../src/exchange/transport/ports.ts";
import type { SealWorkerData } from "../src/ledger/journal/seal-message.ts";
import { createSealWorker, openJournal, type SealWorker } from "../src/ledger/journal/sealer.ts";
import { startSubmitter } from "../src/ledger/journal/submitter.ts";
import type { Engine, Sealer } from "../src/ledger/ports.ts";
import { emptyRoot } from "../src/merkle/hash.ts";
import { LocalTakings } from "./admin/local-takings.ts";
import { ClockWatch } from "./clock-watch.ts";
import type { GatewayConfig } from "./config.ts";
import { reportEquivocations } from "./equivocations.ts";
import { createHeldEvidence } from "./evidence-held.ts";
import { createExchangeSides } from "./exchange-sides.ts";
import { createLedgerPart } from "./ledger-part.ts";
import { openListeners } from "./listeners.ts";
import { createLogger } from "./logger.ts";
import { createOpenings } from "./openings.ts";
import { watchOwnChain } from "./own-chain.ts";
import { boundBatchKeys } from "./peers.ts";
import { deferToEndOfTurn, systemClock, systemRandom, systemScheduler } from "./runtime.ts";
import { createReloader, type ReloadAnswer } from "./reload.ts";
import { findLogKey, openIdentity } from "./self.ts";
import { createBuiltInServices } from "./services/built-in.ts";
import { openSources } from "./sources.ts";
import { createStatus, version } from "./status.ts";
import { createTlsRotation } from "./tls-rotation.ts";
import { createTelemetry } from "./telemetry.ts";

/** What a test or a simulation puts in the place of the product's own adapters. */
export interface GatewayOverrides {
  readonly clock?: Clock;
  readonly scheduler?: Scheduler;
  readonly random?: RandomBytes;
  readonly logger?: Logger;
  readonly createSealWorker?: (data: SealWorkerData) => SealWorker;
  wrapSealer?(sealer: Sealer): Sealer;
  wrapEngine?(engine: Engine): Engine;
  readonly wrapUpstream?: (upstream: UpstreamConnector) => UpstreamConnector;
  readonly ledgerStores?: Parameters<typeof createLedgerPart>[0]["stores"];
  readonly onFatal?: (error: unknown) => void;
  /** Reads the configuration again, for a reload; without it there is none. Throws as `readConfig` does. */
  readonly rereadConfig?: () => GatewayConfig;
}

export interface Gateway {
  /** Opens the listeners and joins the ledger. Resolves once calls are taken, also while not ready. */
  start(): Promise<void>;
  /** Reason codes for which it is not ready; empty when it is. */
  notReady(): readonly ReasonCode[];
  /** Puts the configuration in force as it stands in its file now, as far as a running gateway takes it. */
  reload(): Promise<ReloadAnswer>;
  /** Drains, closes what is open with its records, and ends. */
  close(): Promise<void>;
}

const tickMs = 500;

/** Ends one part of a gateway that did not come up. */
type CloseOpened = () => Promise<void> | void;

/** Builds a gateway from its configuration; nothing runs until `start`. What fails leaves nothing open. */
export async function createGateway(
  config: GatewayConfig,
  overrides: GatewayOverrides = {},
): Promise<Gateway> {
  const opened: CloseOpened[] = [];
  try {
    return await build(config, overrides, opened);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

/** Ends parts in the reverse of the order in which they were opened. Why they are ended is what is told. */
async function closeAll(opened: CloseOpened[]): Promise<void> {
  for (const close of opened.splice(0).toReversed()) {
    await Promise.resolve(close()).catch(() => undefined);
  }
}

async function build(
  config: GatewayConfig,
  overrides: GatewayOverrides,
  opened: CloseOpened[],
): Promise<Gateway> {
  const clock = overrides.clock ?? systemClock;
  const scheduler = overrides.scheduler ?? systemScheduler;
  const random = overrides.random ?? systemRandom;
  const logger = overrides.logger ?? createLogger(config);
  const onFatal = overrides.onFatal ?? endProcess(logger);
  const reloader = createReloader(config, { reread: overrides.rereadConfig, logger });
  reloader.add({
    prepare: (next) => () => {
      logger.level = next.log;
    },
  });
  const telemetry = await createTelemetry({ ...config, config: config.telemetry, version, logger });
  opened.push(() => telemetry.close());
  const identity = await openIdentity(config);
  const { keys, network } = identity;
  const verifier = rememberVerified(createNodeVerifier(), signaturesVerifiedMax);
  mkdirSync(config.data, { recursive: true, mode: 0o700 });

  const self: Self = {
    gateway: config.gateway,
    agency: agencyOf(config.gateway),
    boot: random(16),
    startedAtMs: clock.nowMs(),
    network: network.id,
  };
  const ledger = await createLedgerPart({
    config,
    identity,
    verifier,
    clock,
    scheduler,
    stores: overrides.ledgerStores,
    report: (report) =>
      logger[report.event === "sequencer serves" ? "info" : "warn"]({ ...report }, report.event),
    onFatal,
  });
  opened.push(() => ledger.close());
  const { replica } = ledger.node;
  const engine = overrides.wrapEngine?.(ledger.node.engine) ?? ledger.node.engine;
  const watch = new ClockWatch(clock, network.skewMs);
  const journal = await openJournal({
    path: join(config.data, "journal.sqlite"),
    gateway: self.gateway,
    network: network.id,
    batchKeySeed: keys.batch.seed,
    otherBatchKeys: boundBatchKeys(replica.state(), self.gateway),
    boot: self.boot,
    clock,
    scheduler,
    seen: () => replica.final() ?? { size: 0n, root: emptyRoot },
    queueBytesMax: ledger.bounds.sealing_queue_bytes,
    onFatal,
    createWorker: overrides.createSealWorker ?? createSealWorker,
  });
  opened.push(() => journal.close());
  const openPrefix = "provider/open/";
  // Read before any listener opens: what this start opens itself is not among them.
  const openBefore = new Set(journal.reader.states(openPrefix).map(({ key }) => key));
  const halted = new Set<ReasonCode>();
  const halt = (code: ReasonCode): void => {
    // A new gateway waits for the ledger each time.
    const level = code === "LEDGER_BEHIND" ? "info" : "error";
    if (!halted.has(code)) logger[level]({ event: "sealing halted", code }, "sealing halted");
    halted.add(code);
    journal.halt(code);
  };
  const lift = (code: ReasonCode): void => {
    if (halted.delete(code)) journal.lift(code);
  };
  const { gateway, startedAtMs } = self;
  const stopWatchingChain = watchOwnChain({ gateway, startedAtMs, replica, journal, halt, lift });
  opened.push(stopWatchingChain);
  const openings = await createOpenings({ folder: config.data, random, scheduler, onFatal });
  opened.push(() => openings.close());
  const ofSources = { scheduler, replica, logger, wrapUpstream: overrides.wrapUpstream, reloader };
  const sources = await openSources(config, ofSources);
  opened.push(() => sources.close());
  const localTakings = new LocalTakings({
    agency: self.agency,
    clock,
    gateway: self.gateway,
    replica,
    journal: journal.reader,
  });
  const sealer = telemetry.measured(
    overrides.wrapSealer?.(journal.sealer) ?? journal.sealer,
    clock,
  );
  const ports = {
    self,
    clock,
    scheduler,
    defer: deferToEndOfTurn,
    random,
    verifier,
    replica,
    sealer,
    expected: journal.expected,
    openings,
    events: telemetry,
    get messageBytesMax() {
      return reloader.config.limits.message_bytes_max;
    },
  };
  const evidence = await createHeldEvidence({ config, journal, ports, logger, onFatal });
  opened.push(() => evidence.close());
  const sides = createExchangeSides({
    config,
    identity,
    journal: journal.reader,
    evidence,
    localTakings,
    sources,
    watch,
    logger,
    halt,
    ports,
  });
  localTakings.whenTaken(() => sides.recheckOpen());
  const rotation = createTlsRotation({ identity, replica, links: sides.links, scheduler, logger });
  reloader.add(rotation);
  let closing: Promise<void> | undefined;
  const notReady = (): readonly ReasonCode[] => {
    const reasons = new Set<ReasonCode>(halted);
    if (closing !== undefined) reasons.add("SHUTTING_DOWN");
    const fault = replica.fault();
    const final = replica.final();
    if (fault !== undefined) reasons.add(fault.reason);
    if (final === undefined) reasons.add("LEDGER_BEHIND");
    else if (clock.nowMs() - final.timeMs > ledger.bounds.max_staleness_s * 1000) {
      reasons.add("STALE_REPLICA");
    }
    return [...reasons];
  };
  const builtIn = createBuiltInServices({
    replica,
    clock,
    scheduler,
    agency: self.agency,
    notReady,
    onError: (error) => logger.error({ event: "service failed", err: error }, "service failed"),
  });
  // Until the listeners are open, and when they cannot be.
  let stop = async (): Promise<void> => {
    localTakings.close();
    sides.close();
    await closeAll(opened);
  };

  async function start(): Promise<void> {
    const status = createStatus({ config, self, ledger, journal, clock, notReady });
    const admin = {
      clock,
      scheduler,
      verifier,
      replica,
      sealer,
      localTakings,
      journal: journal.reader,
      engine,
      status,
      ...evidence.admin,
      appointments: {
        gateway: self.gateway,
        node: ledger.node,
        journal: journal.reader,
        sealer,
        clock,
        scheduler,
        findLogKey: (publicKey: Uint8Array) => findLogKey(config, identity, publicKey),
      },
      reload: () => reloader.reload(),
      copyLedger: (path: string) => replica.reader.copyTo(path),
      onError: (error: unknown) =>
        logger.error({ event: "admin call failed", err: error }, "admin call failed"),
    };
    const listeners = await openListeners({
      config,
      identity,
      ledger,
      sides,
      builtIn,
      reloader,
      scheduler,
      telemetry,
      admin,
      logger,
      notReady,
    });
    const submitter = startSubmitter({
      journal,
      engine,
      replica,
      scheduler,
      term: () => replica.term().term,
      onRefused: ({ number, reason }) => {
        halted.add(reason);
        logger.error({ event: "own batch refused", number, reason }, "own batch refused");
      },
    });
    ledger.node.start();
    const stopReporting = reportEquivocations({
      replica,
      journal: journal.reader,
      sealer,
      clock,
      heldFork: (gateway) => evidence.forkedLeaf(gateway),
      onFailure: (error) =>
        logger.warn({ event: "report failed", err: error }, "an equivocation is not reported yet"),
    });
    evidence.start(() => sides.provider.openAttempts + sides.consumer.openExchanges);
    const stopTicking = [startTicks(), startCatchingUp(), stopWatchingChain];
    logger.info({ event: "started", network: Buffer.from(network.id).toString("hex") }, "started");
    stop = async () => {
      builtIn.drain();
      rotation.close();
      const { drain_ms } = reloader.config.limits;
      await Promise.all([listeners.closeAgency(drain_ms), sides.links.drain(drain_ms)]);
      sides.provider.interruptAll();
      sides.flushRefusals(true);
      for (const stopOne of stopTicking) stopOne();
      stopReporting();
      localTakings.close();
      evidence.stop();
      await journal.close();
      submitter.stop();
      sides.close();
      await listeners.close();
      await sources.close();
      await evidence.close();
      await openings.close();
      await ledger.close();
      await telemetry.close();
      logger.info({ event: "stopped" }, "stopped");
    };
  }

  /** Closes what an earlier start left open, then answers what is unknown, again after each final checkpoint. */
  function startCatchingUp(): () => void {
    const work = async (): Promise<void> => {
      // Nothing is sealed under a size that this chain has already gone beyond.
      if ((replica.final()?.size ?? 0n) < (journal.tipAtStart?.seenSize ?? 0n)) return;
      if (openBefore.size > 0) {
        const open = journal.reader.states(openPrefix).filter(({ key }) => openBefore.has(key));
        await sides.provider.closeAfterRestart(open);
        openBefore.clear();
      }
      if (sides.provider.hasUnsealed) {
        await sides.provider.closeUnsealed(journal.reader.states(openPrefix));
      }
      await sides.unknown.scan();
    };
    let running: Promise<void> = Promise.resolve();
    const catchUp = (): void => {
      running = running.then(work).catch(logSealFailure);
    };
    catchUp();
    return replica.onFinal((final) => {
      watch.final(final.timeMs);
      catchUp();
    });
  }

  function startTicks(): () => void {
    let cancel: () => void;
    const tick = (): void => {
      sides.flushRefusals(false);
      if (watch.isOff() || replica.isClockBehind()) halt("CLOCK_OFF");
      else lift("CLOCK_OFF");
      cancel = scheduler.after(tickMs, tick);
    };
    cancel = scheduler.after(tickMs, tick);
    return () => cancel();
  }

  function logSealFailure(error: unknown): void {
    const code = (error as Partial<CausewayError>).code;
    logger.warn(
      { event: "closing failed", code, err: error },
      "an attempt could not be closed yet",
    );
  }

  return {
    start,
    notReady,
    reload: () => reloader.reload(),
    close: () => {
      // Whoever asks is told first that no more calls are taken.
      closing ??= Promise.resolve().then(() => stop());
      return closing;
    },
  };
}

/** What is signed and not known to be durable must leave for nowhere: the process ends at once. */
function endProcess(logger: Logger): (error: unknown) => void {
  return (error) => {
    logger.fatal({ event: "broken", err: error }, "storage failed or an invariant is broken");
    process.exit(70);
  };
}
