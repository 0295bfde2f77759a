/** Arbitrary histories: what a generator asks for, turned into statements of a real network. */
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import {
  createTestAgency,
  candidateOf,
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestAgency,
  type TestCity,
  type TestGateway,
  type TestNetwork,
} from "../support/network.ts";
import {
  candidacyDigest,
  type CityKeys,
  divisions,
  sayAppointment,
  sayCandidacy,
  sayCity,
  sayDenial,
  sayGrant,
  sayOfAgency,
  sayPolicy,
  sayRenewal,
  sayRequest,
  sayRevocation,
  sayService,
  sayVote,
  sayWitness,
  signedHead,
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
  "two approvals",
  "approval",
  "suspension",
  "resumption",
  "changed agency",
  "changed gateway",
  "rotation",
  "recovery",
  "witness",
  "candidacy",
  "admission",
  "exclusion",
  "rules",
  "calendar",
  "sequencer",
  "equivocation",
  "epoch",
] as const;

/** What many histories should come to is drawn more often. */
const drawn: readonly (typeof verbs)[number][] = [
  ...verbs,
  ...(["request", "grant", "grant", "approval", "revocation", "resumption", "admission"] as const),
];

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
    verb: fc.constantFrom(...drawn),
    carrier: fc.constantFrom("provider", "consumer"),
    pick: fc.nat({ max: 3 }),
    lag: fc.nat({ max: 2 }),
  }),
  { minLength: 16, maxLength: 36 },
);

interface Said {
  readonly requests: SignedStatement<"request">[];
  readonly grants: SignedStatement<"grant">[];
  readonly candidacies: SignedStatement<"city">[];
  versions: { service: number; policy: number };
  /** How often the second city has renewed its authority. */
  renewals: number;
  members: number;
}

/** The newest but `pick`, or the oldest. */
function recent<T>(all: readonly T[], pick: number): T | undefined {
  return all.at(-1 - pick) ?? all[0];
}

const kinds = ["agency", "gateway", "administrator", "service"] as const;

/** A suspension or resumption of something of the provider, by its agency or its city. */
function takingOf(
  network: TestNetwork,
  name: "suspension" | "resumption",
  pick: number,
): SignedStatement {
  const { provider, cities } = network;
  const what = kinds[pick] as (typeof kinds)[number];
  const sub = {
    agency: provider.id,
    gateway: provider.gateway.id,
    administrator: thumbprint(provider.administrator.publicKey),
    service: divisions(network),
  }[what];
  const said = { sub, body: { what, reason: "inquiry" } };
  if (what === "agency") return sayCity(network, name, cities[0] as TestCity, said);
  return sayOfAgency(network, name, provider, said, colleagueOf(network, name));
}

/** Who approves what the administrator granted, and resumes him. */
function colleagueOf(network: TestNetwork, name: string): Signer | undefined {
  return name === "suspension" ? undefined : network.signer("colleague");
}

/** The keys of the second city after some renewals. */
function renewed(network: TestNetwork, renewals: number): CityKeys {
  const { authority, next } = network.cities[1] as TestCity;
  const keys = [authority, next];
  const key = (i: number): Signer => keys[i] ?? network.signer(`shenzhen authority ${i}`);
  return { authority: key(renewals), next: key(renewals + 1) };
}

/** A vote of one of the two first cities, the second under the key that it has now. */
function voteOf(
  network: TestNetwork,
  said: Said,
  { verb, pick }: Step,
  ledger: TestLedger,
): SignedStatement | undefined {
  const [hangzhou, shenzhen] = network.cities as readonly [TestCity, TestCity];
  const { authority } = renewed(network, said.renewals);
  const city = pick % 2 === 0 ? hangzhou : { ...shenzhen, authority };
  const candidacy = said.candidacies.at(-1);
  switch (verb) {
    case "admission":
      if (candidacy === undefined) return undefined;
      return sayVote(network, city, {
        sub: "ningbo",
        body: {
          on: "admission",
          candidacy: candidacyDigest(candidacy),
          quorum: 2,
          faults: 0,
        },
      });
    case "exclusion": {
      const body = { on: "exclusion", quorum: 2, faults: 0 } as const;
      return sayVote(network, city, { sub: "ningbo", body });
    }
    case "rules":
      return sayVote(network, city, { sub: network.idHex, body: { on: "rules", version: 2 } });
    case "calendar": {
      const year = { year: 2027, off: ["2027-01-01"], on: [] };
      return sayVote(network, city, { sub: network.idHex, body: { on: "calendar", year } });
    }
    default: {
      const term = ledger.state.terms.length;
      const gateway = network.consumer.gateway;
      const size = ledger.size;
      const head = signedHead(network, { size, root: ledger.rootAt(size) as Uint8Array });
      const log = network.signer(`log ${term}`);
      return sayAppointment(network, city, { gateway, term, log }, head);
    }
  }
}

