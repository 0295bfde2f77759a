import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import { encodeSnapshot } from "../../src/registry/snapshot.ts";
import { ResultKindSchema } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import type { BatchChange, IncludedTestBatch } from "../support/ledger.ts";
import { TestLedger } from "../support/ledger.ts";
import type { SignedStatement, TestGateway, TestNetwork } from "../support/network.ts";
import { createTestNetwork } from "../support/network.ts";
import { sayGrant, sayPolicy, sayRequest, sayService } from "../support/statements.ts";

/** A ledger in the middle of a flow; tests fork it. */
export interface Flow {
  readonly network: TestNetwork;
  readonly ledger: TestLedger;
  /** Granted. */
  readonly request: SignedStatement<"request">;
  readonly grant: SignedStatement<"grant">;
  /** Not answered. */
  readonly open: SignedStatement<"request">;
  readonly provider: TestGateway;
  readonly consumer: TestGateway;
}

/** Founding, service, policy, two requests and a grant: five batches, nothing void. */
export async function createFlow(): Promise<Flow> {
  const network = createTestNetwork();
  const ledger = await TestLedger.founded(network);
  const provider = network.provider.gateway;
  const consumer = network.consumer.gateway;
  const request = sayRequest(network);
  const open = sayRequest(network);
  const grant = sayGrant(network, request);
  const service = await ledger.append(provider, [sayService(network)]);
  const policy = await ledger.append(provider, [sayPolicy(network)]);
  const requests = await ledger.append(consumer, [request, open]);
  const granted = await ledger.append(provider, [grant]);
  for (const { voids } of [service, policy, requests, granted]) assert.deepEqual(voids, []);
  return { network, ledger, request, grant, open, provider, consumer };
}

/** The reason for which the fold makes this one record void; `undefined` when it is applied. */
export async function voidReason(
  flow: Flow,
  record: Uint8Array | SignedStatement,
  change: BatchChange & { readonly carrier?: TestGateway } = {},
): Promise<ReasonCode | undefined> {
  const { carrier = flow.provider, ...fields } = change;
  const ledger = flow.ledger.fork();
  const before = encodeSnapshot({ ...ledger.state, chains: ledger.state.chains });
  const { voids, state, effects } = await ledger.append(carrier, [record], fields);
  assert.equal(effects.effects.length, 1);
  if (voids[0] === undefined) return undefined;
  assert.deepEqual(effects.effects[0]?.results, []);
  // A void record stands in chain, size and digest, and changes nothing else.
  const old = flow.ledger.state;
  const { size, digest, chains } = old;
  assert.deepEqual(encodeSnapshot({ ...state, size, digest, chains }), before);
  return voids[0].reason;
}

/** What the only record of a batch does, or the reason for which it is void. */
export function outcomeOf(included: IncludedTestBatch): string {
  return reasonsOf(included)[0] ?? resultsOf(included).join();
}

/** Tries records on forks of a ledger, in batches of `carrier` that have seen all of it unless told otherwise. */
export function outcomesBy(
  carrier: TestGateway,
): (ledger: TestLedger, record: SignedStatement, seenSize?: bigint) => Promise<string> {
  return async (ledger, record, seenSize = ledger.size) =>
    outcomeOf(await ledger.fork().append(carrier, [record], { seenSize }));
}

/** Results of an included batch as `KIND subject`, in order. */
export function resultsOf({ effects }: Pick<IncludedTestBatch, "effects">): readonly string[] {
  return effects.effects.flatMap(({ results }) =>
    results.map(({ kind, subject }) => `${ResultKindSchema.value[kind]?.localName} ${subject}`),
  );
}

/** Reasons of the void records of an included batch, in order. */
export function reasonsOf({ voids }: Pick<IncludedTestBatch, "voids">): readonly ReasonCode[] {
  return voids.map(({ reason }) => reason);
}

/** A record and what the fold makes of it; without a reason it is applied. */
export interface Case {
  readonly what: string;
  readonly record: Uint8Array | SignedStatement;
  readonly reason: ReasonCode | undefined;
  readonly change?: BatchChange & { readonly carrier?: TestGateway };
  /** Instead of the flow that `checkAll` is given. */
  readonly on?: Flow;
}

/** One test for each case. */
export function checkAll(flow: Flow, cases: readonly Case[]): void {
  for (const { what, record, reason, change, on = flow } of cases) {
    test(`${what} is ${reason === undefined ? "applied" : `void ${reason}`}`, async () => {
      assert.equal(await voidReason(on, record, change), reason);
    });
  }
}

/** The flow after more batches of the provider, in which nothing is void. */
export async function after(
  flow: Flow,
  ...batches: readonly (readonly SignedStatement[])[]
): Promise<Flow> {
  const ledger = flow.ledger.fork();
  for (const records of batches) {
    const { voids } = await ledger.append(flow.provider, records);
    assert.deepEqual(voids, []);
  }
  return { ...flow, ledger };
}

/** A detail like the one of the flow's requests. */
export function detailed(
  flow: Flow,
  change: Partial<AuthorizationDetail>,
): { readonly authorization_details: readonly AuthorizationDetail[] } {
  const [asked] = flow.request.body.authorization_details as readonly [AuthorizationDetail];
  return { authorization_details: [{ ...asked, ...change }] };
}
