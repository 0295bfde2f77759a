/** Each RPC that there is, at each listener that is no place for it or without the credentials that it needs. */
import assert from "node:assert/strict";
import { connect, type IncomingHttpHeaders, type SecureClientSessionOptions } from "node:http2";
import { after, before, describe, it } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { createSelfSignedCertificate } from "../../gateway/keys/tls.ts";
import { certificatePem } from "../../gateway/tls.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { DivisionService } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { LinkService } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { LedgerService } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as AlphaReflection } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type Running, startTwoCities } from "../support/running.ts";

const pathsOf = (...services: readonly DescService[]): readonly string[] =>
  services.flatMap(({ typeName, methods }) => methods.map(({ name }) => `/${typeName}/${name}`));

const unimplemented = "12";
const emptyMessage = Buffer.alloc(5);

/** The `grpc-status` of a call with an empty message, or the code of the error that leaves it without one. */
async function statusOf(
  url: string,
  path: string,
  tls: SecureClientSessionOptions = {},
): Promise<string> {
  const session = connect(url, { ...tls, rejectUnauthorized: false });
  try {
    return await new Promise((resolve) => {
      const failed = (error: NodeJS.ErrnoException): void => resolve(String(error.code));
      session.once("error", failed).once("close", () => resolve("closed"));
      const call = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const take = (headers: IncomingHttpHeaders): void => {
        const status = headers["grpc-status"];
        if (status !== undefined) resolve(String(status));
      };
      call.on("response", take).on("trailers", take).on("error", failed);
      call.on("close", () => resolve("no status")).resume();
      call.end(emptyMessage);
    });
  } finally {
    session.destroy();
  }
}

describe("every RPC of a gateway", () => {
  let running: Running;
  let statementsBefore = 0;

  async function statements(): Promise<number> {
    const sides = [running.provider, running.consumer];
    const records = await Promise.all(sides.map((side) => side.records(1000)));
    return records.flat().filter(({ kind }) => kind === "statement").length;
  }

  before(async () => {
    running = await startTwoCities();
    statementsBefore = await statements();
  });

  after(() => running?.close());

  const everything = pathsOf(
    ...[LinkService, LedgerService, AdminService, DivisionService],
    ...[Health, ServerReflection, AlphaReflection],
  );
  const peerUrl = (): string => `https://${running.cities.provider.addresses.peer}`;

  it("is there to be tried", () => {
    assert.ok(everything.length >= 30);
    assert.equal(new Set(everything).size, everything.length);
  });

  describe("on the peer listener", () => {
    const nowMs = Date.now();
    const times = { notBeforeMs: nowMs - 60_000, notAfterMs: nowMs + 3_600_000 };
    const selfMade = createSelfSignedCertificate({
      name: "shenzhen/market-regulation/gw1",
      ...times,
    });
    const wrong: readonly (readonly [string, SecureClientSessionOptions])[] = [
      ["without a certificate", {}],
      [
        "with a self-made certificate of a member's name",
        { cert: certificatePem(selfMade.certificateDer), key: selfMade.privateKeyPem },
      ],
    ];
    for (const [what, tls] of wrong) {
      it(`gets no answer ${what}`, async () => {
        for (const path of everything) {
          const status = await statusOf(peerUrl(), path, tls);
          assert.ok(!/^\d+$/.test(status), `${path}: ${status}`);
        }
      });
    }

    it("that is for administrators or agency systems is not there for another gateway", async () => {
      const { tls } = running.cities.consumer.gateway;
      const own = { cert: certificatePem(tls.certificateDer), key: tls.privateKeyPem };
      for (const path of pathsOf(AdminService, DivisionService, Health, ServerReflection)) {
        assert.equal(await statusOf(peerUrl(), path, own), unimplemented, path);
      }
    });
  });

  it("that is for administrators or gateways is no method for an agency system", async () => {
    const url = `http://${running.cities.consumer.addresses.agency}`;
    for (const path of pathsOf(AdminService, LedgerService, LinkService)) {
      assert.equal(await statusOf(url, path), unimplemented, path);
    }
  });

  it("has put no statement on the ledger, and disturbs nobody", async () => {
    assert.ok(statementsBefore > 0);
    assert.equal(await statements(), statementsBefore);
    assert.deepEqual((await running.provider.status()).notReady, []);
    assert.equal((await running.client.getDivision("330106")).code, 0);
  });
});
