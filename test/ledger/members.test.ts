import assert from "node:assert/strict";
import { test } from "node:test";
import { Server } from "@grpc/grpc-js";
import { createLedgerClient } from "../../gateway/ledger/ledger-client.ts";
import { createLedgerService } from "../../gateway/ledger/ledger-service.ts";
import { certificatePem, spkiDigest } from "../../gateway/tls.ts";
import { emptyBytes, equalBytes } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { grpcServerOptions } from "../../src/exchange/transport/grpc-options.ts";
import { listenForPeers } from "../../src/exchange/transport/link-listener.ts";
import { LedgerService } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type { LedgerClient, LedgerHost } from "../../src/ledger/embedded/ports.ts";
import { createIdentity, type Identity, peerTls, scheduler } from "../transport/support.ts";

const host = createIdentity("hangzhou/data-bureau/gw1");
const first = createIdentity("shenzhen/tax/gw1");
const second = createIdentity("dalian/tax/gw1");

/** Holds the empty blob. */
const blobHost = { blob: () => emptyBytes } as unknown as LedgerHost;

test("each call of an open connection is judged by its own certificate, as membership is then", async (t) => {
  const members = new Set([first, second]);
  const shown: Uint8Array[] = [];
  const isMember = (certificate: Uint8Array | undefined): boolean => {
    assert.ok(certificate !== undefined);
    shown.push(certificate);
    return [...members].some(({ der }) => equalBytes(der, certificate));
  };
  const server = new Server(grpcServerOptions);
  const service = createLedgerService({ host: blobHost, isMember });
  server.addService(grpcDefinition(LedgerService), service);
  const listener = await listenForPeers({
    host: "127.0.0.1",
    port: 0,
    tls: peerTls(host, first, second),
    grpc: server,
    scheduler,
    onStreams: (socket) => socket.destroy(),
  });
  t.after(async () => {
    await listener.close();
    server.forceShutdown();
  });
  const connect = ({ der, privateKey }: Identity): LedgerClient => {
    const client = createLedgerClient({
      address: `127.0.0.1:${listener.port}`,
      tls: spkiDigest(host.der),
      identity: { keyPem: privateKey, certificatePem: certificatePem(der) },
    });
    t.after(() => client.close());
    return client;
  };
  const get = (client: LedgerClient): Promise<Uint8Array> => client.getBlob(sha256(emptyBytes));

  const [ofFirst, ofSecond] = [connect(first), connect(second)];
  await get(ofFirst);
  await get(ofSecond);
  assert.deepEqual(
    shown.map((raw) => Buffer.from(raw)),
    [Buffer.from(first.der), Buffer.from(second.der)],
  );

  members.delete(first);
  await assert.rejects(get(ofFirst), { code: "MEMBER_NOT_ACTIVE" });
  await get(ofSecond);
  // The same connections, whose certificates were not read anew.
  assert.equal(shown[2], shown[0]);
  assert.equal(shown[3], shown[1]);

  members.add(first);
  await get(ofFirst);
});
