import assert from "node:assert/strict";
import { request } from "node:https";
import test from "node:test";
import { systemScheduler } from "../../gateway/runtime.ts";
import { acceptExactly, certificatePem } from "../../gateway/tls.ts";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import { createLedgerNode } from "../../src/ledger/embedded/ledger-node.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { cosigningNow, trustOf } from "../../src/ledger/embedded/trust.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { formatNote, parseNote, parseSignatureLines } from "../../src/note/note.ts";
import { signCheckpoint } from "../../src/note/sign.ts";
import { verifyNote } from "../../src/note/verify.ts";
import { type Member, TwoCities } from "./support.ts";

interface Answer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
}

/** A plain HTTPS request, independent of the client under test. */
function post(
  member: Member,
  body: Uint8Array,
  path = "/add-checkpoint",
  method = "POST",
): Promise<Answer> {
  const [host, port] = member.sockets.witnessAddress.split(":");
  const { certificateDer } = member.sockets.witnessTls;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host,
        port,
        path,
        method,
        ca: certificatePem(certificateDer),
        checkServerIdentity: acceptExactly([certificateDer]),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            contentType: response.headers["content-type"],
            body: Buffer.concat(chunks).toString(),
          }),
        );
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Hangzhou's witness, whose replica has 4 leaves, and which has cosigned nothing yet. */
async function witnessed(t: test.TestContext): Promise<{
  readonly cities: TwoCities;
  readonly head: (size: bigint, change?: { root?: Uint8Array; signer?: Signer }) => Uint8Array;
  readonly ask: (
    oldSize: bigint,
    checkpoint: Uint8Array,
    proof?: readonly Uint8Array[],
  ) => Promise<Answer>;
  readonly proof: (from: bigint, to: bigint) => readonly Uint8Array[];
}> {
  const cities = await TwoCities.found(t);
  const { hangzhou, ledger, network } = cities;
  const node = await createLedgerNode({
    folder: hangzhou.folder,
    founding: network.payload,
    verifier: network.verifier,
    clock: hangzhou.clock,
    scheduler: systemScheduler,
    onFatal: (error) => assert.fail(String(error)),
    witness: { city: "hangzhou", signer: cities.witnessKey(0) },
    gateway: network.provider.gateway.id,
    logSigner: () => network.log,
    connect: () => assert.fail("nobody is followed"),
    witnessOf: () => assert.fail("nobody is asked"),
  });
  t.after(() => node.close());
  hangzhou.sockets.witness = node.witness;
  for (let i = 0; i < 3; i++) {
    const { batch } = await ledger.appendEvidence(network.provider.gateway);
    await node.replica.include([batch], "stop");
  }
  node.replica.compareAll();
  const keys = readLedgerNetwork(network.payload);
  return {
    cities,
    head: (size, change = {}) => {
      const root = change.root ?? (ledger.rootAt(size) as Uint8Array);
      return signHead(originOf(keys.id, 0n), { size, root }, change.signer ?? network.log);
    },
    ask: (oldSize, checkpoint, proof = []) =>
      post(hangzhou, formatAddCheckpoint({ oldSize, proof, checkpoint })),
    proof: (from, to) => node.replica.consistencyProof(from, to),
  };
}

test("a first checkpoint is answered 200 with signature lines only, which verify", async (t) => {
  const { cities, head, ask } = await witnessed(t);
  const answer = await ask(0n, head(2n));
  assert.equal(answer.status, 200);
  const signatures = parseSignatureLines(utf8(answer.body));
  const { text } = parseNote(head(2n));
  const keys = readLedgerNetwork(cities.network.payload);
  const [witness] = cosigningNow(trustOf(keys, keys.founding)).witnesses;
  assert.ok(witness !== undefined);
  const { verifier } = cities.network;
  const [verified, ...more] = verifyNote({
    note: { text, signatures },
    keys: [witness.key],
    verify: (key, message, signature) => verifier.verify(key, message, signature),
  });
  assert.deepEqual(more, []);
  assert.ok(Math.abs(Number(verified?.timestamp) - Date.now() / 1000) < 5);
});

test("a checkpoint that extends the last one by its proof is 200, and the same size again too", async (t) => {
  const { head, ask, proof } = await witnessed(t);
  await ask(0n, head(1n));
  assert.equal((await ask(1n, head(4n), proof(1n, 4n))).status, 200);
  assert.equal((await ask(4n, head(4n))).status, 200);
});

test("an unknown origin is 404", async (t) => {
  const { cities, ask } = await witnessed(t);
  const { log } = cities.network;
  const note = signCheckpoint(
    { origin: "example.com/log", size: 1n, root: emptyRoot, extensions: [] },
    log,
  );
  assert.equal((await ask(0n, formatNote(note))).status, 404);
});

test("a checkpoint that only a stranger signed is 403", async (t) => {
  const { cities, head, ask } = await witnessed(t);
  const signer = cities.network.signer("a stranger");
  assert.equal((await ask(0n, head(2n, { signer }))).status, 403);
});

test("a signature of the log's key id that fails is 403", async (t) => {
  const { head, ask } = await witnessed(t);
  const note = parseNote(head(2n));
  const signatures = note.signatures.map((line) => ({ ...line, signature: new Uint8Array(64) }));
  assert.equal((await ask(0n, formatNote({ text: note.text, signatures }))).status, 403);
});

