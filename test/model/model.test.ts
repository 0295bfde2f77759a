import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodeSnapshot } from "../../src/registry/snapshot.ts";
import type { RegistryState, RegistryView, Standing } from "../../src/registry/state.ts";
import { view } from "../../src/registry/view.ts";
import { play, type Tally } from "./play.ts";
import { type Step, steps } from "./step.ts";
import { created } from "./created.ts";

const runs = Number(process.env["CAUSEWAY_MODEL_RUNS"] ?? 60);

/** What a run of any useful length meets: the histories are about something. */
const met = [
  "grant applied",
  "approval applied",
  "revocation applied",
  "suspension applied",
  "resumption applied",
  "vote on admission applied",
  "vote on exclusion applied",
  "vote on sequencer applied",
  "epoch applied",
  "rejected CHAIN_FROZEN",
  "grant ALREADY_TAKEN",
  "approval SIGNER_NOT_ALLOWED",
];

test("the fold says of every random history what the slow model says", async () => {
  const tally: Tally = new Map();
  await fc.assert(
    fc.asyncProperty(steps, (history) => play(created.fork(), history, tally)),
    { numRuns: runs, includeErrorInReport: true },
  );
  const lines = [...tally].map(([what, times]) => `${what}: ${times}`).sort();
  for (const what of met) assert.ok(tally.has(what), `no ${what} in\n${lines.join("\n")}`);
});

describe("a view of a random history", () => {
  test("of any size is the fold that stopped there, with the takings that are known by now", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 40 }), async (history, back) => {
        const world = created.fork();
        await play(world, history, new Map());
        const { states, size } = world.ledger;
        const at = size > BigInt(back) ? size - BigInt(back) : 1n;
        const stopped = states[Number(at)] as RegistryState;
        assertSameView(view(world.ledger.state, at), view(stopped, at), world.ledger.state, at);
      }),
      { numRuns: Math.ceil(runs / 5), includeErrorInReport: true },
    );
  });

  test("changes nothing, and no batch after it changes what stood before", async () => {
    const world = created.fork();
    const before = world.ledger.states.map(encodeSnapshot);
    const [history] = fc.sample(steps, { seed: 7, numRuns: 1 }) as [readonly Step[]];
    await play(world, history, new Map());
    for (const [i, snapshot] of before.entries()) {
      const now = encodeSnapshot(world.ledger.states[i] as RegistryState);
      assert.ok(Buffer.compare(now, snapshot) === 0, `the registry of size ${i}`);
    }
  });
});

interface Kept {
  readonly standing: Standing;
}

/** A fact without what was taken of it at or above a size. */
function asOf<F extends Kept>(fact: F | undefined, size: bigint): unknown {
  if (fact === undefined) return undefined;
  const { until, suspendedBy, ...standing } = fact.standing;
  const isTaken = until !== undefined && until.index < size;
  const { revocation, answer, ...rest } = fact as F & {
    readonly revocation?: Uint8Array;
    readonly answer?: { readonly address: { readonly index: bigint } };
  };
  const isAnswered = answer !== undefined && answer.address.index < size;
  return {
    ...rest,
    ...(isTaken ? { revocation } : {}),
    ...(isAnswered ? { answer } : {}),
    standing: isTaken ? { ...standing, until, suspendedBy } : standing,
  };
}

function assertSameView(
  late: RegistryView,
  stopped: RegistryView,
  state: RegistryState,
  size: bigint,
): void {
  const compare = (
    ids: Iterable<string>,
    find: (one: RegistryView, id: string) => Kept | undefined,
    what: string,
  ): void => {
    for (const id of ids) {
      const [found, expected] = [find(late, id), find(stopped, id)];
      assert.deepEqual(asOf(found, size), asOf(expected, size), `${what} ${id} at size ${size}`);
    }
  };
  compare(state.cities.keys(), (one, id) => one.city(id), "city");
  compare(state.agencies.keys(), (one, id) => one.agency(id), "agency");
  compare(state.gateways.keys(), (one, id) => one.gateway(id), "gateway");
  compare(state.administrators.keys(), (one, id) => one.administrator(id), "administrator");
  compare(state.services.keys(), (one, id) => one.service(id), "service");
  compare(state.policies.keys(), (one, id) => one.policy(id), "policy");
  compare(state.requests.keys(), (one, id) => one.request(id), "request");
  compare(state.grants.keys(), (one, id) => one.grant(id), "grant");
  const jtis = (grants: RegistryView): readonly string[] => grants.grants().map(({ jti }) => jti);
  assert.deepEqual([...jtis(late)].sort(), [...jtis(stopped)].sort());
}
