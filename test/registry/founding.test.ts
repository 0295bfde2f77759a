import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { EffectKind, ResultKind } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import { initialState } from "../../src/registry/initial.ts";
import { encodeSnapshot } from "../../src/registry/snapshot.ts";
import { type BatchChange, statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork, recordOfJws, sayAgency, type TestNetwork } from "../support/network.ts";
import { openRecord } from "../../src/record/record.ts";

const network = createTestNetwork();
const { provider, consumer } = network;

function jwsOf(record: Uint8Array): readonly string[] {
  const { body } = openRecord(record);
  assert.equal(body.case, "statement");
  return body.value.jws;
}

test("batch 0 founds the network and admits its first members", async () => {
  const ledger = new TestLedger(network);
  const { effects, voids, state } = await ledger.append(provider.gateway, network.founding);
  assert.deepEqual(voids, []);
  assert.equal(state.size, 1n);
  assert.deepEqual(
    effects.effects.map(({ position, kind, results }) => [
      position,
      kind,
      results.map(({ kind: result, subject }) => [result, subject]),
    ]),
    [
      [
        0,
        EffectKind.APPLIED,
        [
          [ResultKind.NETWORK_FOUNDED, network.idHex],
          [ResultKind.CITY_ADMITTED, "hangzhou"],
          [ResultKind.CITY_ADMITTED, "shenzhen"],
          [ResultKind.SEQUENCER_APPOINTED, provider.gateway.id],
        ],
      ],
      ...[provider, consumer].flatMap((agency, i) => [
        [1 + 3 * i, EffectKind.APPLIED, [[ResultKind.AGENCY_ADMITTED, agency.id]]],
        [2 + 3 * i, EffectKind.APPLIED, [[ResultKind.GATEWAY_ADMITTED, agency.gateway.id]]],
        [
          3 + 3 * i,
          EffectKind.APPLIED,
          [
            [
              ResultKind.ADMINISTRATOR_ADMITTED,
              [...state.administrators.values()].flat().find((fact) => fact.agency === agency.id)
                ?.kid,
            ],
          ],
        ],
      ]),
    ],
  );
  assert.deepEqual(state.network?.id, network.id);
  assert.deepEqual(
    state.gateways.get(consumer.gateway.id)?.[0]?.batchKey,
    consumer.gateway.batch.publicKey,
  );
  assert.deepEqual(state.usedJti.size, network.founding.length);
});

test("the founding document's id is the digest of its payload and nothing else", async () => {
  const other = createTestNetwork({ network: { name: "Another" } });
  assert.notEqual(toHex(other.id), toHex(network.id));
  const ledger = new TestLedger(network);
  const records = [other.founding[0] as Uint8Array, ...network.founding.slice(1)];
  assert.deepEqual(await ledger.judge(ledger.seal(provider.gateway, records)), {
    kind: "rejected",
    reason: "NETWORK_WRONG",
  });
});

const rejections: readonly {
  readonly name: string;
  readonly reason: ReasonCode;
  readonly records?: (founding: readonly Uint8Array[]) => readonly Uint8Array[];
  readonly change?: BatchChange;
  readonly by?: "consumer";
}[] = [
  {
    name: "of another network",
    reason: "NETWORK_UNKNOWN",
    change: { network: new Uint8Array(32) },
  },
  {
    name: "whose founding document comes second",
    reason: "BATCH_INVALID",
    records: ([network0, agency0, ...rest]) => [agency0, network0, ...rest] as Uint8Array[],
  },
  {
    name: "whose founding document lacks a city's signature",
    reason: "STATEMENT_SIGNER_MISSING",
    records: ([network0, ...rest]) => [
      recordOfJws(jwsOf(network0 as Uint8Array).slice(1)),
      ...rest,
    ],
  },
  {
    name: "whose founding document has a wrong signature",
    reason: "TOKEN_SIGNATURE_INVALID",
    records: ([network0, ...rest]) => [
      recordOfJws(
        jwsOf(network0 as Uint8Array).map((jws, i) => {
          return i === 0 ? `${jws.slice(0, -86)}${"A".repeat(86)}` : jws;
        }),
      ),
      ...rest,
    ],
  },
  {
    name: "sealed by a gateway that is not the first sequencer",
    reason: "GATEWAY_UNKNOWN",
    by: "consumer",
  },
  {
    name: "without the sequencer's gateway statement",
    reason: "GATEWAY_UNKNOWN",
    records: (founding) => founding.filter((_, i) => i !== 2),
  },
  {
    name: "in which the sequencer's gateway stands before its agency",
    reason: "GATEWAY_UNKNOWN",
    records: ([network0, agency0, gateway0, ...rest]) =>
      [network0, gateway0, agency0, ...rest] as Uint8Array[],
  },
  {
    name: "sealed with another key than its gateway statement binds",
    reason: "KEY_UNKNOWN",
    change: { signer: network.signer("another batch key") },
  },
  { name: "with a seq above 0", reason: "CHAIN_GAP", change: { seq: 1n } },
  { name: "with an epoch above 0", reason: "CHAIN_GAP", change: { epoch: 1n } },
  {
    name: "that names a batch before it",
    reason: "CHAIN_GAP",
    change: { prev: new Uint8Array(32).fill(1) },
  },
  { name: "that has seen a leaf", reason: "SEEN_INVALID", change: { seenSize: 1n } },
  {
    name: "of evidence",
    reason: "BATCH_INVALID",
    records: () => [statusRecord()],
    change: { kind: "evidence" },
  },
];

