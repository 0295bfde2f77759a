import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, createServer as createNetServer } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { fromBinary, type JsonValue } from "@bufbuild/protobuf";
import { createHttpJsonUpstream } from "../../gateway/connectors/http-upstream.ts";
import type { HttpUpstreamOptions } from "../../gateway/connectors/http-prepare.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { UnaryAnswer, UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import { createIdentity } from "../transport/certificate.ts";
import { metadata, pairs, scheduler } from "../transport/support.ts";
import { Library } from "./library.ts";
import { hear } from "./stream-ear.ts";

type Answering = (request: IncomingMessage, response: ServerResponse, body: string) => void;

const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;

const isCode =
  (code: string, sent?: string) =>
  (error: unknown): boolean =>
    error instanceof CausewayError &&
    error.code === code &&
    (sent === undefined || error.fields["sent"] === sent);

describe("an HTTP/JSON upstream", () => {
  let library: Library;
  let server: Server;
  let answering: Answering;
  let requests: { readonly line: string; readonly body: string; readonly raw: string[] }[];
  let upstream: UpstreamConnector;

  const connector = (options: Partial<HttpUpstreamOptions> = {}): UpstreamConnector =>
    createHttpJsonUpstream({
      baseUrl: `http://127.0.0.1:${portOf(server)}/api/`,
      descriptors: () => library.descriptors,
      scheduler,
      names: "json",
      connectionsMax: 8,
      ...options,
    });

  before(async () => {
    library = await Library.build();
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        requests.push({ line: `${request.method} ${request.url}`, body, raw: request.rawHeaders });
        answering(request, response, body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    upstream = connector();
  });
  beforeEach(() => {
    requests = [];
    answering = json({ title: "A" });
  });
  after(async () => {
    await upstream.close();
    server.closeAllConnections();
    server.close();
  });

  function json(value: JsonValue, code = 200, headers: Record<string, string> = {}): Answering {
    return (_request, response) =>
      response
        .writeHead(code, { "content-type": "application/json; charset=utf-8", ...headers })
        .end(JSON.stringify(value));
  }

  interface Options {
    readonly headers?: readonly (readonly [string, string | Uint8Array])[];
    readonly timeoutMs?: number;
    readonly answerBytesMax?: number;
    readonly signal?: AbortSignal;
    readonly through?: UpstreamConnector;
  }
  const unary = (name: string, request: JsonValue, options: Options = {}): Promise<UnaryAnswer> =>
    (options.through ?? upstream).callUnary({
      path: `/library.v1.Library/${name}`,
      headers: metadata(options.headers),
      message: library.encode(library.method(name).input.typeName, request),
      timeoutMs: options.timeoutMs,
      answerBytesMax: options.answerBytesMax ?? 100_000,
      signal: options.signal ?? new AbortController().signal,
    });
  const book = { name: "shelves/1/books/2" };
  const getBook = (options: Options = {}): Promise<UnaryAnswer> => unary("GetBook", book, options);

  test("is of its kind", () => assert.equal(upstream.kind, "http-json"));

  test("is called on the path of the annotation below its base", async () => {
    const { messages, status } = await getBook();
    assert.equal(requests[0]?.line, "GET /api/v1/shelves/1/books/2");
    assert.equal(status.code, 0);
    assert.deepEqual(library.decode("Book", messages[0] as Uint8Array), { title: "A" });
  });

  test("gets a body of JSON", async () => {
    await unary("Update", { book: { ...book, title: "T" }, dryRun: true });
    assert.deepEqual(requests[0]?.line, "PATCH /api/v1/shelves/1/books/2?dryRun=true");
    assert.equal(requests[0]?.body, '{"title":"T"}');
  });

  test("gets the facts of the call and what is listed, and nothing else of the metadata", async () => {
    const through = connector({ requestFields: ["x-tenant"], authorization: "Bearer own" });
    await getBook({
      through,
      headers: [
        ["causeway-consumer", "shenzhen/market-regulation"],
        ["causeway-case", new Uint8Array(Buffer.from("案件"))],
        ["traceparent", "00-1-2-01"],
        ["x-tenant", "7"],
        ["authorization", "Bearer of the caller"],
        ["cookie", "a=b"],
        ["x-http-method-override", "DELETE"],
        ["host", "elsewhere"],
        ["x-forwarded-for", "1.2.3.4"],
      ],
    });
    const raw = requests[0]?.raw ?? [];
    const fields = Object.fromEntries(
      raw.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1]]] : [])),
    );
    assert.deepEqual(Object.keys(fields).toSorted(), [
      "accept",
      "accept-encoding",
      "authorization",
      "causeway-case",
      "causeway-consumer",
      "connection",
      "host",
      "traceparent",
      "user-agent",
      "x-tenant",
    ]);
    assert.equal(fields["authorization"], "Bearer own");
    assert.equal(fields["host"], `127.0.0.1:${portOf(server)}`);
    assert.equal(Buffer.from(String(fields["causeway-case"]), "latin1").toString(), "案件");
    await through.close();
  });

  test("gives back fields that are listed, and no cookie", async () => {
    answering = json({}, 200, {
      etag: '"1"',
      "set-cookie": "a=b",
      server: "x",
      "x-request-id": "7",
    });
    const { headers } = await getBook();
    assert.deepEqual(pairs(headers), [
      ["etag", '"1"'],
      ["x-request-id", "7"],
    ]);
  });

  test("keeps its connection", async () => {
    const ports = new Set<number | undefined>();
    answering = (request, response, body) => {
      ports.add(request.socket.remotePort);
      json({})(request, response, body);
    };
    for (let i = 0; i < 5; i++) await getBook();
    assert.equal(ports.size, 1);
  });

  test("is called again on a new connection when it closed an idle one, for a method that reads", async () => {
    await getBook();
    server.closeIdleConnections();
    assert.equal((await getBook()).status.code, 0);
  });

  test("that answers gzip is read", async () => {
    answering = (_request, response) =>
      response
        .writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" })
        .end(gzipSync('{"title":"Z"}'));
    const { messages } = await getBook();
    assert.deepEqual(library.decode("Book", messages[0] as Uint8Array), { title: "Z" });
  });

  test("that answers 204 gives the empty message", async () => {
    answering = (_request, response) => response.writeHead(204).end();
    const { messages, status } = await unary("Remove", book);
    assert.deepEqual([messages.length, messages[0]?.length, status.code], [1, 0, 0]);
  });

  test("that answers with a google.rpc.Status gives it whole", async () => {
    const detail = { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "SHUT" };
    answering = json({ code: 9, message: "shut", details: [detail] }, 400);
    const { status, messages } = await getBook();
    assert.deepEqual([status.code, Buffer.from(status.message).toString()], [9, "shut"]);
    assert.equal(fromBinary(StatusSchema, status.details).details.length, 1);
    assert.equal(messages.length, 0);
  });

  test("that answers an error page gives the status of its code and nothing of the page", async () => {
    answering = (_request, response) =>
      response.writeHead(404, { "content-type": "text/html" }).end("<p>Mrs Zhang");
    const { status } = await getBook();
    assert.deepEqual([status.code, Buffer.from(status.message).toString()], [5, "HTTP status 404"]);
  });

  test("is not followed to another place", async () => {
    answering = (_request, response) =>
      response.writeHead(302, { location: `http://127.0.0.1:${portOf(server)}/secret` }).end();
    assert.equal((await getBook()).status.code, 2);
    assert.equal(requests.length, 1);
  });

  test("is not called for a request that leaves its path", async () => {
    const { status } = await unary("GetBook", { name: "shelves/1/books/.." });
    assert.equal(status.code, 3);
    assert.equal(requests.length, 0);
  });

  test("has no method without an annotation", async () => {
    assert.equal((await unary("Plain", book)).status.code, 12);
  });

  const broken: readonly (readonly [what: string, code: string, answer: Answering])[] = [
    [
      "text that is no JSON",
      "PROTOCOL_ERROR",
      (_, r) => r.writeHead(200, { "content-type": "application/json" }).end("{"),
    ],
    [
      "JSON of another type",
      "PROTOCOL_ERROR",
      (_, r) => r.writeHead(200, { "content-type": "application/json" }).end('{"pages":[]}'),
    ],
    [
      "JSON that it calls text",
      "PROTOCOL_ERROR",
      (_, r) => r.writeHead(200, { "content-type": "text/plain" }).end("{}"),
    ],
    [
      "what is no UTF-8",
      "PROTOCOL_ERROR",
      (_, r) =>
        r
          .writeHead(200, { "content-type": "application/json" })
          .end(Buffer.from([0x22, 0xff, 0x22])),
    ],
    [
      "what is no gzip",
      "PROTOCOL_ERROR",
      (_, r) =>
        r
          .writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" })
          .end("{}"),
    ],
    [
      "another compression",
      "COMPRESSION_UNSUPPORTED",
      (_, r) =>
        r
          .writeHead(200, { "content-type": "application/json", "content-encoding": "br" })
          .end("{}"),
    ],
    [
      "more than the limit",
      "MESSAGE_TOO_LARGE",
      (_, r) =>
        r
          .writeHead(200, { "content-type": "application/json" })
          .end(`{"title":"${"x".repeat(100_001)}"}`),
    ],
    [
      "more JSON than the limit of its text",
      "MESSAGE_TOO_LARGE",
      (_, r) =>
        r
          .writeHead(200, { "content-type": "application/json" })
          .end(`{"x":"${"x".repeat(400_001)}"}`),
    ],
    [
      "a bomb of gzip",
      "MESSAGE_TOO_LARGE",
      (_, r) =>
        r
          .writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" })
          .end(gzipSync(Buffer.alloc(5_000_000, 32))),
    ],
    [
      "half an answer",
      "UPSTREAM_UNAVAILABLE",
      (_, r) => {
        r.writeHead(200, { "content-type": "application/json", "content-length": "100" }).write(
          "{",
        );
        setImmediate(() => r.destroy());
      },
    ],
    [
      "a head above the limit",
      "METADATA_TOO_LARGE",
      (_, r) => r.writeHead(200, { etag: "x".repeat(9000) }).end("{}"),
    ],
    [
      "a head far above the limit",
      "METADATA_TOO_LARGE",
      (_, r) => r.writeHead(200, { etag: "x".repeat(20_000) }).end("{}"),
    ],
  ];
  for (const [what, code, answer] of broken) {
    test(`that answers ${what} is ${code}`, async () => {
      answering = answer;
      await assert.rejects(getBook(), isCode(code));
    });
  }

  test("that does not answer is ended by the deadline", async () => {
    answering = () => undefined;
    await assert.rejects(getBook({ timeoutMs: 50 }), isCode("DEADLINE"));
  });

  test("that stops in its answer is ended by the deadline", async () => {
    answering = (_request, response) => void response.writeHead(200).write("{");
    await assert.rejects(getBook({ timeoutMs: 50 }), isCode("DEADLINE"));
  });

  test("hears the end of a call that is cancelled", async () => {
    const cancel = new AbortController();
    const ended = new Promise<void>((resolve) => {
      answering = (request) => {
        request.socket.once("close", () => resolve());
        cancel.abort(new CausewayError("PEER_LOST", "gone"));
      };
    });
    await assert.rejects(getBook({ signal: cancel.signal }), isCode("PEER_LOST"));
    await ended;
  });

  test("that is not there cannot have seen the call", async () => {
    const free = createNetServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const port = portOf(free);
    await new Promise((resolve) => free.close(resolve));
    const through = connector({ baseUrl: `http://127.0.0.1:${port}` });
    await assert.rejects(getBook({ through }), isCode("UPSTREAM_UNAVAILABLE", "no"));
  });

  test("that breaks the connection may have seen the call", async () => {
    answering = (request) => request.socket.destroy();
    const call = unary("Move", { ...book, to: "x" });
    await assert.rejects(call, isCode("UPSTREAM_UNAVAILABLE", "yes"));
  });

  const bytes = Buffer.from([0, 0xff, 0xfe, 0x80, 10]);
  const pdf = { contentType: "application/pdf", data: bytes.toString("base64") };
  const raw: Answering = (_request, response) =>
    response.writeHead(200, { "content-type": "application/pdf" }).end(bytes);
  const bodyOf = (message: Uint8Array | undefined): JsonValue =>
    library.decode("google.api.HttpBody", message as Uint8Array);

  test("gives the bytes of an answer with their type where the method says google.api.HttpBody", async () => {
    answering = raw;
    const { messages, status } = await unary("GetCover", book);
    assert.equal(status.code, 0);
    assert.deepEqual(bodyOf(messages[0]), pdf);
    const accept = requests[0]?.raw.findIndex((name) => name === "accept") ?? -1;
    assert.equal(requests[0]?.raw[accept + 1], "*/*");
  });

  for (const [name, request, line] of [
    ["PutCover", { ...book, cover: pdf }, "PUT /api/v1/shelves/1/books/2/cover"],
    ["Scan", pdf, "POST /api/v1/scan"],
  ] as const) {
    test(`sends the bytes of ${name} as they are, with their type`, async () => {
      let type: string | undefined;
      const received: Buffer[] = [];
      const own = createServer((incoming, response) => {
        type = incoming.headers["content-type"];
        assert.equal(`${incoming.method} ${incoming.url}`, line);
        incoming.on("data", (chunk: Buffer) => received.push(chunk));
        incoming.on("end", () =>
          (name === "Scan" ? raw : json({ count: "1" }))(incoming, response, ""),
        );
      });
      await new Promise<void>((resolve) => own.listen(0, "127.0.0.1", resolve));
      const through = connector({ baseUrl: `http://127.0.0.1:${portOf(own)}/api/` });
      const { status } = await unary(name, request, { through });
      assert.deepEqual([status.code, type], [0, "application/pdf"]);
      assert.deepEqual(Buffer.concat(received), bytes);
      await through.close();
      own.close();
    });
  }

  test("is not sent bytes whose type is none", async () => {
    const contentType = "text/plain\r\nx: y";
    const { status } = await unary("Scan", { ...pdf, contentType });
    assert.deepEqual([status.code, requests], [3, []]);
  });

  test("has its errors in JSON also where its answers are bytes", async () => {
    answering = json({ code: 5, message: "no cover" }, 404);
    const { status } = await unary("GetCover", book);
    assert.equal(status.code, 5);
  });

  test("streams the bytes of an answer as messages, the first of which says their type", async () => {
    answering = (_request, response) => {
      response.writeHead(200, { "content-type": "application/pdf" });
      response.write(bytes);
      response.end(bytes);
    };
    const heard = hear(upstream, {
      path: "/library.v1.Library/ReadPages",
      requests: [library.encode("GetBookRequest", book)],
    });
    await heard.ended;
    assert.equal(heard.status?.code, 0);
    const parts = heard.messages.map(bodyOf) as { contentType?: string; data?: string }[];
    assert.equal(parts[0]?.contentType, "application/pdf");
    assert.ok(parts.slice(1).every(({ contentType }) => contentType === undefined));
    const all = parts.map(({ data }) => Buffer.from(data ?? "", "base64"));
    assert.deepEqual(Buffer.concat(all), Buffer.concat([bytes, bytes]));
  });

  test("lets an open call end when it is closed, of any type", async () => {
    const answers: (() => void)[] = [];
    const isAsked = new Promise<void>((resolve) => {
      answering = (request, response) => {
        answers.push(() => json({ title: "A" })(request, response, ""));
        if (answers.length === 2) resolve();
      };
    });
    const closing = connector();
    const once = getBook({ through: closing });
    const heard = hear(closing, {
      path: "/library.v1.Library/GetBook",
      requests: [library.encode(library.method("GetBook").input.name, book)],
    });
    await isAsked;
    const closed = closing.close();
    for (const answer of answers) answer();
    assert.equal((await once).status.code, 0);
    await heard.ended;
    assert.equal(heard.status?.code, 0);
    await closed;
  });

  test("is not called before its service is published", async () => {
    const through = connector({ descriptors: () => undefined });
    await assert.rejects(getBook({ through }), isCode("UPSTREAM_UNAVAILABLE", "no"));
  });

  test("over TLS is trusted by its authority and its name", async () => {
    const identity = createIdentity("books.example");
    const secure = createTlsServer(
      { key: identity.privateKey, cert: identity.certificate },
      (_request, response) =>
        response.writeHead(200, { "content-type": "application/json" }).end("{}"),
    );
    await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
    const baseUrl = `https://127.0.0.1:${portOf(secure)}`;
    const tls = { ca: identity.certificate, serverName: "books.example" };
    const trusting = connector({ baseUrl, tls });
    assert.equal((await getBook({ through: trusting })).status.code, 0);
    const doubting = connector({ baseUrl, tls: { serverName: "books.example" } });
    await assert.rejects(getBook({ through: doubting }), isCode("UPSTREAM_UNAVAILABLE", "no"));
    const mistaken = connector({ baseUrl, tls: { ...tls, serverName: "other.example" } });
    await assert.rejects(getBook({ through: mistaken }), isCode("UPSTREAM_UNAVAILABLE", "no"));
    await Promise.all([trusting, doubting, mistaken].map((one) => one.close()));
    secure.closeAllConnections();
    secure.close();
  });

  describe("that is called as a stream", () => {
    const open = (name: string, request: JsonValue, timeoutMs?: number) =>
      hear(upstream, {
        path: `/library.v1.Library/${name}`,
        requests: [library.encode(library.method(name).input.name, request)],
        timeoutMs,
      });
    const titles = (messages: readonly Uint8Array[]) =>
      messages.map((one) => (library.decode("Book", one) as { title: string }).title);

    test("gives a unary answer as one message", async () => {
      const heard = open("GetBook", book);
      await heard.ended;
      assert.deepEqual(titles(heard.messages), ["A"]);
      assert.equal(heard.status?.code, 0);
    });
    for (const [form, text] of [
      ["lines", '{"title":"A"}\n{"title":"B"}\n'],
      ["an array", '[{"title":"A"},\n{"title":"B"}]'],
    ] as const) {
      test(`gives ${form} as messages, the first before the last is there`, async () => {
        let rest = (): void => undefined;
        answering = (_request, response) => {
          response.writeHead(200, { "content-type": "application/json" });
          response.write(text.slice(0, 16));
          rest = () => response.end(text.slice(16));
        };
        const heard = open("Watch", { shelf: "s" });
        await heard.message(1);
        rest();
        await heard.ended;
        assert.deepEqual(titles(heard.messages), ["A", "B"]);
        assert.equal(heard.status?.code, 0);
      });
    }
    test("is held up by what is not taken", async () => {
      const line = `{"title":"${"x".repeat(60_000)}"}\n`;
      let written = 0;
      answering = (_request, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const more = (): void => {
          while (written < 500) {
            written += 1;
            if (!response.write(line)) return void response.once("drain", more);
          }
          response.end();
        };
        more();
      };
      const heard = open("Watch", { shelf: "s" });
      heard.stream.take(false);
      await heard.headers;
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(heard.messages.length, 0);
      assert.ok(written < 400, `${written} lines were taken from the service`);
      heard.stream.take(true);
      await heard.ended;
      assert.equal(heard.messages.length, 500);
    });
    test("that breaks in the middle fails", async () => {
      answering = (_request, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.write('{"title":"A"}\n{"ti', () => response.destroy());
      };
      const heard = open("Watch", { shelf: "s" });
      await heard.ended;
      assert.equal(heard.error?.code, "UPSTREAM_UNAVAILABLE");
    });
    test("that ends inside a value is no answer", async () => {
      answering = (_request, response) =>
        response.writeHead(200, { "content-type": "application/json" }).end('{"ti');
      const heard = open("Watch", { shelf: "s" });
      await heard.ended;
      assert.equal(heard.error?.code, "PROTOCOL_ERROR");
    });
    test("is ended by the deadline while nobody takes its messages", async () => {
      const heard = open("GetBook", book, 60);
      heard.stream.take(false);
      await heard.ended;
      assert.equal(heard.error?.code, "DEADLINE");
    });
    test("takes no stream of requests", async () => {
      const heard = hear(upstream, { path: "/library.v1.Library/Upload", requests: [] });
      await heard.ended;
      assert.equal(heard.error?.code, "CALL_TYPE_UNSUPPORTED");
    });
    for (const count of [0, 2]) {
      test(`takes no ${count} requests for a method with one`, async () => {
        const requests = Array.from({ length: count }, () =>
          library.encode("GetBookRequest", book),
        );
        const heard = hear(upstream, { path: "/library.v1.Library/GetBook", requests });
        await heard.ended;
        assert.equal(heard.status?.code, 12);
      });
    }
  });

  test("cannot be split into a second request by a value", async () => {
    const raw = connect(portOf(server), "127.0.0.1");
    raw.destroy();
    await unary("Search", { shelf: "s HTTP/1.1\r\nX: y\r\n\r\nGET /admin", tags: ["\r\nX: y"] });
    assert.equal(requests.length, 1);
    assert.match(requests[0]?.line ?? "", /^GET \/api\/v1\/shelves\/s%20HTTP%2F1.1%0D%0AX/);
  });
});
