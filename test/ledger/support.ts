/** Networks on real sockets: gRPC and HTTPS on port 0, self-signed certificates, SQLite in temporary folders. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { createSelfSignedCertificate, type TlsKey } from "../../gateway/keys/tls.ts";
import { createLedgerClient } from "../../gateway/ledger/ledger-client.ts";
import { createLedgerService } from "../../gateway/ledger/ledger-service.ts";
import { createWitnessClient } from "../../gateway/ledger/witness-client.ts";
import { createWitnessHandler } from "../../gateway/ledger/witness-http.ts";
import { systemScheduler } from "../../gateway/runtime.ts";
import { certificatePem, spkiDigest } from "../../gateway/tls.ts";
import { equalBytes, toBase64 } from "../../src/base/bytes.ts";
import type { Clock } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { LedgerService } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { foundLedger, joinLedger } from "../../src/ledger/embedded/founding.ts";
import {
  createLedgerNode,
  type LedgerNode,
  type LedgerNodeOptions,
} from "../../src/ledger/embedded/ledger-node.ts";
import type {
  LedgerClient,
  LedgerHost,
  LedgerPeer,
  WitnessPort,
} from "../../src/ledger/embedded/ports.ts";
import type { LedgerReport } from "../../src/ledger/embedded/sequencer.ts";
import { TestLedger } from "../support/ledger.ts";
import {
  createTestNetwork,
  type TestNetwork,
  type TestNetworkOptions,
} from "../support/network.ts";

/** A clock that a test moves. */
export class TestClock implements Clock {
  offsetMs = 0;
  readonly nowMs = (): number => Date.now() + this.offsetMs;
  readonly monotonicMs = (): number => performance.now();
}

/** What the helpers need of a test: to be told of its end. */
export type Cleanup = Pick<TestContext, "after">;

export function temporaryFolder(t: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), "causeway-ledger-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function tlsKey(name: string): TlsKey {
  const day = 24 * 3600_000;
  return createSelfSignedCertificate({
    name,
    notBeforeMs: Date.now() - day,
    notAfterMs: Date.now() + day,
  });
}