for (const { name, reason, records, change, by } of rejections) {
  test(`a batch 0 ${name} is rejected ${reason} and leaves nothing`, async () => {
    const ledger = new TestLedger(network);
    const gateway = by === "consumer" ? consumer.gateway : provider.gateway;
    const batch = ledger.seal(gateway, records?.(network.founding) ?? network.founding, change);
    assert.deepEqual(await ledger.judge(batch), { kind: "rejected", reason });
    assert.deepEqual(encodeSnapshot(ledger.state), encodeSnapshot(initialState(network.id)));
  });
}

async function foundingReason(other: TestNetwork): Promise<string> {
  const ledger = new TestLedger(other);
  const judged = await ledger.judge(ledger.seal(other.provider.gateway, other.founding));
  return judged.kind === "rejected" ? judged.reason : judged.kind;
}

test("a founding document that binds one TLS key to two cities is rejected KEY_BOUND", async () => {
  const cities = network.body.cities.map((city) => ({ ...city, witness_tls: "ab".repeat(32) }));
  assert.equal(await foundingReason(createTestNetwork({ network: { cities } })), "KEY_BOUND");
});

test("a founding document of unknown rules is rejected NOT_SUPPORTED", async () => {
  assert.equal(await foundingReason(createTestNetwork({ network: { rules: 3 } })), "NOT_SUPPORTED");
});

for (const rules of [1, 2]) {
  test(`a founding document of rules ${rules} founds a network under them`, async () => {
    const { state } = await TestLedger.founded(createTestNetwork({ network: { rules } }));
    assert.deepEqual(state.rules, [{ since: 0n, version: rules }]);
  });
}

test("the sequencer's TLS key in the founding document and in its own statement is one binding", async () => {
  const { state } = await TestLedger.founded(network);
  const { tls } = network.body.sequencer;
  assert.deepEqual(provider.gateway.body.tls, [tls]);
  assert.equal(state.keys.get(`tls:${tls}`)?.owner, provider.gateway.id);
});

function permutations<T>(all: readonly T[]): readonly (readonly T[])[] {
  if (all.length === 0) return [[]];
  return all.flatMap((one, i) =>
    permutations(all.filter((_, j) => j !== i)).map((rest) => [one, ...rest]),
  );
}

for (const order of permutations([4, 5, 6])) {
  const behind = order.slice(0, order.indexOf(4)).map((position) => order.indexOf(position) + 4);
  test(`founding statements in the order ${order.join()}: what stands before its agency is void, the rest is applied`, async () => {
    const ledger = new TestLedger(network);
    const records = [0, 1, 2, 3, ...order].map((i) => network.founding[i] as Uint8Array);
    const { voids } = await ledger.append(provider.gateway, records);
    // Its authority's key stands nowhere before it, so that not even the signature can be judged.
    assert.deepEqual(
      voids,
      behind.map((position) => ({ position, reason: "TOKEN_KEY_UNKNOWN" })),
    );
  });
}

test("a statement may rest on an earlier position in batch 0 alone", async () => {
  const [city] = network.cities;
  assert.ok(city);
  const agency = {
    id: "hangzhou/taxation",
    authority: network.signer("taxation authority"),
    next: network.signer("taxation next"),
  };
  const admitted = sayAgency(network, city, agency);
  const ledger = await TestLedger.founded(network);
  const { voids } = await ledger.append(provider.gateway, [
    admitted,
    network.say(
      "service",
      {
        iss: agency.id,
        sub: `${agency.id}/x`,
        body: {
          version: 1,
          descriptor: "00".repeat(32),
          descriptor_bytes: 1,
          methods: [
            { path: "/a.B/C", writes: false, client_streaming: false, server_streaming: false },
          ],
          sharing: "conditional",
          purposes: ["a"],
          subject_paths: [],
          attributes: [],
          approval: { approvals: 1 },
          deadline: { name: "d", check_days: 1, answer_days: 1 },
          max_staleness_s: 60,
        },
      },
      [provider.administrator],
    ),
  ]);
  assert.deepEqual(voids, [{ position: 1, reason: "MEMBER_NOT_ACTIVE" }]);
});
