/** Agency systems that show a client certificate: stock clients on real TLS connections. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { connect as connectHttp2 } from "node:http2";
import { after, describe, test } from "node:test";
import { connect, type SecureVersion } from "node:tls";
import { Client, status } from "@grpc/grpc-js";
import type { AgencyTlsConfig } from "../../gateway/agency/config.ts";
import { eventually } from "../support/admin-client.ts";
import { createIdentity, type Identity } from "../transport/certificate.ts";
import { createKey, createToken, goodClaims, keySetOf } from "./identity-provider.ts";
import {
  bearer,
  call,
  callOnce,
  channel,
  type Ended,
  Files,
  issuerConfig,
  listenerIdentity,
  type Running,
  startListener,
  system,
} from "./support.ts";

const files = new Files();
after(() => files.remove());

function spkiOf({ der }: Identity): string {
  const { publicKey } = new X509Certificate(der);
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");
}

const { UNAUTHENTICATED } = status;
const hourMs = 3_600_000;

/** Starts a listener for the tests of a block. */
function using(start: () => Promise<Running>): () => Promise<Running> {
  let running: Promise<Running> | undefined;
  after(async () => (await running)?.close());
  return () => (running ??= start());
}

async function assertRefused(
  running: Running,
  reason: string,
  ended: Promise<Ended>,
): Promise<void> {
  const before = running.served.length;
  const { code, reason: told } = await ended;
  assert.deepEqual([code, told], [UNAUTHENTICATED, reason]);
  assert.equal(running.served.length, before, "nothing was forwarded");
  assert.equal(running.unauthenticated.at(-1), reason);
}

describe("a listener with pinned client certificates", () => {
  const key = createKey("k1", "ES256");
  const [desk, archive, vault, anyone] = ["desk", "archive", "vault", "anyone"].map((name) =>
    createIdentity(name),
  ) as [Identity, Identity, Identity, Identity];
  const expired = createIdentity("expired", {
    notBeforeMs: Date.now() - 2 * hourMs,
    notAfterMs: Date.now() - hourMs,
  });
  const early = createIdentity("early", {
    notBeforeMs: Date.now() + hourMs,
    notAfterMs: Date.now() + 2 * hourMs,
  });
  const jwt = (client: string): { issuer: string; clients: string[] } => ({
    issuer: issuerConfig({}).issuer,
    clients: [client],
  });
  const running = using(() =>
    startListener({
      agency: {
        tls: { ...files.tls(listenerIdentity), min_version: "TLSv1.2" },
        issuers: [issuerConfig({ jwks_file: files.write("keys.json", keySetOf(key)) })],
      },
      systems: [
        system("desk", { tls: { spki_sha256: [spkiOf(desk), spkiOf(expired), spkiOf(early)] } }),
        system("archive", { tls: { spki_sha256: [spkiOf(archive)] } }),
        system("vault", { tls: { spki_sha256: [spkiOf(vault)] }, jwt: jwt("vault") }),
        system("portal", { jwt: jwt("portal") }),
      ],
    }),
  );
  const token = (client: string, more: Record<string, unknown> = {}): readonly [string, string] =>
    bearer(createToken(key, { claims: goodClaims({ client_id: client, ...more }) }));
  const certificateDigest = ({ der }: Identity): string =>
    createHash("sha256").update(der).digest("base64url");

  for (const [name, identity] of [
    ["desk", desk],
    ["archive", archive],
  ] as const) {
    test(`takes the caller with ${name}'s certificate for ${name}, and for nobody else`, async () => {
      const { address } = await running();
      const { code, system: taken } = await callOnce(address, { channel: channel(identity) });
      assert.deepEqual([code, taken], [status.OK, name]);
    });
  }

  const refused: Readonly<
    Record<string, readonly [reason: string, identity: Identity | undefined]>
  > = {
    "without a certificate and without a token": ["CREDENTIALS_MISSING", undefined],
    "with a certificate of nobody": ["CALLER_UNKNOWN", anyone],
    "with a pinned key and a certificate that has expired": ["CERTIFICATE_INVALID", expired],
    "with a pinned key and a certificate that is not valid yet": ["CERTIFICATE_INVALID", early],
    "with the certificate of a system that shows a token too": ["CREDENTIALS_DIFFER", vault],
  };
  for (const [what, [reason, identity]] of Object.entries(refused)) {
    test(`refuses a caller ${what}: ${reason}`, async () => {
      const listener = await running();
      const ended = callOnce(listener.address, { channel: channel(identity) });
      await assertRefused(listener, reason, ended);
    });
  }

  test("takes a token where its system shows no certificate", async () => {
    const { address } = await running();
    const options = { channel: channel(), metadata: [token("portal")] };
    assert.equal((await callOnce(address, options)).system, "portal");
  });

  test("takes the two of a system that shows both", async () => {
    const { address } = await running();
    const options = { channel: channel(vault), metadata: [token("vault")] };
    assert.equal((await callOnce(address, options)).system, "vault");
  });

  test("takes a token on the certificate that it is bound to", async () => {
    const { address } = await running();
    const cnf = { "x5t#S256": certificateDigest(vault) };
    const options = { channel: channel(vault), metadata: [token("vault", { cnf })] };
    assert.equal((await callOnce(address, options)).system, "vault");
  });

  const differing: Readonly<
    Record<string, () => readonly [Identity | undefined, readonly [string, string]]>
  > = {
    "one system's certificate and another's token": () => [desk, token("portal")],
    "the token alone of a system that shows both": () => [undefined, token("vault")],
    "the token of a system that shows both, on another's certificate": () => [desk, token("vault")],
    "the token of a system that shows both, on nobody's certificate": () => [
      anyone,
      token("vault"),
    ],
    "a token that is bound to another certificate": () => [
      undefined,
      token("portal", { cnf: { "x5t#S256": certificateDigest(vault) } }),
    ],
  };
  for (const [what, make] of Object.entries(differing)) {
    test(`refuses ${what}: CREDENTIALS_DIFFER`, async () => {
      const listener = await running();
      const [identity, entry] = make();
      const ended = callOnce(listener.address, { channel: channel(identity), metadata: [entry] });
      await assertRefused(listener, "CREDENTIALS_DIFFER", ended);
    });
  }

  test("refuses a broken token also on a good certificate", async () => {
    const listener = await running();
    const metadata = [bearer(`${createToken(key)}A`)];
    const ended = callOnce(listener.address, { channel: channel(desk), metadata });
    await assertRefused(listener, "TOKEN_SIGNATURE_INVALID", ended);
  });

  test("speaks TLS 1.2 with a program that has nothing newer", async () => {
    const { address } = await running();
    assert.equal(await protocolWith(address, "TLSv1.2"), "TLSv1.2");
  });

  test("speaks TLS 1.3 with one that has", async () => {
    const { address } = await running();
    assert.equal(await protocolWith(address, "TLSv1.3"), "TLSv1.3");
  });

  test("does not speak TLS 1.1", async () => {
    const { address } = await running();
    await assert.rejects(protocolWith(address, "TLSv1.1"));
  });

  test("answers nothing to a client without TLS", async () => {
    const { address, served } = await running();
    const before = served.length;
    assert.equal((await callOnce(address)).code, status.UNAVAILABLE);
    assert.equal(served.length, before);
  });

  test("looks at the certificate's dates at each call of a long connection", async () => {
    const { address, clock } = await running();
    const session = connectHttp2(`https://${address}`, {
      ca: listenerIdentity.certificate,
      cert: desk.certificate,
      key: desk.privateKey,
      checkServerIdentity: () => undefined,
    });
    try {
      assert.equal(await grpcStatus(session), "0");
      clock.move(2 * hourMs);
      assert.equal(await grpcStatus(session), String(UNAUTHENTICATED));
    } finally {
      clock.move(-2 * hourMs);
      session.close();
    }
  });
});

