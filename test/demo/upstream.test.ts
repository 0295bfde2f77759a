import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  create,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import {
  divisionSource,
  type DivisionUpstream,
  startDivisionUpstream,
} from "../../demo/upstream.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import {
  DivisionService,
  type ListVillagesResponse,
  SourceSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";

const folder = mkdtempSync(join(tmpdir(), "causeway-upstream-"));
const correctionsFile = join(folder, "corrections.jsonl");
const definition = grpcDefinition(DivisionService);
let upstream: DivisionUpstream;
let client: Client;

before(async () => {
  upstream = await startDivisionUpstream({ port: 0, correctionsFile });
  client = new Client(upstream.address, credentials.createInsecure());
});
after(async () => {
  client.close();
  await upstream.close();
  rmSync(folder, { recursive: true });
});

type Methods = typeof DivisionService.method;
type Input<N extends keyof Methods> = Methods[N]["input"] & DescMessage;
type Output<N extends keyof Methods> = MessageShape<Methods[N]["output"] & DescMessage>;

function call<N extends keyof Methods>(
  name: N,
  request: MessageInitShape<Input<N>>,
): Promise<Output<N>> {
  const { path, requestSerialize, responseDeserialize } = definition[name]!;
  const message = create(
    DivisionService.method[name].input as DescMessage,
    request as Record<string, unknown>,
  );
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => Output<N>,
      message,
      (error: ServiceError | null, response) => (error ? reject(error) : resolve(response!)),
    );
  });
}

const source = create(SourceSchema, divisionSource);

test("the data files have the digests that DATA.md names", () => {
  const page = readFileSync("demo/data/DATA.md", "utf8");
  for (const name of ["divisions.tsv", "calendar.json"]) {
    const digest = createHash("sha256")
      .update(readFileSync(`demo/data/${name}`))
      .digest("hex");
    const row = new RegExp(`^\\| \`${name}\` +\\| \`([0-9a-f]{64})\` +\\|$`, "m").exec(page);
    assert.equal(row?.[1], digest, name);
  }
});

test("330106 is 西湖区 of 3301, and the answer names its source", async () => {
  const { division, source: from } = await call("getDivision", { code: "330106" });
  assert.equal(division?.name, "西湖区");
  assert.equal(division?.parentCode, "3301");
  assert.deepEqual(from, source);
});

const lists: readonly (readonly [code: string, total: number])[] = [
  ["3301", 3320],
  ["4403", 788],
];
for (const [code, total] of lists) {
  test(`the pages of ${code} hold its ${total} villages, each once and in order`, async () => {
    const codes: string[] = [];
    let pageToken = "";
    do {
      const page: ListVillagesResponse = await call("listVillages", {
        code,
        pageSize: 500,
        pageToken,
      });
      assert.equal(page.total, total);
      assert.deepEqual(page.source, source);
      codes.push(...page.villages.map((village) => village.code));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    assert.equal(codes.length, total);
    assert.deepEqual(codes, [...new Set(codes)].sort());
    assert.ok(codes.every((village) => village.startsWith(code)));
  });
}

test("a page has 100 villages unless asked otherwise, and 500 at most", async () => {
  const unasked = await call("listVillages", { code: "3301" });
  const greedy = await call("listVillages", { code: "3301", pageSize: 5000 });
  assert.equal(unasked.villages.length, 100);
  assert.equal(greedy.villages.length, 500);
});

test("a page that ends with the last village has no next one", async () => {
  const { villages, total, nextPageToken } = await call("listVillages", {
    code: "330106",
    pageSize: 500,
  });
  assert.equal(villages.length, total);
  assert.equal(nextPageToken, "");
});

const refusals: readonly (readonly [
  claim: string,
  answer: () => Promise<unknown>,
  code: status,
])[] = [
  ["an unknown division", () => call("getDivision", { code: "330199" }), status.NOT_FOUND],
  [
    "the villages of an unknown city",
    () => call("listVillages", { code: "3302" }),
    status.NOT_FOUND,
  ],
  [
    "the villages of a village",
    () => call("listVillages", { code: "330106001001" }),
    status.INVALID_ARGUMENT,
  ],
  [
    "a page token of another list",
    () => call("listVillages", { code: "4403", pageToken: "330106001001" }),
    status.INVALID_ARGUMENT,
  ],
  [
    "a correction with an unknown error code",
    () => call("reportCorrection", { code: "330106", error: "RUDE" }),
    status.INVALID_ARGUMENT,
  ],
  [
    "a correction of an unknown division",
    () => call("reportCorrection", { code: "330199", error: "NAME" }),
    status.NOT_FOUND,
  ],
  [
    "a missing division that is not missing",
    () => call("reportCorrection", { code: "330106", error: "MISSING" }),
    status.ALREADY_EXISTS,
  ],
];
for (const [claim, answer, code] of refusals) {
  test(`${claim} is answered ${status[code]}`, async () => {
    await assert.rejects(answer, { code });
  });
}

test("a reported correction is on file under its ticket before the answer", async () => {
  const reported = await Promise.all([
    call("reportCorrection", { code: "330106", error: "NAME" }),
    call("reportCorrection", { code: "330199", error: "MISSING" }),
  ]);
  assert.deepEqual(
    readFileSync(correctionsFile, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
    [
      { ticket: reported[0].ticket, code: "330106", error: "NAME" },
      { ticket: reported[1].ticket, code: "330199", error: "MISSING" },
    ],
  );
  assert.notEqual(reported[0].ticket, reported[1].ticket);
  assert.deepEqual(reported[0].source, source);
});

test("tickets go on where the file ends after a restart", async () => {
  const again = await startDivisionUpstream({ port: 0, correctionsFile });
  const other = new Client(again.address, credentials.createInsecure());
  const lines = readFileSync(correctionsFile, "utf8").split("\n").length - 1;
  const previous = client;
  client = other;
  try {
    const { ticket } = await call("reportCorrection", { code: "4403", error: "NAME" });
    assert.equal(ticket, `correction-${lines + 1}`);
  } finally {
    client = previous;
    other.close();
    await again.close();
  }
});

test("every call is counted, refused ones too", async () => {
  const count = upstream.calls();
  await call("getDivision", { code: "4403" });
  await assert.rejects(call("getDivision", { code: "0" }), { code: status.NOT_FOUND });
  assert.equal(upstream.calls(), count + 2);
});
