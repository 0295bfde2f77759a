/** What is said of chains: new epochs, and leaves that contradict each other. */
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import { tipOf } from "./facts.ts";
import { digestOf } from "./rules.ts";
import { item, type Made, pick, speak, type Step } from "./step.ts";
import type { World } from "./world.ts";

/** An epoch that goes on from the chain's last leaf, carried as its first record or elsewhere. */
export function openEpoch(world: World, step: Step): Made | undefined {
  const { a, b, c } = step;
  const iss = pick(world.agencies, a) as string;
  const gateway = pick(world.gatewaysOf(iss), b);
  const tip = gateway === undefined ? undefined : tipOf(world.history, gateway.id);
  if (gateway === undefined || tip === undefined) return undefined;
  const epoch = tip.epoch + 1 + (c % 3);
  const body = {
    epoch,
    last: { epoch: tip.epoch, seq: tip.seq, leaf: c === 9 ? "cd".repeat(32) : tip.hash },
    reason: "disk-lost",
    lost_from: world.nowS - 10,
    lost_to: world.nowS,
  };
  const signers = [world.authorityOf(iss)];
  const items = [item(speak(world, step, "epoch", { iss, sub: gateway.id, body }, signers))];
  return c === 10 ? { items } : { items, gateway, epoch };
}

/** Two leaves of one gateway for the place after its tip; or twice the same one, which proves nothing. */
export function reportLeaves(world: World, { a, b, c }: Step): Made | undefined {
  const gateway = pick(world.gatewaysOf(pick(world.agencies, a) as string), b);
  const tip = gateway === undefined ? undefined : tipOf(world.history, gateway.id);
  if (gateway === undefined || tip === undefined) return undefined;
  const seal = (boot: number): Uint8Array =>
    world.ledger.seal(gateway, [statusRecord(boot)], {
      kind: "evidence",
      epoch: BigInt(tip.epoch),
      boot: sha256(utf8(`boot ${boot}`)).slice(0, 16),
    }).leaf;
  const proves = c < 8;
  const firstLeaf = seal(1);
  const value = { firstLeaf, secondLeaf: proves ? seal(2) : firstLeaf };
  const proof = { case: "headers" as const, value };
  const bytes = encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
  const key = digestOf(gateway.body.batch);
  const report = { gateway: gateway.id, key, epoch: tip.epoch, seq: tip.seq + 1, proves };
  return { items: [{ bytes, record: { kind: "report", report } }] };
}
