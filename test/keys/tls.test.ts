import assert from "node:assert/strict";
import { X509Certificate, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { parseHex, toHex } from "../../src/base/bytes.ts";
import {
  derBits,
  derBytes,
  derObjectId,
  derPositiveInteger,
  derSequence,
  derTime,
  derUtf8,
} from "../../gateway/keys/der.ts";
import {
  commonName,
  createSelfSignedCertificate,
  isKeyOfCertificate,
} from "../../gateway/keys/tls.ts";
import { acceptExactly, certificatePem, spkiDigest } from "../../gateway/tls.ts";

const notBeforeMs = Date.UTC(2026, 0, 31, 23, 59, 58);
const notAfterMs = Date.UTC(2049, 11, 31, 23, 59, 59);
const name = "hangzhou/civil-affairs/gw1";
const dayMs = 24 * 3600 * 1000;

describe("a self-signed certificate", () => {
  const tls = createSelfSignedCertificate({ name, notBeforeMs, notAfterMs });
  const parsed = new X509Certificate(tls.certificateDer);

  test("is what Node reads of it", () => {
    assert.equal(parsed.subject, `CN=${name}`);
    assert.equal(parsed.issuer, `CN=${name}`);
    assert.equal(Date.parse(parsed.validFrom), notBeforeMs);
    assert.equal(Date.parse(parsed.validTo), notAfterMs);
    assert.equal(parsed.ca, false);
    assert.equal(parsed.subjectAltName, undefined);
    assert.deepEqual(parsed.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    assert.equal(parsed.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
    assert.deepEqual(new Uint8Array(parsed.raw), tls.certificateDer);
  });

  test("is signed by its own key", () => {
    assert.ok(parsed.verify(parsed.publicKey));
    assert.ok(isKeyOfCertificate(tls.privateKeyPem, tls.certificateDer));
    const other = createSelfSignedCertificate({ name, notBeforeMs, notAfterMs });
    assert.equal(parsed.verify(new X509Certificate(other.certificateDer).publicKey), false);
    assert.equal(isKeyOfCertificate(other.privateKeyPem, tls.certificateDer), false);
    assert.notEqual(spkiDigest(other.certificateDer), spkiDigest(tls.certificateDer));
    assert.notEqual(new X509Certificate(other.certificateDer).serialNumber, parsed.serialNumber);
  });

  test("may end after 2049", () => {
    const late = Date.UTC(2050, 0, 1);
    const { certificateDer } = createSelfSignedCertificate({ name, notBeforeMs, notAfterMs: late });
    assert.equal(Date.parse(new X509Certificate(certificateDer).validTo), late);
  });

  test("may carry the longest id of a gateway", () => {
    const longest = Array(3).fill("a".repeat(32)).join("/");
    const terms = { name: longest, notBeforeMs, notAfterMs };
    assert.equal(commonName(createSelfSignedCertificate(terms).certificateDer), longest);
  });

  test("has a name and a life", () => {
    const wrong = [
      { name: "", notBeforeMs, notAfterMs },
      { name, notBeforeMs: notAfterMs, notAfterMs },
      { name, notBeforeMs: Number.NaN, notAfterMs },
    ];
    for (const terms of wrong) {
      assert.throws(() => createSelfSignedCertificate(terms), RangeError);
    }
  });
});

describe("the common name", () => {
  test("of bytes that are no certificate is none", () => {
    assert.equal(commonName(new Uint8Array(0)), undefined);
    assert.equal(commonName(Uint8Array.of(0x30, 0)), undefined);
  });

  // Made with `openssl req -x509 -newkey ed25519 -days 36500 -nodes`; only their names matter.
  const others: readonly (readonly [string, string])[] = [
    [
      "two parts",
      "3082016d3082011fa0030201020214173dfbf2f99b7103478049d91025750cbc70973c300506032b6570302b31163014060355040a0c0d436976696c20416666616972733111300f06035504030c0868616e677a686f753020170d3236313132313039343533395a180f32313236313032383039343533395a302b31163014060355040a0c0d436976696c20416666616972733111300f06035504030c0868616e677a686f75302a300506032b6570032100733e196247781310d1207e922b2fad68d808c7be6e1bb8a293b11e2d56585a3fa3533051301d0603551d0e041604143a5f575720d64a8bb55f7e262df497c781779b11301f0603551d230418301680143a5f575720d64a8bb55f7e262df497c781779b11300f0603551d130101ff040530030101ff300506032b657003410023936d8b833ef94f5ce9112eb0411eee18d29fbd6d35740bcb39acd3dbb4e682faa6d173eec4d0c5f0894b451fbd1a8de4bf3284fab638c7bd2f2515db870503",
    ],
    [
      "two common names",
      "3082016330820115a0030201020214642a25c0becc32babd6117dd80052871c64ad78a300506032b657030263111300f06035504030c0868616e677a686f753111300f06035504030c087368656e7a68656e3020170d3236313132313039343533395a180f32313236313032383039343533395a30263111300f06035504030c0868616e677a686f753111300f06035504030c087368656e7a68656e302a300506032b6570032100fcfc452f007f110c93cb86743f591fc52ad3e2d2da929221a1edf25628425807a3533051301d0603551d0e04160414edfa9cde7c259c44c3dd9e9da6a421fa28a03dd0301f0603551d23041830168014edfa9cde7c259c44c3dd9e9da6a421fa28a03dd0300f0603551d130101ff040530030101ff300506032b657003410017aa671669772831bc5e090f73f99ce6595ca28b2a9104e9c7f69413d202b52781d6a77341e06b3b4cd64f05e27fc7bc2f44e60b9937617ad85ba0f0e672fd00",
    ],
    [
      "an alternative name",
      "3082015a3082010ca00302010202142f97dd2bf284719e67024f12c4c7ac78e0f0a8c4300506032b657030133111300f06035504030c0868616e677a686f753020170d3236313132313039343533395a180f32313236313032383039343533395a30133111300f06035504030c0868616e677a686f75302a300506032b65700321009dbb29d7980364d4f7a32fa173be0759a09bfa5e764d7fc212abbbea4c68297ea370306e301d0603551d0e041604140f3238254edca065d1cc1963a007785b2528bdf0301f0603551d230418301680140f3238254edca065d1cc1963a007785b2528bdf0300f0603551d130101ff040530030101ff301b0603551d110414301282107368656e7a68656e2e6578616d706c65300506032b6570034100816ff7428555c66788ac0ebeb089069dae3111f52bccffc2bfb46aa48a731add0b5e841c7d1d852c7f775e5b62c69b7f425b192bb6c59469d0bb852824286e00",
    ],
    [
      "no common name",
      "3082013c3081efa003020102021418dea504dfce94c9ce673cb9b340e380044bffc4300506032b657030133111300f060355040a0c0868616e677a686f753020170d3236313132313039343533395a180f32313236313032383039343533395a30133111300f060355040a0c0868616e677a686f75302a300506032b657003210091fe15da239a6b4862e1263878781ecfa7ec3c923144208eebbb74d5cd69d4b8a3533051301d0603551d0e0416041495e5bf84a436132d5ac571fd80a494323cb525bd301f0603551d2304183016801495e5bf84a436132d5ac571fd80a494323cb525bd300f0603551d130101ff040530030101ff300506032b6570034100cea8cf1b8b30c2c7d4eb704c7e77a38f8b7f3cb197441baf2b88147d1d13878bc89ca2f45d2e52ddd81f7482df8ceff27137c4f0878a024ee43d2e39f12a040f",
    ],
  ];
  for (const [what, hex] of others) {
    test(`of a certificate with ${what} is none`, () => {
      const der = parseHex(hex) as Uint8Array;
      assert.ok(new X509Certificate(der).subject.length > 0);
      assert.equal(commonName(der), undefined);
    });
  }
});

test("two gateways that know each other's certificate speak TLS 1.3 both ways", async () => {
  const terms = { notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + dayMs };
  const ids = [name, "shenzhen/market-regulation/gw1"] as const;
  const [provider, consumer] = ids.map((id) => createSelfSignedCertificate({ name: id, ...terms }));
  const stranger = createSelfSignedCertificate({ name: ids[1], ...terms });
  assert.ok(provider !== undefined && consumer !== undefined);
  const server = createServer({
    cert: certificatePem(provider.certificateDer),
    key: provider.privateKeyPem,
    ca: [certificatePem(consumer.certificateDer)],
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const dial = (own: typeof provider, peer: typeof provider): TLSSocket =>
    connect({
      port,
      host: "127.0.0.1",
      cert: certificatePem(own.certificateDer),
      key: own.privateKeyPem,
      ca: [certificatePem(peer.certificateDer)],
      checkServerIdentity: acceptExactly([peer.certificateDer]),
      minVersion: "TLSv1.3",
    });
  try {
    const accepted = once(server, "secureConnection") as Promise<[TLSSocket]>;
    const client = dial(consumer, provider);
    const [socket] = await accepted;
    assert.equal(socket.authorized, true);
    assert.equal(socket.getPeerCertificate().subject.CN, ids[1]);
    client.destroy();
    socket.destroy();

    const wrongServer = dial(consumer, stranger);
    const [refused] = (await once(wrongServer, "error")) as [NodeJS.ErrnoException];
    assert.match(String(refused.code), /SELF_SIGNED|SIGNATURE|ISSUER/);
    // The server ends the connection of a client that it does not know; no secure one follows.
    let secure = 0;
    server.on("secureConnection", () => (secure += 1));
    const wrongClient = dial(stranger, provider).on("error", () => undefined);
    wrongClient.resume();
    await once(wrongClient, "close");
    assert.equal(secure, 0);
  } finally {
    server.close();
  }
});

describe("DER is written minimally", () => {
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["an empty sequence", derSequence(), "3000"],
    ["a length of 127", derBytes(new Uint8Array(127)).subarray(0, 2), "047f"],
    ["a length of 128", derBytes(new Uint8Array(128)).subarray(0, 3), "048180"],
    ["a length of 256", derBytes(new Uint8Array(256)).subarray(0, 4), "04820100"],
    ["an integer", derPositiveInteger(Uint8Array.of(2)), "020102"],
    ["an object id", derObjectId("1.2.840.10045.4.3.2"), "06082a8648ce3d040302"],
    ["a short object id", derObjectId("2.5.4.3"), "0603550403"],
    ["a bit string of one bit", derBits(Uint8Array.of(0x80), 7), "03020780"],
    ["text", derUtf8("é"), "0c02c3a9"],
    ["a time before 2050", derTime(Date.UTC(2049, 11, 31)), "170d3439313233313030303030305a"],
    ["a time from 2050", derTime(Date.UTC(2050, 0, 1)), "180f32303530303130313030303030305a"],
  ];
  for (const [what, bytes, hex] of cases) {
    test(what, () => {
      assert.equal(toHex(bytes), hex);
    });
  }

  test("an integer that is not minimal or negative is a misuse", () => {
    for (const bytes of [[], [0], [0, 1], [0x80]]) {
      assert.throws(() => derPositiveInteger(Uint8Array.from(bytes)), RangeError);
    }
  });

  test("a year that DER times do not hold is a misuse", () => {
    assert.throws(() => derTime(Date.UTC(1949, 11, 31)), RangeError);
  });
});

test("an Ed25519 key is not the key of a P-256 certificate", () => {
  const { certificateDer } = createSelfSignedCertificate({ name, notBeforeMs, notAfterMs });
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  assert.equal(isKeyOfCertificate(pem, certificateDer), false);
});
