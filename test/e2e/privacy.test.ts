import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import {
  DivisionSchema,
  GetDivisionRequestSchema,
  GetDivisionResponseSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { divisionSource } from "../../demo/upstream.ts";
import { type Running, servedBytes, startTwoCities } from "../support/running.ts";

const caseName = "case-2026-001-westlake";
const official = "official-1-zhang";
const unknownPurpose = "curiosity-about-a-neighbour";
const unknownPath = "/causeway.demo.v1.DivisionService/TellMeEverything";
const code = "330106";

/** What a value looks like in the encodings in which it might hide. */
function disguises(value: string): Buffer[] {
  const bytes = Buffer.from(value);
  const encoded = [0, 1, 2].flatMap((offset) => {
    // Base64 of a value depends on where it begins: the middle part is the same for each offset.
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    const middle = text.slice(Math.ceil((offset * 8) / 6) + 1, -4);
    return [middle, middle.replaceAll("+", "-").replaceAll("/", "_")];
  });
  return [
    bytes,
    Buffer.from(bytes.toString("hex")),
    ...encoded.filter((text) => text.length >= 6).map((text) => Buffer.from(text)),
  ];
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Every unsalted digest that an enumeration of the published divisions could compare with. */
function* enumerated(): Generator<Buffer> {
  for (const line of readFileSync("demo/data/divisions.tsv", "utf8").split("\n")) {
    const [candidate = "", name = ""] = line.split("\t");
    if (!/^\d+$/.test(candidate)) continue;
    const request = toBinary(
      GetDivisionRequestSchema,
      create(GetDivisionRequestSchema, { code: candidate }),
    );
    const division = create(DivisionSchema, {
      code: candidate,
      name,
      parentCode: candidate.slice(0, 4),
    });
    const response = toBinary(
      GetDivisionResponseSchema,
      create(GetDivisionResponseSchema, { division, source: divisionSource }),
    );
    for (const value of [Buffer.from(candidate), Buffer.from(name), request, response]) {
      yield sha256(value);
      yield sha256(Buffer.of(0), value);
      yield Buffer.from(transcriptOf(new Uint8Array(), [value]));
    }
  }
  for (let i = 0; i < 1000; i++)
    yield sha256(Buffer.from(`case-2026-${String(i).padStart(3, "0")}`));
  for (const value of [caseName, official, unknownPurpose, unknownPath]) {
    yield sha256(Buffer.from(value));
    yield sha256(Buffer.of(0), Buffer.from(value));
  }
}

describe("what the ledger serves to anyone", () => {
  let running: Running;
  let served: Buffer;

  before(async () => {
    running = await startTwoCities();
    const metadata = {
      "causeway-purpose": "address-check",
      "causeway-case": caseName,
      "causeway-official": official,
      "causeway-idempotency-key": "idempotency-of-the-case",
      "x-remark": "the neighbour of the mayor",
    };
    const answers = [
      await running.client.getDivision(code, { metadata }),
      await running.client.reportCorrection(code, { metadata }),
      await running.client.getDivision("999999", { metadata }),
      await running.client.getDivision(code, {
        metadata: { ...metadata, "causeway-purpose": unknownPurpose },
      }),
    ];
    assert.deepEqual(
      answers.map((answer) => answer.code),
      [0, 0, 5, 7],
    );
    await running.settled();
    served = Buffer.concat(await servedBytes(running.cities.provider.addresses.http));
  });

  after(async () => {
    await running?.close();
  });

  it("is not empty, and names service, method and granted purpose in the clear", () => {
    for (const expected of ["hangzhou/civil-affairs/divisions", "GetDivision", "address-check"]) {
      assert.ok(served.includes(expected), expected);
    }
  });

  for (const [what, value] of [
    ["case", caseName],
    ["official", official],
    ["idempotency key", "idempotency-of-the-case"],
    ["metadata of the caller", "the neighbour of the mayor"],
    ["purpose that was not granted", unknownPurpose],
    ["field of a request", code],
    ["field of an answer", "西湖区"],
    ["status text of the upstream", "999999"],
    [
      "administrator's or caller's program path",
      "/causeway.demo.v1.DivisionService/TellMeEverything",
    ],
  ] as const) {
    it(`holds no ${what}, plain or encoded`, () => {
      for (const disguise of disguises(value))
        assert.equal(served.indexOf(disguise), -1, String(disguise));
    });
  }

  it("holds no digest that an enumeration of the domain would find", () => {
    const windows = new Set<string>();
    for (let at = 0; at + 32 <= served.length; at++)
      windows.add(served.toString("latin1", at, at + 32));
    let tried = 0;
    for (const candidate of enumerated()) {
      tried++;
      assert.ok(!windows.has(candidate.toString("latin1")), candidate.toString("hex"));
    }
    assert.ok(tried > 40_000, `${tried}`);
  });
});
