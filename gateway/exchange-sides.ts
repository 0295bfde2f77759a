/** Both sides of the exchange with the links between gateways. */
import type { Logger } from "pino";
import { toHex } from "../src/base/bytes.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import { createCallToken, verifyCallToken } from "../src/credential/call-token.ts";
import { RememberedSignatures } from "../src/credential/remembered-signatures.ts";
import { ConsumerSide } from "../src/exchange/consumer.ts";
import { KnownAttempts } from "../src/exchange/known-attempts.ts";
import type { ExchangePorts } from "../src/exchange/ports.ts";
import type { ProviderPorts } from "../src/exchange/provider-ports.ts";
import { ProviderSide } from "../src/exchange/provider.ts";
import { UnknownAttempts } from "../src/exchange/unknown-attempts.ts";
import { readFinal } from "../src/ledger/embedded/checkpoints.ts";
import { trustOf } from "../src/ledger/embedded/trust.ts";
import type { JournalReader } from "../src/ledger/journal/store.ts";
import { gatherAttributes } from "../src/policy/call-attributes.ts";
import { createCedarEngine } from "../src/policy/cedar-engine.ts";
import { memoiseVerdicts } from "../src/policy/memo.ts";
import type { LocalTakings } from "../src/exchange/recheck.ts";
import type { ClockWatch } from "./clock-watch.ts";
import type { HeldEvidence } from "./evidence-held.ts";
import type { GatewayConfig } from "./config.ts";
import { Links } from "./links.ts";
import { boundBatchKeys, boundTokenKeys, tokenKeyOf } from "./peers.ts";
import { DescriptorSets } from "../src/policy/descriptors.ts";
import { Masks } from "../src/policy/mask.ts";
import { decideAndReserve, QuotaUsageCounter } from "./quota-usage.ts";
import type { LocalIdentity } from "./self.ts";
import type { Sources } from "./sources.ts";

export interface ExchangeSides {
  readonly consumer: ConsumerSide;
  readonly provider: ProviderSide;
  readonly unknown: UnknownAttempts;
  readonly links: Links;
  /** Authority was taken away here: what is open and rests on it ends. */
  recheckOpen(): void;
  flushRefusals(all: boolean): void;
  close(): void;
}

export interface ExchangeSidesOptions {
  readonly config: GatewayConfig;
  readonly identity: LocalIdentity;
  readonly ports: Omit<ExchangePorts, "masks"> & Pick<ProviderPorts, "expected">;
  readonly journal: JournalReader;
  readonly evidence: HeldEvidence;
  readonly localTakings: LocalTakings;
  readonly sources: Pick<Sources, "upstreams" | "attributes">;
  readonly watch: ClockWatch;
  readonly logger: Logger;
  halt(code: ReasonCode): void;
}

/** Claims of a call token last this long, in seconds, within what the network allows. */
const tokenLifeS = 60;

