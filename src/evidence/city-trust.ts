/**
 * Who speaks for the cities, from the founding document on: the registry's own rules, applied to the
 * statements that change cities, quorum or sequencer and to nothing else of the ledger.
 *
 * What it cannot see is what was left out. A package that hides an exclusion or a new key is believed as
 * far as the cities and keys before it are: their quorum is then one of the past.
 */
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { openStatement, verifyStatement } from "../credential/statement.ts";
import type { VerifiedStatement } from "../credential/statements.ts";
import type { Verifier } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { readQuorum } from "../ledger/embedded/checkpoints.ts";
import type { QuorumCheckpoint } from "../note/quorum.ts";
import { cosigningRuleAt } from "../registry/cosigning.ts";
import { initialState } from "../registry/initial.ts";
import { keyOfThumbprint, rawKey } from "../registry/keys.ts";
import { effectOf } from "../registry/meaning.ts";
import type { Ballot } from "../registry/rule.ts";
import type { Ground } from "../registry/standing.ts";
import type { CityFact, RegistryState } from "../registry/state.ts";
import { verifyVotedCheckpoint } from "../registry/voted-checkpoint.ts";
import type { Located } from "./located.ts";

/** Votes of one batch on a sequencer. */
interface Ballots {
  readonly index: bigint;
  readonly cast: Ballot[];
}

export class CityTrust {
  readonly #verifier: Verifier;
  #state: RegistryState;
  #ballots: Ballots | undefined;

  constructor(networkId: Uint8Array, verifier: Verifier) {
    this.#state = initialState(networkId);
    this.#verifier = verifier;
  }

  /** Number of founding cities, or of those that were ever members. */
  get cityCount(): number {
    return this.#state.cities.size;
  }

  /** Takes the founding document, whose signatures were verified. Throws its reason where it is void. */
  found(said: VerifiedStatement, located: Located): void {
    this.#apply(said, located);
    this.#state = { ...this.#state, size: 1n };
  }

  /** Takes a statement of a city or a vote. Throws the reason for which it would be void, or EVIDENCE_INVALID. */
  async add(located: Located): Promise<void> {
    const { body } = located.record;
    if (body.case !== "statement") throw invalid("a record that should be a statement is none");
    const opened = openStatement(body.value.jws);
    const said = await verifyStatement(opened, (kid) => this.keyOf(kid), this.#verifier);
    const { name } = said.statement;
    if (name !== "city" && name !== "vote") throw invalid("a change that is no city's and no vote");
    if (this.#ballots?.index !== located.index) this.#closeBallots();
    this.#apply(said, located);
    this.#state = { ...this.#state, size: located.index + 1n };
  }

  /**
   * The checkpoint of a note that every quorum from the size `from` on has cosigned, for the log of the
   * newest term. Throws as `readQuorum` does, and EVIDENCE_INVALID when the note is of another term.
   */
  readCheckpoint(note: Uint8Array, from: bigint): QuorumCheckpoint {
    this.#closeBallots();
    const trust = { state: this.#state, skewMs: 0 };
    const checkpoint = readQuorum(trust, note, { verifier: this.#verifier, from });
    const newest = this.#state.terms.findLast(({ since }) => since < checkpoint.size)?.term;
    if (newest === checkpoint.term) return checkpoint;
    throw invalid("a checkpoint of a term that had ended");
  }

  /** Raw key of a city that has or had this thumbprint. */
  keyOf(kid: string): Uint8Array | undefined {
    return keyOfThumbprint(this.#state, kid);
  }

  /** Whether the key with this thumbprint is the authority of a city, as a record at this place sees it. */
  isAuthority(kid: string, city: string, { index, leaf }: Located): boolean {
    const { seenSize } = leaf.header;
    const isSeen = ({ standing }: CityFact): boolean => index === 0n || standing.since < seenSize;
    const facts = (this.#state.cities.get(city) ?? []).filter(
      ({ standing }) => standing.since <= index,
    );
    const seen = facts.findLastIndex(isSeen);
    const isStolen = facts.slice(seen + 1).some(({ recovered }) => recovered === true);
    // What was only replaced has its successor behind it.
    const until = facts.at(-1)?.standing.until;
    const isExcluded = until !== undefined && until.index < index;
    const authority = isStolen || isExcluded ? undefined : facts[seen]?.city.authority;
    return authority !== undefined && thumbprint(rawKey(authority)) === kid;
  }

  #apply(said: VerifiedStatement, located: Located): void {
    const { index, position, recordHash } = located;
    const { body } = said.statement;
    const voted =
      "on" in body && body.on === "sequencer"
        ? { checkpoint: verifyVotedCheckpoint(this.#state, body.checkpoint, this.#verifier) }
        : {};
    const record = { address: { index, position }, recordHash, ...voted };
    const change = effectOf(said, record, groundOf(this.#state, located));
    if (typeof change === "string") throw voided(change);
    this.#state = change.state;
    if (change.ballot !== undefined)
      (this.#ballots ??= { index, cast: [] }).cast.push(change.ballot);
  }

  /** A term's log key is in force once a quorum has named it in one batch. Where the term starts does not matter here. */
  #closeBallots(): void {
    if (this.#ballots === undefined) return;
    const { index, cast } = this.#ballots;
    this.#ballots = undefined;
    const { cities, quorum } = cosigningRuleAt(this.#state, index);
    const voters = new Set(cast.map(({ city }) => city).filter((city) => cities.includes(city)));
    const choices = new Set(cast.map(({ choice }) => choice));
    if (choices.size !== 1 || voters.size < quorum) throw voided("VOTES_MISSING");
    const { term, gateway, address, tls, logKey } = cast[0] as Ballot;
    const fact = { term, gateway, address, tls, logKey, start: index, since: index };
    this.#state = { ...this.#state, terms: [...this.#state.terms, fact] };
  }
}

function groundOf(state: RegistryState, { index, leaf }: Located): Ground {
  const { gateway, epoch, seq, seenSize, sealedAt } = leaf.header;
  // Under which key the batch was sealed no rule for cities asks.
  const carrier = { gateway, epoch, seq, batchKey: new Uint8Array(0) };
  const atS = Number(sealedAt / 1000n);
  return { state, index, seenSize, sealedAtMs: Number(sealedAt), atS, carrier };
}

function voided(reason: ReasonCode): CausewayError {
  return new CausewayError(reason, "a change of cities, quorum or sequencer has no effect");
}

function invalid(why: string): CausewayError {
  return new CausewayError("EVIDENCE_INVALID", `not an evidence package: ${why}`);
}
