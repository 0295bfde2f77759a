import assert from "node:assert/strict";
import { request } from "node:https";
import test from "node:test";
import { acceptExactly, certificatePem } from "../../gateway/tls.ts";
import { create, toBinary } from "@bufbuild/protobuf";
import { concatBytes, toHex, utf8 } from "../../src/base/bytes.ts";
import type { Clock, Scheduler } from "../../src/base/clock.ts";
import { heldBatchesBurst } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import { SubmitRequestSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { createLedgerNode, type LedgerNode } from "../../src/ledger/embedded/ledger-node.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { cosigningNow, trustOf } from "../../src/ledger/embedded/trust.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { formatNote, parseNote, parseSignatureLines } from "../../src/note/note.ts";
import { signCheckpoint } from "../../src/note/sign.ts";
import { verifyNote } from "../../src/note/verify.ts";
import { statusRecord } from "../support/ledger.ts";
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

/** Time that passes when the test says so. */
class ManualTime implements Clock, Scheduler {
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  #passedMs = 0;

  readonly nowMs = (): number => Date.now() + this.#passedMs;
  readonly monotonicMs = (): number => this.#passedMs;

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#passedMs + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  pass(ms: number): void {
    this.#passedMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.#passedMs || !this.#timers.delete(timer)) continue;
      timer.run();
    }
  }
}

