/** What cities say of themselves and of each other, each with one call. */
import { toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { formatPayload } from "../../src/credential/payloads.ts";
import type { Statement, StatementBodies, VoteBody } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import type { SignedStatement, TestGateway, TestNetwork } from "./network.ts";

/** A city that speaks, with the authority key that it has now. */
export interface Voice {
  readonly id: string;
  readonly authority: Signer;
}

type LastingVote = Exclude<VoteBody, { readonly on: "sequencer" }>;

export function sayVote(
  network: TestNetwork,
  city: Voice,
  sub: string,
  body: LastingVote,
): SignedStatement<"vote"> {
  return network.say("vote", { iss: city.id, sub, body }, [city.authority]);
}

/** A new city with keys of its own, and its candidacy. */
export interface TestCandidate extends Voice {
  readonly witness: Signer;
  readonly said: SignedStatement<"city">;
  /** SHA-256 of the payload: what votes name. */
  readonly payload: string;
}

export function sayCandidacy(network: TestNetwork, id: string): TestCandidate {
  const authority = network.signer(`${id} authority`);
  const witness = network.signer(`${id} witness`);
  const body: StatementBodies["city"] = {
    change: "candidacy",
    authority: formatKey(authority.publicKey),
    next: toHex(sha256(network.signer(`${id} next`).publicKey)),
    witness: formatKey(witness.publicKey),
    witness_address: `${id}.test:7443`,
    witness_tls: toHex(sha256(utf8(`${network.idHex} ${id} tls`))),
    division: "360100",
  };
  const said = network.say("city", { iss: id, sub: id, body }, [authority, witness]);
  const statement = { name: "city", claims: said.claims, body: said.body } as Statement;
  return { id, authority, witness, said, payload: toHex(sha256(formatPayload(statement))) };
}

/** The next authority key takes the place of the one in force. */
export function sayRotation(
  network: TestNetwork,
  city: Voice & { readonly next: Signer },
): SignedStatement<"city"> {
  const body: StatementBodies["city"] = {
    change: "rotation",
    authority: formatKey(city.next.publicKey),
    next: toHex(sha256(network.signer(`${city.id} after next`).publicKey)),
  };
  return network.say("city", { iss: city.id, sub: city.id, body }, [city.authority, city.next]);
}

/** Another witness key, on another machine. */
export function sayWitness(
  network: TestNetwork,
  city: Voice,
  witness: Signer,
): SignedStatement<"city"> {
  const body: StatementBodies["city"] = {
    change: "witness",
    witness: formatKey(witness.publicKey),
    witness_address: `${city.id}.other.test:7443`,
    witness_tls: toHex(sha256(utf8(`${network.idHex} ${city.id} other tls`))),
  };
  return network.say("city", { iss: city.id, sub: city.id, body }, [city.authority, witness]);
}

/** A vote for `gateway` as the sequencer of a term, naming the voter's highest checkpoint. */
export function saySequencer(
  network: TestNetwork,
  city: Voice,
  gateway: TestGateway,
  appointment: { readonly term: number; readonly log: Signer; readonly checkpoint: Uint8Array },
): SignedStatement<"vote"> {
  const { term, log, checkpoint } = appointment;
  const body: VoteBody = {
    on: "sequencer",
    term,
    address: gateway.body.endpoints.peer,
    tls: gateway.body.tls[0] as string,
    log: formatKey(log.publicKey),
    checkpoint: toBase64(checkpoint),
  };
  return network.say("vote", { iss: city.id, sub: gateway.id, body }, [city.authority, log]);
}
