/** A ledger of tests behind the product's own replica and HTTP handler, which may be made to lie. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before } from "node:test";
import { type Captured, runCaptured } from "../../demo/captured.ts";
import type { Io } from "../../gateway/cli/io.ts";
import { createLedgerReadHandler, type LedgerReadOptions } from "../../gateway/ledger/http-read.ts";
import { writeStatementFile } from "../../gateway/statement-file.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { openStatement } from "../../src/credential/statement.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { openRecord } from "../../src/record/record.ts";
import { AuditLedger } from "../audit/audit-ledger.ts";
import { temporaryRoot } from "./support.ts";

/** Answers in the place of the gateway; `false` leaves the request to it. */
export type Liar = (request: IncomingMessage, response: ServerResponse) => boolean;

export class ServedLedger {
  readonly folder: string;
  readonly founding: string;
  /** Set by `before`. */
  audit!: AuditLedger;
  from = "";
  liar: Liar = () => false;
  options: LedgerReadOptions = {};
  #server: Server | undefined;
  #store!: SqliteLedgerStore;
  #replica!: LedgerReplica;
  #taken = 0;

  /** To be made while the tests of a file are declared; `prepare` runs before them, once it serves. */
  constructor(name: string, prepare: () => Promise<void> | void = () => undefined) {
    this.folder = temporaryRoot(name);
    this.founding = join(this.folder, "network.json");
    before(async () => {
      await this.#start(name);
      await prepare();
    });
    after(() => {
      this.#server?.close().closeAllConnections();
      this.#store.close();
    });
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  get replica(): LedgerReplica {
    return this.#replica;
  }

  /** Takes over what was added to the ledger of the test. */
  async advance(): Promise<void> {
    for (const entry of this.audit.entries.slice(this.#taken)) {
      if (entry.kind === "blob") this.#replica.putBlob(sha256(entry.content), entry.content);
      if (entry.kind === "batch") {
        const [inclusion] = await this.#replica.include([entry], "stop");
        assert.equal(inclusion?.kind, "included");
      }
      if (entry.kind === "note") assert.equal(this.#replica.takeFinal(entry.note), true);
    }
    this.#taken = this.audit.entries.length;
  }

  async #start(name: string): Promise<void> {
    this.audit = await AuditLedger.create(name);
    await this.audit.read();
    const { network } = this.audit;
    this.#writeFounding();
    this.#store = new SqliteLedgerStore(this.at("served.sqlite"));
    this.#replica = await LedgerReplica.open({
      network: readLedgerNetwork(network.payload),
      store: this.#store,
      verifier: network.verifier,
      clock: { nowMs: () => this.audit.ledger.nowMs, monotonicMs: () => 0 },
    });
    await this.advance();
    const { reader } = this.#replica;
    const archive = { reader, final: () => this.#replica.final() };
    const server = (this.#server = createServer((request, response) => {
      if (this.liar(request, response)) return;
      createLedgerReadHandler(archive, this.options)(request, response);
    }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.from = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #writeFounding(): void {
    const [first] = this.audit.entries.flatMap((entry) => (entry.kind === "batch" ? [entry] : []));
    const { body } = openRecord(first?.records[0] as Uint8Array);
    assert.equal(body.case, "statement");
    const { jws } = body.value as { jws: string[] };
    const payload = new TextDecoder().decode(openStatement(jws).payload);
    writeStatementFile(this.founding, { typ: "causeway-network+jwt", payload, jws });
  }
}

/** Runs `causeway` in this process, and reads the rows of its answer. */
export async function run(
  argv: readonly string[],
  io: Partial<Io> = {},
): Promise<Captured & { readonly rows: readonly Readonly<Record<string, unknown>>[] }> {
  const ran = await runCaptured(argv, io);
  const rows = argv.includes("ndjson")
    ? ran.stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    : [];
  return { ...ran, rows };
}