export function createExchangeSides(options: ExchangeSidesOptions): ExchangeSides {
  const { identity, journal, logger, sources } = options;
  const descriptors = new DescriptorSets((digest) => options.ports.replica.blob(digest));
  const masks = new Masks(descriptors);
  const ports: ExchangePorts = { ...options.ports, masks };
  const { keys, network } = identity;
  const { clock, random, replica, self, verifier } = ports;
  const engine = memoiseVerdicts(createCedarEngine());
  const quotas = new QuotaUsageCounter({
    replica,
    journal,
    gateway: self.gateway,
    startedAtMs: self.startedAtMs,
  });
  const remembered = new RememberedSignatures();
  const bounds = (): { skew_s: number; token_life_s: number } =>
    replica.view().network?.bounds ?? { skew_s: 5, token_life_s: tokenLifeS };
  const net = toHex(self.network);
  const keyOf = (kid: string, issuer: string): Uint8Array | undefined =>
    tokenKeyOf(replica, kid, issuer);

  const provider = new ProviderSide({
    ...ports,
    // Copies of a limit that a reload changes would not follow it.
    get messageBytesMax() {
      return options.ports.messageBytesMax;
    },
    expected: options.ports.expected,
    unacknowledged: options.evidence.unacknowledged,
    joined: options.evidence.joined,
    localTakings: options.localTakings,
    upstream: (service) => sources.upstreams.get(service),
    attributesOf: (service, call, signal) => sources.attributes.of(service, call, signal),
    decide: (view, attempt, earlyTakings, call) => {
      const { service, method } = attempt;
      const { attributes, openings } = gatherAttributes({
        service: view.service(service)?.body,
        method,
        facts: call,
        descriptors,
        random,
      });
      const blob = (digest: Uint8Array): Uint8Array | undefined => replica.blob(digest);
      const facts = { view, attempt, earlyTakings, blob };
      const outcome = decideAndReserve(quotas, facts, attributes, engine);
      return openings.length === 0 ? outcome : { ...outcome, openings };
    },
    verifyToken: (token, issuer) =>
      verifyCallToken({
        token,
        expected: {
          issuer,
          audience: self.gateway,
          network: net,
          boot: self.boot,
          nowMs: clock.nowMs(),
          skewS: bounds().skew_s,
          lifeS: bounds().token_life_s,
        },
        keyOf,
        verifier,
        remembered,
      }),
  });
  const known = new KnownAttempts();
  known.load(journal.states("consumer/"));
  const ownTokenKeys = (): readonly Uint8Array[] => [
    keys.token.publicKey,
    ...boundTokenKeys(replica.state(), self.gateway),
  ];
  const unknown = new UnknownAttempts({ ...ports, ownTokenKeys, journal }, known);
  const links: Links = new Links({
    ...ports,
    linksPerPeer: options.config.links.per_peer,
    tokenSigner: keys.token,
    ownBatchKeys: () => [keys.batch.publicKey, ...boundBatchKeys(replica.state(), self.gateway)],
    tls: () => identity.tls.pem,
    readFinal: (note) => {
      const from = replica.final()?.size ?? 0n;
      return readFinal(trustOf(network, replica.state()), note, { verifier, from });
    },
    onHello: (peer, { clockMs, ownLeaf }) => {
      options.watch.hello(peer, clockMs);
      if (ownLeaf !== undefined && journal.batchByLeafHash(ownLeaf.leafHash) === undefined) {
        options.halt("JOURNAL_ROLLED_BACK");
      }
    },
    serve: (link) => provider.serve(link),
    serveStream: (_link, carriage) => provider.serveStream(carriage),
    streamRefused: (link) => provider.streamRefused(link),
    onFrame: (link, frame) => consumer.onFrame(link, frame),
    onLost: (link) => {
      options.watch.forget(link.peer);
      consumer.onLinkLost(link);
    },
    onRefused: (error) => logger.warn({ event: "link refused", code: error.code }, "link refused"),
  });
  const consumer = new ConsumerSide(
    {
      ...ports,
      get messageBytesMax() {
        return options.ports.messageBytesMax;
      },
      held: options.evidence.held,
      sent: options.evidence.sent,
      localTakings: options.localTakings,
      connect: (gateways) => links.connect(gateways),
      openStream: (link, listener) => links.openStream(link, listener),
      issueToken: (to, root, n) => {
        const issuedAt = Math.floor(clock.nowMs() / 1000);
        const exp = issuedAt + Math.min(tokenLifeS, bounds().token_life_s);
        const claims = {
          iss: self.gateway,
          aud: to.peer,
          net,
          jti: random(16),
          nonce: to.peerBoot,
        };
        const token = createCallToken({ ...claims, iat: issuedAt, exp, root, n }, keys.token);
        return { token, issuedAt };
      },
    },
    known,
  );
  ports.replica.onIncluded((batch) => {
    provider.onIncluded(batch);
    consumer.onIncluded(batch);
  });
  return {
    consumer,
    provider,
    unknown,
    links,
    recheckOpen: () => {
      provider.recheckOpen();
      consumer.recheckOpen();
    },
    flushRefusals: (all) => {
      consumer.flushRefusals(all);
      provider.flushRefusals(all);
    },
    close: () => {
      consumer.close();
      provider.close();
      links.close();
    },
  };
}