/** Hangzhou's witness, whose replica has 4 leaves, and which has cosigned nothing yet. */
async function witnessed(t: test.TestContext): Promise<{
  readonly cities: TwoCities;
  readonly node: LedgerNode;
  readonly time: ManualTime;
  /** What the other city's witness was handed. */
  readonly forwarded: readonly SealedBatch[];
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
  const time = new ManualTime();
  const forwarded: SealedBatch[] = [];
  const node = await createLedgerNode({
    folder: hangzhou.folder,
    founding: network.payload,
    verifier: network.verifier,
    clock: time,
    scheduler: time,
    onFatal: (error) => assert.fail(String(error)),
    witness: { city: "hangzhou", signer: cities.witnessKey(0) },
    gateway: network.provider.gateway.id,
    logSigner: () => network.log,
    connect: () => assert.fail("nobody is followed"),
    witnessOf: () => ({
      addCheckpoint: () => assert.fail("nobody is asked"),
      latest: () => assert.fail("nobody is asked"),
      takeEvidence: () => assert.fail("nobody is asked"),
      holdBatch: async (batch) => {
        forwarded.push(batch);
        return { status: 202, contentType: "text/plain", body: "held\n" };
      },
    }),
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
    node,
    time,
    forwarded,
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

const shown = (cities: TwoCities, origin: string): Promise<Answer> =>
  post(cities.hangzhou, new Uint8Array(), `/${toHex(sha256(utf8(origin)))}/checkpoint`, "GET");

test("the newest cosigned note of an origin is served with the own cosignature, the one that was given", async (t) => {
  const { cities, head, ask, proof } = await witnessed(t);
  const keys = readLedgerNetwork(cities.network.payload);
  const origin = originOf(keys.id, 0n);
  assert.equal((await shown(cities, origin)).status, 404, "nothing was cosigned yet");
  await ask(0n, head(2n));
  const { body: line } = await ask(2n, head(4n), proof(2n, 4n));
  const answer = await shown(cities, origin);
  assert.equal(answer.status, 200);
  assert.equal(answer.body, new TextDecoder().decode(head(4n)) + line);
  assert.equal((await shown(cities, "example.com/log")).status, 404);
});

test("after a restart the promise is shown with a cosignature that verifies", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  await cities.hangzhou.stop();
  await cities.startSequencer();
  const keys = readLedgerNetwork(cities.network.payload);
  const { body, status } = await shown(cities, originOf(keys.id, 0n));
  assert.equal(status, 200);
  const { verifier } = cities.network;
  const [witness] = cosigningNow(trustOf(keys, keys.founding)).witnesses;
  assert.ok(witness !== undefined);
  const verified = verifyNote({
    note: parseNote(utf8(body)),
    keys: [witness.key],
    verify: (key, message, signature) => verifier.verify(key, message, signature),
  });
  assert.equal(verified.length, 1);
});

const encoded = ({ leaf, records }: SealedBatch): Uint8Array =>
  toBinary(
    SubmitRequestSchema,
    create(SubmitRequestSchema, { batches: [{ leaf, records: [...records] }] }),
  );

test("a batch that is withheld past the bound: 503 until the checkpoint has it", async (t) => {
  const { cities, node, time, forwarded, head, ask, proof } = await witnessed(t);
  const { ledger, network } = cities;
  const batch = ledger.seal(network.provider.gateway, [statusRecord(1)], { kind: "evidence" });
  const hand = (): Promise<Answer> => post(cities.hangzhou, encoded(batch), "/batches");
  assert.equal((await hand()).status, 202);
  assert.equal((await hand()).status, 202, "again changes nothing");
  time.pass(30_000);
  assert.deepEqual(
    forwarded.map(({ leaf }) => toHex(leaf)),
    [toHex(batch.leaf)],
  );
  assert.equal((await ask(0n, head(4n))).status, 200);
  time.pass(30_001);
  const { status, body } = await ask(4n, head(4n));
  assert.deepEqual(
    { status, body },
    { status: 503, body: "a batch is withheld\n" },
    "a heartbeat too",
  );
  await ledger.offer(batch);
  await node.replica.include([batch], "stop");
  node.replica.compareAll();
  assert.equal((await ask(4n, head(4n))).status, 503, "of a size without it");
  assert.equal((await ask(4n, head(5n), proof(4n, 5n))).status, 200);
});

test("what cannot be held is refused: no batch 400, a strange gateway or key 403, too large 413", async (t) => {
  const { cities } = await witnessed(t);
  const { ledger, network, hangzhou } = cities;
  const hand = async (body: Uint8Array): Promise<number> =>
    (await post(hangzhou, body, "/batches")).status;
  const { provider, signer } = network;
  const strange = { kind: "evidence", signer: signer.call(network, "a stranger") } as const;
  const unknown = { kind: "evidence", gateway: "hangzhou/nobody/gw1" } as const;
  const records = [statusRecord()];
  assert.equal(await hand(utf8("no protobuf")), 400);
  assert.equal(await hand(new Uint8Array()), 400);
  assert.equal(await hand(encoded(ledger.seal(provider.gateway, records, strange))), 403);
  assert.equal(await hand(encoded(ledger.seal(provider.gateway, records, unknown))), 403);
  const right = ledger.seal(provider.gateway, records, { kind: "evidence" });
  assert.equal(await hand(encoded({ ...right, records: [statusRecord(2)] })), 400);
  assert.equal(await hand(new Uint8Array(1024 * 1024)), 413);
  assert.equal((await post(hangzhou, new Uint8Array(), "/batches", "GET")).status, 405);
});

test("one address that hands in more than a witness takes is 429, and checkpoints are still taken", async (t) => {
  const { cities, head, ask } = await witnessed(t);
  const { ledger, network, hangzhou } = cities;
  const batch = encoded(
    ledger.seal(network.provider.gateway, [statusRecord()], { kind: "evidence" }),
  );
  const statuses = new Set<number>();
  for (let i = 0; i < heldBatchesBurst * 3 && !statuses.has(429); i += 50) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => post(hangzhou, batch, "/batches")),
    );
    for (const { status } of answers) statuses.add(status);
  }
  assert.deepEqual(
    [...statuses].sort((a, b) => a - b),
    [202, 429],
  );
  assert.equal((await ask(0n, head(2n))).status, 200);
});

test("evidence for a term that is not known is 404, and what is none is 400", async (t) => {
  const { cities } = await witnessed(t);
  const hash = Buffer.alloc(32).toString("base64");
  const body = utf8(`start 1\nconflict hangzhou shenzhen\n${hash}\n`);
  assert.equal((await post(cities.hangzhou, body, "/terms/7/start")).status, 404);
  assert.equal((await post(cities.hangzhou, utf8("start 1\n"), "/terms/7/start")).status, 400);
});
