/** A consumer's side on the gateways of the simulation, where the ledger of one stands still and that of another goes on. */
import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { CausewayError } from "../../src/base/errors.ts";
import { reason, type ReasonCode } from "../../src/base/reasons.ts";
import { statedReason } from "../../src/exchange/received-proof.ts";
import type { FrameBody } from "../../src/exchange/ports.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import type { StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { StatusSource } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Outcome, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeMessage } from "../../src/base/wire-writer.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";
import { ExchangeSim } from "../simulation/exchange-sim.ts";
import type { SimGateway } from "../simulation/exchange-gateway.ts";
import type { SimProcess } from "../simulation/exchange-process.ts";
import { purpose, theUniverse, type Universe } from "../simulation/exchange-universe.ts";
import { metadataOf } from "../simulation/exchange-upstream.ts";
import { streamMethods } from "../support/stream-service.ts";

/** A stream in which the caller says one thing, and then nothing for as long as it lives. */
class SilentCaller implements IncomingCall {
  readonly path: string = streamMethods.chat;
  readonly headers: IncomingCall["headers"];
  readonly timeoutMs = undefined;
  readonly peerCertificate = undefined;
  readonly readAhead: IncomingCall["readAhead"];
  status: StatusFrame | undefined;
  messages = 0;
  readonly #gateways: Gateways;
  #asked = false;
  /** Says one more thing. */
  say: () => void = () => undefined;
  /** Breaks off by what no caller can be at fault for. */
  fail: (error: unknown) => void = () => undefined;

  constructor(gateways: Gateways, readAhead?: IncomingCall["readAhead"]) {
    this.#gateways = gateways;
    const { universe } = gateways;
    const service = universe.methods.find(({ path }) => path === this.path)?.service ?? "";
    this.headers = metadataOf({ "causeway-service": service, "causeway-purpose": purpose });
    this.readAhead = readAhead;
  }

  read(): Promise<Uint8Array | undefined> {
    const message = new Uint8Array([10, 1, 65]);
    if (this.#asked) {
      return new Promise((resolve, reject) => {
        this.say = () => resolve(message);
        this.fail = reject;
      });
    }
    this.#asked = true;
    return Promise.resolve(message);
  }

  sendHeaders(): void {}

  async sendMessage(message: Uint8Array, written?: () => void): Promise<void> {
    this.messages += 1;
    const [xid] = new TextDecoder().decode(message).split(" ");
    const frames = 1 + this.messages;
    const { sim } = this.#gateways;
    sim.checker.attempts.handedOver(
      processOf(this.#gateways.consumer),
      { xid, frames },
      { isStatus: false },
    );
    written?.();
  }

  answer(): void {
    assert.fail("a stream is no unary answer");
  }

  end(status: StatusFrame): void {
    this.status ??= status;
  }

  onCancelled(): void {}

  get reason(): ReasonCode | undefined {
    return this.status && statedReason(encodeMessage(StatusFrameSchema, this.status));
  }
}

const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

class Gateways {
  readonly sim: ExchangeSim;
  readonly provider: SimGateway;
  readonly consumer: SimGateway;
  readonly universe: Universe;

  private constructor(universe: Universe) {
    this.universe = universe;
    this.sim = new ExchangeSim(7, universe);
    this.provider = this.sim.provider;
    this.consumer = this.sim.consumers[0] as SimGateway;
    // Nothing but the test makes anything happen to the ledger.
    this.sim.isCalm = true;
    for (const gateway of this.sim.gateways) gateway.start();
    this.#cosign();
  }

  #cosign(): void {
    const { ledger, world } = this.sim;
    world.after(250, () => {
      ledger.cosign(this.universe.startMs + world.nowMs, 5000);
      this.#cosign();
    });
  }

  static async start(): Promise<Gateways> {
    const gateways = new Gateways(await theUniverse());
    await gateways.pass(1000);
    return gateways;
  }

