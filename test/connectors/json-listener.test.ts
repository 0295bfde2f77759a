import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request as requestHttps } from "node:https";
import { connect } from "node:net";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { gzipSync } from "node:zlib";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { type JsonListener, listenJson } from "../../gateway/connectors/json-listener.ts";
import { bindingsOf } from "../../gateway/transcoding/http-binding.ts";
import { RouteTable } from "../../gateway/transcoding/routes.ts";
import type { RoutedMethod } from "../../gateway/transcoding/catalogue-routes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { readCallMetadata } from "../../src/exchange/call-metadata.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import { statusOf } from "../../src/exchange/status.ts";
import type { CallerConnection, IncomingCall } from "../../src/exchange/transport/ports.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { createIdentity, type Identity } from "../transport/certificate.ts";
import { metadata, pairs, statusFrame } from "../transport/support.ts";
import { Library } from "./library.ts";

const methods = [
  ...["GetBook", "Search", "ListBooks", "Update", "Watch", "Upload"],
  ...["GetCover", "PutCover", "Scan", "ReadPages"],
];
const services: Readonly<Record<string, readonly string[]>> = {
  "hangzhou/libraries/books": methods,
  "shenzhen/libraries/books": ["Update"],
};

describe("the listener for HTTP/JSON callers", () => {
  let library: Library;
  let listener: JsonListener;
  let base: string;
  let serving: (call: IncomingCall, system: AgencySystem) => Promise<void> | void;
  let system: AgencySystem;
  let denied: ReasonCode | undefined;
  let seen: { readonly call: IncomingCall; readonly connection: CallerConnection }[];

  /** In the place of the consumer's side: reads as it does, and answers with what is given. */
  const consumer =
    (answer: (call: IncomingCall, request: Uint8Array) => Promise<void> | void) =>
    async (call: IncomingCall): Promise<void> => {
      if (!call.path.startsWith("/")) return call.end(statusOf("METHOD_UNKNOWN"));
      try {
        readCallMetadata(call.headers);
        const request = await call.read();
        assert.ok(request !== undefined);
        assert.equal(await call.read(), undefined);
        await answer(call, request);
      } catch (error) {
        if (!(error instanceof CausewayError)) throw error;
        call.end(statusOf(error.code));
      }
    };
  const trailers = metadata([
    ["causeway-exchange-id", "0190"],
    ["causeway-receipt", "abc/0"],
  ]);
  const ok = statusFrame(0, "", { trailers });
  const answering = (name: string, json: Parameters<Library["encode"]>[1]) =>
    consumer((call) =>
      call.answer(
        metadata([
          ["etag", "7"],
          ["set-cookie", "a"],
        ]),
        [library.encode(name, json)],
        ok,
      ),
    );

  const open = (secure?: Parameters<typeof listenJson>[0]["secure"]): Promise<JsonListener> => {
    const routes = new RouteTable<RoutedMethod>(
      Object.entries(services).flatMap(([service, names]) =>
        names.flatMap((name) => {
          const method = library.method(name);
          const target = {
            service,
            path: `/library.v1.Library/${name}`,
            method,
            descriptors: library.descriptors,
          };
          return bindingsOf(method).map((binding) => ({ binding, target }));
        }),
      ),
    );
    return listenJson({
      host: "127.0.0.1",
      port: 0,
      secure,
      messageBytesMax: () => 10_000,
      routes: () => routes,
      admit: (call, connection, serve) => {
        seen.push({ call, connection });
        if (denied !== undefined) return call.end(statusOf(denied));
        serve(call, system);
      },
      serve: (call, of) => void serving(call, of),
    });
  };

  before(async () => {
    library = await Library.build();
    listener = await open();
    base = `http://127.0.0.1:${listener.port}`;
  });
  beforeEach(() => {
    seen = [];
    denied = undefined;
    system = { id: "desk" };
    serving = answering("Book", { title: "A", pages: "12" });
  });
  after(() => listener.close(0));

  const reasonOf = async (response: Response): Promise<string> => {
    const { details } = (await response.json()) as { details: { reason?: string }[] };
    return details.find(({ reason }) => reason !== undefined)?.reason ?? "";
  };

  test("answers a granted method with the JSON of its message, the exchange and the receipt", async () => {
    let request: unknown;
    let headers: unknown;
    let path: string | undefined;
    serving = consumer((call, bytes) => {
      path = call.path;
      headers = pairs(call.headers).filter(([key]) => key !== "accept-language");
      request = library.decode("GetBookRequest", bytes);
      call.answer(
        metadata([
          ["etag", "7"],
          ["set-cookie", "a"],
        ]),
        [library.encode("Book", { title: "A", pages: "12" })],
        ok,
      );
    });
    const response = await fetch(`${base}/v1/shelves/1/books/2`, {
      headers: {
        "Causeway-Purpose": "address-check",
        "Causeway-Case": Buffer.from("案件").toString("latin1"),
        traceparent: "00-1-2-01",
        cookie: "a=b",
        "x-forwarded-for": "1.1.1.1",
      },
    });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { title: "A", pages: "12" });
    assert.equal(response.headers.get("causeway-exchange-id"), "0190");
    assert.equal(response.headers.get("causeway-receipt"), "abc/0");
    assert.equal(response.headers.get("etag"), "7");
    assert.equal(response.headers.get("set-cookie"), null);
    assert.equal(path, "/library.v1.Library/GetBook");
    assert.deepEqual(request, { name: "shelves/1/books/2" });
    assert.deepEqual(headers, [
      ["causeway-purpose", "address-check"],
      ["causeway-case", Buffer.from("案件").toString("latin1")],
      ["traceparent", "00-1-2-01"],
      ["causeway-service", "hangzhou/libraries/books"],
    ]);
  });

  test("reads a body", async () => {
    let request: unknown;
    serving = consumer((call, bytes) => {
      request = library.decode("SearchRequest", bytes);
      call.answer(create(MetadataSchema), [library.encode("SearchResponse", { total: 1 })], ok);
    });
    const response = await fetch(`${base}/v1/books:search`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"shelf":"s","page_size":3}',
    });
    assert.deepEqual(await response.json(), { total: 1 });
    assert.deepEqual(request, { shelf: "s", pageSize: 3 });
  });

  test("reads a body in gzip, and none of a bomb", async () => {
    serving = answering("SearchResponse", {});
    const post = (body: Buffer) =>
      fetch(`${base}/v1/books:search`, {
        method: "POST",
        headers: { "content-type": "application/json", "content-encoding": "gzip" },
        body: new Uint8Array(body),
      });
    assert.equal((await post(gzipSync("{}"))).status, 200);
    const bomb = await post(gzipSync(Buffer.alloc(5_000_000, 32)));
    assert.deepEqual([bomb.status, await reasonOf(bomb)], [429, "MESSAGE_TOO_LARGE"]);
  });

  test("answers one field where the annotation says so", async () => {
    serving = answering("SearchResponse", { books: [{ title: "A" }], total: 1 });
    const response = await fetch(`${base}/v1/shelves/s/titles`);
    assert.deepEqual(await response.json(), [{ title: "A" }]);
  });

  test("answers a status of the service with its HTTP status and details", async () => {
    serving = consumer((call) =>
      call.answer(create(MetadataSchema), [], statusFrame(5, "无此书", { trailers })),
    );
    const response = await fetch(`${base}/v1/shelves/1/books/2`);
    assert.equal(response.status, 404);
    assert.deepEqual(await response.json(), { code: 5, message: "无此书" });
    assert.equal(response.headers.get("causeway-receipt"), "abc/0");
  });

  const wrongs: readonly (readonly [
    what: string,
    path: string,
    body: string | undefined,
    field: string | undefined,
    description: RegExp,
  ])[] = [
    ["a parameter", "/v1/shelves/1/books/2?author.nmae=x", undefined, "author.nmae", /no field/],
    [
      "a member of the body",
      "/v1/books:search",
      '{"shlef":"1"}',
      undefined,
      /key "shlef" is unknown/,
    ],
    ["a body that is no JSON", "/v1/books:search", '{"shelf":', undefined, /JSON/],
  ];
  for (const [what, path, body, field, description] of wrongs) {
    test(`${what} that is wrong is named to its caller`, async () => {
      serving = answering("Search", {});
      const init =
        body === undefined
          ? {}
          : { method: "POST", body, headers: { "content-type": "application/json" } };
      const response = await fetch(`${base}${path}`, init);
      assert.equal(response.status, 400);
      const { details } = (await response.json()) as {
        details: { "@type": string; fieldViolations?: { field?: string; description: string }[] }[];
      };
      const [violation, ...more] = details.flatMap((detail) => detail.fieldViolations ?? []);
      assert.equal(details.at(-1)?.["@type"], "type.googleapis.com/google.rpc.BadRequest");
      assert.equal(more.length, 0);
      assert.equal(violation?.field, field);
      assert.match(violation?.description ?? "", description);
    });
  }

  test("a time that is none is named to its caller as what it is", async () => {
    const response = await fetch(`${base}/v1/shelves/1/books/2`, {
      headers: { "grpc-timeout": "soon" },
    });
    const { details } = (await response.json()) as { details: { metadata?: unknown }[] };
    assert.deepEqual(details[0]?.metadata, { key: "grpc-timeout" });
  });

  const refused: readonly (readonly [
    what: string,
    path: string,
    init: RequestInit,
    number,
    ReasonCode,
  ])[] = [
    ["a path that no granted method has", "/v1/none", {}, 501, "METHOD_UNKNOWN"],
    [
      "the path of the gRPC method",
      "/library.v1.Library/GetBook",
      { method: "POST", body: "{}" },
      501,
      "METHOD_UNKNOWN",
    ],
    ["another HTTP method", "/v1/shelves/1/books/2", { method: "POST" }, 501, "METHOD_UNKNOWN"],
    ["an escaped dot segment", "/v1/shelves/%2e%2e%2f/books/%2e.", {}, 501, "METHOD_UNKNOWN"],
    ["an unknown parameter", "/v1/shelves/1/books/2?x=1", {}, 400, "MALFORMED"],
    [
      "a body that is no JSON",
      "/v1/books:search",
      { method: "POST", body: "x", headers: { "content-type": "application/json" } },
      400,
      "MALFORMED",
    ],
    [
      "a body that says it is text",
      "/v1/books:search",
      { method: "POST", body: "{}", headers: { "content-type": "text/plain" } },
      400,
      "MALFORMED",
    ],
    [
      "a body in an unknown compression",
      "/v1/books:search",
      { method: "POST", body: "{}", headers: { "content-encoding": "br" } },
      501,
      "COMPRESSION_UNSUPPORTED",
    ],
    [
      "a message above the limit",
      "/v1/books:search",
      {
        method: "POST",
        body: `{"shelf":"${"x".repeat(10_001)}"}`,
        headers: { "content-type": "application/json" },
      },
      429,
      "MESSAGE_TOO_LARGE",
    ],
    [
      "a body far above the limit",
      "/v1/books:search",
      {
        method: "POST",
        body: `{"shelf":"${"x".repeat(50_000)}"}`,
        headers: { "content-type": "application/json" },
      },
      429,
      "MESSAGE_TOO_LARGE",
    ],
    [
      "a path of two services",
      "/v1/shelves/1/books/2",
      { method: "PATCH", body: "{}", headers: { "content-type": "application/json" } },
      400,
      "SERVICE_AMBIGUOUS",
    ],
    [
      "a time that is none",
      "/v1/shelves/1/books/2",
      { headers: { "grpc-timeout": "soon" } },
      400,
      "METADATA_INVALID",
    ],
    [
      "metadata above the limit",
      "/v1/shelves/1/books/2",
      { headers: { "causeway-case": "x".repeat(8200) } },
      429,
      "METADATA_TOO_LARGE",
    ],
  ];
  for (const [what, path, init, status, reason] of refused) {
    test(`refuses ${what} with ${reason}`, async () => {
      const response = await fetch(`${base}${path}`, init);
      assert.equal(response.headers.get("content-type"), "application/json");
      assert.deepEqual([response.status, await reasonOf(response)], [status, reason]);
    });
  }

  for (const how of ["header", "default"] as const) {
    test(`takes the service that a ${how} names`, async () => {
      let named: string | undefined;
      serving = consumer((call) => {
        named = readCallMetadata(call.headers).service;
        call.answer(create(MetadataSchema), [library.encode("Book", {})], ok);
      });
      const service = "shenzhen/libraries/books";
      if (how === "default") system = { id: "desk", defaults: { service } };
      const response = await fetch(`${base}/v1/shelves/1/books/2`, {
        method: "PATCH",
        headers: how === "header" ? { "causeway-service": service } : {},
      });
      assert.equal(response.status, 200);
      assert.equal(named, service);
    });
  }

  const bytes = Buffer.from([0, 0xff, 0xfe, 0x80, 10]);
  const pdf = { contentType: "application/pdf", data: bytes.toString("base64") };
  const httpBody = (json: JsonValue): Uint8Array => library.encode("google.api.HttpBody", json);

  test("answers google.api.HttpBody as its bytes, with their type", async () => {
    serving = consumer((call) => call.answer(create(MetadataSchema), [httpBody(pdf)], ok));
    const response = await fetch(`${base}/v1/shelves/1/books/2/cover`);
    assert.equal(response.headers.get("content-type"), "application/pdf");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("causeway-receipt"), "abc/0");
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
  });
  test("answers bytes whose type is none as bytes of any type", async () => {
    const contentType = "text/html\r\nset-cookie: a=b";
    const answer = httpBody({ ...pdf, contentType });
    serving = consumer((call) => call.answer(create(MetadataSchema), [answer], ok));
    const response = await fetch(`${base}/v1/shelves/1/books/2/cover`);
    assert.equal(response.headers.get("content-type"), "application/octet-stream");
    assert.equal(response.headers.get("set-cookie"), null);
  });
  for (const [name, method, path, of] of [
    ["PutCover", "PUT", "/v1/shelves/1/books/2/cover", "PutCoverRequest"],
    ["Scan", "POST", "/v1/scan", "google.api.HttpBody"],
  ] as const) {
    test(`takes the bytes of a request for ${name} as they are`, async () => {
      let request: unknown;
      serving = consumer((call, message) => {
        request = library.decode(of, message);
        const answer = name === "Scan" ? httpBody(pdf) : library.encode("CountResponse", {});
        call.answer(create(MetadataSchema), [answer], ok);
      });
      const headers = { "content-type": "application/pdf" };
      const response = await fetch(`${base}${path}`, { method, headers, body: bytes });
      assert.equal(response.status, 200);
      const whole = name === "Scan" ? pdf : { name: "shelves/1/books/2", cover: pdf };
      assert.deepEqual(request, whole);
    });
  }
  test("takes no more bytes than a message may have", async () => {
    serving = consumer(() => assert.fail("it was read"));
    const response = await fetch(`${base}/v1/scan`, { method: "POST", body: Buffer.alloc(10_001) });
    assert.deepEqual([response.status, await reasonOf(response)], [429, "MESSAGE_TOO_LARGE"]);
  });
  test("streams google.api.HttpBody as bytes, and cuts them off when the stream fails", async () => {
    const serve = (code: number) =>
      consumer(async (call) => {
        await call.sendMessage(httpBody(pdf));
        await call.sendMessage(httpBody({ data: pdf.data }));
        call.end(statusFrame(code, "", { trailers }));
      });
    serving = serve(0);
    const response = await fetch(`${base}/v1/shelves/1/books/2/pages`);
    assert.equal(response.headers.get("content-type"), "application/pdf");
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.concat([bytes, bytes]));
    serving = serve(14);
    await assert.rejects(async () =>
      (await fetch(`${base}/v1/shelves/1/books/2/pages`)).arrayBuffer(),
    );
  });

  test("says of a method with a stream of requests that it has no form here", async () => {
    let unsupported: string | undefined;
    serving = (call) => {
      ({ unsupported } = call);
      call.end(statusOf("CALL_TYPE_UNSUPPORTED"));
    };
    const response = await fetch(`${base}/v1/upload`, { method: "POST", body: "{}" });
    assert.deepEqual([response.status, await reasonOf(response)], [501, "CALL_TYPE_UNSUPPORTED"]);
    assert.deepEqual(
      [unsupported, seen[0]?.call.path],
      ["CALL_TYPE_UNSUPPORTED", "/library.v1.Library/Upload"],
    );
  });

  test("serves nobody who has not authenticated", async () => {
    denied = "CALLER_UNKNOWN";
    const served = { count: 0 };
    serving = () => void served.count++;
    const response = await fetch(`${base}/v1/shelves/1/books/2`);
    assert.deepEqual([response.status, await reasonOf(response)], [401, "CALLER_UNKNOWN"]);
    assert.equal(served.count, 0);
  });

  test("passes the time of a call", async () => {
    await fetch(`${base}/v1/shelves/1/books/2`, { headers: { "grpc-timeout": "1500m" } });
    assert.equal(seen[0]?.call.timeoutMs, 1500);
  });

  test("says when the caller has gone", async () => {
    const gone = new Promise<void>((resolve) => {
      serving = (call) => call.onCancelled(resolve);
    });
    const stop = new AbortController();
    const call = fetch(`${base}/v1/shelves/1/books/2`, { signal: stop.signal });
    call.catch(() => undefined);
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    await gone;
    await assert.rejects(call);
  });

  test("says that a caller who sends half a request has gone", async () => {
    const socket = connect(listener.port, "127.0.0.1");
    const ended = new Promise<string>((resolve) => {
      serving = (call) =>
        call.read().then(
          () => resolve("read"),
          (error: CausewayError) => resolve(error.code),
        );
    });
    socket.write(
      "POST /v1/books:search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
      () => {
        setTimeout(() => socket.destroy(), 20);
      },
    );
    assert.equal(await ended, "CANCELLED");
  });

  describe("for a method that streams", () => {
    const stream = (end: Parameters<IncomingCall["end"]>[0]) =>
      consumer(async (call) => {
        call.sendHeaders(create(MetadataSchema));
        for (const title of ["A", "B"]) await call.sendMessage(library.encode("Book", { title }));
        call.end(end);
      });
    test("sends lines, and the receipt behind them", async () => {
      serving = stream(ok);
      const response = await fetch(`${base}/v1/shelves/s/watch`);
      assert.equal(response.headers.get("content-type"), "application/x-ndjson");
      assert.equal(await response.text(), '{"result":{"title":"A"}}\n{"result":{"title":"B"}}\n');
    });
    test("ends with the error that came after messages", async () => {
      serving = stream(statusOf("PEER_LOST"));
      const lines = (await (await fetch(`${base}/v1/shelves/s/watch`)).text())
        .trimEnd()
        .split("\n");
      assert.equal(lines.length, 3);
      assert.equal((JSON.parse(lines[2] as string) as { error: { code: number } }).error.code, 14);
    });
    test("has the HTTP status of an error before any message", async () => {
      serving = consumer((call) => call.end(statusOf("GRANT_REVOKED")));
      const response = await fetch(`${base}/v1/shelves/s/watch`);
      assert.deepEqual([response.status, await reasonOf(response)], [403, "GRANT_REVOKED"]);
    });
    test("is asked for by a request that can be read ahead of its call, and is then given once", async () => {
      let titles: unknown;
      serving = async (call) => {
        assert.equal(await call.readAhead?.(), undefined);
        return consumer((same, request) => {
          titles = library.decode("SearchRequest", request);
          same.end(ok);
        })(call);
      };
      const response = await fetch(`${base}/v1/shelves/s/watch`);
      assert.deepEqual([response.status, await response.text()], [200, ""]);
      assert.deepEqual(titles, { shelf: "s" });
    });
    test("says what is wrong with a request that is read ahead of its call", async () => {
      serving = (call) =>
        call.readAhead?.().then(
          () => assert.fail("there is no such field"),
          (error: CausewayError) => call.end(statusOf(error.code)),
        );
      const response = await fetch(`${base}/v1/shelves/s/watch?shelf_size=1`);
      const { details } = (await response.json()) as {
        details: { fieldViolations?: { field: string }[] }[];
      };
      const [violation] = details.flatMap(({ fieldViolations = [] }) => fieldViolations);
      assert.deepEqual([response.status, violation?.field], [400, "shelf_size"]);
    });
    test("says of each message that it has left, and of none that a caller who has gone was not sent", async () => {
      const count = 3000;
      let left = 0;
      let gone: () => void = () => undefined;
      const message = library.encode("Book", { title: "x".repeat(9000) });
      serving = consumer((call) => {
        call.onCancelled(() => gone());
        for (let i = 0; i < count; i++) void call.sendMessage(message, () => left++);
      });
      const reading = connect(listener.port, "127.0.0.1");
      reading.write("GET /v1/shelves/s/watch HTTP/1.1\r\nhost: a\r\n\r\n");
      for await (const _chunk of reading) if (left === count) break;
      assert.equal(left, count);
      left = 0;
      const caller = connect(listener.port, "127.0.0.1");
      const hasGone = new Promise<void>((resolve) => (gone = resolve));
      caller.write("GET /v1/shelves/s/watch HTTP/1.1\r\nhost: a\r\n\r\n");
      await once(caller, "readable");
      // Until nothing more fits between the two.
      await new Promise((resolve) => setTimeout(resolve, 150));
      caller.destroy();
      await hasGone;
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.ok(left < count, `${left} messages have left`);
    });
    test("waits for a caller who does not read", async () => {
      let sent = 0;
      let all: () => void = () => undefined;
      const done = new Promise<void>((resolve) => {
        all = resolve;
      });
      serving = consumer(async (call) => {
        for (; sent < 1500; sent++) {
          await call.sendMessage(library.encode("Book", { title: "x".repeat(9000) }));
        }
        call.end(ok);
        all();
      });
      const response = await fetch(`${base}/v1/shelves/s/watch`);
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.ok(sent < 1500, `${sent} messages were written at once`);
      assert.equal((await response.text()).split("\n").length, 1501);
      await done;
    });
  });

  describe("over TLS", () => {
    const server = createIdentity("gateway.example");
    const client = createIdentity("desk.example");
    let secure: JsonListener;
    before(async () => {
      secure = await open({
        cert: server.certificate,
        key: server.privateKey,
        ca: client.certificate,
        requestCert: true,
        rejectUnauthorized: false,
      });
    });
    after(() => secure.close(0));
    const tls = {
      ca: server.certificate,
      servername: "gateway.example",
      cert: client.certificate,
      key: client.privateKey,
    };

    test("speaks HTTP/1.1, and shows the client's certificate", async () => {
      const status = await new Promise((resolve, reject) => {
        requestHttps(
          {
            ...tls,
            host: "127.0.0.1",
            port: secure.port,
            path: "/v1/shelves/1/books/2",
            agent: false,
          },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        )
          .on("error", reject)
          .end();
      });
      assert.equal(status, 200);
      assert.deepEqual(seen[0]?.connection.certificate, client.der);
      assert.equal(seen[0]?.connection.isAuthorized, true);
    });
    test("speaks HTTP/2, one connection for all calls of it", async () => {
      const session = connectHttp2(`https://127.0.0.1:${secure.port}`, tls);
      for (let i = 0; i < 2; i++) {
        const stream = session.request({
          ":path": "/v1/shelves/1/books/2",
          "causeway-purpose": "p",
        });
        const head = new Promise<Record<string, unknown>>((resolve) =>
          stream.once("response", resolve),
        );
        let body = "";
        for await (const chunk of stream) body += String(chunk);
        assert.equal((await head)[":status"], 200);
        assert.equal((await head)["causeway-receipt"], "abc/0");
        assert.deepEqual(JSON.parse(body), { title: "A", pages: "12" });
      }
      session.close();
      assert.equal(seen.length, 2);
      assert.equal(seen[0]?.connection, seen[1]?.connection);
      assert.deepEqual(seen[0]?.connection.certificate, client.der);
      assert.deepEqual(pairs(seen[0]?.call.headers), [["causeway-purpose", "p"]]);
    });

    describe("that is given another authority of client certificates", () => {
      const other = createIdentity("other.example");
      const under = (authority: Identity): Parameters<typeof open>[0] => ({
        cert: server.certificate,
        key: server.privateKey,
        ca: authority.certificate,
        requestCert: true,
        rejectUnauthorized: false,
      });
      let changing: JsonListener;
      let agent: Agent;
      before(async () => {
        changing = await open(under(client));
      });
      beforeEach(() => {
        changing.updateSecure(under(client) ?? {});
        agent = new Agent({ ...tls, keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
      });
      afterEach(() => agent.destroy());
      after(() => changing.close(0));

      const ask = (): Promise<{ readonly status: number | undefined; readonly body: string }> =>
        new Promise((resolve, reject) => {
          const path = "/v1/shelves/1/books/2";
          const request = requestHttps(
            { host: "127.0.0.1", port: changing.port, path, agent },
            (response) => {
              let body = "";
              response.on("data", (chunk) => (body += String(chunk)));
              response.on("end", () => resolve({ status: response.statusCode, body }));
            },
          );
          request.on("error", reject).end();
        });
      /** Each caller's connection, and whether its certificate counts. */
      const authorized = (): readonly boolean[] => seen.map((one) => one.connection.isAuthorized);

      test("keeps connections over HTTP/1.1 while the authority is the same", async () => {
        await ask();
        changing.updateSecure(under(client) ?? {});
        await ask();
        assert.equal(seen[0]?.connection, seen[1]?.connection);
      });
      test("takes no more requests on an idle one over HTTP/1.1", async () => {
        await ask();
        const [socket] = Object.values(agent.freeSockets).flat();
        const isClosed = new Promise((resolve) => socket?.once("close", resolve));
        changing.updateSecure(under(other) ?? {});
        await isClosed;
        await ask();
        assert.deepEqual(authorized(), [true, false]);
      });
      test("ends one over HTTP/1.1 that has asked nothing yet", async () => {
        const socket = connectTls({ ...tls, host: "127.0.0.1", port: changing.port });
        await once(socket, "secureConnect");
        // The server's side of the handshake is over when it answers another connection.
        await ask();
        const isClosed = once(socket, "close");
        socket.on("error", () => undefined).resume();
        changing.updateSecure(under(other) ?? {});
        await isClosed;
        assert.deepEqual(authorized(), [true]);
      });
      test("ends one whose handshake is not over", async () => {
        const raw = connect(changing.port, "127.0.0.1")
          .on("error", () => undefined)
          .resume();
        await once(raw, "connect");
        await ask();
        const isClosed = once(raw, "close");
        changing.updateSecure(under(other) ?? {});
        await isClosed;
      });
      test("resumes no session that began under the other authority", async () => {
        const connect = { ...tls, host: "127.0.0.1", port: changing.port };
        const first = connectTls(connect);
        const [session] = (await once(first, "session")) as [Buffer];
        first.destroy();
        changing.updateSecure(under(other) ?? {});
        const second = connectTls({ ...connect, session });
        await once(second, "secureConnect");
        assert.equal(second.isSessionReused(), false);
        second.destroy();
      });
      test("answers what one over HTTP/1.1 has asked, and then ends it", async () => {
        let answer = (): void => undefined;
        const isServed = new Promise<void>((resolve) => {
          serving = (call) => {
            answer = () => void answering("Book", { title: "A" })(call);
            resolve();
          };
        });
        const asked = ask();
        await isServed;
        changing.updateSecure(under(other) ?? {});
        answer();
        const { status, body } = await asked;
        assert.deepEqual([status, JSON.parse(body)], [200, { title: "A" }]);
        serving = answering("Book", { title: "B" });
        await ask();
        assert.deepEqual(authorized(), [true, false]);
      });
      test("ends those over HTTP/2 with their last call", async () => {
        let answer = (): void => undefined;
        const isServed = new Promise<void>((resolve) => {
          serving = (call) => {
            answer = () => void answering("Book", { title: "A" })(call);
            resolve();
          };
        });
        const session = connectHttp2(`https://127.0.0.1:${changing.port}`, tls);
        const isClosed = new Promise((resolve) => session.once("close", resolve));
        const stream = session.request({ ":path": "/v1/shelves/1/books/2" });
        await isServed;
        changing.updateSecure(under(other) ?? {});
        answer();
        let body = "";
        for await (const chunk of stream) body += String(chunk);
        assert.deepEqual(JSON.parse(body), { title: "A" });
        await isClosed;
        assert.deepEqual(authorized(), [true]);
      });
    });
  });
});
