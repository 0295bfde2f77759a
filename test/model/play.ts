/** Plays a random history on the fold and on the model, and compares after each batch. */
import assert from "node:assert/strict";
import { toHex } from "../../src/base/bytes.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { type BatchChange, statusRecord } from "../support/ledger.ts";
import type { TestGateway } from "../support/network.ts";
import { access } from "./access-steps.ts";
import { openEpoch, reportLeaves } from "./chain-steps.ts";
import { appoint, poll, sayOfCity } from "./city-steps.ts";
import { assertSameRegistry } from "./compare.ts";
import { tipOf } from "./facts.ts";
import { type Judgement, type ModelBatch, type Outcome, offer } from "./ledger-model.ts";
import { enrol, suspend } from "./member-steps.ts";
import { digestOf } from "./rules.ts";
import { type Item, item, type Made, pick, recent, type Step } from "./step.ts";
import type { Spoken, World } from "./world.ts";

/** How often each outcome was met: a history in which nothing happens shows nothing. */
export type Tally = Map<string, number>;

/** What a step says with the members that there are; `undefined` when there is nothing to say it of. */
function make(world: World, step: Step): Made | undefined {
  switch (step.verb) {
    case "evidence":
      return { items: [] };
    case "replay":
      return made(recent(world.said, step.a));
    case "poll":
    case "vote":
      return poll(world, step);
    case "sequencer":
      return appoint(world, step);
    case "epoch":
      return openEpoch(world, step);
    case "report":
      return reportLeaves(world, step);
    case "candidacy":
    case "rotation":
    case "recovery":
    case "witness":
      return made(sayOfCity(world, step));
    case "agency":
    case "gateway":
    case "administrator":
      return made(enrol(world, step));
    case "suspension":
    case "resumption":
      return made(suspend(world, step));
    default:
      return made(access(world, step));
  }
}

function made(spoken: Spoken | undefined): Made | undefined {
  if (spoken === undefined) return undefined;
  // A vote on a sequencer that comes again is one without its checkpoint's facts: it is not replayed.
  const { statement } = spoken;
  if (statement.name === "vote" && statement.body.on === "sequencer") return undefined;
  return { items: [item(spoken)] };
}

export async function play(world: World, history: readonly Step[], tally: Tally): Promise<void> {
  let waiting: Item[] = [];
  for (const step of history) {
    world.ledger.nowMs += step.later * 1000;
    const next = make(world, step);
    if (next === undefined) continue;
    const alone = next.gateway !== undefined || next.epoch !== undefined || next.items.length === 0;
    if (alone && waiting.length > 0) {
      await include(world, { items: waiting }, step, tally);
      waiting = [];
    }
    if (alone || !step.joined) {
      await include(world, { ...next, items: [...waiting, ...next.items] }, step, tally);
      waiting = [];
    } else waiting.push(...next.items);
  }
}

async function include(world: World, what: Made, step: Step, tally: Tally): Promise<void> {
  const { ledger, history } = world;
  const gateway = what.gateway ?? carrierOf(world, step);
  const batch = seal(world, what, step, gateway);
  const index = history.leaves.length;
  const expected = offer(history, modelOf(world, batch, gateway, what.items));
  const judged = await ledger.offer(batch);
  const told = `batch ${index} of ${gateway.id}, ${step.verb}, fault ${step.fault}, twist ${step.twist}`;
  if (judged.kind === "rejected") {
    assert.equal(expected.kind, "rejected", `${told}: only the fold rejects it, ${judged.reason}`);
    assertReason(
      judged.reason,
      (expected as Extract<Judgement, { kind: "rejected" }>).reasons,
      told,
    );
    count(tally, `rejected ${judged.reason}`);
    return;
  }
  if (expected.kind === "rejected") {
    assert.fail(`${told}: only the model rejects it, ${[...expected.reasons].join()}`);
  }
  for (const [position, outcome] of expected.outcomes.entries()) {
    const reason = judged.voids.find((one) => one.position === position)?.reason;
    const name = nameOf(what.items[position] as Item);
    compareOutcome(reason, outcome, `${told}, record ${position}, a ${name}`);
    count(tally, `${name} ${reason ?? "applied"}`);
  }
  assertSameRegistry(history, ledger.state, told);
}

function compareOutcome(reason: string | undefined, outcome: Outcome, told: string): void {
  if (outcome === "applied") {
    assert.equal(reason, undefined, `${told}: the model applies it, the fold does not`);
  } else {
    const reasons = [...outcome].join();
    assert.ok(reason !== undefined, `${told}: the fold applies it, the model does not: ${reasons}`);
    assertReason(reason, outcome, told);
  }
}