function grpcStatus(session: ReturnType<typeof connectHttp2>): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/example.v1.Service/Method",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const take = (fields: Readonly<Record<string, unknown>>): void => {
      const code = fields["grpc-status"];
      if (typeof code === "string") resolve(code);
    };
    stream.on("response", take);
    stream.on("trailers", take);
    stream.on("error", reject);
    stream.resume();
    stream.end();
  });
}

function protocolWith(address: string, version: SecureVersion): Promise<string | null> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(port),
      ca: listenerIdentity.certificate,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["h2"],
      minVersion: version,
      maxVersion: version,
      // OpenSSL has put the old versions below its usual level.
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      resolve(socket.getProtocol());
      socket.destroy();
    });
  });
}

describe("a listener with an authority of client certificates", () => {
  const authority = createIdentity("agency ca", { isAuthority: true });
  const under = { name: "agency ca", privateKey: authority.privateKey };
  const named = (...dnsNames: string[]): Identity =>
    createIdentity("client", { authority: under, dnsNames });
  const pinned = createIdentity("pinned", { authority: under, dnsNames: ["archive.example"] });
  const running = using(() =>
    startListener({
      agency: {
        tls: {
          ...files.tls(listenerIdentity),
          client_ca_file: files.write("clients.pem", authority.certificate),
          min_version: "TLSv1.3",
        },
      },
      systems: [
        system("desk", { tls: { names: ["DNS:desk.example"] } }),
        system("archive", { tls: { names: ["DNS:archive.example"] } }),
        system("pinned", { tls: { spki_sha256: [spkiOf(pinned)] } }),
      ],
    }),
  );

  test("takes a certificate under it by its name", async () => {
    const { address } = await running();
    const { system: taken } = await callOnce(address, { channel: channel(named("desk.example")) });
    assert.equal(taken, "desk");
  });

  const refused: Readonly<Record<string, readonly [reason: string, identity: Identity]>> = {
    "of the right name under no authority": [
      "CERTIFICATE_INVALID",
      createIdentity("client", { dnsNames: ["desk.example"] }),
    ],
    "of the right name under an authority of the same name": [
      "CERTIFICATE_INVALID",
      createIdentity("client", {
        authority: {
          name: "agency ca",
          privateKey: createIdentity("agency ca", { isAuthority: true }).privateKey,
        },
        dnsNames: ["desk.example"],
      }),
    ],
    "of a name that no system has": ["CALLER_UNKNOWN", named("other.example")],
    "of a name in other letters": ["CALLER_UNKNOWN", named("DESK.example")],
    "of a wider name": ["CALLER_UNKNOWN", named("*.example")],
    "of no name": ["CALLER_UNKNOWN", named()],
    "of one name that reads as two": ["CALLER_UNKNOWN", named("x, DNS:desk.example")],
    "of two systems' names": ["CALLER_UNKNOWN", named("desk.example", "archive.example")],
    "of one system's key and another's name": ["CALLER_UNKNOWN", pinned],
  };
  for (const [what, [reason, identity]] of Object.entries(refused)) {
    test(`refuses a certificate ${what}: ${reason}`, async () => {
      const listener = await running();
      const ended = callOnce(listener.address, { channel: channel(identity) });
      await assertRefused(listener, reason, ended);
    });
  }

  test("does not speak TLS 1.2 when told so", async () => {
    const { address } = await running();
    await assert.rejects(protocolWith(address, "TLSv1.2"));
  });
});

