/** Mutated requests before a real replica and witness on SQLite: each is answered, and what is refused changes nothing. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { createLedgerReadHandler } from "../../gateway/ledger/http-read.ts";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import { foundLedger } from "../../src/ledger/embedded/founding.ts";
import { createLedgerNode, type LedgerNode } from "../../src/ledger/embedded/ledger-node.ts";
import type { WitnessPort } from "../../src/ledger/embedded/ports.ts";
import { proveConsistency } from "../../src/merkle/prove.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { parseSignatureLines } from "../../src/note/note.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork, type TestNetwork } from "../support/network.ts";
import { bytesOf, mutant } from "./mutate.ts";
import { note } from "./samples.ts";
import { textOf } from "./target.ts";

const runs = Number(process.env["CAUSEWAY_FUZZ_RUNS"] ?? 100) * 4;
const leafCount = 300;
/** What the witness cosigns first, and what extends it. */
const sizes = { first: 4n, second: 7n } as const;

const folder = mkdtempSync(join(tmpdir(), "causeway-fuzz-node-"));
const network: TestNetwork = createTestNetwork({ startMs: Date.now() - 3_600_000 });
const origin = `causeway/${network.idHex}/0`;
const city = network.cities[0] as TestNetwork["cities"][number];
let ledger: TestLedger;
let node: LedgerNode;
let witness: WitnessPort;

before(async () => {
  ledger = await TestLedger.founded(network);
  const clock = { nowMs: () => Date.now(), monotonicMs: () => 0 };
  const shared = { folder, founding: network.payload, verifier: network.verifier, clock };
  await foundLedger(shared, ledger.batches[0] as (typeof ledger.batches)[number]);
  const nobody = (): never => assert.fail("nobody is asked");
  node = await createLedgerNode({
    ...shared,
    scheduler: { after: () => () => undefined },
    onFatal: (error) => assert.fail(String(error)),
    witness: { city: city.id, signer: city.witness },
    gateway: network.provider.gateway.id,
    logSigner: () => network.log,
    connect: nobody,
    witnessOf: nobody,
  });
  assert.ok(node.witness !== undefined);
  witness = node.witness;
  for (let size = 1; size < leafCount; size++) {
    const { batch } = await ledger.appendEvidence(network.provider.gateway);
    await node.replica.include([batch], "stop");
  }
  node.replica.compareAll();
});

after(async () => {
  await node.close();
  rmSync(folder, { recursive: true, force: true });
});

function request(oldSize: bigint, size: bigint): Uint8Array {
  const root = ledger.rootAt(size) as Uint8Array;
  const { reader } = node.replica;
  const proof =
    oldSize === 0n || oldSize === size
      ? []
      : proveConsistency({ size1: oldSize, size2: size, reader });
  const checkpoint = signHead(origin, { size, root }, network.log);
  return formatAddCheckpoint({ oldSize, proof, checkpoint });
}

const newest = async (): Promise<string> => {
  const { body } = await witness.latest(toHex(sha256(utf8(origin))));
  return body.split("\n").slice(0, 3).join("\n");
};
const textOfHead = (size: bigint): string => {
  const root = Buffer.from(ledger.rootAt(size) as Uint8Array).toString("base64");
  return `${origin}\n${size}\n${root}`;
};

describe("a witness", () => {
  test("answers every mutated request with a status of its protocol, and promises only what the log signed", async () => {
    assert.equal((await witness.addCheckpoint(request(0n, sizes.first))).status, 200);
    const samples = [
      request(sizes.first, sizes.first),
      request(sizes.first, sizes.second),
      request(sizes.second, sizes.second),
      request(0n, sizes.second),
    ];
    const heads = [textOfHead(sizes.first), textOfHead(sizes.second)];
    await fc.assert(
      fc.asyncProperty(mutant(samples.length), async (one) => {
        const promised = await newest();
        const answer = await witness.addCheckpoint(bytesOf(one, samples));
        assert.ok([200, 400, 403, 404, 409, 422].includes(answer.status), `${answer.status}`);
        const now = await newest();
        assert.ok(heads.includes(now), now);
        if (answer.status === 200) parseSignatureLines(utf8(answer.body));
        else assert.equal(now, promised, "a refused request moved the promise");
      }),
      { numRuns: runs, includeErrorInReport: true },
    );
  });

  test("takes no mutated evidence of a term's start", async () => {
    const hash = Buffer.from(sha256(utf8("hash"))).toString("base64");
    const samples = [
      utf8(
        `start 3\nconflict a b\n${hash}\n${hash}\n\npart c\n${hash}\n${hash}\ninclusion\n${hash}\n`,
      ),
      utf8(`start 3\nconflict a b\n${hash}\n`),
    ];
    const promised = await newest();
    await fc.assert(
      fc.asyncProperty(mutant(samples.length), fc.nat({ max: 3 }), async (one, term) => {
        const { status } = await witness.takeEvidence(BigInt(term), bytesOf(one, samples));
        assert.ok(status >= 400 && status < 600, `${status}`);
      }),
      { numRuns: runs, includeErrorInReport: true },
    );
    assert.equal(await newest(), promised);
  });
});

interface Answer {
  status: number;
  ended: boolean;
}

/** What the handler answers to a path. */
function get(path: string, method: string): Answer | undefined {
  const answer: Answer = { status: 0, ended: false };
  const response: ServerResponse = {
    destroyed: false,
    once: () => response,
    writeHead: (status: number) => (answer.status = status),
    end: () => (answer.ended = true),
  } as unknown as ServerResponse;
  const asked = { url: path, method, headers: {}, socket: {} } as unknown as IncomingMessage;
  const final = { size: 299n, root: new Uint8Array(32), timeMs: 0, note };
  const archive = { reader: node.replica.reader, final: () => final };
  return createLedgerReadHandler(archive)(asked, response) ? answer : undefined;
}

describe("the read-only listener", () => {
  const paths = [
    "/checkpoint",
    "/tile/0/000",
    "/tile/0/001.p/43",
    "/tile/1/000.p/1",
    "/tile/entries/001.p/43",
    "/records/298",
    "/final/3",
    `/blobs/${"ab".repeat(32)}`,
  ].map(utf8);
  /** Every path that may be served: of tiles, bundles and records in their one form. */
  const served =
    /^\/(checkpoint|tile\/(0|1|entries)\/\d{3}(\.p\/[1-9]\d{0,2})?|(records|final)\/(0|[1-9]\d*))$/;

  test("serves a ledger of 299 final leaves of 300", () => {
    for (const path of paths.slice(0, 6)) assert.equal(get(textOf(path), "GET")?.status, 200);
    for (const path of ["/records/299", "/tile/0/001.p/44"])
      assert.equal(get(path, "GET")?.status, 404);
  });

  test("answers every mutated path, and serves none but in its one form", () => {
    fc.assert(
      fc.property(mutant(paths.length), fc.constantFrom("GET", "HEAD", "POST"), (one, method) => {
        const path = textOf(bytesOf(one, paths));
        const answer = get(path, method);
        if (answer === undefined) return;
        assert.ok(answer.ended && [200, 404, 405, 410].includes(answer.status), `${answer.status}`);
        if (answer.status === 200) assert.match(path, served);
      }),
      { numRuns: runs * 4, includeErrorInReport: true },
    );
  });
});