  async pass(ms: number): Promise<void> {
    const { world, checker } = this.sim;
    await world.runTurnsUntil(world.nowMs + ms, settled);
    assert.equal(checker.violation, undefined);
  }

  /** Resolves when the call waits for what the world has to do. */
  call(caller: IncomingCall): Promise<void> {
    void processOf(this.consumer).consumer.handle(caller, { id: "registry" });
    return settled();
  }

  /** All grants of streams are revoked, by statements that the consumer's own gateway carries. */
  revoke(): void {
    const { consumer, universe } = this;
    const { grants } = universe;
    const taken = grants.filter(
      (one) => consumer.id.startsWith(one.consumer) && one.service.endsWith("/streams"),
    );
    const decidedAtMs = consumer.nowMs;
    for (const { revocation: record } of taken) {
      const queued = { kind: "governance", record, decidedAtMs, states: [] } as const;
      void processOf(consumer).journal.seal(queued);
    }
  }

  /** What a gateway has recorded in the schedule, oldest first. */
  recordsOf({ disk }: SimGateway): readonly LedgerRecord["body"][] {
    return disk.batches.flatMap(({ records }) => records.map((record) => openRecord(record).body));
  }
}

function processOf({ process }: SimGateway): SimProcess {
  assert.ok(process !== undefined);
  return process;
}

