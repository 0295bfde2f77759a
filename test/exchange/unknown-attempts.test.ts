/** What a consumer makes of calls under its own tokens that it meets on the ledger. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { createUuidV7 } from "../../src/base/ids.ts";
import { callTokenDigest, createCallToken } from "../../src/credential/call-token.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { KnownAttempts, recordableMs } from "../../src/exchange/known-attempts.ts";
import { UnknownAttempts, type UnknownPorts } from "../../src/exchange/unknown-attempts.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import { CallStatementSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Outcome, RecordSchema, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { QueuedRecord } from "../../src/ledger/ports.ts";
import { callPaths, encodeCallStatement } from "../../src/record/call-tree.ts";
import { encodeRecord, openRecord } from "../../src/record/record.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";

const network = createTestNetwork();
const { consumer, provider } = network;
const gateway = consumer.gateway.id;

interface MadeCall {
  readonly key: string;
  /** The provider's refusal of it. */
  readonly refusal: Uint8Array;
}

function madeCall(issuedAtMs: number, signer: Signer): MadeCall {
  const statement = encodeCallStatement(
    create(CallStatementSchema, {
      xid: createUuidV7(issuedAtMs, new Uint8Array(10)),
      attempt: 1,
      service: "hangzhou/civil-affairs/divisions",
      method: "/divisions.v1.Divisions/Get",
      grant: { index: 1n, position: 0 },
      purpose: "address-check",
      open: true,
    }),
  );
  const { root, paths } = callPaths([statement]);
  const iat = Math.floor(issuedAtMs / 1000);
  const token = createCallToken(
    {
      iss: gateway,
      aud: provider.gateway.id,
      net: Buffer.from(network.id).toString("hex"),
      jti: new Uint8Array(16),
      nonce: new Uint8Array(16),
      iat,
      exp: iat + 60,
      root,
      n: 1,
    },
    signer,
  );
  const refusal = encodeRecord(
    create(RecordSchema, {
      body: {
        case: "refusal",
        value: {
          side: Side.PROVIDER,
          stage: 3,
          reason: "GRANT_MISSING",
          caller: { case: "peer", value: { gateway, tlsKey: new Uint8Array(32) } },
          call: { token, statement, index: 0, path: [...(paths[0] ?? [])] },
          grpcCode: 7,
        },
      },
    }),
  );
  return { key: attemptKey(callTokenDigest(token), 0), refusal };
}

describe("calls under own tokens on the ledger", () => {
  let ledger: TestLedger;
  let known: KnownAttempts;
  let unknown: UnknownAttempts;
  let included: { readonly header: { readonly gateway: string }; records: Uint8Array[] }[];
  let finalTimeMs: number;
  /** Raw token keys that were ever this gateway's. */
  let tokenKeys: Uint8Array[];
  let own: { leaf: Uint8Array; records: readonly Uint8Array[]; number: number }[];
  let startedAtMs: number;

  beforeEach(async () => {
    ledger = await TestLedger.founded(network);
    known = new KnownAttempts();
    included = [];
    own = [];
    startedAtMs = ledger.nowMs;
    finalTimeMs = ledger.nowMs;
    tokenKeys = [consumer.gateway.token.publicKey];
    unknown = new UnknownAttempts(ports() as unknown as UnknownPorts, known);
  });

  function ports(): object {
    return {
      self: { gateway, startedAtMs },
      clock: { nowMs: () => ledger.nowMs },
      defer: (work: () => void) => setImmediate(work),
      verifier: network.verifier,
      replica: {
        view: () => ({ network: { bounds: defaultBounds } }),
        final: () => ({ size: BigInt(included.length), timeMs: finalTimeMs }),
        batch: (index: bigint) => ({ ...included[Number(index)], index }),
      },
      sealer: {
        seal: async ({ record, states }: QueuedRecord) => {
          const { leaf } = ledger.seal(consumer.gateway, [record], { kind: "evidence" });
          own.push({ leaf, records: [record], number: own.length });
          known.sealed(states);
        },
      },
      ownTokenKeys: () => tokenKeys,
      journal: { newest: () => own.toReversed() },
    };
  }

  function include(record: Uint8Array): Promise<void> {
    included.push({ header: { gateway: provider.gateway.id }, records: [record] });
    return unknown.scan();
  }

  const outcomes = (): readonly Outcome[] =>
    own.flatMap(({ records }) =>
      records.map((record) => {
        const { body } = openRecord(record);
        assert.ok(body.case === "closed");
        return body.value.outcome;
      }),
    );

  it("are answered once: forgotten in a restart, or invented", async () => {
    const forgotten = madeCall(startedAtMs - 10_000, consumer.gateway.token);
    const invented = madeCall(startedAtMs + 10_000, consumer.gateway.token);
    const forged = madeCall(startedAtMs - 10_000, provider.gateway.token);
    for (const { refusal } of [forgotten, invented, forged, forgotten]) await include(refusal);
    assert.deepEqual(outcomes(), [
      Outcome.UNKNOWN_AFTER_RESTART,
      Outcome.DISPUTED,
      Outcome.DISPUTED,
    ]);
  });

  it("are forgotten long after their closing, and a record that comes then is answered no second time", async () => {
    const call = madeCall(startedAtMs + 1000, consumer.gateway.token);
    await include(call.refusal);
    assert.equal(own.length, 1);
    assert.ok(known.has(call.key));
    finalTimeMs = ledger.nowMs + recordableMs(defaultBounds) + 1;
    await unknown.scan();
    known.closing("another", finalTimeMs);
    assert.ok(!known.has(call.key));
    await include(call.refusal);
    assert.equal(own.length, 1);
  });

  it("are told from invented ones under a token key that was rotated out", async () => {
    const before = madeCall(startedAtMs - 10_000, provider.gateway.token);
    tokenKeys = [consumer.gateway.token.publicKey, provider.gateway.token.publicKey];
    await include(before.refusal);
    assert.deepEqual(outcomes(), [Outcome.UNKNOWN_AFTER_RESTART]);
  });
});
