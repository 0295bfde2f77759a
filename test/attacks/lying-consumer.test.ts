import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { compareText, toBase64url, utf8 } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { type Frame, FrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { type Refusal, Side, Stage } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import type { UpstreamCall } from "../../src/exchange/transport/ports.ts";
import { callPaths, encodeCallStatement, openCallStatement } from "../../src/record/call-tree.ts";
import { openRecord } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { testSigner } from "../support/records.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import {
  divisionsService,
  getDivision,
  publication,
  reportCorrection,
} from "../support/two-cities.ts";
import {
  bootOf,
  type CallParts,
  encodeHeaders,
  limiterWindowMs,
  type RecordReader,
  recordReader,
  RogueLink,
  sleep,
} from "./support.ts";

const foreignService = "shenzhen/market-regulation/divisions";
const attackersText = "the-attacker-was-here";

describe("a provider whose consumer lies", () => {
  let running: Running;
  let records: RecordReader;
  let rogue: RogueLink;
  let upstreamCalls: UpstreamCall[];
  let grant: { index: bigint; position: number };
  let foreignGrant: { index: bigint; position: number };
  /** The answer to a call under a grant that no ledger has yet; it takes a while. */
  let behind: Promise<Frame["body"]>;

  before(async () => {
    upstreamCalls = [];
    running = await startTwoCities({
      overrides: {
        provider: {
          wrapUpstream: (upstream) => ({
            kind: upstream.kind,
            callUnary: (call) => {
              upstreamCalls.push(call);
              return upstream.callUnary(call);
            },
            open: (call, listener) => upstream.open(call, listener),
            close: () => upstream.close(),
          }),
        },
      },
    });
    const { cities, provider, consumer } = running;
    records = recordReader(cities.provider);
    const grants = (await provider.records()).filter(({ kind }) => kind === "statement");
    // The grant is the newest statement of the provider's chain.
    grant = { index: grants[0]?.state?.index ?? 0n, position: grants[0]?.state?.position ?? 0 };
    // The consumer agency offers a service of its own, and grants it to the provider's agency.
    const { service, policy } = publication(cities);
    await consumer.submit(cities.sign(cities.consumer, "service", foreignService, service).jws);
    await consumer.submit(cities.sign(cities.consumer, "policy", foreignService, policy).jws);
    const details = [
      {
        type: "causeway-service" as const,
        service: foreignService,
        methods: [getDivision],
        purposes: ["address-check"],
        legal_basis: "order-809-12",
      },
    ];
    const body = { authorization_details: details };
    const request = cities.sign(cities.provider, "request", foreignService, body);
    assert.equal((await provider.submit(request.jws)).voidReason, "");
    const signed = cities.sign(
      cities.consumer,
      "grant",
      cities.provider.agency.card.id,
      { request: request.jti, authorization_details: details },
      { nbf: Math.floor(Date.now() / 1000) - 10, exp: Math.floor(Date.now() / 1000) + 3600 },
    );
    const state = await consumer.submit(signed.jws);
    assert.equal(state.voidReason, "");
    foreignGrant = { index: state.index, position: state.position };
    rogue = await RogueLink.open(cities, {
      service: divisionsService,
      method: getDivision,
      purpose: "address-check",
      grant,
    });
    const other = await RogueLink.open(cities, { service: divisionsService, method: getDivision });
    behind = other.call({
      statement: { purpose: "address-check", grant: { index: 1n << 62n, position: 0 } },
    });
    void behind.finally(() => other.close());
  });

  after(async () => {
    rogue?.close();
    records?.close();
    await running?.close();
  });

  function reasonOf(body: Frame["body"]): string | undefined {
    assert.equal(body.case, "refused", body.case);
    const status = fromBinary(StatusFrameSchema, (body.value as { status: Uint8Array }).status);
    for (const any of fromBinary(StatusSchema, status.details).details) {
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info !== undefined) return info.reason;
    }
    return undefined;
  }

  /** The refusal that answers a call: it stands in the journal before the answer, and nothing else does. */
  async function refused(
    parts: CallParts,
    expected: { readonly reason: ReasonCode; readonly stage: Stage; readonly verified: boolean },
  ): Promise<Refusal> {
    const count = (await records.entries()).length;
    const calls = upstreamCalls.length;
    const frame = rogue.make(parts);
    const body = await rogue.exchange({ case: "call", value: frame });
    assert.equal(reasonOf(body), expected.reason);
    assert.ok(body.case === "refused" && body.value.proof !== undefined, "no proof");
    const { record } = body.value.proof;
    const entries = await records.entries();
    assert.equal(entries.length, count + 1);
    const newest = await records.open(entries[0] as NonNullable<(typeof entries)[0]>);
    assert.deepEqual(Buffer.from(newest.bytes), Buffer.from(record));
    const opened = openRecord(record).body;
    assert.ok(opened.case === "refusal");
    const refusal = opened.value;
    assert.equal(refusal.side, Side.PROVIDER);
    assert.equal(refusal.reason, expected.reason);
    assert.equal(refusal.stage, expected.stage);
    assert.equal(refusal.call !== undefined, expected.verified);
    assert.equal(refusal.callCommitment.length, expected.verified ? 0 : 32);
    assert.equal(refusal.upstreamCalled, false);
    assert.equal(upstreamCalls.length, calls);
    if (!expected.verified) {
      const text = Buffer.from(record).toString("latin1");
      const isThere = frame.token !== "" && text.includes(frame.token);
      assert.ok(!isThere, "the token stands in the record");
      assert.ok(!text.includes(attackersText), "a string of the attacker stands in the record");
    }
    return refusal;
  }

  it("answers the same call when nothing of it is a lie", async () => {
    const body = await rogue.call();
    assert.equal(body.case, "answer");
  });

  const now = (): number => Math.floor(Date.now() / 1000);
  const stranger = testSigner(0x77);
  const tokenLies: readonly (readonly [string, () => CallParts, ReasonCode])[] = [
    ["alg none", () => ({ header: { alg: "none" } }), "TOKEN_ALG_NOT_ALLOWED"],
    ["alg EdDSA", () => ({ header: { alg: "EdDSA" } }), "TOKEN_ALG_NOT_ALLOWED"],
    [
      "a typ of another token",
      () => ({ header: { typ: "causeway-hello+jwt" } }),
      "TOKEN_TYP_WRONG",
    ],
    ["a crit header", () => ({ header: { crit: [attackersText] } }), "TOKEN_HEADER_INVALID"],
    ["an embedded key", () => ({ header: { jwk: { kty: "OKP" } } }), "TOKEN_HEADER_INVALID"],
    ["a stranger's key", () => ({ signer: stranger }), "TOKEN_KEY_UNKNOWN"],
    [
      "the signer's own batch key",
      () => ({ signer: running.cities.consumer.gateway.batch }),
      "TOKEN_KEY_UNKNOWN",
    ],
    [
      "the token key of the provider",
      () => ({ signer: running.cities.provider.gateway.token }),
      "TOKEN_KEY_UNKNOWN",
    ],
    [
      "another key behind the right kid",
      () => {
        const { publicKey } = running.cities.consumer.gateway.token;
        return { signer: { publicKey, sign: (bytes) => stranger.sign(bytes) } };
      },
      "TOKEN_SIGNATURE_INVALID",
    ],
    [
      "another agency's name",
      () => ({ claims: { iss: "hangzhou/civil-affairs/gw1" } }),
      "TOKEN_ISSUER_WRONG",
    ],
    [
      "another audience",
      () => ({ claims: { aud: "hangzhou/civil-affairs/gw2" } }),
      "TOKEN_AUDIENCE_WRONG",
    ],
    ["another network", () => ({ claims: { net: "ab".repeat(32) } }), "TOKEN_NETWORK_WRONG"],
    [
      "a life that is over",
      () => ({ claims: { iat: now() - 100, exp: now() - 40 } }),
      "TOKEN_EXPIRED",
    ],
    [
      "a life that has not begun",
      () => ({ claims: { iat: now() + 60, exp: now() + 90 } }),
      "TOKEN_NOT_YET_VALID",
    ],
    ["a life of an hour", () => ({ claims: { exp: now() + 3600 } }), "TOKEN_LIFE_TOO_LONG"],
    ["an unknown claim", () => ({ claims: { admin: attackersText } }), "TOKEN_CLAIMS_INVALID"],
    ["an end before its beginning", () => ({ claims: { exp: now() - 1 } }), "TOKEN_CLAIMS_INVALID"],
    ["65 statements", () => ({ claims: { n: 65 } }), "TOKEN_CLAIMS_INVALID"],
    ["5,000 bytes", () => ({ claims: { pad: "x".repeat(5000) } }), "TOKEN_TOO_LARGE"],
    [
      "two segments",
      () => ({ frame: (f) => (f.token = f.token.slice(0, f.token.lastIndexOf("."))) }),
      "TOKEN_MALFORMED",
    ],
    ["no token", () => ({ frame: (f) => (f.token = "") }), "TOKEN_MALFORMED"],
    [
      "text that is no token",
      () => ({ frame: (f) => (f.token = attackersText) }),
      "TOKEN_MALFORMED",
    ],
  ];
  describe("a token", () => {
    for (const [lie, parts, reason] of tokenLies) {
      it(`with ${lie} is refused ${reason}`, async () => {
        await refused(parts(), { reason, stage: Stage.TOKEN, verified: false });
      });
    }

    it("with another boot is answered with the boot, and nothing is recorded", async () => {
      const count = (await records.entries()).length;
      const body = await rogue.call({ claims: { nonce: toBase64url(new Uint8Array(16)) } });
      assert.ok(body.case === "nonceStale", body.case);
      assert.equal(toBase64url(body.value.boot), bootOf(rogue.link.hello));
      assert.equal((await records.entries()).length, count);
    });

    it("that comes again with the same index is refused TOKEN_REPLAYED", async () => {
      const value = rogue.make();
      assert.equal((await rogue.exchange({ case: "call", value })).case, "answer");
      const calls = upstreamCalls.length;
      assert.equal(reasonOf(await rogue.exchange({ case: "call", value })), "TOKEN_REPLAYED");
      assert.equal(upstreamCalls.length, calls);
    });

    it("that comes again over another link is refused TOKEN_REPLAYED", async () => {
      const value = rogue.make();
      assert.equal((await rogue.exchange({ case: "call", value })).case, "answer");
      const other = await RogueLink.open(running.cities);
      assert.equal(reasonOf(await other.exchange({ case: "call", value })), "TOKEN_REPLAYED");
      other.close();
    });

    it("that comes twice in one turn is used once", async () => {
      const value = rogue.make();
      const bodies = await Promise.all(
        [1, 2, 3].map(() => rogue.exchange({ case: "call", value })),
      );
      assert.deepEqual(bodies.map((body) => String(body.case)).toSorted(compareText), [
        "answer",
        "refused",
        "refused",
      ]);
    });
  });

  const statementLies: readonly (readonly [string, () => CallParts])[] = [
    [
      "is not under the token's root",
      () => ({ claims: { root: toBase64url(new Uint8Array(32)) } }),
    ],
    ["has another index", () => ({ claims: { n: 2 }, frame: (f) => (f.index = 1) })],
    ["has a path of the wrong length", () => ({ frame: (f) => f.path.push(new Uint8Array(32)) })],
    ["has a path of short hashes", () => ({ frame: (f) => f.path.push(new Uint8Array(1)) })],
    ["counts attempts from 0", () => ({ statement: { attempt: 0 } })],
    ["commits to a request and says open", () => ({ statement: { open: true } })],
    ["neither commits nor says open", () => ({ statement: { request: new Uint8Array() } })],
  ];
  const encodingLies: readonly (readonly [string, (bytes: Uint8Array) => Uint8Array])[] = [
    ["has an unknown field", (bytes) => Uint8Array.of(...bytes, 0xa2, 0x06, 1, 0x41)],
    ["repeats a field", (bytes) => Uint8Array.of(...bytes, 0x10, 1)],
    ["is cut short", (bytes) => bytes.slice(0, -1)],
    ["is empty", () => new Uint8Array()],
    ["is 5,000 bytes", (bytes) => Uint8Array.of(...bytes, ...new Uint8Array(5000))],
  ];
  describe("a statement that", () => {
    const expected = {
      reason: "CALL_STATEMENT_INVALID",
      stage: Stage.TOKEN,
      verified: false,
    } as const;
    for (const [lie, parts] of statementLies) {
      it(`${lie} is refused CALL_STATEMENT_INVALID`, async () => {
        await refused(parts(), expected);
      });
    }

    for (const [at, [lie, change]] of encodingLies.entries()) {
      it(`${lie} is refused CALL_STATEMENT_INVALID`, async () => {
        if (at === 0) await sleep(limiterWindowMs);
        const { statement } = rogue.make();
        await refused({ statementBytes: change(statement) }, expected);
      });
    }

    it("stands at another index than its own is refused CALL_STATEMENT_INVALID", async () => {
      const bytes = [rogue.make(), rogue.make()].map(({ statement }) => statement);
      const { root, paths } = callPaths(bytes);
      const token = rogue.token({ root: toBase64url(root), n: 2 });
      const frame: CallParts["frame"] = (f) => {
        f.token = token;
        f.statement = bytes[0] as Uint8Array;
        f.index = 1;
        f.path = [...(paths[0] as readonly Uint8Array[])];
      };
      await refused({ frame }, expected);
    });
  });

  const valueLies: readonly (readonly [string, () => CallParts])[] = [
    ["another message", () => ({ frame: (f) => (f.message = Uint8Array.of(1, 2, 3)) })],
    ["other headers", () => ({ frame: (f) => (f.headers = encodeHeaders(["x", "y"])) })],
    ["no salt", () => ({ frame: (f) => (f.openings = []) })],
    [
      "a salt of 31 bytes",
      () => ({
        frame: (f) => {
          for (const opening of f.openings) opening.salt = opening.salt.slice(1);
        },
      }),
    ],
    ["its salt twice", () => ({ frame: (f) => f.openings.push(...f.openings) })],
    [
      "another case than it committed to",
      () => ({
        values: { case: utf8("case-1") },
        frame: (f) => {
          for (const opening of f.openings) if (opening.label === "case") opening.value = utf8("x");
        },
      }),
    ],
    [
      "a case that it did not commit to",
      () => ({ values: { case: utf8("case-1") }, statement: { case: new Uint8Array() } }),
    ],
  ];
  const valueLiesMore: typeof valueLies = [
    [
      "a commitment without its case",
      () => ({ values: { case: utf8("case-1") }, frame: (f) => f.openings.splice(1) }),
    ],
    [
      "two cases without a commitment",
      () => ({
        values: { case: utf8("case-1") },
        statement: { case: new Uint8Array() },
        frame: (f) => f.openings.push(f.openings[1] as (typeof f.openings)[0]),
      }),
    ],
    [
      "an opening of a label that is none",
      () => ({
        frame: (f) =>
          f.openings.push({ ...(f.openings[0] as (typeof f.openings)[0]), label: attackersText }),
      }),
    ],
  ];
  describe("a call that sends", () => {
    const expected = {
      reason: "COMMITMENT_MISMATCH",
      stage: Stage.TOKEN,
      verified: true,
    } as const;
    for (const [lie, parts] of valueLies) {
      it(`${lie} is refused COMMITMENT_MISMATCH`, async () => {
        await refused(parts(), expected);
      });
    }
    for (const [at, [lie, parts]] of valueLiesMore.entries()) {
      it(`${lie} is refused COMMITMENT_MISMATCH`, async () => {
        if (at === 0) await sleep(limiterWindowMs);
        await refused(parts(), expected);
      });
    }

    it("request bytes that are no metadata is refused METADATA_INVALID", async () => {
      const headers = Uint8Array.of(0xff, 0xff, 0xff);
      await refused(
        { headers },
        { reason: "METADATA_INVALID", stage: Stage.LIMIT, verified: true },
      );
    });

    for (const [what, entry] of [
      ["an upper-case name", ["Causeway-Consumer", "beijing/taxes"]],
      ["a space in a name", ["causeway consumer", "beijing/taxes"]],
      ["a line break in a value", ["x-note", "a\r\ncauseway-consumer: beijing/taxes"]],
    ] as const) {
      it(`metadata with ${what} is refused METADATA_INVALID`, async () => {
        await refused(
          { headers: encodeHeaders(entry) },
          { reason: "METADATA_INVALID", stage: Stage.LIMIT, verified: true },
        );
      });
    }

    it("a case that HTTP/2 cannot carry is refused METADATA_INVALID", async () => {
      await refused(
        { values: { case: utf8("a\r\ncauseway-consumer: beijing/taxes") } },
        { reason: "METADATA_INVALID", stage: Stage.LIMIT, verified: true },
      );
    });

    it("more than 8 KiB of metadata is refused METADATA_TOO_LARGE", async () => {
      await refused(
        { headers: encodeHeaders(["x-long", "x".repeat(9000)]) },
        { reason: "METADATA_TOO_LARGE", stage: Stage.LIMIT, verified: true },
      );
    });

    it("a message above 64 KiB is refused MESSAGE_TOO_LARGE", async () => {
      await refused(
        { message: new Uint8Array(64 * 1024 + 1) },
        { reason: "MESSAGE_TOO_LARGE", stage: Stage.LIMIT, verified: true },
      );
    });
  });

  const grantLies: readonly (readonly [string, () => CallParts, ReasonCode, Stage])[] = [
    [
      "a service that nobody offers",
      () => ({ statement: { service: `hangzhou/civil-affairs/${attackersText}` } }),
      "SERVICE_UNKNOWN",
      Stage.GRANT,
    ],
    [
      "a service of another agency",
      () => ({ statement: { service: foreignService } }),
      "SERVICE_UNKNOWN",
      Stage.GRANT,
    ],
    [
      "a method that the service lacks",
      () => ({ statement: { method: "/causeway.demo.v1.DivisionService/DropTables" } }),
      "METHOD_UNKNOWN",
      Stage.GRANT,
    ],
    [
      "a grant of another agency",
      () => ({
        statement: { grant: foreignGrant },
      }),
      "GRANT_OF_ANOTHER",
      Stage.GRANT,
    ],
    [
      "a statement that is no grant",
      () => ({
        statement: { grant: { index: 0n, position: 0 } },
      }),
      "GRANT_MISSING",
      Stage.GRANT,
    ],
    [
      "a position that its batch lacks",
      () => ({
        statement: {
          grant: { index: grant.index, position: 4095 },
        },
      }),
      "GRANT_MISSING",
      Stage.GRANT,
    ],
    [
      "a purpose outside the grant",
      () => ({ statement: { purpose: "marketing" } }),
      "PURPOSE_NOT_GRANTED",
      Stage.GRANT,
    ],
    [
      "a streaming request",
      () => ({ statement: { open: true, request: new Uint8Array() } }),
      "CALL_STATEMENT_INVALID",
      Stage.TOKEN,
    ],
  ];
  describe("a call under", () => {
    for (const [lie, parts, reason, stage] of grantLies) {
      it(`${lie} is refused ${reason}`, async () => {
        await refused(parts(), { reason, stage, verified: true });
      });
    }
  });

  it("never records a method that the catalogue lacks in the clear for a service that it lacks", async () => {
    const method = `/${attackersText.replaceAll("-", "_")}.Service/Method`;
    const refusal = await refused(
      { statement: { service: "hangzhou/civil-affairs/nothing", method } },
      { reason: "SERVICE_UNKNOWN", stage: Stage.GRANT, verified: true },
    );
    assert.equal(refusal.method, "");
    assert.equal(refusal.methodCommitment.length, 32);
  });

  it("never records a method that the service lacks in the clear", async () => {
    const refusal = await refused(
      { statement: { method: "/causeway.demo.v1.DivisionService/DropTables" } },
      { reason: "METHOD_UNKNOWN", stage: Stage.GRANT, verified: true },
    );
    assert.equal(refusal.method, "");
    assert.equal(refusal.methodCommitment.length, 32);
  });

  it("takes the longest timeout that a frame can say for no deadline at all", async () => {
    const body = await rogue.call({ frame: (f) => (f.timeoutMs = (1n << 64n) - 1n) });
    assert.equal(body.case, "answer");
  });

  it("passes over frames that only the other side sends, and kinds that it does not know", async () => {
    const count = (await records.entries()).length;
    const answer = await rogue.call();
    assert.ok(answer.case === "answer");
    const strange: MessageInitShape<typeof FrameSchema>["body"][] = [
      { case: "answer", value: answer.value },
      { case: "refused", value: {} },
      { case: "failed", value: { reason: attackersText } },
      { case: "nonceStale", value: {} },
      { case: "part", value: { bytes: new Uint8Array(9), last: true } },
      { case: "credit", value: { bytes: 1n << 63n } },
    ];
    for (const body of strange) {
      rogue.link.send(create(FrameSchema, { exchange: 9999n, body: body as never }));
    }
    rogue.link.send(create(FrameSchema, { exchange: 12_345n }));
    assert.equal((await rogue.call()).case, "answer");
    assert.equal((await records.entries()).length, count + 2);
  });

  it("counts an acknowledgement that answers nothing as none", async () => {
    const body = await rogue.call();
    assert.ok(body.case === "answer" && body.value.proof !== undefined);
    const count = (await records.entries()).length;
    rogue.link.send(
      create(FrameSchema, {
        exchange: 1n,
        body: { case: "acknowledgement", value: { proof: body.value.proof } },
      }),
    );
    rogue.link.send(
      create(FrameSchema, { exchange: 1n, body: { case: "acknowledgement", value: {} } }),
    );
    assert.equal((await rogue.call()).case, "answer");
    assert.equal((await records.entries()).length, count + 1);
  });

  it("records eight of two thousand refusals one by one and counts the rest", async () => {
    const before_ = await records.entries();
    const frame = rogue.make({ claims: { aud: "hangzhou/civil-affairs/gw9" } });
    const total = 2000;
    const startedMs = performance.now();
    const bodies = await Promise.all(
      Array.from({ length: total }, () => rogue.exchange({ case: "call", value: frame })),
    );
    const windows = 1 + Math.floor((performance.now() - startedMs) / 1000);
    for (const body of bodies) assert.equal(reasonOf(body), "TOKEN_AUDIENCE_WRONG");
    const single = bodies.filter((body) => body.case === "refused" && body.value.proof).length;
    let counted = 0;
    await eventually("all are counted", async () => {
      const entries = await records.entries();
      const added = entries.slice(0, entries.length - before_.length);
      const refusals = await Promise.all(added.map((entry) => records.open(entry)));
      counted = 0;
      for (const { record } of refusals) {
        assert.ok(record.body.case === "refusal");
        counted += Number(record.body.value.aggregate?.count ?? 1n);
      }
      return counted >= total;
    });
    assert.equal(counted, total);
    assert.ok(single >= 8 && single <= 8 * windows, `${single} single records`);
  });

  it("answers LEDGER_BEHIND to a grant that is not final", async () => {
    const body = await behind;
    assert.ok(body.case === "failed" && body.value.reason === "LEDGER_BEHIND", body.case);
  });

  it("refuses BUSY beyond 4,096 open exchanges of a link, on record, and closes what is open with it", async () => {
    const flood = await RogueLink.open(running.cities, {
      service: divisionsService,
      method: getDivision,
      purpose: "address-check",
      grant: { index: 1n << 40n, position: 0 },
    });
    const { length: count } = await records.entries();
    const waiting: Promise<Frame["body"]>[] = [];
    for (let token = 0; token < 65; token++) {
      const made = flood.make();
      const statements = Array.from({ length: 64 }, (_, i) => {
        const statement = openCallStatement(made.statement);
        statement.attempt = i + 1;
        return encodeCallStatement(statement);
      });
      const { root, paths } = callPaths(statements);
      const text = flood.token({ root: toBase64url(root), n: 64 });
      for (const [index, statement] of statements.entries()) {
        const path = [...(paths[index] as readonly Uint8Array[])];
        const value = { ...made, token: text, statement, index, path };
        waiting.push(flood.exchange({ case: "call", value }));
      }
    }
    const last = await Promise.all(waiting.slice(4096));
    for (const body of last) assert.equal(reasonOf(body), "BUSY");
    flood.close();
    await eventually("nothing is open", async () => {
      const text = await (
        await fetch(`http://${running.cities.provider.addresses.http}/metrics`)
      ).text();
      return /^causeway_open_attempts 0$/m.test(text);
    });
    let refused = 0;
    await eventually("all refusals are counted", async () => {
      const entries = await records.entries();
      const added = await Promise.all(
        entries.slice(0, entries.length - count).map((entry) => records.open(entry)),
      );
      refused = 0;
      for (const { record } of added) {
        assert.ok(record.body.case === "refusal" && record.body.value.reason === "BUSY");
        refused += Number(record.body.value.aggregate?.count ?? 1n);
      }
      return refused >= last.length;
    });
    assert.equal(refused, last.length);
  });

  it("has called the upstream for nothing but what it answered", () => {
    assert.equal(
      upstreamCalls.length,
      rogue.received.filter((f) => f.body.case === "answer").length,
    );
    assert.ok(upstreamCalls.every(({ path }) => path === getDivision && path !== reportCorrection));
  });

  it("leaves both replicas with one registry, and the grant in force", async () => {
    await running.settled();
    await eventually("both replicas are equal", async () => {
      const states = await Promise.all([running.provider.status(), running.consumer.status()]);
      return (
        states[0].finalSize === states[1].finalSize &&
        Buffer.compare(states[0].registryDigest, states[1].registryDigest) === 0
      );
    });
    assert.equal((await running.client.getDivision("330106")).code, 0);
    assert.deepEqual(running.gateways.provider.notReady(), []);
  });
});
