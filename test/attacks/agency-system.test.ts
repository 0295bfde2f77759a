import assert from "node:assert/strict";
import { connect, type ClientHttp2Session, constants } from "node:http2";
import { after, before, describe, it } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { utf8 } from "../../src/base/bytes.ts";
import type { UnaryAnswer, UpstreamCall } from "../../src/exchange/transport/ports.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { type Refusal, Side, Stage } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { getDivision } from "../support/two-cities.ts";
import {
  divisionRequest,
  limiterWindowMs,
  type RecordReader,
  recordReader,
  sleep,
} from "./support.ts";

interface Answered {
  readonly code: number;
  readonly reason: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A raw HTTP/2 call: a gRPC library would not send most of these. */
function rawCall(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string | string[]>>,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const fields: Record<string, unknown> = {};
    stream.on("response", (received) => Object.assign(fields, received));
    stream.on("trailers", (received) => Object.assign(fields, received));
    stream.on("error", reject);
    stream.resume();
    stream.on("close", () => {
      const details = fields["grpc-status-details-bin"];
      let reason: string | undefined;
      if (typeof details === "string") {
        for (const any of fromBinary(StatusSchema, Buffer.from(details, "base64")).details) {
          reason ??= anyUnpack(any, ErrorInfoSchema)?.reason;
        }
      }
      resolve({ code: Number(fields["grpc-status"]), reason, fields });
    });
    const message = divisionRequest();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
  });
}

