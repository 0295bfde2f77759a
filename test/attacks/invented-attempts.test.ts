import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { toBase64url } from "../../src/base/bytes.ts";
import { callTokenDigest } from "../../src/credential/call-token.ts";
import { CallFrameSchema, type CallFrame } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { type Closed, Outcome, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { callPaths } from "../../src/record/call-tree.ts";
import { eventually } from "../support/admin-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, getDivision } from "../support/two-cities.ts";
import { division, RogueProvider } from "./rogue-provider.ts";
import { type RecordReader, recordReader, RogueLink, sleep } from "./support.ts";

describe("a provider that records attempts that nobody made", () => {
  let running: Running;
  let rogue: RogueProvider;
  let records: RecordReader;
  /** Makes calls under the consumer's real token key. */
  let forger: RogueLink;
  /** A call that the consumer did make, and that it closed. */
  let honest: CallFrame;

  before(async () => {
    running = await startTwoCities();
    records = recordReader(running.cities.consumer);
    rogue = await RogueProvider.start(running);
    forger = await RogueLink.open(running.cities, {
      service: divisionsService,
      method: getDivision,
      purpose: "address-check",
      grant: { index: 1n, position: 0 },
    });
    rogue.behave = async (victim) => {
      victim.send({ case: "answer", value: await rogue.answer(victim.frame, { submitted: true }) });
    };
    assert.equal((await running.client.getDivision("330106")).code, 0);
    const [made] = rogue.calls;
    assert.ok(made !== undefined, "the call went to the honest gateway");
    honest = made.frame;
  });

  after(async () => {
    forger?.close();
    records?.close();
    await rogue?.close();
    await running?.close();
  });

  /** Puts a receipt of this call on the ledger; what the consumer closed of it, once all is final. */
  async function closedAfter(call: CallFrame): Promise<readonly Closed[]> {
    const { record } = rogue.receipt(call, division("西湖区"));
    const result = await rogue.submit(await rogue.seal([record]));
    assert.ok(
      result.kind === "included",
      JSON.stringify(result, (_k, v) => String(v)),
    );
    await eventually("the consumer has seen it", async () => {
      const { finalSize } = await running.consumer.status();
      return finalSize > result.index;
    });
    const digest = Buffer.from(callTokenDigest(call.token)).toString("hex");
    const read = async (): Promise<Closed[]> => {
      const found: Closed[] = [];
      for (const entry of await records.entries()) {
        const { body } = (await records.open(entry)).record;
        if (body.case !== "closed" || body.value.index !== call.index) continue;
        if (Buffer.from(body.value.tokenDigest).toString("hex") === digest) found.push(body.value);
      }
      return found;
    };
    // An answer is sealed in the turns that follow the final checkpoint; a second one would follow soon.
    const untilMs = Date.now() + 500;
    let found = await read();
    while (found.length === 0 && Date.now() < untilMs) {
      await sleep(20);
      found = await read();
    }
    await running.settled();
    found = await read();
    return found;
  }

  function assertAnswered(found: readonly Closed[], outcome: Outcome): void {
    assert.deepEqual(
      found.map((closed) => closed.outcome),
      [outcome],
    );
    assert.equal(found[0]?.side, Side.CONSUMER);
  }

  it("is not disputed for the receipt of an attempt that was made", async () => {
    assert.deepEqual(await closedAfter(honest), []);
  });

  it("is not answered again for a second receipt of an attempt that is closed", async () => {
    assert.deepEqual(await closedAfter(honest), []);
  });

  it("is DISPUTED for a real token under an index that the consumer never used", async () => {
    const copied = create(CallFrameSchema, { ...honest, index: 7 });
    assertAnswered(await closedAfter(copied), Outcome.DISPUTED);
  });

  it("is DISPUTED for a token that this start of the consumer did not make", async () => {
    assertAnswered(await closedAfter(forger.make()), Outcome.DISPUTED);
  });

  it("is DISPUTED for a token whose signature is no signature of the consumer", async () => {
    const signer = running.cities.provider.gateway.token;
    const iat = Math.floor(Date.now() / 1000) - 3600;
    const call = forger.make({ signer, claims: { iat, exp: iat + 60 } });
    assertAnswered(await closedAfter(call), Outcome.DISPUTED);
  });

  it("is DISPUTED for a statement that an old and genuine token does not cover", async () => {
    const iat = Math.floor(Date.now() / 1000) - 3600;
    const root = toBase64url(callPaths([new Uint8Array(3)]).root);
    const call = forger.make({ claims: { iat, exp: iat + 60, root } });
    assertAnswered(await closedAfter(call), Outcome.DISPUTED);
  });

  it("is answered UNKNOWN_AFTER_RESTART for a genuine token of an earlier start", async () => {
    const iat = Math.floor(Date.now() / 1000) - 3600;
    const call = forger.make({ claims: { iat, exp: iat + 60 } });
    assertAnswered(await closedAfter(call), Outcome.UNKNOWN_AFTER_RESTART);
  });

  it("is not answered for a token that names another consumer", async () => {
    const call = forger.make({ claims: { iss: "shenzhen/market-regulation/gw2" } });
    assert.deepEqual(await closedAfter(call), []);
  });

  it("does not stop the consumer with text that is no token", async () => {
    const call = forger.make({ frame: (f) => (f.token = "no-token-at-all") });
    assert.deepEqual(await closedAfter(call), []);
    assertAnswered(await closedAfter(forger.make()), Outcome.DISPUTED);
    assert.equal((await running.client.getDivision("330106")).code, 0);
  });
});