describe("the consumer's side", () => {
  it("ends a silent stream by what its own ledger says, and tells a provider that has heard nothing", async () => {
    const gateways = await Gateways.start();
    const { consumer, provider } = gateways;
    const caller = new SilentCaller(gateways);
    await gateways.call(caller);
    await gateways.pass(3000);
    assert.deepEqual([caller.status, caller.messages], [undefined, 1]);
    assert.equal(processOf(provider).provider.openAttempts, 1);
    provider.isDeaf = true;
    gateways.revoke();
    await gateways.pass(1500);
    assert.equal(caller.reason, "GRANT_REVOKED");
    assert.equal(caller.status?.code, reason("GRANT_REVOKED").grpcCode);
    assert.equal(caller.messages, 1);
    const closed = gateways.recordsOf(consumer).at(-1);
    assert.ok(closed?.case === "closed");
    const { outcome, frames, status, prevRecord } = closed.value;
    assert.deepEqual(
      [outcome, status?.source, status?.reason, frames, prevRecord.length],
      [Outcome.CANCELLED, StatusSource.GATEWAY, "GRANT_REVOKED", 2n, 32],
    );
    // What it was told is all that the provider knows.
    assert.equal(processOf(provider).provider.openAttempts, 0);
    const told = gateways.recordsOf(provider).at(-1);
    assert.ok(told?.case === "closed");
    assert.equal(told.value.outcome, Outcome.CANCELLED);
  });

  it("sends nothing more of a request that it has cancelled, however long its closing takes to be durable", async () => {
    const gateways = await Gateways.start();
    const { consumer } = gateways;
    const caller = new SilentCaller(gateways);
    await gateways.call(caller);
    await gateways.pass(3000);
    consumer.isSlow = true;
    const sent: (string | undefined)[] = [];
    const process = processOf(consumer);
    const { mock: said } = mock.method(process, "says", (body: FrameBody) => {
      sent.push(body.case);
      if (body.case === "cancel") caller.say();
      return [body];
    });
    gateways.revoke();
    await gateways.pass(6000);
    said.restore();
    assert.equal(caller.reason, "GRANT_REVOKED");
    assert.deepEqual(sent, ["cancel"]);
  });

  it("waits for the key of a refusal as it does for that of a receipt", async () => {
    const gateways = await Gateways.start();
    const { consumer, provider, sim } = gateways;
    const { replica } = processOf(consumer);
    const view = replica.view.bind(replica);
    let isKnown = true;
    // The provider seals under a key that is final for it, and not yet here.
    mock.method(replica, "view", () => {
      const now = view();
      if (isKnown) return now;
      return Object.assign(Object.create(now), { batchKey: () => undefined });
    });
    const caller = new SilentCaller(gateways);
    await gateways.call(caller);
    await gateways.pass(3000);
    consumer.isDeaf = true;
    isKnown = false;
    // Something is final for the provider alone, which it has seen when it closes.
    await gateways.call(
      new SilentCaller(gateways, async () => {
        throw new CausewayError("MALFORMED", "the request is no message of the method");
      }),
    );
    await gateways.pass(1500);
    processOf(provider).provider.interruptAll();
    await gateways.pass(6000);
    assert.equal(processOf(provider).provider.openAttempts, 0);
    assert.equal(caller.status, undefined);
    isKnown = true;
    consumer.isDeaf = false;
    sim.ledger.cosign(gateways.universe.startMs + sim.world.nowMs, 0);
    await gateways.pass(1500);
    assert.equal(caller.reason, "SHUTTING_DOWN");
    const closed = gateways.recordsOf(consumer).findLast(({ case: kind }) => kind === "closed");
    assert.ok(closed?.case === "closed");
    assert.equal(closed.value.outcome, Outcome.REFUSED);
  });

  it("lays an error of its own at nobody else's door", async () => {
    const gateways = await Gateways.start();
    const { consumer, sim } = gateways;
    const errors = mock.method(sim.checker, "internalError", () => undefined);
    const caller = new SilentCaller(gateways);
    await gateways.call(caller);
    await gateways.pass(3000);
    caller.fail(new TypeError("cannot read the request"));
    await gateways.pass(1500);
    assert.equal(errors.mock.callCount(), 1);
    assert.equal(caller.reason, "INTERNAL");
    const closed = gateways.recordsOf(consumer).at(-1);
    assert.ok(closed?.case === "closed");
    const { outcome, status } = closed.value;
    assert.deepEqual([outcome, status?.source], [Outcome.GATEWAY_ERROR, StatusSource.GATEWAY]);
  });

  it("denies a call whose grant is taken while it is being read, with a refusal and no statement", async () => {
    const gateways = await Gateways.start();
    const { consumer, provider } = gateways;
    let go: () => void = () => undefined;
    const read = new Promise<undefined>((resolve) => {
      go = () => resolve(undefined);
    });
    const caller = new SilentCaller(gateways, () => read);
    await gateways.call(caller);
    gateways.revoke();
    await gateways.pass(1500);
    const before = gateways.recordsOf(provider).length;
    go();
    await settled();
    await gateways.pass(1500);
    assert.equal(caller.reason, "GRANT_REVOKED");
    const refusal = gateways.recordsOf(consumer).at(-1);
    assert.ok(refusal?.case === "refusal");
    const { side, reason: said, call, method } = refusal.value;
    assert.deepEqual(
      [side, said, call, method],
      [Side.CONSUMER, "GRANT_REVOKED", undefined, caller.path],
    );
    assert.equal(gateways.recordsOf(provider).length, before);
    assert.equal(processOf(consumer).consumer.openExchanges, 0);
  });

  it("refuses a stream whose request is read as one and is none, before anything of it leaves", async () => {
    const gateways = await Gateways.start();
    const { consumer, provider } = gateways;
    const caller = new SilentCaller(gateways, async () => {
      throw new CausewayError("MALFORMED", "the request is no message of the method");
    });
    const before = gateways.recordsOf(provider).length;
    await gateways.call(caller);
    await gateways.pass(1500);
    assert.equal(caller.reason, "MALFORMED");
    const refusal = gateways.recordsOf(consumer).at(-1);
    assert.ok(refusal?.case === "refusal");
    assert.deepEqual([refusal.value.reason, refusal.value.method], ["MALFORMED", caller.path]);
    assert.equal(gateways.recordsOf(provider).length, before);
    assert.equal(gateways.sim.links.size, 0);
  });
});
