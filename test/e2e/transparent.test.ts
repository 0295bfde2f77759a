/** The same calls, made of the data service directly and through two gateways: what the caller sees is the same. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server as NetServer, type AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import {
  Client,
  type ClientDuplexStream,
  compressionAlgorithms,
  credentials,
  Metadata,
  type StatusObject,
} from "@grpc/grpc-js";
import { type RunningStreams, startStreams, withPurpose } from "../support/running-streams.ts";
import {
  type StreamMethod,
  streamMessage,
  streamMethods,
  streamOrders,
} from "../support/stream-service.ts";

const same = (bytes: Buffer): Buffer => bytes;

interface Seen {
  readonly code: number;
  readonly message: string;
  readonly headers: Readonly<Record<string, readonly (string | Buffer)[]>>;
  readonly trailers: Readonly<Record<string, readonly (string | Buffer)[]>>;
  readonly answers: readonly Buffer[];
}

/** What only says which program sent it or when, and what gateways add. */
const ofOneHop = /^(date|user-agent|content-type|grpc-accept-encoding|grpc-encoding|causeway-.*)$/;

function entriesOf(metadata: Metadata | undefined): Seen["headers"] {
  const names = Object.keys(metadata?.getMap() ?? {}).filter((name) => !ofOneHop.test(name));
  return Object.fromEntries(names.toSorted().map((name) => [name, metadata?.get(name) ?? []]));
}

function open(
  client: Client,
  method: StreamMethod,
  orders: readonly (readonly [string, string | Buffer])[],
): ClientDuplexStream<Buffer, Buffer> {
  const metadata = withPurpose(new Metadata());
  for (const [key, value] of orders) metadata.add(key, value);
  return client.makeBidiStreamRequest(streamMethods[method], same, same, metadata);
}

async function seen(
  client: Client,
  method: StreamMethod,
  orders: readonly (readonly [string, string | Buffer])[],
  requests: readonly Buffer[],
): Promise<Seen> {
  const call = open(client, method, orders);
  const answers: Buffer[] = [];
  let headers: Metadata | undefined;
  call.on("metadata", (metadata: Metadata) => {
    headers = metadata;
  });
  call.on("data", (answer: Buffer) => answers.push(answer));
  call.on("error", () => undefined);
  for (const request of requests) call.write(request);
  call.end();
  // Not `once`, which an error before it would reject.
  const { code, details, metadata } = await new Promise<StatusObject>((resolve) =>
    call.on("status", resolve),
  );
  const [given, trailers] = [entriesOf(headers), entriesOf(metadata)];
  return { code, message: details, headers: given, trailers, answers };
}

/** Passes a connection on, and counts its bytes. */
async function countBytes(
  address: string,
): Promise<{ address: string; bytes: { up: number; down: number }; server: NetServer }> {
  const [host, port] = address.split(":");
  const bytes = { up: 0, down: 0 };
  const server = createServer((from) => {
    const to = connect(Number(port), host);
    from.on("data", (chunk) => (bytes.up += chunk.length)).on("error", () => to.destroy());
    to.on("data", (chunk) => (bytes.down += chunk.length)).on("error", () => from.destroy());
    from.pipe(to).pipe(from);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, bytes, server };
}

describe("a call through two gateways", () => {
  let running: RunningStreams;
  let direct: Client;

  before(async () => {
    running = await startStreams();
    direct = new Client(running.upstream.address, credentials.createInsecure());
  });

  after(async () => {
    direct?.close();
    await running?.close();
  });

  const echoes = [
    [streamOrders.echo, "first"],
    [streamOrders.echo, "second, with a comma"],
    [streamOrders.echoBinary, Buffer.from([0, 255, 44, 10])],
    [streamOrders.echoBinary, Buffer.alloc(0)],
  ] as const;
  const failing = (code: number): Parameters<typeof open>[2] =>
    [
      ...echoes,
      [streamOrders.code, String(code)],
      [streamOrders.message, Buffer.from("\t100% of 汉字 \u{1F600}\r\n ")],
      [streamOrders.statusDetails, Buffer.from([8, 5, 18, 2, 0xc3, 0xbf, 0xff])],
    ] as const;
  const [empty, short, long] = [
    streamMessage(Buffer.alloc(0)),
    streamMessage(Buffer.from("a")),
    streamMessage(Buffer.from("b".repeat(70_000))),
  ] as const;
  const three = [empty, short, long];
  const methods: readonly (readonly [StreamMethod, readonly Buffer[]])[] = [
    ["unary", [short]],
    ["unary", [empty]],
    ["collect", three],
    ["collect", []],
    ["expand", [short]],
    ["chat", three],
    ["chat", []],
    ["speak", three],
  ];
  for (const [method, requests] of methods) {
    const what = `${method} with ${requests.length} messages, ${Buffer.concat(requests).length} bytes`;

    it(`is answered the same: ${what}`, async () => {
      const expected = await seen(direct, method, echoes, requests);
      assert.equal(expected.code, 0);
      assert.ok(streamOrders.echo in expected.headers && streamOrders.echo in expected.trailers);
      assert.deepEqual(await seen(running.client, method, echoes, requests), expected);
    });
  }

  // Every code but OK, CANCELLED from the other side among them.
  for (let code = 1; code <= 16; code++) {
    it(`ends the same with code ${code}, its message and its details`, async () => {
      const method = code % 2 === 0 ? "chat" : "unary";
      const requests = [short];
      const expected = await seen(direct, method, failing(code), requests);
      assert.equal(expected.code, code);
      assert.equal(expected.trailers["grpc-status-details-bin"]?.length, 1);
      assert.deepEqual(await seen(running.client, method, failing(code), requests), expected);
    });
  }

  it("has the headers before there is any message", async () => {
    const call = open(running.client, "chat", echoes);
    const [headers] = (await once(call, "metadata")) as [Metadata];
    assert.equal(headers.get(streamOrders.echo).join(), "first, second, with a comma");
    const answer = once(call, "data");
    call.write(short);
    assert.deepEqual(await answer, [short]);
    call.end();
    const [{ code }] = (await once(call, "status")) as [StatusObject];
    assert.equal(code, 0);
  });

  it("is in gzip both ways for a client that speaks it", async () => {
    const counted = await countBytes(running.cities.consumer.addresses.agency);
    const client = new Client(counted.address, credentials.createInsecure(), {
      "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
    });
    const large = streamMessage(Buffer.alloc(2 * 1024 * 1024, "compressible "));
    try {
      for (const method of ["unary", "chat"] as const) {
        const { code, message, answers } = await seen(client, method, [], [large]);
        assert.equal(code, 0, message);
        assert.deepEqual(answers, [large]);
      }
      assert.ok(counted.bytes.up < large.length / 10, `${counted.bytes.up} bytes to the gateway`);
      assert.ok(counted.bytes.down < large.length / 10, `${counted.bytes.down} bytes from it`);
    } finally {
      client.close();
      counted.server.close();
    }
  });
});
