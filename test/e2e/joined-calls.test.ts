/** Calls under one idempotency key through two gateways: joined while one is in flight, and never after. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type Metadata as GrpcMetadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
} from "@grpc/grpc-js";
import {
  DivisionSchema,
  type GetDivisionRequest,
  type GetDivisionResponse,
  GetDivisionResponseSchema,
  DivisionService,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { CallStatementSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { Receipt } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { FinalLedger } from "../fault/final-ledger.ts";
import { type Attempt, matchAttempts } from "../fault/attempts.ts";
import { assertReplays } from "../fault/replayed.ts";
import { handleOf } from "../fault/settled.ts";
import { eventually } from "../support/admin-client.ts";
import { AgencyClient, type Answer } from "../support/agency-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, writeConfig } from "../support/two-cities.ts";

/** One call as the upstream has it. */
interface Served {
  readonly code: string;
  readonly metadata: GrpcMetadata;
  isCancelled(): boolean;
  answer(name: string): void;
}

/** A stock server whose answers wait for the test. */
class SlowDivisions {
  readonly served: Served[] = [];
  readonly #server = new Server();
  address = "";

  async start(): Promise<void> {
    this.#server.addService(grpcDefinition(DivisionService), {
      getDivision: (
        call: ServerUnaryCall<GetDivisionRequest, GetDivisionResponse>,
        callback: sendUnaryData<GetDivisionResponse>,
      ) => {
        const { code } = call.request;
        this.served.push({
          code,
          metadata: call.metadata,
          isCancelled: () => call.cancelled,
          answer: (name) =>
            callback(
              null,
              create(GetDivisionResponseSchema, {
                division: create(DivisionSchema, { code, name }),
              }),
            ),
        });
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    this.address = `127.0.0.1:${port}`;
  }

  close(): void {
    this.#server.forceShutdown();
  }
}

type Divided = Answer<GetDivisionResponse>;

describe("calls under one idempotency key, through two gateways", () => {
  const upstream = new SlowDivisions();
  let running: Running;
  let ledger: FinalLedger;
  let other: AgencyClient;
  const refusals: Divided[] = [];
  /** Every attempt that a test has made. */
  let made = 0;

  before(async () => {
    await upstream.start();
    running = await startTwoCities({
      configure: ({ provider }) =>
        writeConfig(provider, { upstreams: { [divisionsService]: upstream.address } }),
    });
    ledger = new FinalLedger(running.cities.consumer.addresses.http);
    other = new AgencyClient(running.cities.consumer.addresses.agency);
  });

  beforeEach(() => {
    upstream.served.length = 0;
  });

  after(async () => {
    other?.close();
    await running?.close();
    upstream.close();
  });

  function call(
    key: string,
    change: Readonly<Record<string, string>> = {},
    options: {
      readonly by?: AgencyClient;
      readonly code?: string;
      readonly deadlineMs?: number;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<Divided> {
    made += 1;
    const metadata = {
      "causeway-purpose": "address-check",
      "causeway-case": "case-1",
      "causeway-idempotency-key": key,
      ...change,
    };
    const { by = running.client, code = "330106", ...rest } = options;
    return by.getDivision(code, { metadata, ...rest });
  }

  /** Calls that have come to the upstream, once there are so many and one more call has had its time to. */
  async function served(count: number): Promise<readonly Served[]> {
    await eventually(`${count} calls of the upstream`, () => upstream.served.length >= count);
    // What is judged before a later call is answered was joined or called by then.
    const probe = call(`probe-${made}`, {}, { code: "999999" });
    const isProbe = ({ code }: Served): boolean => code === "999999";
    await eventually("the probe has come", () => upstream.served.some(isProbe));
    upstream.served.splice(upstream.served.findIndex(isProbe), 1)[0]?.answer("probe");
    assert.equal((await probe).code, 0);
    assert.equal(upstream.served.length, count);
    return upstream.served;
  }

  /** What the ledger says of these answers, once everything is final. */
  async function attemptsOf(...answers: readonly Divided[]): Promise<readonly Attempt[]> {
    let attempts: readonly Attempt[] = [];
    await eventually("every attempt is closed on both sides", async () => {
      await running.settled();
      await ledger.update();
      attempts = matchAttempts(ledger.records);
      return attempts.every(({ consumer, provider }) => ![consumer, provider].includes("open"));
    });
    return answers.map((answer) => {
      const [xid] = answer.trailers.get("causeway-exchange-id");
      const hex = String(xid).replaceAll("-", "");
      const found = attempts.filter(({ name }) => name.startsWith(`${hex}.`));
      assert.equal(found.length, 1, `${hex}: one attempt`);
      return found[0] as Attempt;
    });
  }

  function receiptOf(answer: Divided): Receipt {
    const found = ledger.records.find(({ handle }) => handle === handleOf(answer));
    assert.ok(found?.body.case === "receipt");
    return found.body.value;
  }

  it("are one call of the upstream while it is in flight, with the evidence of each", async () => {
    const callers = [call("k1"), call("k1", {}, { by: other })];
    const [only] = await served(1);
    assert.deepEqual(only?.metadata.get("causeway-idempotency-key"), ["k1"]);
    only?.answer("one");
    const answers = await Promise.all(callers);
    for (const { code, message } of answers) {
      assert.deepEqual([code, message?.division?.name], [0, "one"]);
    }
    for (const { consumer, provider } of await attemptsOf(...answers)) {
      assert.deepEqual([provider, consumer], ["receipt", "match"]);
    }
    const [first, second] = answers as [Divided, Divided];
    assert.notEqual(handleOf(first), handleOf(second));
    const commitments = answers.map((answer) => {
      const { start, progress } = receiptOf(answer);
      assert.ok(start.case === "begin");
      const statement = start.value.call?.statement ?? new Uint8Array();
      const { idempotency } = fromBinary(CallStatementSchema, statement);
      assert.equal(idempotency.length, 32);
      return [idempotency, progress?.response].map((bytes) =>
        Buffer.from(bytes ?? []).toString("hex"),
      );
    });
    // Nobody sees on the ledger that two calls had one key, or one answer.
    assert.equal(new Set(commitments.flat()).size, 4);
  });

  it("are calls of their own once the answer was given: outcomes are not stored", async () => {
    const again = call("k1");
    const [second] = await served(1);
    second?.answer("two");
    const answer = await again;
    assert.equal(answer.message?.division?.name, "two");
    assert.deepEqual(
      (await attemptsOf(answer)).map(({ consumer, provider }) => [provider, consumer]),
      [["receipt", "match"]],
    );
  });

  it("go on for the others when the one that began has gone", async () => {
    const leaving = new AbortController();
    const first = call("k2", {}, { signal: leaving.signal });
    await eventually("it has come", () => upstream.served.length === 1);
    const second = call("k2", {}, { by: other });
    await served(1);
    leaving.abort();
    const gone = await first;
    assert.equal(gone.code, 1);
    const [only] = await served(1);
    assert.equal(only?.isCancelled(), false);
    only?.answer("for the second");
    const answer = await second;
    assert.equal(answer.message?.division?.name, "for the second");
  });

  it("are called again for the others when the time of the one that began is over", async () => {
    const first = call("k2", {}, { deadlineMs: 700 });
    await eventually("it has come", () => upstream.served.length === 1);
    const second = call("k2", {}, { by: other });
    assert.equal((await first).code, 4);
    const [over, again] = await served(2);
    assert.equal(over?.isCancelled(), true);
    assert.deepEqual(again?.metadata.get("causeway-idempotency-key"), ["k2"]);
    again?.answer("again");
    assert.equal((await second).message?.division?.name, "again");
  });

  const others: readonly (readonly [
    string,
    Readonly<Record<string, string>>,
    { readonly code?: string },
  ])[] = [
    ["another message", {}, { code: "330108" }],
    ["other metadata", { "x-tenant": "other" }, {}],
    ["another case", { "causeway-case": "case-2" }, {}],
    ["another official", { "causeway-official": "someone" }, {}],
  ];
  for (const [what, change, options] of others) {
    it(`with ${what} are refused while the first is in flight`, async () => {
      const first = call("k3");
      await eventually("it has come", () => upstream.served.length === 1);
      const refused = await call("k3", change, options);
      assert.equal(refused.reason, "IDEMPOTENCY_MISMATCH");
      assert.equal(refused.message, undefined);
      const [only] = await served(1);
      only?.answer("first");
      assert.equal((await first).message?.division?.name, "first");
      refusals.push(refused);
    });
  }

  it("are told apart by nothing that a trace adds", async () => {
    const trace = (id: string): Readonly<Record<string, string>> => ({
      traceparent: `00-${id.repeat(32)}-${id.repeat(16)}-01`,
      tracestate: `vendor=${id}`,
    });
    const callers = [call("k4", trace("a")), call("k4", trace("b"), { by: other })];
    const [only] = await served(1);
    only?.answer("one");
    for (const { message } of await Promise.all(callers)) {
      assert.equal(message?.division?.name, "one");
    }
  });

  it("leave every attempt on record, those refused too, and a ledger that replays without a finding", async () => {
    for (const { consumer, provider } of await attemptsOf(...refusals)) {
      assert.deepEqual([provider, consumer], ["refusal IDEMPOTENCY_MISMATCH", "closed refused"]);
    }
    assert.equal(refusals.length, others.length);
    assert.equal(matchAttempts(ledger.records).length, made);
    await assertReplays(running);
  });
});
