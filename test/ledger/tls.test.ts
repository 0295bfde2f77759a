import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import test from "node:test";
import { createLedgerClient } from "../../gateway/ledger/ledger-client.ts";
import { createWitnessClient } from "../../gateway/ledger/witness-client.ts";
import { certificatePem, parseHostPort, pinCertificate, spkiDigest } from "../../gateway/tls.ts";
import { Sockets, tlsKey } from "./support.ts";

test("the certificate whose key has the digest is pinned", async (t) => {
  const { places, witnessAddress } = await Sockets.open(t, "hangzhou");
  const { certificateDer } = places.witnessTls;
  const pinned = await pinCertificate(witnessAddress, spkiDigest(certificateDer));
  assert.deepEqual(pinned, new Uint8Array(certificateDer));
});

test("a server with another key is SIGNATURE_INVALID", async (t) => {
  const { witnessAddress } = await Sockets.open(t, "hangzhou");
  const digest = spkiDigest(tlsKey("another").certificateDer);
  await assert.rejects(pinCertificate(witnessAddress, digest), { code: "SIGNATURE_INVALID" });
});

test("where nobody listens it is LEDGER_UNAVAILABLE", async (t) => {
  const sockets = await Sockets.open(t, "hangzhou");
  const { witnessAddress } = sockets;
  sockets.close();
  await assert.rejects(pinCertificate(witnessAddress, "00".repeat(32)), {
    code: "LEDGER_UNAVAILABLE",
  });
});

test("a ledger client hands nothing to a server with another key", async (t) => {
  const { peerAddress } = await Sockets.open(t, "hangzhou");
  const tls = spkiDigest(tlsKey("another").certificateDer);
  const client = createLedgerClient({ address: peerAddress, tls });
  t.after(() => client.close());
  const batch = { leaf: new Uint8Array(100), records: [] };
  await assert.rejects(client.submit(batch), { code: "SIGNATURE_INVALID" });
});

test("a witness client hands nothing to a server with another key", async (t) => {
  const sockets = await Sockets.open(t, "hangzhou");
  const tls = spkiDigest(tlsKey("another").certificateDer);
  const client = createWitnessClient({ address: sockets.witnessAddress, tls });
  await assert.rejects(client.addCheckpoint(new Uint8Array(3)), { code: "SIGNATURE_INVALID" });
  assert.equal(sockets.witnessed, 0);
});

test("a certificate is the same in PEM", () => {
  const { certificateDer } = tlsKey("hangzhou");
  const { raw } = new X509Certificate(certificatePem(certificateDer));
  assert.deepEqual(new Uint8Array(raw), new Uint8Array(certificateDer));
});

for (const address of ["", "host", "host:", ":1", "host:0", "host:65536", "a:b:1", "[::1]"]) {
  test(`${JSON.stringify(address)} is no address`, () => {
    assert.throws(() => parseHostPort(address), { code: "CONFIG_INVALID" });
  });
}

test("host names and addresses of both families are parsed", () => {
  assert.deepEqual(parseHostPort("gw1.example:7443"), { host: "gw1.example", port: 7443 });
  assert.deepEqual(parseHostPort("[::1]:443"), { host: "::1", port: 443 });
});
