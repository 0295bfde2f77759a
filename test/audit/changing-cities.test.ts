/** What the replay says of histories in which cities, keys, quorum, rules, epochs and terms change. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { Finding } from "../../src/audit/findings.ts";
import type { ReplayResult } from "../../src/audit/replay.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { sayVote } from "../support/statements.ts";
import { statusRecord } from "../support/ledger.ts";
import type { TestGateway } from "../support/network.ts";
import type { AuditLedger } from "./audit-ledger.ts";
import {
  admit,
  appoint,
  appointment,
  type ChangedLedger,
  changedLedger,
  cityOf,
  exclude,
  fourCities,
} from "./changing-ledger.ts";

function said({ findings }: ReplayResult): readonly string[] {
  return findings.map(({ code, index, fields }: Finding) =>
    [code, index, fields["reason"] ?? ""].join(" ").trimEnd(),
  );
}

function unchecked({ notChecked }: ReplayResult): readonly string[] {
  return notChecked.map(({ what }) => what);
}

function gatewayOf(audit: AuditLedger, city: string): TestGateway {
  return cityOf(audit, city).agency.gateway;
}

describe("a ledger whose cities, quorum, keys and sequencer changed", () => {
  let changed: ChangedLedger;
  before(async () => {
    changed = await changedLedger("changing");
  });

  test("replays without a finding, under keys and quorums that it leads to itself", async () => {
    const { audit } = changed;
    const result = await audit.replay({ laterCheckpoint: audit.note() });
    assert.deepEqual(said(result), []);
    assert.deepEqual(unchecked(result), []);
    const { terms, quorums, cities } = audit.ledger.state;
    assert.deepEqual(
      terms.map(({ term, since, start }) => [term, since, start]),
      [
        [0n, 0n, 0n],
        [1n, changed.term, changed.term],
      ],
    );
    assert.deepEqual(
      quorums.map(({ quorum }) => quorum),
      [3, 4, 3],
    );
    assert.equal(cities.size, 5);
  });

  test("has no checkpoint of the founding cities alone once a fifth is in", async () => {
    const audit = await fourCities("old quorum");
    await admit(audit);
    await audit.seal(audit.provider, [statusRecord()], { hold: true });
    audit.final({ cosigners: audit.network.cities.slice(0, 3) });
    const size = audit.ledger.size;
    assert.deepEqual(said(await audit.replay()), [`NOTE_REJECTED ${size} QUORUM_NOT_MET`]);
  });

  test("passes from the old to the new cities only with both", async () => {
    const audit = await fourCities("both quorums");
    const { network, provider } = audit;
    const voters = network.cities.slice(0, 3);
    const votes = voters.map((voter) =>
      sayVote(network, voter, { sub: "xian", body: { on: "exclusion", quorum: 3, faults: 0 } }),
    );
    const { batch } = await audit.ledger.append(provider, votes);
    audit.entries.push({ kind: "batch", leaf: batch.leaf, records: batch.records });
    // Two of the three that are left: enough for neither.
    audit.final({ cosigners: voters.slice(0, 2) });
    const size = audit.ledger.size;
    assert.deepEqual(said(await audit.replay()), [`NOTE_REJECTED ${size} QUORUM_NOT_MET`]);
  });

  test("has no checkpoint under a witness key that was replaced", async () => {
    const { audit, witness } = await changedLedger("old witness key");
    const cosigners = audit.cosigners.map((one) =>
      one.id === "shenzhen" ? cityOf(audit, "shenzhen") : one,
    );
    const at = audit.entries.findIndex(
      ({ kind }, i) => kind === "note" && batchesBefore(audit, i) === witness + 1n,
    );
    // The key is of no known name and id any more: one of two that are needed beside it is missing too.
    const note = audit.note({
      size: witness + 1n,
      cosigners: cosigners.slice(1),
      term: { number: 0, log: audit.network.log },
    });
    audit.entries[at] = { kind: "note", note };
    const index = witness + 1n;
    assert.deepEqual(said(await audit.replay()), [`NOTE_REJECTED ${index} QUORUM_NOT_MET`]);
  });
});

function batchesBefore({ entries }: AuditLedger, end: number): bigint {
  return BigInt(entries.slice(0, end).filter(({ kind }) => kind === "batch").length);
}

describe("a change of term", () => {
  test("shows a quorum that went on cosigning for the term that had ended", async () => {
    const audit = await fourCities("term over");
    const gateway = gatewayOf(audit, "jinan");
    const ended = audit.term;
    await appoint(audit, gateway, audit.network.cities.slice(0, 3));
    await audit.seal(gateway, [statusRecord()], { hold: true });
    audit.final({ term: ended });
    assert.deepEqual(said(await audit.replay()), [`TERM_OVER ${audit.ledger.size - 1n}`]);
  });

  test("does not make late what waited for the new sequencer", async () => {
    const audit = await fourCities("waiting");
    const gateway = gatewayOf(audit, "jinan");
    const sealedAtMs = audit.ledger.nowMs;
    audit.ledger.nowMs += 600_000;
    await appoint(audit, gateway, audit.network.cities.slice(0, 3));
    await audit.seal(audit.provider, [statusRecord()], {
      seenSize: audit.ledger.size - 1n,
      sealedAtMs,
      firstAtMs: sealedAtMs,
    });
    assert.deepEqual(said(await audit.replay()), []);
    audit.ledger.nowMs += 600_000;
    await audit.seal(gateway, [statusRecord(1)]);
    const slow = { sealedAtMs: sealedAtMs + 1, firstAtMs: sealedAtMs + 1 };
    const seenSize = audit.ledger.size - 3n;
    const { index } = await audit.seal(audit.provider, [statusRecord(2)], { ...slow, seenSize });
    assert.deepEqual(said(await audit.replay()), [`LATE ${index}`]);
  });

  test("whose sequencer before had signed two histories says so, and that the start is not shown", async () => {
    const audit = await fourCities("two histories");
    const gateway = gatewayOf(audit, "jinan");
    const [hangzhou, ...others] = audit.network.cities as [
      never,
      ...AuditLedger["network"]["cities"],
    ];
    assert.ok(hangzhou !== undefined);
    await audit.seal(gateway, [statusRecord()], { hold: true });
    await audit.seal(gateway, [statusRecord(1)], { seenSize: audit.ledger.size - 1n });
    const honest = audit.note();
    const lie = audit.note({ root: sha256(utf8("another tree")) });
    const { term, votes } = appointment(audit, gateway, others.slice(0, 2), honest);
    const { votes: misled } = appointment(audit, gateway, others.slice(2), lie);
    audit.term = term;
    const { index } = await audit.govern(gateway, [...votes, ...misled]);
    assert.equal(audit.ledger.state.terms.at(-1)?.term, 1n);
    const result = await audit.replay();
    // The start is the first of the gateway's own leaves, below what the replay saw become final.
    assert.deepEqual(said(result), [`TERM_START_WRONG ${index}`, `LOG_FORK ${index}`]);
    assert.deepEqual(unchecked(result), ["freshness", "term start"]);
  });

  test("excuses a size that was final for its gateway alone at the end of a term", async () => {
    const audit = await fourCities("lost note");
    const gateway = gatewayOf(audit, "jinan");
    await audit.seal(audit.consumer, [statusRecord()], { hold: true });
    await audit.seal(audit.provider, [statusRecord()], { hold: true });
    const lost = audit.ledger.size;
    await appoint(audit, gateway, audit.network.cities.slice(0, 3));
    await audit.seal(audit.provider, [statusRecord(1)], { seenSize: lost });
    const result = await audit.replay();
    assert.deepEqual(said(result), []);
    assert.deepEqual(unchecked(result), ["freshness", "seen sizes"]);
    const { index } = await audit.seal(audit.provider, [statusRecord(2)], { hold: true });
    await audit.seal(audit.provider, [statusRecord(3)], { seenSize: index + 1n });
    assert.deepEqual(said(await audit.replay()), [`SEEN_NOT_FINAL ${index + 1n}`]);
  });
});

test("a term opened below what is final, or without a quorum of each rule from there on, is told", async () => {
  const audit = await fourCities("opening");
  const gateway = gatewayOf(audit, "jinan");
  // The gateway's own leaf becomes final for the term before, above the checkpoint that the votes name.
  const checkpoint = audit.note();
  await audit.seal(gateway, [statusRecord()]);
  const { cities } = audit.network;
  const { term, votes } = appointment(audit, gateway, cities.slice(0, 3), checkpoint);
  audit.term = term;
  const { index } = await audit.govern(gateway, votes);
  assert.equal(audit.ledger.state.terms.at(-1)?.since, index);
  assert.deepEqual(said(await audit.replay()), [`TERM_START_WRONG ${index}`]);
});

describe("a checkpoint of a later term", () => {
  test("that a cut ledger does not open convicts the cut, and says what was not verified", async () => {
    const audit = await fourCities("later term");
    const cut = audit.fork();
    await appoint(audit, gatewayOf(audit, "jinan"), audit.network.cities.slice(0, 3));
    const result = await cut.replay({ laterCheckpoint: audit.note() });
    assert.deepEqual(said(result), [`TRUNCATED ${cut.ledger.size}`]);
    assert.deepEqual(unchecked(result), ["checkpoint"]);
    assert.match(result.notChecked[0]?.why ?? "", /term 1 is not known/);
  });

  test("that too few known cities cosigned is rejected", async () => {
    const audit = await fourCities("later term, few");
    const cut = audit.fork();
    await appoint(audit, gatewayOf(audit, "jinan"), audit.network.cities.slice(0, 3));
    const laterCheckpoint = audit.note({ cosigners: audit.network.cities.slice(0, 2) });
    const result = await cut.replay({ laterCheckpoint });
    assert.deepEqual(said(result), [`CHECKPOINT_REJECTED ${cut.ledger.size} QUORUM_NOT_MET`]);
  });

  test("shows freshness when the ledger opens its term", async () => {
    const audit = await fourCities("later term, whole");
    await appoint(audit, gatewayOf(audit, "jinan"), audit.network.cities.slice(0, 3));
    audit.ledger.nowMs += 60_000;
    const result = await audit.replay({ laterCheckpoint: audit.note() });
    assert.deepEqual(said(result), []);
    assert.deepEqual(unchecked(result), []);
  });

  test("that is older than the newest final one shows no freshness", async () => {
    const audit = await fourCities("older checkpoint");
    const laterCheckpoint = audit.note();
    audit.ledger.nowMs += 60_000;
    await audit.seal(audit.provider, [statusRecord()]);
    const result = await audit.replay({ laterCheckpoint });
    assert.deepEqual(said(result), []);
    assert.deepEqual(unchecked(result), ["freshness"]);
  });
});

describe("chains", () => {
  test("go on in a new epoch, where a boot of the epoch before may not come back", async () => {
    const audit = await fourCities("epochs");
    const { consumer, network } = audit;
    const first = await audit.seal(consumer, [statusRecord()]);
    const epoch = network.say(
      "epoch",
      {
        iss: network.consumer.id,
        sub: consumer.id,
        body: {
          epoch: 3,
          last: {
            epoch: 0,
            seq: Number(first.batch.header.seq),
            leaf: toHex(first.batch.leafHash),
          },
          reason: "disk-lost",
          lost_from: 1,
          lost_to: 2,
        },
      },
      [network.consumer.authority],
    );
    const boot = sha256(utf8("another boot")).slice(0, 16);
    await audit.govern(consumer, [epoch], [], { epoch: 3n, seq: 0n, boot });
    await audit.seal(consumer, [statusRecord(1)], { epoch: 3n, boot });
    assert.deepEqual(said(await audit.replay()), []);
    const { index } = await audit.seal(consumer, [statusRecord(2)], { epoch: 3n });
    assert.deepEqual(said(await audit.replay()), [`BOOT_RETURNED ${index}`]);
  });

  for (const [name, code, sameBoot] of [
    ["a gateway that said two things in one start", "EQUIVOCATION", true],
    ["a restored copy that went on", "ROLLBACK", false],
  ] as const) {
    test(`frozen by the proof against ${name} are told ${code}`, async () => {
      const audit = await fourCities(code);
      const { consumer, provider } = audit;
      const other = audit.ledger.seal(consumer, [statusRecord(7)], {
        kind: "evidence",
        ...(sameBoot ? {} : { boot: sha256(utf8("restored")).slice(0, 16) }),
      });
      const { batch } = await audit.seal(consumer, [statusRecord(8)]);
      const value = { firstLeaf: batch.leaf, secondLeaf: other.leaf };
      const proof = { case: "headers" as const, value };
      const report = encodeRecord(
        create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
      );
      const { index } = await audit.govern(provider, [report]);
      assert.deepEqual(said(await audit.replay()), [`${code} ${index}`]);
      const next = audit.ledger.seal(consumer, [statusRecord(9)], { kind: "evidence" });
      audit.entries.push({ kind: "batch", leaf: next.leaf, records: next.records });
      const refused = `BATCH_REJECTED ${audit.ledger.size} CHAIN_FROZEN`;
      const result = await audit.replay();
      assert.deepEqual(said(result), [`${code} ${index}`, refused]);
      assert.equal(result.firstBadIndex, audit.ledger.size);
      assert.deepEqual(unchecked(result).slice(0, 2), ["rest", "freshness"]);
    });
  }
});

describe("the version of the rules, moved by vote", () => {
  test("acts from the size that has seen it on, and is replayed on both sides of the move", async () => {
    const audit = await fourCities("rules");
    const { network, provider } = audit;
    const voters = network.cities.slice(0, 3);
    const calendar = (year: number): readonly Uint8Array[] =>
      voters.map(
        (city) =>
          sayVote(network, city, {
            sub: network.idHex,
            body: { on: "calendar", year: { year, off: [`${year}-01-01`], on: [] } },
          }).record,
      );
    const before = await audit.govern(provider, calendar(2027));
    assert.equal(audit.ledger.state.calendar.length, 0);
    await audit.govern(
      provider,
      voters.map((city) =>
        sayVote(network, city, { sub: network.idHex, body: { on: "rules", version: 2 } }),
      ),
    );
    await audit.govern(provider, calendar(2028));
    assert.deepEqual(
      audit.ledger.state.calendar.map(({ year }) => year.year),
      [2028],
    );
    assert.ok(before.index > 0n);
    const result = await audit.replay();
    assert.deepEqual(said(result), []);
    assert.equal(result.registryDigest, toHex(audit.ledger.state.digest));
  });
});

test("a registry that diverges is told with the final size before it", async () => {
  const audit = await fourCities("digest");
  const notes = audit.entries.flatMap(({ kind }, i) => (kind === "note" ? [i] : []));
  for (const at of notes.slice(2)) {
    const entry = audit.entries[at];
    if (entry?.kind === "note") audit.entries[at] = { ...entry, digest: sha256(entry.note) };
  }
  const result = await audit.replay();
  assert.deepEqual(said(result), ["DIGEST_DIVERGES 2"]);
  assert.equal(result.firstBadIndex, 2n);
});

test("an excluded city's cosignature fills no quorum", async () => {
  const audit = await fourCities("excluded");
  const { cities } = audit.network;
  const excluded = cityOf(audit, "xian");
  const candidate = await admit(audit);
  await exclude(audit, "xian", [...cities.slice(0, 3), candidate]);
  await audit.seal(audit.provider, [statusRecord()], { hold: true });
  audit.final({ cosigners: [...audit.cosigners.slice(0, 2), excluded] });
  const size = audit.ledger.size;
  assert.deepEqual(said(await audit.replay()), [`NOTE_REJECTED ${size} QUORUM_NOT_MET`]);
});
