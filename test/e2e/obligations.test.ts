import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ClientUnaryCall, Metadata, type ServiceError } from "@grpc/grpc-js";
import { isDeepStrictEqual } from "node:util";
import { causeway } from "../cli/support.ts";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { type RunningStreams, startStreams, withPurpose } from "../support/running-streams.ts";
import { divisionsService } from "../support/two-cities.ts";
import { streamMessage, streamMethods, streamOrders } from "../support/stream-service.ts";

const same = (bytes: Buffer): Buffer => bytes;

interface Answer {
  readonly error: ServiceError | null;
  readonly message: Buffer | undefined;
  readonly headers: Metadata | undefined;
  readonly trailers: Metadata | undefined;
}

function ask(
  running: RunningStreams,
  message: Buffer,
  orders: Readonly<Record<string, string | Buffer>> = {},
): Promise<Answer> {
  const metadata = withPurpose(new Metadata());
  for (const [key, value] of Object.entries(orders)) metadata.add(key, value);
  return new Promise((resolve) => {
    let headers: Metadata | undefined;
    let trailers: Metadata | undefined;
    let result: Pick<Answer, "error" | "message">;
    const call: ClientUnaryCall = running.client.makeUnaryRequest(
      streamMethods.unary,
      same,
      same,
      message,
      metadata,
      (error, value) => {
        result = { error, message: value };
      },
    );
    call.on("metadata", (given: Metadata) => {
      headers = given;
    });
    call.on("status", (status) => {
      trailers = status.metadata;
      setImmediate(() => resolve({ ...result, headers, trailers }));
    });
  });
}

describe("a grant that names no field of the answer", () => {
  let running: RunningStreams;

  before(async () => {
    running = await startStreams({
      detail: { fields: ["value"], metadata: ["x-echo"], quota: { limit: 4, period_s: 86_400 } },
    });
  });

  after(() => running?.close());

  it("passes the fields and the metadata that it names, and nothing else", async () => {
    const secret = "SECRET";
    const unknown = Buffer.concat([
      streamMessage(Buffer.from("allowed")),
      // Field 2, which the descriptor does not have.
      Buffer.from([0x12, secret.length]),
      Buffer.from(secret),
    ]);
    const { error, message, headers, trailers } = await ask(running, unknown, {
      [streamOrders.echo]: "passes",
      [streamOrders.echoBinary]: Buffer.from(secret),
    });
    assert.equal(error, null, error?.details);
    assert.deepEqual(message, streamMessage(Buffer.from("allowed")));
    for (const metadata of [headers, trailers]) {
      assert.deepEqual(metadata?.get(streamOrders.echo), ["passes"]);
      assert.deepEqual(metadata?.get(streamOrders.echoBinary), []);
    }
  });

  it("keeps the message of a status back, and its trailers", async () => {
    const { error } = await ask(running, streamMessage(Buffer.from("x")), {
      [streamOrders.code]: "5",
      [streamOrders.message]: Buffer.from("SECRET of the upstream"),
      [streamOrders.echoBinary]: Buffer.from("SECRET"),
    });
    assert.equal(error?.code, 5);
    assert.ok(!error.details.includes("SECRET"));
    assert.deepEqual(error.metadata.get(streamOrders.echoBinary), []);
  });

  it("refuses an answer that is no message of the method", async () => {
    const { error } = await ask(running, Buffer.from([0xff, 0xff, 0xff]));
    assert.equal(errorInfo(error?.metadata ?? new Metadata())?.reason, "MASK_UNAPPLICABLE");
  });

  it("ends with its quota: attempts with a receipt count, a refused one does not", async () => {
    // Two were receipted above.
    const first = await ask(running, streamMessage(Buffer.from("3")));
    assert.equal(first.error, null, first.error?.details);
    const second = await ask(running, streamMessage(Buffer.from("4")));
    assert.equal(second.error, null, second.error?.details);
    const third = await ask(running, streamMessage(Buffer.from("5")));
    assert.equal(errorInfo(third.error?.metadata ?? new Metadata())?.reason, "QUOTA_EXHAUSTED");
  });

  it("is listed to the consumer with what it refused, as soon as the refusal is on the ledger", async () => {
    const { admin } = running.cities.consumer.addresses;
    const words = ["exchange", "list", "--service", divisionsService, "--outcome", "REFUSED"];
    await eventually("the refusal has come", async () => {
      const { stdout } = await causeway(...words, "--admin", admin, "--output", "json");
      const rows = JSON.parse(stdout) as readonly Readonly<Record<string, unknown>>[];
      return isDeepStrictEqual(
        rows.map(({ peer, method }) => [peer, method]),
        // The quota, and the answer that was no message.
        [
          [running.cities.provider.gateway.card.id, streamMethods.unary],
          [running.cities.provider.gateway.card.id, streamMethods.unary],
        ],
      );
    });
  });
});

describe("a grant that asks for the ledger", () => {
  let running: RunningStreams;

  before(async () => {
    running = await startStreams({ detail: { durability: "ledger" } });
  });

  after(() => running?.close());

  it("releases an answer only once its receipt is final", async () => {
    const { error } = await ask(running, streamMessage(Buffer.from("x")));
    assert.equal(error, null, error?.details);
    const [newest] = await running.provider.records(1);
    assert.equal(newest?.kind, "receipt");
    assert.equal(newest.state?.final, true);
  });

  it("carries 3 MiB for a small request in parts on the link", async () => {
    const size = 3 * 1024 * 1024;
    const { error, message } = await ask(running, streamMessage(Buffer.from("x")), {
      [streamOrders.size]: String(size),
    });
    assert.equal(error, null, error?.details);
    assert.deepEqual(message, streamMessage(Buffer.alloc(size, 1)));
  });
});