function statementOf(
  network: TestNetwork,
  said: Said,
  step: Step,
  ledger: TestLedger,
): SignedStatement | undefined {
  const { verb, pick } = step;
  const { provider } = network;
  const [hangzhou, shenzhen] = network.cities as readonly [TestCity, TestCity];
  // One in four versions is not the next one.
  const skip = pick === 3 ? 1 : 0;
  const request = recent(said.requests, pick);
  const grant = recent(said.grants, pick);
  switch (verb) {
    case "service":
      return sayService(network, { body: { version: ++said.versions.service + skip } });
    case "two approvals":
      return sayService(network, {
        body: { version: ++said.versions.service, approval: { approvals: 2 } },
      });
    case "policy":
      return sayPolicy(network, { body: { version: ++said.versions.policy + skip } });
    case "request":
      said.requests.push(sayRequest(network));
      return said.requests.at(-1);
    case "grant":
      if (request !== undefined) said.grants.push(sayGrant(network, request));
      return request === undefined ? undefined : said.grants.at(-1);
    case "approval": {
      if (grant === undefined) return undefined;
      const about = { sub: grant.claims.sub, body: { grant: grant.claims.jti } };
      return sayOfAgency(network, "approval", provider, about, network.signer("colleague"));
    }
    case "denial":
      return request === undefined ? undefined : sayDenial(network, request);
    case "revocation":
      return grant === undefined ? undefined : sayRevocation(network, grant);
    case "administrator":
      return sayAdministrator(network, provider, network.signer(`administrator ${pick}`));
    case "agency": {
      const id = `hangzhou/agency-${said.members++}`;
      return sayAgency(network, hangzhou, createTestAgency(network, id));
    }
    case "suspension":
    case "resumption":
      return takingOf(network, verb, pick);
    case "changed agency":
      return sayAgency(network, hangzhou, provider, {
        roles: pick === 0 ? ["provider"] : ["consumer", "provider"],
      });
    case "changed gateway": {
      const { gateway } = provider;
      const endpoints = { ...gateway.body.endpoints, http: `moved-${pick}.test:80` };
      return sayGateway(network, provider, { ...gateway, body: { ...gateway.body, endpoints } });
    }
    case "rotation":
    case "recovery": {
      const before = { ...shenzhen, authority: renewed(network, said.renewals).authority };
      return sayRenewal(network, before, verb, renewed(network, ++said.renewals));
    }
    case "witness":
      return sayWitness(network, hangzhou, network.signer(`witness ${pick}`));
    case "candidacy":
      said.candidacies.push(sayCandidacy(network, candidateOf(network)));
      return said.candidacies.at(-1);
    case "admission":
    case "exclusion":
    case "rules":
    case "calendar":
    case "sequencer":
      return voteOf(network, said, step, ledger);
    case "equivocation":
    case "epoch":
    case "evidence":
      return undefined;
  }
}

/** Two leaves of a gateway for its next place, or for an older one. */
function contradiction(ledger: TestLedger, gateway: TestGateway, pick: number): Uint8Array {
  const seq = BigInt(pick);
  const [firstLeaf, secondLeaf] = [1, 2].map((openAttempts) => {
    return ledger.seal(gateway, [statusRecord(openAttempts)], { kind: "evidence", seq }).leaf;
  }) as [Uint8Array, Uint8Array];
  const proof = { case: "headers", value: { firstLeaf, secondLeaf } } as const;
  return encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
}

/** Opens a new epoch of a gateway's chain. */
async function openEpoch(ledger: TestLedger, agency: TestAgency, seenSize: bigint): Promise<void> {
  const { gateway } = agency;
  const tip = ledger.state.chains.get(gateway.id);
  if (tip === undefined) return;
  const last = { epoch: Number(tip.epoch), seq: Number(tip.seq), leaf: toHex(tip.leafHash) };
  const epoch = last.epoch + 1;
  const body = { epoch, last, reason: "disk-lost", lost_from: 1, lost_to: 2 };
  const { record } = sayOfAgency(ledger.network, "epoch", agency, { sub: gateway.id, body });
  const place = { epoch: BigInt(epoch), seq: 0n, seenSize };
  await ledger.offer(ledger.seal(gateway, [record], place));
}

/**
 * A founded ledger with a service and a policy, after the steps. What has nothing to be about becomes
 * evidence, and what structure refuses leaves no leaf.
 */
export async function play(network: TestNetwork, steps: readonly Step[]): Promise<TestLedger> {
  const ledger = await TestLedger.founded(network);
  const said: Said = {
    requests: [],
    grants: [],
    candidacies: [],
    versions: { service: 1, policy: 1 },
    renewals: 0,
    members: 0,
  };
  await ledger.append(network.provider.gateway, [
    sayService(network),
    sayAdministrator(network, network.provider, network.signer("colleague")),
  ]);
  await ledger.append(network.provider.gateway, [sayPolicy(network)]);
  for (const step of steps) {
    const { gateway } = network[step.carrier];
    const lowest = ledger.state.chains.get(gateway.id)?.seenSize ?? 1n;
    const wanted = ledger.size - BigInt(step.lag);
    const seenSize = wanted < lowest ? lowest : wanted;
    if (step.verb === "epoch") {
      await openEpoch(ledger, network[step.carrier], seenSize);
      continue;
    }
    const record =
      step.verb === "equivocation"
        ? contradiction(ledger, network.provider.gateway, step.pick)
        : statementOf(network, said, step, ledger)?.record;
    // Both votes of a term stand in one batch.
    const second =
      step.verb === "sequencer"
        ? voteOf(network, said, { ...step, pick: step.pick + 1 }, ledger)?.record
        : undefined;
    const kind = record === undefined ? "evidence" : "governance";
    const records = [record ?? statusRecord(), ...(second === undefined ? [] : [second])];
    await ledger.offer(ledger.seal(gateway, records, { kind, seenSize }));
  }
  return ledger;
}