/** Waits until `probe` gives something; fails after `timeoutMs`. */
export async function until<T>(
  probe: () => T | undefined | false,
  what: string,
  timeoutMs = 15_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const found = probe();
    if (found !== undefined && found !== false) return found;
    assert.ok(Date.now() < end, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Keys and ports that another process goes on with. */
export interface SocketPlaces {
  readonly tls: TlsKey;
  readonly witnessTls: TlsKey;
  readonly peerPort: number;
  readonly witnessPort: number;
}

/** The sockets of one process; what stands behind them may come and go. */
export class Sockets {
  /** Key of the gateway's peer listener; the witness has one of its own. */
  readonly tls: TlsKey;
  readonly witnessTls: TlsKey;
  host: LedgerHost | undefined;
  witness: WitnessPort | undefined;
  /** Requests that reached the witness. */
  witnessed = 0;
  readonly #https: HttpsServer;
  readonly #grpc = new Server();
  #grpcPort = 0;

  private constructor(keys: Pick<SocketPlaces, "tls" | "witnessTls">) {
    this.tls = keys.tls;
    this.witnessTls = keys.witnessTls;
    const key = this.witnessTls.privateKeyPem;
    const cert = certificatePem(this.witnessTls.certificateDer);
    const witness: WitnessPort = {
      addCheckpoint: async (body) => {
        this.witnessed++;
        return present(this.witness).addCheckpoint(body);
      },
      latest: async (originHash) => present(this.witness).latest(originHash),
      holdBatch: async (batch) => present(this.witness).holdBatch(batch),
      takeEvidence: async (term, bytes) => present(this.witness).takeEvidence(term, bytes),
    };
    this.#https = createServer({ key, cert, minVersion: "TLSv1.3" }, createWitnessHandler(witness));
    const host: LedgerHost = {
      submit: async (batch) => present(this.host).submit(batch),
      putBlob: async (sha256, content) => present(this.host).putBlob(sha256, content),
      blob: (sha256) => present(this.host).blob(sha256),
      follow: (start, signal) => present(this.host).follow(start, signal),
    };
    this.#grpc.addService(
      grpcDefinition(LedgerService),
      createLedgerService({ host, isMember: () => true }),
    );
  }

  /** New keys and free ports, or those of `places`. */
  static async open(t: Cleanup, name: string, places?: SocketPlaces): Promise<Sockets> {
    const fresh = { tls: tlsKey(name), witnessTls: tlsKey(`${name} witness`) };
    const sockets = new Sockets(places ?? fresh);
    await sockets.#listen(places?.peerPort ?? 0, places?.witnessPort ?? 0);
    t.after(() => sockets.close());
    return sockets;
  }

  async #listen(peerPort: number, witnessPort: number): Promise<void> {
    await new Promise<void>((resolve) => this.#https.listen(witnessPort, "127.0.0.1", resolve));
    const pair = {
      private_key: Buffer.from(this.tls.privateKeyPem),
      cert_chain: Buffer.from(certificatePem(this.tls.certificateDer)),
    };
    const secure = ServerCredentials.createSsl(null, [pair]);
    this.#grpcPort = await new Promise((resolve, reject) => {
      this.#grpc.bindAsync(`127.0.0.1:${peerPort}`, secure, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  get places(): SocketPlaces {
    const { port: witnessPort } = this.#https.address() as AddressInfo;
    return { tls: this.tls, witnessTls: this.witnessTls, peerPort: this.#grpcPort, witnessPort };
  }

  get witnessAddress(): string {
    return `127.0.0.1:${(this.#https.address() as AddressInfo).port}`;
  }

  get peerAddress(): string {
    return `127.0.0.1:${this.#grpcPort}`;
  }

  close(): void {
    this.#grpc.forceShutdown();
    this.#https.closeAllConnections();
    this.#https.close();
  }
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new CausewayError("LEDGER_UNAVAILABLE", "not running");
  return value;
}

/** A member's process in this one: a folder that outlives its nodes. */
export class Member {
  readonly city: string;
  readonly folder: string;
  readonly sockets: Sockets;
  readonly reports: LedgerReport[] = [];
  readonly fatal: unknown[] = [];
  readonly clock: TestClock = new TestClock();
  /** Log keys at hand. */
  readonly logs: Signer[] = [];
  node: LedgerNode | undefined;

  constructor(city: string, folder: string, sockets: Sockets) {
    this.city = city;
    this.folder = folder;
    this.sockets = sockets;
  }

  get running(): LedgerNode {
    return present(this.node);
  }

  async start(
    options: Pick<LedgerNodeOptions, "founding" | "gateway" | "verifier"> &
      Partial<LedgerNodeOptions>,
  ): Promise<LedgerNode> {
    const node = await createLedgerNode({
      folder: this.folder,
      clock: this.clock,
      scheduler: systemScheduler,
      quietMs: 0,
      logSigner: (publicKey) => this.logs.find((log) => equalBytes(log.publicKey, publicKey)),
      connect: (peer) => this.client(peer),
      witnessOf: ({ address, tls }) => createWitnessClient({ address, tls }),
      onReport: (report) => this.reports.push(report),
      onFatal: (error) => this.fatal.push(error),
      ...options,
    });
    this.node = node;
    this.sockets.host = node.host;
    this.sockets.witness = node.witness;
    node.start();
    return node;
  }

  /** A client of another member, as this one has it. */
  client({ address, tls }: LedgerPeer): LedgerClient {
    return createLedgerClient({
      address,
      tls,
      identity: {
        keyPem: this.sockets.tls.privateKeyPem,
        certificatePem: certificatePem(this.sockets.tls.certificateDer),
      },
      callTimeoutMs: 10_000,
    });
  }

  get peer(): LedgerPeer {
    const { peerAddress, tls } = this.sockets;
    return { address: peerAddress, tls: [spkiDigest(tls.certificateDer)] };
  }

  async stop(): Promise<void> {
    this.sockets.host = undefined;
    this.sockets.witness = undefined;
    const node = this.node;
    this.node = undefined;
    await node?.close();
  }

  /** What was told, for a test that waits in vain. */
  told(): string {
    return JSON.stringify([...this.reports, ...this.fatal], (_, value: unknown) => {
      if (typeof value === "bigint") return String(value);
      return value instanceof Error ? value.message : value;
    });
  }
}

/** Two cities with a quorum of both: Hangzhou sequences, Shenzhen follows, each hosts its witness. */
export class TwoCities {
  readonly network: TestNetwork;
  readonly ledger: TestLedger;
  readonly hangzhou: Member;
  readonly shenzhen: Member;

  private constructor(parts: Pick<TwoCities, "network" | "ledger" | "hangzhou" | "shenzhen">) {
    this.network = parts.network;
    this.ledger = parts.ledger;
    this.hangzhou = parts.hangzhou;
    this.shenzhen = parts.shenzhen;
  }

  /** Founded on both disks; nothing runs yet. */
  static async found(
    t: TestContext,
    options: { readonly heartbeatS?: number } = {},
  ): Promise<TwoCities> {
    const hangzhou = new Member("hangzhou", temporaryFolder(t), await Sockets.open(t, "hangzhou"));
    const shenzhen = new Member("shenzhen", temporaryFolder(t), await Sockets.open(t, "shenzhen"));
    const network = createTestNetwork(
      networkOptions([hangzhou, shenzhen], options.heartbeatS ?? defaultBounds.heartbeat_s),
    );
    const ledger = await TestLedger.founded(network);
    const founding = network.payload;
    const shared = { founding, verifier: network.verifier, clock: new TestClock() };
    const [first] = ledger.batches;
    assert.ok(first !== undefined);
    await foundLedger({ ...shared, folder: hangzhou.folder }, first);
    await joinLedger({ ...shared, folder: shenzhen.folder });
    const cities = new TwoCities({ network, ledger, hangzhou, shenzhen });
    t.after(async () => {
      await cities.shenzhen.stop();
      await cities.hangzhou.stop();
    });
    return cities;
  }

  async startSequencer(options: Partial<LedgerNodeOptions> = {}): Promise<LedgerNode> {
    this.hangzhou.logs.push(this.network.log);
    return this.hangzhou.start({
      founding: this.network.payload,
      verifier: this.network.verifier,
      gateway: this.network.provider.gateway.id,
      witness: { city: "hangzhou", signer: this.witnessKey(0) },
      ...options,
    });
  }

  async startFollower(
    options: Pick<LedgerNodeOptions, "stores"> & { readonly client?: LedgerClient } = {},
  ): Promise<LedgerNode> {
    const { client, stores } = options;
    return this.shenzhen.start({
      founding: this.network.payload,
      verifier: this.network.verifier,
      gateway: this.network.consumer.gateway.id,
      ...(client === undefined ? {} : { connect: () => client }),
      ...(stores === undefined ? {} : { stores }),
      witness: { city: "shenzhen", signer: this.witnessKey(1) },
    });
  }

  /** A client of the sequencer, as a member has it. */
  client(): LedgerClient {
    return this.shenzhen.client(this.hangzhou.peer);
  }

  witnessKey(position: 0 | 1): TestNetwork["log"] {
    const city = this.network.cities[position];
    assert.ok(city !== undefined);
    return city.witness;
  }

  /** Both run, and batch 0 is final at both. */
  async startBoth(): Promise<void> {
    await this.startSequencer();
    await this.startFollower();
    await this.finalAtBoth(this.ledger.size);
  }

  async finalAtBoth(size: bigint): Promise<void> {
    for (const member of [this.hangzhou, this.shenzhen]) await finalAt(member, size);
  }
}

/** Waits until a size is final at a member. */
export async function finalAt(member: Member, size: bigint): Promise<void> {
  const isFinal = (): boolean => (member.node?.replica.final()?.size ?? 0n) >= size;
  await until(isFinal, `size ${size} final at ${member.city}`).catch((error: unknown) => {
    throw new Error(`at ${member.city}: ${member.told()}`, { cause: error });
  });
}

export function networkOptions(members: readonly Member[], heartbeatS: number): TestNetworkOptions {
  const memberOf = (owner: string): Member => {
    const member = members.find(({ city }) => owner.startsWith(city));
    assert.ok(member !== undefined, owner);
    return member;
  };
  return {
    startMs: Date.now() - 5_000,
    network: { bounds: { ...defaultBounds, heartbeat_s: heartbeatS } },
    tls: (owner) => {
      const { tls, witnessTls } = memberOf(owner).sockets;
      const { certificateDer } = owner.includes("/") ? tls : witnessTls;
      return { certificate: toBase64(certificateDer), digest: spkiDigest(certificateDer) };
    },
    address: (owner, listener) => {
      const { sockets } = memberOf(owner);
      return listener === "witness" ? sockets.witnessAddress : sockets.peerAddress;
    },
  };
}