function assertReason(reason: string, reasons: ReadonlySet<string>, told: string): void {
  assert.ok(reasons.has(reason), `${told}: ${reason} is none of ${[...reasons].join()}`);
}

function count(tally: Tally, what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1);
}

function nameOf({ record }: Item): string {
  if (record.kind === "report") return "report";
  const { statement } = record.said;
  if (statement.name === "vote") return `vote on ${statement.body.on}`;
  return statement.name === "city" ? statement.body.change : statement.name;
}

/** Mostly the newest gateway of an agency; now and then one that may be draining. */
function carrierOf(world: World, { carrier, b }: Step): TestGateway {
  const all = world.agencies.flatMap((agency) => {
    const gateways = world.gatewaysOf(agency);
    return carrier === 11 ? gateways : gateways.slice(-1);
  });
  return pick(all, carrier === 11 ? b : carrier) as TestGateway;
}

function seal(world: World, what: Made, step: Step, gateway: TestGateway): CreatedBatch {
  const { ledger, history } = world;
  const tip = tipOf(history, gateway.id);
  const index = BigInt(history.leaves.length);
  const lowest = BigInt(tip?.seenSize ?? 1);
  const wanted = index - BigInt(step.lag);
  const seenSize = wanted > lowest ? wanted : lowest;
  const sealedAtMs = Math.max(ledger.nowMs, tip?.sealedAtMs ?? 0);
  const change: BatchChange = {
    seenSize,
    sealedAtMs,
    ...(tip === undefined ? {} : { epoch: BigInt(tip.epoch) }),
    ...(what.epoch === undefined ? {} : { epoch: BigInt(what.epoch), seq: 0n }),
    ...(what.items.length === 0 ? { kind: "evidence" as const } : {}),
    ...faultOf(world, step, { index, seq: BigInt(tip?.seq ?? -1), sealedAtMs }),
  };
  const records = what.items.length === 0 ? [statusRecord()] : what.items.map(({ bytes }) => bytes);
  return ledger.seal(gateway, records, change);
}

/** What is wrong with the header. */
function faultOf(
  world: World,
  { fault, a }: Step,
  at: { readonly index: bigint; readonly seq: bigint; readonly sealedAtMs: number },
): BatchChange {
  switch (fault) {
    case "seq":
      return { seq: at.seq + 2n + BigInt(a % 2) };
    case "again":
      return { seq: at.seq < 0n ? 1n : at.seq };
    case "epoch":
      return { epoch: 90n, seq: 0n };
    case "prev":
      return { prev: new Uint8Array(32).fill(7) };
    case "seen root":
      return { seen: { size: at.index, root: new Uint8Array(32).fill(7) } };
    case "seen ahead":
      return { seen: { size: at.index + 1n, root: new Uint8Array(32) } };
    case "time":
      return { sealedAtMs: at.sealedAtMs - 3_600_000, firstAtMs: at.sealedAtMs - 3_600_000 };
    case "key":
      return { signer: a % 2 === 0 ? world.freshKey() : world.network.provider.gateway.batch };
    case "none":
      return {};
  }
}

function modelOf(
  world: World,
  { header, leafHash }: CreatedBatch,
  gateway: TestGateway,
  items: readonly Item[],
): ModelBatch {
  const root = world.ledger.rootAt(header.seenSize);
  return {
    gateway: gateway.id,
    key: keyOf(world, gateway, header.key),
    epoch: Number(header.epoch),
    seq: Number(header.seq),
    hash: toHex(leafHash),
    prev: toHex(header.prev),
    seenSize: Number(header.seenSize),
    seesThisTree: root !== undefined && Buffer.compare(root, header.seenRoot) === 0,
    sealedAtMs: Number(header.sealedAt),
    records: items.map(({ record }) => record),
    networkId: world.network.idHex,
    skewS: world.network.body.bounds.skew_s,
  };
}

/** The key that the header's digest names: the gateway's own unless the step took another. */
function keyOf(world: World, gateway: TestGateway, digest: Uint8Array): string {
  const own = digestOf(gateway.body.batch);
  if (own.startsWith(toHex(digest))) return own;
  return digestOf(world.network.provider.gateway.body.batch).startsWith(toHex(digest))
    ? digestOf(world.network.provider.gateway.body.batch)
    : "unknown";
}
