/** What the registry says of the city whose witness is hosted here. */
import { equalBytes, toHex } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Signer } from "../../crypto/ports.ts";
import type { CityWitness } from "../../registry/cosigning.ts";
import { rawKey } from "../../registry/keys.ts";
import type { LostState } from "../store/store.ts";
import type { LedgerReplica } from "./replica.ts";
import { cosigningNow } from "./trust.ts";

interface HostedCity {
  readonly city: string;
  readonly signer: Signer;
  readonly replica: LedgerReplica;
}

/** The city's witness as the registry has it now. Throws MEMBER_UNKNOWN when the network knows no such city. */
export function cityWitness({ city, replica }: Omit<HostedCity, "signer">): CityWitness {
  const { witnesses } = cosigningNow(replica.trust());
  const witness = witnesses.find((candidate) => candidate.city === city);
  if (witness === undefined) {
    throw new CausewayError("MEMBER_UNKNOWN", `the network has no city ${city}`);
  }
  return witness;
}

/** Throws as `cityWitness`, and KEY_UNKNOWN when the network names another key. */
export function assertKey(hosted: HostedCity): void {
  const { publicKey } = cityWitness(hosted).key;
  if (equalBytes(publicKey, hosted.signer.publicKey)) return;
  throw new CausewayError("KEY_UNKNOWN", "the network names another witness key for this city");
}

/** The key that spoke for the city before the present one, in the newest term; `undefined` for its first key. */
export function earlierKeyOf({ city, signer, replica }: HostedCity): LostState | undefined {
  const facts = replica.trust().state.cities.get(city) ?? [];
  const keys = facts.map((fact) => toHex(rawKey(fact.city.witness)));
  const key = keys.findLast((one) => one !== toHex(signer.publicKey));
  return key === undefined ? undefined : { key, term: replica.term().term };
}
