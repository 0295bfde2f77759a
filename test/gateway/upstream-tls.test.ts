import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, it } from "node:test";
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall } from "@grpc/grpc-js";
import { pino } from "pino";
import type { UpstreamConfig } from "../../gateway/config-types.ts";
import { openUpstreams } from "../../gateway/open-upstream.ts";
import { systemScheduler } from "../../gateway/runtime.ts";
import type { Upstreams } from "../../gateway/upstreams.ts";
import type { UnaryAnswer } from "../../src/exchange/transport/ports.ts";
import { createIdentity, type Identity } from "../transport/certificate.ts";
import { metadata, rawMethod } from "../transport/support.ts";

const service = "hangzhou/civil-affairs/divisions";
const path = "/city.v1.Registry/Get";
const folder = mkdtempSync(join(tmpdir(), "causeway-upstream-tls-"));
const cleanups: (() => Promise<void> | void)[] = [];

function file(name: string, content: string, mode = 0o600): string {
  const to = join(folder, name);
  rmSync(to, { force: true });
  writeFileSync(to, content, { mode });
  return to;
}

/** A gRPC service that wants a client certificate under `clients`, and says its name. */
async function startService(own: Identity, clients: Identity, port = 0): Promise<number> {
  const server = new Server();
  const answer = (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void => {
    const { sslPeerCertificate } = call.getAuthContext();
    done(null, Buffer.from(String(sslPeerCertificate?.subject.CN)));
  };
  server.addService({ method: rawMethod(path) }, { method: answer });
  const pair = {
    private_key: Buffer.from(own.privateKey),
    cert_chain: Buffer.from(own.certificate),
  };
  const secure = ServerCredentials.createSsl(Buffer.from(clients.certificate), [pair], true);
  cleanups.push(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, secure, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

function configured(port: number, files: Readonly<Record<string, string>>): UpstreamConfig {
  return { grpc: `127.0.0.1:${port}`, tls: { server_name: "localhost", ...files } };
}

async function open(config: UpstreamConfig): Promise<Upstreams> {
  const upstreams = await openUpstreams(
    { upstreams: { [service]: config } },
    { scheduler: systemScheduler, replica: {} as never, logger: pino({ level: "silent" }) },
  );
  cleanups.push(() => upstreams.close());
  return upstreams;
}

function call(upstreams: Upstreams): Promise<UnaryAnswer> {
  const connector = upstreams.get(service);
  assert.ok(connector !== undefined);
  return connector.callUnary({
    path,
    headers: metadata(),
    message: new Uint8Array(1),
    timeoutMs: 5000,
    answerBytesMax: 1000,
    signal: new AbortController().signal,
  });
}

const nameTold = async (upstreams: Upstreams): Promise<string> =>
  Buffer.from((await call(upstreams)).messages[0] ?? []).toString();

describe("a gRPC upstream over TLS", () => {
  const [own, renewed] = [createIdentity("localhost"), createIdentity("localhost")];
  const authority = createIdentity("clients", { isAuthority: true });
  const client = (name: string): Identity =>
    createIdentity(name, { authority: { name: "clients", privateKey: authority.privateKey } });
  const [first, second] = [client("gateway-1"), client("gateway-2")];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const filesOf = (identity: Identity): Record<string, string> => ({
    ca_file: file("ca.pem", own.certificate, 0o644),
    certificate_file: file("client.pem", identity.certificate, 0o644),
    key_file: file("client.key", identity.privateKey),
  });

  it("is shown the client certificate of the configuration", async () => {
    const port = await startService(own, authority);
    assert.equal(await nameTold(await open(configured(port, filesOf(first)))), "gateway-1");
  });

  it("that wants one does not answer without", async () => {
    const port = await startService(own, authority);
    const { ca_file } = filesOf(first);
    const upstreams = await open(configured(port, { ca_file: ca_file as string }));
    await assert.rejects(call(upstreams), { code: "UPSTREAM_UNAVAILABLE" });
  });

  it("is refused with a key that others can read, or that is not the certificate's", async () => {
    const files = filesOf(first);
    file("client.key", first.privateKey, 0o644);
    await assert.rejects(open(configured(1, files)), { code: "FILE_UNREADABLE" });
    file("client.key", second.privateKey);
    await assert.rejects(open(configured(1, files)), { code: "CONFIG_INVALID" });
    file("client.key", first.privateKey);
    file("ca.pem", "none", 0o644);
    await assert.rejects(open(configured(1, files)), { code: "CONFIG_INVALID" });
  });

  it("keeps its connection over a reload when nothing is new, and takes new files when they are", async () => {
    const port = await startService(own, authority);
    const config = configured(port, filesOf(first));
    const upstreams = await open(config);
    const before = upstreams.get(service);
    const reload = async (): Promise<void> =>
      (await upstreams.prepare({ upstreams: { [service]: { ...config } } } as never)).commit();
    await reload();
    assert.equal(upstreams.get(service), before);
    filesOf(second);
    await reload();
    assert.equal(await nameTold(upstreams), "gateway-2");
    for (const stop of cleanups.splice(0, 1)) await stop();
    await startService(renewed, authority, port);
    await assert.rejects(call(upstreams), { code: "UPSTREAM_UNAVAILABLE" });
    file("ca.pem", renewed.certificate, 0o644);
    await reload();
    assert.equal(await nameTold(upstreams), "gateway-2");
  });

  it("keeps what it has when a new file cannot be used", async () => {
    const port = await startService(own, authority);
    const config = configured(port, filesOf(first));
    const upstreams = await open(config);
    file("client.key", second.privateKey);
    await assert.rejects(upstreams.prepare({ upstreams: { [service]: { ...config } } } as never), {
      code: "CONFIG_INVALID",
    });
    assert.equal(await nameTold(upstreams), "gateway-1");
  });
});