describe("an agency system that tries its luck", () => {
  let running: Running;
  let records: RecordReader;
  let session: ClientHttp2Session;
  const upstreamCalls: UpstreamCall[] = [];
  let change: (answer: UnaryAnswer) => UnaryAnswer = (answer) => answer;
  const granted = { "causeway-purpose": "address-check" };

  before(async () => {
    running = await startTwoCities({
      overrides: {
        provider: {
          wrapUpstream: (upstream) => ({
            kind: upstream.kind,
            callUnary: async (call) => {
              upstreamCalls.push(call);
              return change(await upstream.callUnary(call));
            },
            open: (call, listener) => upstream.open(call, listener),
            close: () => upstream.close(),
          }),
        },
      },
    });
    records = recordReader(running.cities.consumer);
    session = connect(`http://${running.cities.consumer.addresses.agency}`);
  });

  after(async () => {
    session?.close();
    records?.close();
    await running?.close();
  });

  /** The refusal of a call that never left: one record, with nothing of the caller in it. */
  async function refusedLocally(
    path: string,
    headers: Readonly<Record<string, string | string[]>>,
    reason: string,
    texts: readonly string[],
  ): Promise<Refusal> {
    const count = (await records.entries()).length;
    const calls = upstreamCalls.length;
    const answered = await rawCall(session, path, headers);
    assert.equal(answered.reason, reason);
    const entries = await records.entries();
    assert.equal(entries.length, count + 1);
    assert.equal(upstreamCalls.length, calls);
    const { record, bytes } = await records.open(entries[0] as NonNullable<(typeof entries)[0]>);
    assert.ok(record.body.case === "refusal", record.body.case);
    assert.equal(record.body.value.side, Side.CONSUMER);
    assert.equal(record.body.value.reason, reason);
    for (const text of texts) {
      assert.equal(Buffer.from(bytes).indexOf(text, 0, "latin1"), -1, text);
    }
    return record.body.value;
  }

  const paths: readonly (readonly [string, string])[] = [
    ["two slashes", `/${getDivision}`],
    ["three levels", "/causeway.demo.v1.DivisionService/GetDivision/extra"],
    ["a percent-encoded letter", "/causeway.demo.v1.DivisionService/%47etDivision"],
    ["a percent-encoded slash", "/causeway.demo.v1.DivisionService%2FGetDivision"],
    ["a path that climbs", "/x/../causeway.demo.v1.DivisionService/GetDivision"],
    ["a query", `${getDivision}?admin=1`],
    ["300 characters", `/${"a".repeat(200)}/${"b".repeat(99)}`],
    ["letters beyond ASCII", "/causeway.demo.v1.DivisionService/GétDivision"],
  ];
  const morePaths: readonly (readonly [string, string])[] = [
    ["other capitals", getDivision.toLowerCase()],
    ["a trailing slash", `${getDivision}/`],
    ["a slash alone", "/"],
  ];
  describe("by a method path with", () => {
    for (const [at, [trick, path]] of [...paths, ...morePaths].entries()) {
      it(`${trick} is refused METHOD_UNKNOWN, and only commits to it`, async () => {
        if (at === paths.length) await sleep(limiterWindowMs);
        const refusal = await refusedLocally(path, granted, "METHOD_UNKNOWN", [
          ...(path.length > 4 ? [path] : []),
        ]);
        assert.equal(refusal.stage, Stage.LOCAL);
        assert.equal(refusal.method, "");
        assert.equal(refusal.methodCommitment.length, 32);
        assert.equal(refusal.callCommitment.length, 32);
        assert.equal(refusal.call, undefined);
      });
    }

    for (const [trick, path] of [
      ["no leading slash", getDivision.slice(1)],
      ["an asterisk for it all", "*"],
      ["a blank at its end", `${getDivision} `],
    ] as const) {
      it(`${trick} is reset by HTTP/2 itself, and nothing is recorded`, async () => {
        const count = (await records.entries()).length;
        await assert.rejects(rawCall(session, path, granted), { code: "ERR_HTTP2_STREAM_ERROR" });
        assert.equal((await records.entries()).length, count);
      });
    }
  });

  describe("by metadata", () => {
    const invalid: readonly (readonly [string, Readonly<Record<string, string | string[]>>])[] = [
      ["a purpose twice", { "causeway-purpose": ["address-check", "address-check"] }],
      ["a case twice", { ...granted, "causeway-case": ["case-9", "case-9"] }],
      [
        "a case in both forms",
        { ...granted, "causeway-case": "case-9", "causeway-case-bin": "Y2FzZS05" },
      ],
      ["an empty case", { ...granted, "causeway-case": "" }],
      ["a case of 257 bytes", { ...granted, "causeway-case": "c".repeat(257) }],
      ["a purpose with a blank", { "causeway-purpose": "address check" }],
      ["a service beyond ASCII", { ...granted, "causeway-service": "hangzhoü/x/y" }],
    ];
    for (const [trick, headers] of invalid) {
      it(`with ${trick} is refused METADATA_INVALID`, async () => {
        await refusedLocally(getDivision, headers, "METADATA_INVALID", ["case-9", "address check"]);
      });
    }

    it("of more than 8 KiB is METADATA_TOO_LARGE, and reaches nobody", async () => {
      const calls = upstreamCalls.length;
      const answered = await rawCall(session, getDivision, {
        ...granted,
        "x-long": "x".repeat(8192),
      });
      assert.equal(answered.code, 8);
      assert.equal(answered.reason, "METADATA_TOO_LARGE");
      assert.equal(upstreamCalls.length, calls);
    });

    it("that is reserved never reaches the upstream as the caller wrote it", async () => {
      const { code } = await rawCall(session, getDivision, {
        ...granted,
        "causeway-consumer": "beijing/taxes",
        "causeway-exchange-id": "00000000-0000-7000-8000-000000000000",
        "causeway-anything": "smuggled",
        "causeway-anything-bin": "c211Z2dsZWQ",
        "CAUSEWAY-Capitals": "smuggled",
        "x-harmless": "kept",
      });
      assert.equal(code, 0);
      const { entries } = (upstreamCalls.at(-1) as UpstreamCall).headers;
      const values = (key: string): string[] =>
        entries.filter((e) => e.key === key).map((e) => Buffer.from(e.value).toString());
      assert.deepEqual(values("causeway-consumer"), ["shenzhen/market-regulation"]);
      assert.deepEqual(values("x-harmless"), ["kept"]);
      assert.equal(values("causeway-exchange-id").length, 1);
      assert.ok(!values("causeway-exchange-id")[0]?.startsWith("00000000"));
      const known = ["exchange-id", "consumer", "service", "purpose"].map(
        (key) => `causeway-${key}`,
      );
      const reserved = entries.filter((e) => e.key.startsWith("causeway-")).map((e) => e.key);
      assert.deepEqual(reserved.toSorted(), known.toSorted());
    });

    it("that is reserved never reaches the caller as the upstream wrote it", async () => {
      const forged = [
        { key: "causeway-receipt", value: utf8("forged") },
        { key: "causeway-anything", value: utf8("forged") },
        { key: "x-harmless", value: utf8("kept") },
      ];
      change = (answer) => ({
        ...answer,
        headers: create(MetadataSchema, { entries: forged }),
        status: { ...answer.status, trailers: create(MetadataSchema, { entries: forged }) },
      });
      const { code, fields } = await rawCall(session, getDivision, granted);
      change = (answer) => answer;
      assert.equal(code, 0);
      assert.ok(!JSON.stringify(fields).includes("forged"));
      assert.match(String(fields["causeway-receipt"]), /^[0-9a-f]{64}\/\d+$/);
      assert.equal(fields["x-harmless"], "kept");
    });

    it("that an upstream answers and HTTP/2 cannot carry is refused, not receipted", async () => {
      change = (answer) => ({
        ...answer,
        headers: create(MetadataSchema, { entries: [{ key: "x-bad", value: utf8("a\nb") }] }),
      });
      const { reason } = await rawCall(session, getDivision, granted);
      change = (answer) => answer;
      assert.equal(reason, "METADATA_INVALID");
    });
  });
});
