import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Arrival, Arrivals } from "../../src/exchange/arrivals.ts";
import { AnswerFrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";

const answer: Arrival = { case: "answer", value: create(AnswerFrameSchema) };
const lost: Arrival = { case: "lost" };

function drain(arrivals: Arrivals): (string | undefined)[] {
  const cases: (string | undefined)[] = [];
  for (let next = arrivals.shift(); next !== undefined; next = arrivals.shift()) {
    cases.push(next.case);
  }
  return cases;
}

describe("what has arrived for an attempt", () => {
  it("keeps what is taken behind the segments that came before, and sums it up", () => {
    const arrivals = new Arrivals(4);
    arrivals.push(answer);
    for (let i = 0; i < 1000; i++) arrivals.push({ case: "taken", messages: 1 });
    arrivals.push(answer);
    arrivals.push({ case: "taken", messages: 5 });
    assert.equal(arrivals.shift()?.case, "answer");
    assert.deepEqual(arrivals.shift(), { case: "taken", messages: 1000 });
    assert.equal(arrivals.shift()?.case, "answer");
    assert.deepEqual(arrivals.shift(), { case: "taken", messages: 5 });
    assert.equal(arrivals.shift(), undefined);
  });

  it("holds a window of segments and the end of both attempt and link", () => {
    const arrivals = new Arrivals(4);
    for (let i = 0; i < 4; i++) assert.equal(arrivals.push(answer), "taken");
    assert.equal(arrivals.push({ case: "failed", value: { reason: "BUSY" } } as Arrival), "taken");
    assert.equal(arrivals.push(lost), "taken");
    assert.deepEqual(drain(arrivals), [...Array<string>(4).fill("answer"), "failed", "lost"]);
  });

  it("takes nothing more of a provider that does not keep to its window", () => {
    const arrivals = new Arrivals(1);
    for (let i = 0; i < 3; i++) assert.equal(arrivals.push(answer), "taken");
    assert.equal(arrivals.push(answer), "too-many");
    for (let i = 0; i < 1000; i++) assert.equal(arrivals.push(answer), "taken");
    assert.deepEqual(drain(arrivals), ["answer", "answer", "answer", "failed"]);
  });

  it("goes on as long as what came is looked at", () => {
    const arrivals = new Arrivals(1);
    for (let i = 0; i < 1000; i++) {
      assert.equal(arrivals.push(answer), "taken");
      assert.equal(arrivals.shift()?.case, "answer");
    }
  });
});