test("an old size above the checkpoint's is 400", async (t) => {
  const { head, ask } = await witnessed(t);
  assert.equal((await ask(3n, head(2n))).status, 400);
});

const malformed: Readonly<Record<string, (head: Uint8Array) => Uint8Array>> = {
  "an empty body": () => new Uint8Array(),
  "no old line": (head) => concatBytes(utf8("\n"), head),
  "an old size with a leading zero": (head) => concatBytes(utf8("old 00\n\n"), head),
  "a negative old size": (head) => concatBytes(utf8("old -1\n\n"), head),
  "a proof line that is no base64": (head) => concatBytes(utf8("old 0\n!\n\n"), head),
  "a proof line of 31 bytes": (head) =>
    concatBytes(utf8(`old 0\n${Buffer.alloc(31).toString("base64")}\n\n`), head),
  "64 proof lines": (head) =>
    concatBytes(utf8(`old 0\n${`${Buffer.alloc(32).toString("base64")}\n`.repeat(64)}\n`), head),
  "no empty line": (head) => concatBytes(utf8("old 0\n"), head.slice(0, 40)),
  "no signature": (head) => concatBytes(utf8("old 0\n\n"), utf8(parseNote(head).text)),
  "bytes that are no UTF-8": () => Uint8Array.of(0xff, 0xfe),
};
for (const [what, make] of Object.entries(malformed)) {
  test(`${what} is 400`, async (t) => {
    const { cities, head } = await witnessed(t);
    assert.equal((await post(cities.hangzhou, make(head(2n)))).status, 400);
  });
}

test("another old size than the latest is 409 with that size as text/x.tlog.size", async (t) => {
  const { head, ask } = await witnessed(t);
  assert.deepEqual(await ask(1n, head(2n)), {
    status: 409,
    contentType: "text/x.tlog.size",
    body: "0\n",
  });
  await ask(0n, head(2n));
  assert.deepEqual(await ask(0n, head(3n)), {
    status: 409,
    contentType: "text/x.tlog.size",
    body: "2\n",
  });
});

test("409 is decided before 422", async (t) => {
  const { head, ask } = await witnessed(t);
  assert.equal((await ask(1n, head(2n), [new Uint8Array(32)])).status, 409);
});

test("old size 0 with a proof is 422", async (t) => {
  const { head, ask } = await witnessed(t);
  assert.equal((await ask(0n, head(2n), [new Uint8Array(32)])).status, 422);
});

test("a proof that does not lead there is 422, as one that is too short or too long", async (t) => {
  const { head, ask, proof } = await witnessed(t);
  await ask(0n, head(2n));
  const right = proof(2n, 4n);
  assert.ok(right.length > 0);
  const wrong = right.map((hash) => hash.map((byte) => byte ^ 1));
  assert.equal((await ask(2n, head(4n), wrong)).status, 422);
  assert.equal((await ask(2n, head(4n), right.slice(1))).status, 422);
  assert.equal((await ask(2n, head(4n), [...right, new Uint8Array(32)])).status, 422);
  assert.equal((await ask(2n, head(4n), right)).status, 200, "the right one still passes");
});

test("the same size with another root is 422, and both heads are kept", async (t) => {
  const { cities, head, ask } = await witnessed(t);
  await ask(0n, head(2n));
  const other = head(2n, { root: new Uint8Array(32).fill(1) });
  assert.equal((await ask(2n, other)).status, 422);
  assert.equal((await ask(2n, head(2n))).status, 503, "the replica trusts this log no more");
  assert.ok(cities.hangzhou.sockets.witness !== undefined);
});

test("size 0 with a root of a tree that is not empty is 422", async (t) => {
  const { cities, ask } = await witnessed(t);
  const { log } = cities.network;
  const origin = originOf(cities.network.id, 0n);
  const zero = Buffer.alloc(32, 1).toString("base64");
  const text = `${origin}\n0\n${zero}\n`;
  const { signatures } = signCheckpoint({ origin, size: 0n, root: emptyRoot, extensions: [] }, log);
  const signed = signatures.map((line) => ({ ...line, signature: log.sign(utf8(text)) }));
  assert.equal((await ask(0n, formatNote({ text, signatures: signed }))).status, 422);
});

test("a tree that the replica does not have is 422 although its proof is right", async (t) => {
  const { head, ask } = await witnessed(t);
  assert.equal((await ask(0n, head(3n, { root: new Uint8Array(32).fill(9) }))).status, 422);
});

test("a promise outlives a restart", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  await cities.hangzhou.stop();
  await cities.startSequencer();
  const [head] = [cities.hangzhou.running.replica.reader.head()];
  assert.ok(head !== undefined);
  const body = formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint: head.note });
  assert.deepEqual(await post(cities.hangzhou, body), {
    status: 409,
    contentType: "text/x.tlog.size",
    body: "1\n",
  });
});

test("other methods are 405, other paths 404, and a body above the limit 413", async (t) => {
  const { cities } = await witnessed(t);
  const { hangzhou } = cities;
  assert.equal((await post(hangzhou, new Uint8Array(), "/add-checkpoint", "PUT")).status, 405);
  assert.equal((await post(hangzhou, new Uint8Array(), "/")).status, 404);
  assert.equal((await post(hangzhou, new Uint8Array(65 * 1024))).status, 413);
});
