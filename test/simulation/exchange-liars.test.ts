import assert from "node:assert/strict";
import test from "node:test";
import { runLyingSchedule } from "./exchange-schedule.ts";

const count = Math.ceil(Number(process.env["CAUSEWAY_SIM_SCHEDULES"] ?? 800) / 20);
const first = Number(process.env["CAUSEWAY_SIM_FIRST"] ?? 0);

test("a gateway that lies about its part is convicted, and nobody who is honest is", async () => {
  const kinds = new Map<string, number>();
  for (let seed = first; seed < first + count; seed++) {
    const { violation, kind, hasLied, convictions } = await runLyingSchedule(seed);
    assert.equal(violation, undefined, `seed ${seed}, ${kind}: ${violation}`);
    if (hasLied) {
      assert.notEqual(convictions.length, 0, `seed ${seed}: nothing says that there was ${kind}`);
    }
    if (convictions.length === 0) continue;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  if (count >= 50) assert.equal(kinds.size, 10, [...kinds.keys()].join(", "));
});
