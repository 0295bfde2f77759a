/** Steps of a random history: what is said, by whom it is carried, and what is wrong with it. */
import fc from "fast-check";
import type { StatementBodies, StatementName } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import type { TestGateway } from "../support/network.ts";
import type { Fact } from "./facts.ts";
import type { ModelRecord } from "./ledger-model.ts";
import type { Spoken, World } from "./world.ts";

/** How often each is tried. */
const verbs = {
  agency: 2,
  gateway: 3,
  administrator: 3,
  service: 3,
  policy: 2,
  request: 7,
  grant: 9,
  denial: 1,
  approval: 6,
  revocation: 3,
  suspension: 3,
  resumption: 4,
  candidacy: 2,
  poll: 6,
  vote: 2,
  rotation: 2,
  recovery: 1,
  witness: 1,
  epoch: 3,
  report: 1,
  sequencer: 3,
  evidence: 2,
  replay: 2,
} as const;

export type Verb = keyof typeof verbs;

const twists = [
  "wrong signer",
  "unknown signer",
  "a signer missing",
  "stale",
  "early",
  "expired",
  "other network",
  "used jti",
] as const;
export type Twist = (typeof twists)[number] | "none";

/** What is wrong with the header of a batch. */
const faults = ["seq", "prev", "seen root", "seen ahead", "time", "key", "again", "epoch"] as const;
export type Fault = (typeof faults)[number] | "none";

export interface Step {
  readonly verb: Verb;
  /** Choices among what is there; what they mean is the verb's. */
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly twist: Twist;
  readonly fault: Fault;
  /** Which gateway carries the batch, and how far its seen size is behind. */
  readonly carrier: number;
  readonly lag: number;
  /** Whether the next step's records go into the same batch. */
  readonly joined: boolean;
  /** Seconds since the step before. */
  readonly later: number;
}

const choice = fc.nat({ max: 11 });
const mostly = <T>(usual: T, rare: fc.Arbitrary<T>, weight: number): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constant(usual), weight }, { arbitrary: rare, weight: 1 });
const weighted = Object.entries(verbs).flatMap(([verb, weight]) =>
  Array.from({ length: weight }, () => verb as Verb),
);

export const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    verb: fc.constantFrom(...weighted),
    a: choice,
    b: choice,
    c: choice,
    twist: mostly<Twist>("none", fc.constantFrom(...twists), 12),
    fault: mostly<Fault>("none", fc.constantFrom(...faults), 25),
    carrier: choice,
    lag: mostly(0, fc.nat({ max: 4 }), 6),
    joined: mostly(false, fc.constant(true), 4),
    later: mostly(1, fc.nat({ max: 4000 }), 9),
  }),
  { minLength: 20, maxLength: 60, size: "max" },
);

/** A step with nothing wrong and a batch of its own. */
export function plainStep(verb: Verb, choices: Pick<Step, "a" | "b" | "c">): Step {
  const usual = {
    twist: "none",
    fault: "none",
    carrier: 0,
    lag: 0,
    joined: false,
    later: 1,
  } as const;
  return { verb, ...choices, ...usual };
}

/** A record as the ledger takes it and as the model does. */
export interface Item {
  readonly bytes: Uint8Array;
  readonly record: ModelRecord;
}

/** What a step puts on the ledger. */
export interface Made {
  readonly items: readonly Item[];
  /** Who has to carry it, where it is not anyone. */
  readonly gateway?: TestGateway;
  /** It opens this epoch. */
  readonly epoch?: number;
}

export function item(spoken: Spoken): Item {
  return { bytes: spoken.record, record: { kind: "said", said: spoken } };
}

export function pick<T>(all: readonly T[], at: number): T | undefined {
  return all[at % Math.max(all.length, 1)];
}

/** One of the three newest of a list. */
export function recent<T>(all: readonly T[], at: number): T | undefined {
  return all.length === 0 ? undefined : all[all.length - 1 - (at % Math.min(all.length, 3))];
}

export function factsOfKind(world: World, kind: Fact["kind"]): readonly Fact[] {
  return world.history.facts.filter((fact) => fact.kind === kind);
}

/** An administrator of an agency; of one that has none, its authority, who has no say. */
export function administrator(world: World, agency: string, at: number): Signer {
  return pick(world.administratorsOf(agency), at) ?? world.authorityOf(agency);
}

function signersOf(world: World, { twist, a }: Step, needed: readonly Signer[]): readonly Signer[] {
  if (twist === "unknown signer") return [...needed.slice(1), world.freshKey()];
  if (twist === "a signer missing" && needed.length > 1) return needed.slice(0, -1);
  if (twist !== "wrong signer") return needed;
  const city = pick(world.cities, a + 1) as string;
  const agency = pick(world.agencies, a + 1) as string;
  const stranger = a % 2 === 0 ? world.authorityOf(city) : administrator(world, agency, a);
  return [stranger, ...needed.slice(1)];
}

const week = 7 * 24 * 3600;

/** Says it with the step's twist. */
export function speak<N extends StatementName>(
  world: World,
  step: Step,
  name: N,
  wording: {
    readonly iss: string;
    readonly sub: string;
    readonly body: StatementBodies[N];
    readonly nbf?: number;
    readonly exp?: number;
  },
  needed: readonly Signer[],
): Spoken {
  const changed = twisted(world, step, wording.nbf !== undefined);
  const isOfNetwork = wording.sub === world.network.idHex;
  // A vote about the network is about the one that it names.
  const sub = isOfNetwork ? (changed.net ?? wording.sub) : wording.sub;
  const spoken = world.speak(name, { ...wording, ...changed, sub }, signersOf(world, step, needed));
  world.said.push(spoken);
  return spoken;
}

function twisted(
  { nowS, history }: World,
  { twist, a }: Step,
  hasBeginning: boolean,
): { readonly net?: string; readonly iat?: number; readonly exp?: number; readonly jti?: string } {
  switch (twist) {
    case "stale":
      return { iat: nowS - week - 1, ...(hasBeginning ? { nbf: nowS - week } : {}) };
    case "early":
      return { iat: nowS + 4 + (a % 4) };
    case "expired":
      return { iat: nowS - 100, exp: nowS - (a % 2), ...(hasBeginning ? { nbf: nowS - 90 } : {}) };
    case "other network":
      return { net: "ab".repeat(32) };
    case "used jti":
      return { jti: pick(history.usedJti, a) as string };
    default:
      return {};
  }
}
