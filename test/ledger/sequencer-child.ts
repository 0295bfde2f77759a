/**
 * A sequencer process of a test: prints `running`, and where the test asks for it `at <point>`, at
 * which it stands still until it is killed.
 */
import { readFileSync, writeSync } from "node:fs";
import { createLedgerClient } from "../../gateway/ledger/ledger-client.ts";
import { createWitnessClient } from "../../gateway/ledger/witness-client.ts";
import { systemClock, systemScheduler } from "../../gateway/runtime.ts";
import { parseBase64, parseHex } from "../../src/base/bytes.ts";
import { createNodeVerifier, importSigner } from "../../src/crypto/node.ts";
import { createLedgerNode } from "../../src/ledger/embedded/ledger-node.ts";
import type { LedgerWriter } from "../../src/ledger/store/store.ts";
import { Sockets } from "./support.ts";

/** Where a sequencer may die: around each durable step of one batch. */
export type KillPoint = "before append" | "after append" | "after head" | "after freeze" | "none";

export interface ChildConfig {
  readonly folder: string;
  /** Base64. */
  readonly founding: string;
  /** Seeds in hex. */
  readonly log: string;
  readonly witness: string;
  readonly killAt: KillPoint;
  readonly peerPort: number;
  readonly witnessPort: number;
  readonly keys: Readonly<
    Record<"tls" | "witnessTls", { readonly certificate: string; readonly privateKeyPem: string }>
  >;
}

/** The store with its kill point: from the batch after the founding on. */
function deadly(store: LedgerWriter, killAt: KillPoint): LedgerWriter {
  const at = (point: KillPoint, isArmed: boolean): void => {
    if (point !== killAt || !isArmed) return;
    writeSync(1, `at ${point}\n`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
  return {
    reader: store.reader,
    append: (rows) => {
      at("before append", true);
      store.append(rows);
      at("after append", true);
    },
    synced: () => store.synced(),
    truncateAndAppend: (change, rows) => store.truncateAndAppend(change, rows),
    setHead: (head) => {
      store.setHead(head);
      at("after head", head.size > 1n);
    },
    freeze: (final) => {
      store.freeze(final);
      at("after freeze", final.size > 1n);
    },
    putBlob: (sha256, content) => store.putBlob(sha256, content),
    setHeartbeat: (note) => store.setHeartbeat(note),
    setSnapshot: (snapshot, finalSize) => store.setSnapshot(snapshot, finalSize),
    addFault: (fault) => store.addFault(fault),
    addForkedLeaf: (place, leaf) => store.addForkedLeaf(place, leaf),
    setNetwork: (id) => store.setNetwork(id),
    close: () => store.close(),
  };
}

async function main(file: string): Promise<void> {
  const config = JSON.parse(readFileSync(file, "utf8")) as ChildConfig;
  const keyOf = (name: "tls" | "witnessTls"): Sockets["tls"] => ({
    certificateDer: bytes(parseBase64(config.keys[name].certificate)),
    privateKeyPem: config.keys[name].privateKeyPem,
  });
  const sockets = await Sockets.open({ after: () => undefined }, "child", {
    tls: keyOf("tls"),
    witnessTls: keyOf("witnessTls"),
    peerPort: config.peerPort,
    witnessPort: config.witnessPort,
  });
  const node = await createLedgerNode({
    folder: config.folder,
    founding: bytes(parseBase64(config.founding)),
    verifier: createNodeVerifier(),
    clock: systemClock,
    scheduler: systemScheduler,
    witness: { city: "hangzhou", signer: importSigner(bytes(parseHex(config.witness))) },
    gateway: "hangzhou/civil-affairs/gw1",
    logSigner: () => importSigner(bytes(parseHex(config.log))),
    connect: ({ address, tls }) => createLedgerClient({ address, tls }),
    witnessOf: ({ address, tls }) => createWitnessClient({ address, tls }),
    quietMs: 0,
    stores: { ledger: (open) => deadly(open(), config.killAt) },
    onFatal: () => process.exit(3),
  });
  sockets.host = node.host;
  sockets.witness = node.witness;
  node.start();
  writeSync(1, "running\n");
}

function bytes(value: Uint8Array | undefined): Uint8Array {
  if (value === undefined) throw new TypeError("the configuration holds no such bytes");
  return value;
}

const [, , file] = process.argv;
if (file !== undefined) await main(file);
