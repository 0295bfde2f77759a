/** Cities: candidacies, their own keys, and what they vote on. */
import { toBase64, toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { VoteBody } from "../../src/credential/statements.ts";
import { formatNote } from "../../src/note/note.ts";
import { signCheckpoint } from "../../src/note/sign.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { freshDigest } from "./member-steps.ts";
import { type Item, item, type Made, pick, recent, speak, type Step } from "./step.ts";
import { electorate } from "./votes.ts";
import type { Spoken, World } from "./world.ts";

export function sayOfCity(world: World, step: Step): Spoken {
  const { a, c, verb } = step;
  if (verb === "candidacy") return candidacy(world, step);
  const id = pick(world.cities, a) as string;
  const key = world.authorityOf(id);
  const about = { iss: id, sub: id };
  if (verb === "witness") {
    const witness = world.freshKey();
    const body = {
      change: "witness" as const,
      witness: formatKey(witness.publicKey),
      witness_address: `${id}.test:8443`,
      witness_tls: freshDigest(world, `${id} witness`),
    };
    return speak(world, step, "city", { ...about, body }, [key, witness]);
  }
  const current = c < 10 ? world.nextOf(id) : world.freshKey();
  const body = {
    change: verb === "rotation" ? ("rotation" as const) : ("recovery" as const),
    authority: formatKey(current.publicKey),
    next: toHex(sha256(world.freshKey().publicKey)),
  };
  const signers = verb === "rotation" ? [key, current] : [current];
  return speak(world, step, "city", { ...about, body }, signers);
}

function candidacy(world: World, step: Step): Spoken {
  const { a, c } = step;
  const id = c === 11 ? (pick(world.cities, a) as string) : `city-${world.said.length}`;
  const keys = [world.freshKey(), world.freshKey(), world.freshKey()] as const;
  const body = world.candidacyBody(id, keys);
  const spoken = speak(world, step, "city", { iss: id, sub: id, body }, [keys[0], keys[2]]);
  world.candidates.push({ id, payload: spoken.payload, key: keys[0] });
  return spoken;
}

/** Quorum and faults that a network of so many cities may have. */
function quorumOf(cities: number): { readonly quorum: number; readonly faults: number } {
  const faults = cities >= 3 ? 1 : 0;
  return { quorum: Math.ceil((cities + faults + 1) / 2), faults };
}

/** One city's vote, or that of all on one thing in one batch. */
export function poll(world: World, step: Step): Made | undefined {
  const { a, b, c, verb } = step;
  const members = electorate(world.history);
  const topic = topicOf(world, step, members);
  if (topic === undefined) return undefined;
  const { sub, body } = topic;
  const all = members.filter((id) => body.on !== "exclusion" || id !== sub || b === 8);
  const voters = verb === "vote" ? [pick(all, a) as string] : all.slice(0, c % 6 === 5 ? 2 : 99);
  return {
    items: voters.map((iss) => {
      const keys = world.authoritiesOf(iss);
      const key = (c === 7 ? keys[0] : keys.at(-1)) as Signer;
      return item(speak(world, step, "vote", { iss, sub, body }, [key]));
    }),
  };
}

function topicOf(
  world: World,
  { b, c }: Step,
  members: readonly string[],
): { readonly sub: string; readonly body: VoteBody } | undefined {
  const n = members.length;
  const sub = world.network.idHex;
  switch (b % 6) {
    case 0:
    case 1: {
      const candidate = recent(world.candidates, c);
      if (candidate === undefined) return undefined;
      const body = { on: "admission", candidacy: candidate.payload, ...quorumOf(n + 1) } as const;
      return { sub: candidate.id, body };
    }
    case 2: {
      const city = pick(members, c);
      const rest = quorumOf(Math.max(n - 1, 1));
      return city === undefined ? undefined : { sub: city, body: { on: "exclusion", ...rest } };
    }
    case 3: {
      const { quorum, faults } = quorumOf(n);
      const high = c % 3 === 0 ? n : c % 3 === 1 ? quorum : quorum - 1;
      return { sub, body: { on: "quorum", quorum: Math.max(high, 1), faults } };
    }
    case 4:
      return { sub, body: { on: "rules", version: c === 9 ? 3 : 2 } };
    default:
      return c === 8
        ? { sub, body: { on: "engine", engine: "cometbft", genesis: "ab".repeat(32) } }
        : { sub, body: { on: "calendar", year: { year: 2027 + (c % 2), off: [], on: [] } } };
  }
}

/** Votes of the cities on a gateway as the sequencer, with checkpoints of this tree. */
export function appoint(world: World, step: Step): Made | undefined {
  const { a, b, c } = step;
  const { history, ledger, network } = world;
  const agency = pick(world.agencies, a) as string;
  const gateway = world.gatewaysOf(agency).at(-1);
  if (gateway === undefined) return undefined;
  const before = history.terms.at(-1);
  if (before === undefined) return undefined;
  const term = Math.max(before.term + (c === 9 ? 0 : 1), 1);
  const log = c === 10 ? network.log : world.freshKey();
  const place = { address: "gw.test:7443", tls: freshDigest(world, "sequencer") };
  const voters = electorate(history).slice(0, c % 4 === 3 ? 2 : 99);
  const items = voters.map((iss, i): Item => {
    // Most cities have cosigned up to the end; some are behind.
    const size = Math.max(
      1,
      history.leaves.length - (b % 3 === 0 ? i % 3 : 0) - (b === 10 ? 3 : 0),
    );
    const root = ledger.rootAt(BigInt(size)) as Uint8Array;
    const origin = `causeway/${network.idHex}/${before.term}`;
    const note = signCheckpoint(
      { origin, size: BigInt(size), root, extensions: [] },
      world.logOf(before.log),
    );
    const choice = { term, ...place, log: formatKey(log.publicKey) };
    const body = { on: "sequencer" as const, ...choice, checkpoint: toBase64(formatNote(note)) };
    const signers = [world.authorityOf(iss), log];
    const said = speak(world, step, "vote", { iss, sub: gateway.id, body }, signers);
    const vote = {
      city: iss,
      gateway: gateway.id,
      term,
      log: choice.log,
      place: `${place.address} ${place.tls}`,
      checkpointTerm: before.term,
      size,
      stands: true,
    };
    return { bytes: said.record, record: { kind: "said", said, vote } };
  });
  return b % 5 === 4 ? { items } : { items, gateway };
}
