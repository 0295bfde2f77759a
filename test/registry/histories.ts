/** Arbitrary histories: what a generator asks for, turned into statements of a real network. */
import fc from "fast-check";
import { TestLedger } from "../support/ledger.ts";
import {
  createTestAgency,
  sayAdministrator,
  sayAgency,
  type SignedStatement,
  type TestCity,
  type TestGateway,
  type TestNetwork,
} from "../support/network.ts";
import {
  sayDenial,
  sayGrant,
  sayPolicy,
  sayRequest,
  sayRevocation,
  sayService,
} from "../support/statements.ts";

const verbs = [
  "service",
  "policy",
  "request",
  "grant",
  "denial",
  "revocation",
  "administrator",
  "agency",
  "evidence",
] as const;

export interface Step {
  readonly verb: (typeof verbs)[number];
  readonly carrier: "provider" | "consumer";
  /** Which of what was said before it is about, and how new versions count. */
  readonly pick: number;
  /** How far the header's seen size is behind the ledger. */
  readonly lag: number;
}

export const history: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    verb: fc.constantFrom(...verbs),
    carrier: fc.constantFrom("provider", "consumer"),
    pick: fc.nat({ max: 3 }),
    lag: fc.nat({ max: 2 }),
  }),
  { minLength: 12, maxLength: 24 },
);

interface Said {
  readonly requests: SignedStatement<"request">[];
  readonly grants: SignedStatement<"grant">[];
  versions: { service: number; policy: number };
  members: number;
}

/** The newest but `pick`, or the oldest. */
function recent<T>(all: readonly T[], pick: number): T | undefined {
  return all.at(-1 - pick) ?? all[0];
}

function statementOf(
  network: TestNetwork,
  said: Said,
  { verb, pick }: Step,
): SignedStatement | undefined {
  // One in four versions is not the next one.
  const skip = pick === 3 ? 1 : 0;
  const request = recent(said.requests, pick);
  switch (verb) {
    case "service":
      return sayService(network, { body: { version: ++said.versions.service + skip } });
    case "policy":
      return sayPolicy(network, { body: { version: ++said.versions.policy + skip } });
    case "request":
      said.requests.push(sayRequest(network));
      return said.requests.at(-1);
    case "grant":
      if (request !== undefined) said.grants.push(sayGrant(network, request));
      return request === undefined ? undefined : said.grants.at(-1);
    case "denial":
      return request === undefined ? undefined : sayDenial(network, request);
    case "revocation": {
      const grant = recent(said.grants, pick);
      return grant === undefined ? undefined : sayRevocation(network, grant);
    }
    case "administrator":
      return sayAdministrator(network, network.provider, network.signer(`administrator ${pick}`));
    case "agency": {
      const [city] = network.cities as readonly [TestCity];
      return sayAgency(
        network,
        city,
        createTestAgency(network, `hangzhou/agency-${said.members++}`),
      );
    }
    case "evidence":
      return undefined;
  }
}

/** A founded ledger with a service and a policy, after the steps. What has nothing to be about becomes evidence. */
export async function play(network: TestNetwork, steps: readonly Step[]): Promise<TestLedger> {
  const ledger = await TestLedger.founded(network);
  const said: Said = { requests: [], grants: [], versions: { service: 1, policy: 1 }, members: 0 };
  await ledger.append(network.provider.gateway, [sayService(network)]);
  await ledger.append(network.provider.gateway, [sayPolicy(network)]);
  for (const step of steps) {
    const gateway: TestGateway = network[step.carrier].gateway;
    const lowest = ledger.state.chains.get(gateway.id)?.seenSize ?? 1n;
    const wanted = ledger.size - BigInt(step.lag);
    const seenSize = wanted < lowest ? lowest : wanted;
    const statement = statementOf(network, said, step);
    if (statement === undefined) await ledger.appendEvidence(gateway, undefined, { seenSize });
    else await ledger.append(gateway, [statement], { seenSize });
  }
  return ledger;
}
