/** Exchanges and openings at the command line, of two real gateways. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import {
  DivisionSchema,
  GetDivisionRequestSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import type { Answer } from "../support/agency-client.ts";
import { eventually } from "../support/admin-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, getDivision, reportCorrection } from "../support/two-cities.ts";
import { assertRefused, causeway, temporaryRoot } from "./support.ts";

const caseNumber = "case-2026-007";
type Json = Readonly<Record<string, unknown>>;

describe("exchanges at the command line", () => {
  let running: Running;
  let read: Answer<unknown>;
  let write: Answer<unknown>;
  let refused: Answer<unknown>;
  const logged: string[] = [];
  let isAway = false;
  const root = temporaryRoot("exchange");

  before(async () => {
    const logger = pino({ level: "warn" }, { write: (line: string) => void logged.push(line) });
    running = await startTwoCities({
      bounds: { heartbeat_s: 1 },
      overrides: {
        consumer: { logger },
        provider: {
          wrapUpstream: (upstream) => ({
            ...upstream,
            callUnary: async (call) => {
              if (isAway) throw new CausewayError("UPSTREAM_UNAVAILABLE", "it is away");
              return upstream.callUnary(call);
            },
          }),
        },
      },
    });
    const { client } = running;
    const metadata = { "causeway-purpose": "address-check", "causeway-case": caseNumber };
    read = await client.getDivision("330106", { metadata });
    write = await client.reportCorrection("330106", { metadata });
    refused = await client.getDivision("330106", {
      metadata: { "causeway-purpose": "another-purpose" },
    });
    assert.deepEqual([read.code, write.code], [0, 0]);
    await running.settled();
    await eventually("each holds what the other sealed", async () => {
      const states = await Promise.all([running.provider.status(), running.consumer.status()]);
      return states[0].finalSize === states[1].finalSize;
    });
  });
  after(() => running?.close());

  const adminOf = (side: "provider" | "consumer"): readonly string[] => [
    "--admin",
    running.cities[side].addresses.admin,
  ];
  async function json(
    side: "provider" | "consumer",
    ...argv: readonly string[]
  ): Promise<readonly Json[]> {
    const ran = await causeway(...argv, ...adminOf(side), "--output", "json");
    assert.equal(ran.code, 0, ran.stderr);
    const parsed: unknown = JSON.parse(ran.stdout);
    return parsed as readonly Json[];
  }
  const idOf = ({ trailers }: Answer<unknown>): string =>
    String(trailers.get("causeway-exchange-id")[0]);

  it("stands in `record list` beside the records that name it", async () => {
    const kinds = async (side: "provider" | "consumer", of: Answer<unknown>): Promise<unknown> => {
      const rows = await json(side, "record", "list");
      return rows.filter(({ exchange }) => exchange === idOf(of)).map(({ kind }) => kind);
    };
    assert.deepEqual(await kinds("provider", read), ["receipt"]);
    assert.deepEqual(await kinds("provider", write), ["opened"]);
    assert.deepEqual(await kinds("consumer", read), ["acknowledgement"]);
  });

  it("are listed newest first, with what this gateway was in each of them", async () => {
    const provided = await json("provider", "exchange", "list");
    assert.deepEqual(
      provided.map(({ exchange, side, method, outcome, segments, service, peer, state }) => [
        [exchange, side, method, outcome, segments],
        [service, peer, state],
      ]),
      [
        [
          [idOf(write), "provider", reportCorrection, "OK", 1],
          [divisionsService, running.cities.consumer.gateway.card.id, "final"],
        ],
        [
          [idOf(read), "provider", getDivision, "OK", 1],
          [divisionsService, running.cities.consumer.gateway.card.id, "final"],
        ],
      ],
    );
    const consumed = await json("consumer", "exchange", "list");
    assert.deepEqual(
      consumed.map(({ exchange, side, outcome }) => [exchange, side, outcome]),
      [
        ["", "consumer", refused.reason],
        [idOf(write), "consumer", "MATCH"],
        [idOf(read), "consumer", "MATCH"],
      ],
    );
  });

  it("are listed by service, outcome, time and number", async () => {
    const list = (...flags: readonly string[]): Promise<readonly Json[]> =>
      json("consumer", "exchange", "list", ...flags);
    assert.equal((await list("--outcome", "MATCH")).length, 2);
    assert.equal((await list("--outcome", "MATCH", "--limit", "1")).length, 1);
    assert.equal((await list("--service", divisionsService)).length, 2);
    assert.equal((await list("--service", "hangzhou/civil-affairs/other")).length, 0);
    assert.equal((await list("--since", "2020-01-01")).length, 3);
    const tomorrow = new Date(Date.now() + 24 * 3600 * 1000).toISOString();
    assert.equal((await list("--since", tomorrow)).length, 0);
    const wrong = await causeway("exchange", "list", "--since", "x", ...adminOf("consumer"));
    assert.equal(wrong.code, 2);
  });

  it("are shown with the records of both sides, from either side, by id and by any handle", async () => {
    interface Shown {
      readonly exchange: string;
      readonly records: readonly (Json & { readonly handle: string; readonly body: Json })[];
    }
    const show = async (side: "provider" | "consumer", name: string): Promise<Shown> =>
      (await json(side, "exchange", "show", name)) as unknown as Shown;
    const shown = await show("consumer", idOf(write));
    assert.deepEqual(
      shown.records.map(({ kind, attempt, state }) => [kind, attempt, state]),
      [
        ["opened", 1, "final"],
        ["receipt", 1, "final"],
        ["acknowledgement", 1, "final"],
      ],
    );
    const statement = shown.records[0]?.body["callStatement"] as Json;
    assert.equal(statement["method"], reportCorrection);
    assert.deepEqual(await show("provider", idOf(write)), shown);
    for (const { handle } of shown.records) {
      assert.deepEqual(await show("provider", handle), shown);
    }
    const said = JSON.stringify(shown);
    assert.ok(!said.includes(caseNumber));
    const table = await causeway("exchange", "show", idOf(read), ...adminOf("provider"));
    assert.match(table.stdout, /^service +hangzhou\/civil-affairs\/divisions$/m);
    assert.match(table.stdout, /^check +MATCH$/m);
    const policy = toHex(sha256(running.cities.blobs.policy));
    assert.ok(
      table.stdout.includes(`"policyDigest": "${policy}"`),
      "as the blob is named elsewhere",
    );
    const lines = await causeway(
      "exchange",
      "show",
      idOf(read),
      ...adminOf("provider"),
      "--output",
      "ndjson",
    );
    assert.equal(lines.stdout.trimEnd().split("\n").length, 2);
  });

  it("that are not known are said to be unknown", async () => {
    const nobody = "00000000-0000-7000-8000-000000000000";
    const ran = await causeway("exchange", "show", nobody, ...adminOf("consumer"));
    assertRefused(ran, "RECORD_UNKNOWN", 1);
    const statement = await causeway("exchange", "show", "0/0", ...adminOf("consumer"));
    assertRefused(statement, "RECORD_UNKNOWN", 1);
  });

  it("that were refused before they had an id are shown alone, by the handle that the list names", async () => {
    const [row] = await json("consumer", "exchange", "list", "--outcome", String(refused.reason));
    const handle = String(row?.["handle"]);
    assert.equal(row?.["exchange"], "");
    const shown = await causeway("exchange", "show", handle, ...adminOf("consumer"));
    assert.equal(shown.code, 0, shown.stderr);
    for (const fact of [
      /^kind +refusal$/m,
      /^state +final$/m,
      /^caller_system +registry-desk$/m,
      new RegExp(`^method +${getDivision}$`, "m"),
      /^stage +GRANT$/m,
      new RegExp(`^reason +${refused.reason}$`, "m"),
    ]) {
      assert.match(shown.stdout, fact);
    }
    const { exchange, records } = (await json(
      "provider",
      "exchange",
      "show",
      handle,
    )) as unknown as { readonly exchange: string; readonly records: readonly Json[] };
    assert.equal(exchange, "");
    assert.deepEqual(
      records.map((record) => [record["kind"], record["handle"]]),
      [["refusal", handle]],
    );
  });

  it("have openings that are shown with a warning and a log entry without values", async () => {
    const ran = await causeway("opening", "show", idOf(read), ...adminOf("consumer"));
    assert.match(ran.stderr, /personal data/);
    assert.match(ran.stdout, new RegExp(caseNumber));
    const entry = logged.find((line) => line.includes("openings shown"));
    assert.ok(entry?.includes(idOf(read)));
    assert.ok(!logged.join("").includes(caseNumber));
    const one = await json("consumer", "opening", "show", idOf(read), "--label", "case");
    assert.deepEqual(
      one.map(({ label, value }) => [label, value]),
      [["case", Buffer.from(caseNumber).toString("base64")]],
    );
  });

  it("prove with an opening what a commitment on the ledger stands for", async () => {
    const openings = await json("consumer", "opening", "show", idOf(read), "--label", "case");
    const file = join(root, "openings.json");
    writeFileSync(file, JSON.stringify(openings));
    const network = Buffer.from((await running.consumer.status()).network).toString("hex");
    const handle = String(read.trailers.get("causeway-receipt")[0]);
    const out = join(root, "evidence.json");
    const from = running.cities.provider.addresses.http;
    const flags = ["--network", network, "--from", from, "--openings", file, "--out", out];
    const exported = await causeway("evidence", "export", handle, ...flags);
    assert.equal(exported.code, 0, exported.stderr);
    const verified = await causeway("evidence", "verify", out, "--network", network);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /case/);
  });

  it("that were refused here without a call are opened and erased by the handle of the record", async () => {
    const path = "/causeway.demo.v1.DivisionService/TellMeEverything";
    const { client } = running;
    const unknown = await client.call(path, GetDivisionRequestSchema, DivisionSchema, {});
    assert.equal(unknown.reason, "METHOD_UNKNOWN");
    const [{ handle } = {}] = await json("consumer", "record", "list", "--limit", "1");
    const show = (...flags: readonly string[]): Promise<readonly Json[]> =>
      json("consumer", "opening", "show", String(handle), ...flags);
    assert.deepEqual(
      (await show()).map(({ attempt, side, label }) => [attempt, side, label]),
      [
        [0, "consumer", "call"],
        [0, "consumer", "method"],
      ],
    );
    const method = await show("--label", "method");
    assert.deepEqual(
      method.map(({ value }) => Buffer.from(String(value), "base64").toString()),
      [path],
    );
    await running.settled();
    const file = join(root, "refused.json");
    writeFileSync(file, JSON.stringify(await show()));
    const network = Buffer.from((await running.consumer.status()).network).toString("hex");
    const out = join(root, "refused-evidence.json");
    const from = running.cities.provider.addresses.http;
    const flags = ["--network", network, "--from", from, "--openings", file, "--out", out];
    const exported = await causeway("evidence", "export", String(handle), ...flags);
    assert.equal(exported.code, 0, exported.stderr);
    const verified = await causeway("evidence", "verify", out, "--network", network);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /call, method/);
    const elsewhere = await causeway("opening", "show", String(handle), ...adminOf("provider"));
    assertRefused(elsewhere, "OPENING_UNKNOWN", 1);
    const erased = (await json("consumer", "opening", "erase", String(handle))) as unknown as Json;
    assert.equal(erased["erased"], "1");
    const gone = await causeway("opening", "show", String(handle), ...adminOf("consumer"));
    assertRefused(gone, "OPENING_UNKNOWN", 1);
  });

  it("lose their openings for good, which is recorded, and can still be shown", async () => {
    const erase = async (...what: readonly string[]): Promise<Json> =>
      (await json("consumer", "opening", "erase", ...what)) as unknown as Json;
    const erased = await erase(idOf(read));
    assert.equal(erased["erased"], "1");
    const [record] = erased["records"] as readonly string[];
    const shown = await causeway("record", "show", String(record), ...adminOf("consumer"));
    assert.match(shown.stdout, /openingsErased/);
    const none = await causeway("opening", "show", idOf(read), ...adminOf("consumer"));
    assertRefused(none, "OPENING_UNKNOWN", 1);
    assert.equal((await json("consumer", "opening", "show", idOf(write))).length > 0, true);
    const tomorrow = new Date(Date.now() + 24 * 3600 * 1000).toISOString();
    // Of the call that was written, and of the refusal.
    assert.equal((await erase("--before", tomorrow))["erased"], "2");
    assert.equal((await erase("--before", tomorrow))["erased"], "0");
    const both = await causeway("opening", "erase", ...adminOf("consumer"));
    assertRefused(both, "USAGE_INVALID", 2);
    assert.match(
      (await causeway("exchange", "show", idOf(read), ...adminOf("consumer"))).stdout,
      /MATCH/,
    );
  });

  it("that their provider closed after it had opened them are listed with what was called", async () => {
    isAway = true;
    const metadata = { "causeway-purpose": "address-check" };
    const lost = await running.client.reportCorrection("330106", { metadata });
    isAway = false;
    assert.equal(lost.reason, "UPSTREAM_UNAVAILABLE");
    await eventually("the provider's closing has come", async () => {
      const [newest] = await json("consumer", "exchange", "list", "--service", divisionsService);
      if (newest?.["exchange"] !== idOf(lost)) return false;
      assert.deepEqual([newest["outcome"], newest["method"]], ["REFUSED", reportCorrection]);
      return true;
    });
  });
});
