/** What the cities decide together. From DESIGN.md section 4 and the comments of the vote's body. */
import { formatJcs } from "../../src/credential/jcs.ts";
import type { Statement } from "../../src/credential/statements.ts";
import { type Fact, factsOf, type History, newest, rulesAt } from "./facts.ts";
import { type Against, assertAuthority, digestOf, type Ground, kidOf, type Said } from "./rules.ts";

/** Cities that are members just before a record. */
export function electorate(history: History): readonly string[] {
  const ids = new Set(history.facts.flatMap(({ kind, id }) => (kind === "city" ? [id] : [])));
  return [...ids].filter((id) => newest(history, "city", id)?.until === undefined);
}

function isQuorum(cities: number, quorum: number, faults: number): boolean {
  return quorum <= cities && 2 * quorum >= cities + faults + 1 && faults <= 1;
}

/** The faults of a vote, and its effect: it stands, and passes when enough cities say the same. */
export function countVotes(
  history: History,
  said: Said,
  ground: Ground,
  against: Against,
): () => void {
  const { claims, body } = said.statement as Extract<Statement, { name: "vote" }>;
  const { iss, sub } = claims;
  assertAuthority(history, iss, said, ground, against);
  const cities = electorate(history);
  if (!cities.includes(iss)) against("MEMBER_NOT_ACTIVE", "MEMBER_UNKNOWN");
  const quorum = history.quorums.at(-1) as History["quorums"][number];
  switch (body.on) {
    case "admission": {
      const candidacy = history.candidacies.find(({ payload }) => payload === body.candidacy);
      if (candidacy?.id !== sub || candidacy.since >= ground.seenSize) against("MEMBER_UNKNOWN");
      if (cities.includes(sub)) against("ALREADY_TAKEN");
      if (!isQuorum(cities.length + 1, body.quorum, body.faults)) against("QUORUM_INVALID");
      if (
        candidacy !== undefined &&
        keysOfCandidate(candidacy.body).some((key) => isBound(history, key))
      ) {
        // That it has been admitted already shows in its keys.
        against("KEY_BOUND", "MEMBER_UNKNOWN");
      }
      break;
    }
    case "exclusion":
      if (!factsOf(history, "city", sub).length) against("MEMBER_UNKNOWN");
      else if (!cities.includes(sub)) against("ALREADY_TAKEN", "MEMBER_NOT_ACTIVE");
      if (iss === sub) against("SIGNER_NOT_ALLOWED");
      // Where the others are fewer than the quorum nobody can be excluded.
      if (cities.length - 1 < quorum.quorum) against("QUORUM_INVALID");
      if (!isQuorum(cities.length - 1, body.quorum, body.faults)) against("QUORUM_INVALID");
      break;
    case "quorum":
      if (!isQuorum(cities.length, body.quorum, body.faults)) against("QUORUM_INVALID");
      if (body.quorum === quorum.quorum && body.faults === quorum.faults) against("ALREADY_TAKEN");
      break;
    case "rules": {
      const newestRules = history.rules.at(-1)?.version ?? 1;
      if (body.version <= newestRules) against("ALREADY_TAKEN", "VERSION_WRONG");
      if (body.version > 2) against("NOT_SUPPORTED", "VERSION_WRONG");
      break;
    }
    case "calendar":
      if (rulesAt(history, ground.seenSize) < 2) against("NOT_SUPPORTED");
      break;
    case "engine":
      against("NOT_SUPPORTED");
      break;
    case "sequencer":
      break;
  }
  if (body.on === "sequencer") return () => undefined;
  const choice = formatJcs({ sub, body });
  return () => {
    history.votes = history.votes.filter(
      (vote) => !(vote.city === iss && vote.on === body.on && vote.sub === sub),
    );
    history.votes.push({ on: body.on, sub, city: iss, choice });
    const voters = history.votes.filter(
      (vote) =>
        vote.choice === choice &&
        cities.includes(vote.city) &&
        vote.city !== (body.on === "exclusion" ? sub : ""),
    );
    if (voters.length < quorum.quorum) return;
    history.votes = history.votes.filter((vote) => !(vote.on === body.on && vote.sub === sub));
    pass(history, said, ground);
  };
}

function pass(history: History, { statement }: Said, ground: Ground): void {
  const { claims, body } = statement as Extract<Statement, { name: "vote" }>;
  const { sub } = claims;
  const since = ground.index;
  switch (body.on) {
    case "admission": {
      const candidacy = history.candidacies.find(({ payload }) => payload === body.candidacy);
      const city = candidacy?.body as Fact["body"];
      history.facts.push({
        kind: "city",
        id: sub,
        owner: sub,
        body: city,
        place: ground.place,
        since,
      });
      for (const { key, use, kid } of keysOfCandidate(city)) {
        history.keys.push({ key, use, owner: sub, ...(kid === undefined ? {} : { kid }) });
      }
      history.quorums.push({ since, quorum: body.quorum, faults: body.faults });
      return;
    }
    case "exclusion":
      (newest(history, "city", sub) as Fact).until = ground.place;
      history.quorums.push({ since, quorum: body.quorum, faults: body.faults });
      return;
    case "quorum":
      history.quorums.push({ since, quorum: body.quorum, faults: body.faults });
      return;
    case "rules":
      history.rules.push({ since, version: body.version });
      return;
    case "calendar":
      history.calendar.push({ since, year: body.year.year });
      return;
    default:
      return;
  }
}

interface CandidateKey {
  readonly key: string;
  readonly use: string;
  readonly kid?: string;
}

function keysOfCandidate(city: Fact["body"]): readonly CandidateKey[] {
  const [authority, witness] = [city["authority"], city["witness"]] as [string, string];
  return [
    { key: digestOf(authority), use: "authority", kid: kidOf(authority) },
    { key: city["next"] as string, use: "next-authority" },
    { key: digestOf(witness), use: "witness", kid: kidOf(witness) },
    { key: city["witness_tls"] as string, use: "tls" },
  ];
}

function isBound(history: History, { key }: CandidateKey): boolean {
  return history.keys.some((bound) => bound.key === key);
}
