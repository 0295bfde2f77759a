/** The world that every random history begins in. */
import assert from "node:assert/strict";
import { play, type Tally } from "./play.ts";
import { plainStep, type Step } from "./step.ts";
import { World } from "./world.ts";

/** Founded, with a second administrator for each agency and services that ask for one approval and for two. */
async function createWorld(): Promise<World> {
  const world = await World.found();
  const prelude: readonly Step[] = [
    ...[0, 1, 2, 3].map((a) => plainStep("administrator", { a, b: 1, c: 1 })),
    ...[0, 1].map((a) => plainStep("service", { a, b: a, c: 0 })),
    ...[0, 1, 2].map((a) => plainStep("request", { a: a + 1, b: a, c: 1 })),
  ];
  const tally: Tally = new Map();
  await play(world, prelude, tally);
  assert.deepEqual(Object.fromEntries(tally), {
    "administrator applied": 4,
    "service applied": 2,
    "request applied": 3,
  });
  return world;
}

export const created: World = await createWorld();
