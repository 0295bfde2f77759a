/** Four cities whose members, keys, quorum and sequencer change under an unbroken history. */
import type { VoteBody } from "../../src/credential/statements.ts";
import { createTestCity, type TestCity, type TestGateway } from "../support/network.ts";
import {
  candidacyDigest,
  sayAppointment,
  sayCandidacy,
  sayRenewal,
  sayVote,
  sayWitness,
} from "../support/statements.ts";
import { AuditLedger } from "./audit-ledger.ts";

const cities = [
  { id: "hangzhou", division: "330100", agency: "civil-affairs" },
  { id: "jinan", division: "370100", agency: "market-regulation" },
  { id: "shenzhen", division: "440300", agency: "transport" },
  { id: "xian", division: "610100", agency: "archives" },
] as const;

/** A city that speaks, with the authority key that it has now. */
export type Voice = Pick<TestCity, "id" | "authority">;

/** Where the changes of one history stand. */
export interface ChangedLedger {
  readonly audit: AuditLedger;
  readonly admission: bigint;
  readonly exclusion: bigint;
  readonly rotation: bigint;
  readonly witness: bigint;
  readonly term: bigint;
}

/** q = 3 of four. */
export function fourCities(seed: string): Promise<AuditLedger> {
  return AuditLedger.create(seed, { cities, network: { quorum: 3, faults: 1 } });
}

/** The city of an id, as it was founded. */
export function cityOf(audit: AuditLedger, id: string): TestCity {
  const city = audit.network.cities.find((one) => one.id === id);
  if (city === undefined) throw new TypeError(`no city ${id}`);
  return city;
}

/** A fifth city is let in by three votes; from then on four of five cosign. */
export async function admit(
  audit: AuditLedger,
  voters: readonly Voice[] = audit.network.cities.slice(0, 3),
): Promise<TestCity> {
  const { network, provider } = audit;
  const candidate = createTestCity(network, {
    id: "nanchang",
    division: "360100",
    agency: "transport",
  });
  const candidacy = sayCandidacy(network, candidate);
  await audit.govern(provider, [candidacy]);
  const admission: VoteBody = {
    on: "admission",
    candidacy: candidacyDigest(candidacy),
    quorum: 4,
    faults: 1,
  };
  const [last, ...before] = voters
    .toReversed()
    .map((city) => sayVote(network, city, { sub: candidate.id, body: admission }));
  for (const vote of before) await audit.govern(provider, [vote]);
  audit.cosigners = [...audit.cosigners, candidate];
  if (last !== undefined) await audit.govern(provider, [last]);
  return candidate;
}

/** A city is excluded by the votes of the others; three of the four that are left cosign. */
export async function exclude(
  audit: AuditLedger,
  city: string,
  voters: readonly Voice[],
): Promise<void> {
  const { network, provider } = audit;
  const votes = voters.map((voter) =>
    sayVote(network, voter, { sub: city, body: { on: "exclusion", quorum: 3, faults: 1 } }),
  );
  await audit.govern(provider, votes);
  audit.cosigners = audit.cosigners.filter(({ id }) => id !== city);
}

/** The authority keys change hands within the city. */
export async function rotate(audit: AuditLedger, id: string): Promise<Voice> {
  const city = cityOf(audit, id);
  const next = audit.network.signer(`${id} after next`);
  const renewed = { authority: city.next, next };
  await audit.govern(audit.provider, [sayRenewal(audit.network, city, "rotation", renewed)]);
  return { id, authority: city.next };
}

/** A new witness key speaks for the city from its leaf on. */
export async function replaceWitness(audit: AuditLedger, city: Voice): Promise<void> {
  const witness = audit.network.signer(`${city.id} other witness`);
  audit.cosigners = audit.cosigners.map((one) => (one.id === city.id ? { ...one, witness } : one));
  await audit.govern(audit.provider, [sayWitness(audit.network, city, witness)]);
}

/** The votes for a gateway as the next sequencer, each with the newest checkpoint here. */
export function appointment(
  audit: AuditLedger,
  gateway: TestGateway,
  voters: readonly Voice[],
  checkpoint: Uint8Array = audit.note(),
): { readonly term: AuditLedger["term"]; readonly votes: readonly Uint8Array[] } {
  const number = audit.term.number + 1;
  const log = audit.network.signer(`log of term ${number}`);
  const votes = voters.map((city) =>
    sayAppointment(audit.network, city, { gateway, term: number, log }, checkpoint),
  );
  return { term: { number, log }, votes: votes.map(({ record }) => record) };
}

/** Another gateway becomes the sequencer. */
export async function appoint(
  audit: AuditLedger,
  gateway: TestGateway,
  voters: readonly Voice[],
): Promise<bigint> {
  const { term, votes } = appointment(audit, gateway, voters);
  audit.term = term;
  return (await audit.govern(gateway, votes)).index;
}

/** Admission, exclusion, rotation, another witness key and another sequencer, with calls between them. */
export async function changedLedger(seed: string): Promise<ChangedLedger> {
  const audit = await fourCities(seed);
  await audit.read();
  const [hangzhou, jinan, shenzhen] = ["hangzhou", "jinan", "shenzhen"].map((id) =>
    cityOf(audit, id),
  ) as [TestCity, TestCity, TestCity];
  const candidate = await admit(audit);
  const admission = audit.ledger.size - 1n;
  await audit.read();
  await exclude(audit, "xian", [hangzhou, jinan, shenzhen, candidate]);
  const exclusion = audit.ledger.size - 1n;
  const rotated = await rotate(audit, "jinan");
  const rotation = audit.ledger.size - 1n;
  await audit.read();
  await replaceWitness(audit, shenzhen);
  const witness = audit.ledger.size - 1n;
  const term = await appoint(audit, jinan.agency.gateway, [hangzhou, rotated, candidate]);
  await audit.read();
  return { audit, admission, exclusion, rotation, witness, term };
}
