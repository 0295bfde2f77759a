/**
 * What a provider gave in-band and keeps from the ledger, or contradicts there, across kills of its consumer:
 * the next start of it reports the receipt that is missing and the two leaves of one place.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemScheduler } from "../../gateway/runtime.ts";
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { answerFrame } from "../../src/exchange/frames.ts";
import { createStatement } from "../../src/credential/statement.ts";
import type { EquivocationReported } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openHeld } from "../../src/ledger/held/held.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { division, proofIn, RogueProvider } from "../attacks/rogue-provider.ts";
import { eventually } from "../support/admin-client.ts";
import { grantAgain } from "../support/granted.ts";
import { wholeSegment } from "../support/answers.ts";
import { newJti, nowS } from "../support/two-cities.ts";
import { FinalLedger, type PlacedRecord } from "./final-ledger.ts";
import { type FaultNetwork, startNetwork } from "./processes.ts";
import { handleOf } from "./settled.ts";

describe("what a provider gave in-band, across kills of its consumer", () => {
  let network: FaultNetwork;
  let rogue: RogueProvider;
  let ledger: FinalLedger;
  /** The batch whose receipt the caller has, and the ledger never gets. */
  let withheld: CreatedBatch;

  before(async () => {
    network = await startNetwork({
      program: "product",
      bounds: { heartbeat_s: 1, inclusion_bound_s: 2 },
    });
    const { cities, provider, grant } = network;
    rogue = await RogueProvider.start({ cities, provider: provider.admin, grant });
    ledger = new FinalLedger(provider.member.addresses.http);
    await eventually("the consumer knows it", async () => {
      const [one, other] = await Promise.all([provider.admin.status(), consumerStatus()]);
      return one.finalSize === other.finalSize;
    });
  });

  after(async () => {
    await rogue?.close();
    await network?.close();
  });

  const consumerStatus = (): ReturnType<FaultNetwork["consumer"]["admin"]["status"]> =>
    network.consumer.admin.status();

  /** The only record of a kind that the consumer has put on the ledger. */
  async function reported(kind: PlacedRecord["body"]["case"]): Promise<PlacedRecord["body"]> {
    const { id } = network.consumer.member.gateway.card;
    let found: PlacedRecord[] = [];
    await eventually(`${kind} is final`, async () => {
      await ledger.update();
      found = ledger.records.filter(({ body, gateway }) => body.case === kind && gateway === id);
      return found.length > 0;
    });
    assert.equal(found.length, 1, `${kind} is reported once`);
    return (found[0] as PlacedRecord).body;
  }

  /** Whether a leaf has reached the disk of the consumer, which only its own process may open. */
  function isHeldOnDisk({ leafHash }: CreatedBatch): boolean {
    const path = join(network.consumer.member.folder, "data", "held.sqlite");
    return [path, `${path}-wal`].some((file) => readFileSync(file).includes(Buffer.from(leafHash)));
  }

  it("a receipt that is withheld is reported by the start after the kill", async () => {
    rogue.behave = async (victim) => {
      const answer = division("西湖区");
      const built = rogue.receipt(victim.frame, answer);
      withheld = await rogue.seal([built.record]);
      const { value } = answerFrame(wholeSegment(answer), built, proofIn(withheld, 0), undefined);
      victim.send({ case: "answer", value });
    };
    const answer = await network.client.getDivision("330106");
    assert.equal(answer.code, 0, answer.details);
    assert.equal(handleOf(answer), `${toHex(withheld.leafHash)}/0`);
    await eventually("it is on disk", () => isHeldOnDisk(withheld));
    await network.consumer.end("SIGKILL");
    await network.consumer.start("product");
    // Something that another gateway seals later makes it overdue.
    const { cities, consumer, provider } = network;
    await grantAgain(cities, { consumer: consumer.admin, provider: provider.admin });
    const body = await reported("receiptMissing");
    assert.ok(body.case === "receiptMissing");
    assert.ok(equalBytes(body.value.leaf, withheld.leaf));
  });

  it("another leaf for its place, final while the consumer was down, is reported by the next start", async () => {
    const { consumer } = network;
    await consumer.end("SIGKILL");
    const other = await rogue.seal(withheld.records, { firstAtMs: Date.now() - 1 });
    assert.ok(!equalBytes(other.leafHash, withheld.leafHash));
    assert.equal((await rogue.submit(other)).kind, "included");
    await consumer.start("product");
    const body = await reported("equivocationReported");
    const { proof } = body.value as EquivocationReported;
    assert.ok(proof.case === "headers");
    assert.ok(equalBytes(proof.value.firstLeaf, other.leaf));
    assert.ok(equalBytes(proof.value.secondLeaf, withheld.leaf));
    const [first, second] = [proof.value.firstLeaf, proof.value.secondLeaf].map((leaf) => {
      const { gateway, epoch, seq, boot } = openLeaf(leaf).header;
      return [gateway, epoch, seq, toHex(boot)];
    });
    assert.deepEqual(first, second);
    assert.equal(first?.[0], rogue.id);
  });

  it("the chain is frozen: nothing more of it is taken, and nobody calls its gateway", async () => {
    const more = await rogue.seal(withheld.records, { firstAtMs: Date.now() - 2 });
    const submitted = await rogue.submit(more);
    assert.equal(submitted.kind === "rejected" ? submitted.reason : submitted.kind, "CHAIN_FROZEN");
    const called = rogue.calls.length;
    await network.nextAnswer();
    assert.equal(rogue.calls.length, called);
  });

  it("a call that only the frozen gateway could answer is refused CHAIN_FROZEN, on record", async () => {
    const { cities, consumer } = network;
    const { city, gateway } = cities.provider;
    const iss = city.card.id;
    const claims = { iss, sub: gateway.card.id, net: cities.networkId, jti: newJti(), iat: nowS() };
    const suspended = await consumer.admin.submit(
      createStatement(
        { name: "suspension", claims, body: { what: "gateway", reason: "under-inquiry" } },
        [city.authority],
      ),
    );
    assert.deepEqual([suspended.final, suspended.voidReason], [true, ""]);
    const called = rogue.calls.length;
    const refused = await network.client.getDivision("330106");
    assert.equal(refused.reason, "CHAIN_FROZEN");
    assert.equal(rogue.calls.length, called);
    const [newest] = await consumer.admin.records(1);
    assert.deepEqual([newest?.kind, newest?.detail], ["refusal", "CHAIN_FROZEN"]);
  });

  it("what was reported is held no longer, and is not reported again", async () => {
    const { consumer } = network;
    await consumer.end("SIGKILL");
    const store = await openHeld({
      path: join(consumer.member.folder, "data", "held.sqlite"),
      scheduler: systemScheduler,
      onFailed: (error) => assert.fail(error),
    });
    const leaves = await store.leaves();
    await store.close();
    assert.ok(!leaves.some(({ leafHash }) => equalBytes(leafHash, withheld.leafHash)));
    await reported("equivocationReported");
    await reported("receiptMissing");
  });
});
