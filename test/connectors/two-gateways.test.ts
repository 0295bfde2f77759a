import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
} from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { UpstreamConnector } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { credentials } from "@grpc/grpc-js";
import { createGrpcClient, unaryCall } from "../../src/exchange/transport/grpc-client.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { openRecord } from "../../src/record/record.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { freeAddress } from "../support/free-port.ts";
import { divisionsService, writeConfig } from "../support/two-cities.ts";
import { annotatedDivisions } from "./annotated-divisions.ts";

interface ErrorDetail {
  readonly reason?: string;
  readonly metadata?: { readonly record?: string };
  readonly fieldViolations?: readonly { readonly field?: string }[];
}

async function recordOf(admin: string, handle: string): Promise<ReturnType<typeof openRecord>> {
  const client = createGrpcClient(`unix:${admin}`, credentials.createInsecure());
  try {
    const request = { name: handle };
    const { record } = await unaryCall(client, AdminService.method.getRecord, request, {
      deadlineMs: Date.now() + 5_000,
    });
    return openRecord(record);
  } finally {
    client.close();
  }
}

describe("a REST program and a REST service, through two gateways", () => {
  let running: Running;
  let service: Server;
  let base: string;
  let requests: {
    readonly line: string;
    readonly headers: IncomingHttpHeaders;
    readonly body: string;
  }[];

  before(async () => {
    requests = [];
    const descriptor = await annotatedDivisions();
    // Knows nothing of gateways: paths and JSON.
    service = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () => {
        requests.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
        const known = request.url === "/api/v1/divisions/330106";
        const answer =
          request.method === "POST"
            ? { ticket: "T-1" }
            : known
              ? {
                  division: { code: "330106", name: "西湖区", parentCode: "330100" },
                  internal: true,
                }
              : { code: 5, message: "no such division" };
        const status = request.method === "POST" || known ? 200 : 404;
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const listen = await freeAddress();
    base = `http://${listen}`;
    running = await startTwoCities({
      configure: (cities) => {
        Object.assign(cities.blobs, { descriptor });
        const http = `http://127.0.0.1:${(service.address() as AddressInfo).port}/api`;
        writeConfig(cities.provider, { upstreams: { [divisionsService]: { http } } });
        const { agency, peer, http: read } = cities.consumer.addresses;
        writeConfig(cities.consumer, {
          listeners: { agency, peer, admin: "admin.sock", http: read, http_json: listen },
          agency_systems: [{ id: "registry-desk", loopback: true }],
        });
      },
    });
  });
  after(async () => {
    await running?.close();
    service.closeAllConnections();
    service.close();
  });

  const headers = { "Causeway-Purpose": "address-check", "Causeway-Case": "case-1" };

  test("is answered, with a receipt that names the connector and becomes final", async () => {
    const response = await fetch(`${base}/v1/divisions/330106`, { headers });
    assert.deepEqual(await response.json(), {
      division: { code: "330106", name: "西湖区", parentCode: "330100" },
    });
    assert.equal(response.status, 200);
    const [request] = requests;
    assert.equal(request?.line, "GET /api/v1/divisions/330106");
    assert.equal(request?.headers["causeway-consumer"], "shenzhen/market-regulation");
    assert.equal(request?.headers["causeway-purpose"], "address-check");
    assert.equal(request?.headers["causeway-case"], "case-1");
    const xid = response.headers.get("causeway-exchange-id");
    assert.equal(request?.headers["causeway-exchange-id"], xid);
    await running.settled();
    const handle = response.headers.get("causeway-receipt") ?? "";
    const { body } = await recordOf(running.cities.provider.addresses.admin, handle);
    assert.ok(body.case === "receipt");
    assert.equal(body.value.connector, UpstreamConnector.HTTP_JSON);
  });

  test("writes by its annotation", async () => {
    const response = await fetch(`${base}/v1/divisions/330106:correct`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: '{"error":"NAME"}',
    });
    assert.deepEqual([response.status, await response.json()], [200, { ticket: "T-1" }]);
    assert.deepEqual(requests.at(-1)?.line, "POST /api/v1/divisions/330106:correct");
    assert.deepEqual(JSON.parse(requests.at(-1)?.body ?? ""), { error: "NAME" });
  });

  test("gets the service's own error, with a receipt", async () => {
    const response = await fetch(`${base}/v1/divisions/999999`, { headers });
    assert.deepEqual(
      [response.status, await response.json()],
      [404, { code: 5, message: "no such division" }],
    );
    assert.match(response.headers.get("causeway-receipt") ?? "", /^[0-9a-f]{64}\/\d+$/);
  });

  test("is a program, not a page that a browser shows", async () => {
    const { port } = new URL(base);
    const asked = requests.length;
    const get = async (fields: Record<string, string>): Promise<[number | undefined, string]> => {
      const path = "/v1/divisions/330106";
      const call = request({ port, path, headers: { ...headers, ...fields } }).end();
      const [response] = (await once(call, "response")) as [IncomingMessage];
      return [response.statusCode, await text(response)];
    };
    for (const fields of [
      { origin: "https://elsewhere.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-origin" },
      { host: "elsewhere.example" },
      { host: "127.0.0.1.elsewhere.example:80" },
    ]) {
      const [status, body] = await get(fields);
      assert.equal(status, 401, JSON.stringify(fields));
      assert.match(body, /CREDENTIALS_MISSING/);
    }
    assert.equal(requests.length, asked, "the data service was not asked");
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, "[::1]:80", "LOCALHOST"]) {
      assert.equal((await get({ host }))[0], 200, host);
    }
    assert.equal((await get({ "sec-fetch-site": "none" }))[0], 200);
  });

  const denied: readonly (readonly [string, string, Record<string, string>, number, string])[] = [
    ["without a purpose", "/v1/divisions/330106", {}, 400, "PURPOSE_MISSING"],
    [
      "for another purpose",
      "/v1/divisions/330106",
      { "Causeway-Purpose": "statistics" },
      403,
      "PURPOSE_NOT_GRANTED",
    ],
    ["on a path of no method", "/v1/other", headers, 501, "METHOD_UNKNOWN"],
    [
      "with a parameter that the method lacks",
      "/v1/divisions/330106?x=1",
      headers,
      400,
      "MALFORMED",
    ],
  ];
  for (const [what, path, given, status, reason] of denied) {
    test(`is refused ${what} as a gRPC caller is, and the service does not hear of it`, async () => {
      const before = requests.length;
      const response = await fetch(`${base}${path}`, { headers: given });
      const { details } = (await response.json()) as { details: ErrorDetail[] };
      const info = details.find((one) => one.reason !== undefined);
      assert.deepEqual([response.status, info?.reason], [status, reason]);
      assert.equal(requests.length, before);
      const violations = details.flatMap(({ fieldViolations = [] }) => fieldViolations);
      assert.deepEqual(
        violations.map(({ field }) => field),
        reason === "MALFORMED" ? ["x"] : [],
      );
      // By the record that it names an operator finds what its caller complains about.
      const named = await recordOf(
        running.cities.consumer.addresses.admin,
        info?.metadata?.record ?? "",
      );
      assert.ok(named.body.case === "refusal");
      assert.equal(named.body.value.reason, reason);
    });
  }

  test("shares the service with gRPC callers of the same method", async () => {
    const answer = await running.client.getDivision("330106");
    assert.equal(answer.message?.division?.name, "西湖区");
  });
});