describe("a reload of the listener", () => {
  const [first, second, desk, archive] = ["a", "b", "desk", "archive"].map((name) =>
    createIdentity(name),
  ) as [Identity, Identity, Identity, Identity];
  const running = using(() =>
    startListener({
      agency: { tls: { ...files.tls(first), min_version: "TLSv1.3" } },
      systems: [system("desk", { tls: { spki_sha256: [spkiOf(desk)] } })],
    }),
  );

  test("lets new systems in, old ones no more, and shows the new certificate", async () => {
    const { address, listener, config } = await running();
    const call = (identity: Identity, server: Identity): Promise<Ended> =>
      callOnce(address, { channel: channel(identity, server) });
    assert.equal((await call(desk, first)).system, "desk");
    const commit = await listener.prepare({
      ...(config as Parameters<typeof listener.prepare>[0]),
      agency: { ...config.agency, tls: { ...files.tls(second), min_version: "TLSv1.3" } },
      agency_systems: [system("archive", { tls: { spki_sha256: [spkiOf(archive)] } })],
    });
    assert.equal((await call(desk, first)).system, "desk", "nothing holds before it is committed");
    commit();
    assert.equal((await call(desk, second)).reason, "CALLER_UNKNOWN");
    assert.equal((await call(archive, second)).system, "archive");
    assert.equal((await call(archive, first)).code, status.UNAVAILABLE);
  });

  test("takes no more calls on connections that began under an authority that is gone", async () => {
    const [old, next] = ["old ca", "new ca"].map((name) =>
      createIdentity(name, { isAuthority: true }),
    ) as [Identity, Identity];
    const tlsUnder = (authority: Identity): AgencyTlsConfig => ({
      ...files.tls(first),
      client_ca_file: files.write("authority.pem", authority.certificate),
      min_version: "TLSv1.3",
    });
    const under = await startListener({
      agency: { tls: tlsUnder(old) },
      systems: [system("desk", { tls: { names: ["DNS:desk.example"] } })],
    });
    const { privateKey } = old;
    const identity = createIdentity("client", {
      authority: { name: "old ca", privateKey },
      dnsNames: ["desk.example"],
    });
    const client = new Client(under.address, channel(identity, first), {
      "grpc.use_local_subchannel_pool": 1,
    });
    const reload = async (authority: Identity): Promise<void> => {
      const agency = { ...under.config.agency, tls: tlsUnder(authority) };
      const commit = await under.listener.prepare({ ...under.config, agency } as never);
      commit();
    };
    try {
      assert.equal((await call(client)).system, "desk");
      await reload(old);
      assert.equal((await call(client)).system, "desk");
      await reload(next);
      await eventually("the connection is another one", async () => {
        return (await call(client)).reason === "CERTIFICATE_INVALID";
      });
    } finally {
      client.close();
      await under.close();
    }
  });

  test("is refused for a key that is not the certificate's, and changes nothing", async () => {
    const { listener, config } = await running();
    const tls = { ...files.tls(first), key_file: files.write("odd.key", second.privateKey) };
    const next = {
      ...config,
      agency: { ...config.agency, tls: { ...tls, min_version: "TLSv1.3" } },
    };
    await assert.rejects(async () => listener.prepare(next as never), { code: "CONFIG_INVALID" });
  });

  test("is refused for a key that others can read", async () => {
    const { listener, config } = await running();
    const tls = { ...files.tls(first), key_file: files.write("open.key", first.privateKey, 0o640) };
    const next = {
      ...config,
      agency: { ...config.agency, tls: { ...tls, min_version: "TLSv1.3" } },
    };
    await assert.rejects(async () => listener.prepare(next as never), { code: "FILE_UNREADABLE" });
  });
});
