/** An appointment of a sequencer that is cut short by SIGKILL is finished by the same commands, run again. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { causeway, type Ran } from "../cli/support.ts";
import { eventually } from "../support/admin-client.ts";
import type { ManyCities } from "../support/many-cities.ts";
import type { Member } from "../support/two-cities.ts";
import { FinalLedger } from "./final-ledger.ts";
import type { KillPoint } from "./gateway-main.ts";
import { Load } from "./load.ts";
import { type FaultNetwork, type GatewayProcess, startManyCities } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { rounds, some } from "./rounds.ts";
import { assertHandedOver, assertOnLedger, settled } from "./settled.ts";

/** Two of the gateways take turns as the sequencer; the two with load vote and follow. */
type Part = "appointee" | "sequencer before" | "voter" | "follower";

interface Case {
  readonly name: string;
  readonly killed: Part;
  readonly point: KillPoint;
  /** The command that is under way then. */
  readonly during: "vote" | "open";
  /** The sequencer of the term before is away from before the votes until the term is open. */
  readonly isSequencerAway?: true;
  /** The votes stand in the store of the one that is killed: it goes on by itself. */
  readonly isOpen?: true;
}

const cases: readonly Case[] = [
  {
    name: "a witness killed before it has promised the term",
    killed: "voter",
    point: "before term promise",
    during: "vote",
  },
  {
    name: "a witness killed when it has promised the term, before its city signs",
    killed: "voter",
    point: "after term promise",
    during: "vote",
  },
  {
    name: "the appointed gateway killed when the votes are sealed, while the sequencer is there",
    killed: "appointee",
    point: "after commit",
    during: "open",
  },
  {
    name: "the appointed gateway killed when the votes are sealed, while the sequencer is away",
    killed: "appointee",
    point: "after commit",
    during: "open",
    isSequencerAway: true,
  },
  {
    name: "the appointed gateway killed before its replica is cut and the votes are included",
    killed: "appointee",
    point: "before truncation",
    during: "open",
  },
  {
    name: "the appointed gateway killed when the votes are included, before anything else",
    killed: "appointee",
    point: "after truncation",
    during: "open",
    isSequencerAway: true,
    isOpen: true,
  },
  {
    name: "the appointed gateway killed before it stores the first head of its log",
    killed: "appointee",
    point: "before first head",
    during: "open",
    isOpen: true,
  },
  {
    name: "the appointed gateway killed when it has stored the first head, before a size is final",
    killed: "appointee",
    point: "after first head",
    during: "open",
    isOpen: true,
  },
  {
    name: "a follower killed before its replica takes the term",
    killed: "follower",
    point: "before truncation",
    during: "open",
  },
  {
    name: "the sequencer before killed when its replica has taken the term",
    killed: "sequencer before",
    point: "after truncation",
    during: "open",
  },
];

describe("SIGKILL during an appointment of a sequencer", () => {
  let network: FaultNetwork<ManyCities>;
  let load: Load;
  let ledger: FinalLedger;
  let term = 0;
  let sequencer: GatewayProcess;
  let other: GatewayProcess;
  const durable: { readonly leafHash: Uint8Array }[] = [];

  before(async () => {
    network = await startManyCities({ bounds: { heartbeat_s: 1 } });
    const [, , third, fourth] = network.gateways;
    assert.ok(third !== undefined && fourth !== undefined);
    [sequencer, other] = [third, fourth];
    ledger = new FinalLedger(network.consumer.member.addresses.http);
    load = new Load(network, { callers: 1, writes: true, pauseMs: 50 });
  });

  after(async () => {
    await load?.stop();
    await network?.close();
  });

  const passphraseOf = ({ folder }: Member): readonly string[] => [
    "--passphrase-file",
    join(folder, "passphrase"),
  ];
  const file = (name: string): string => join(network.cities.folder, `${term}-${name}`);
  const voteFile = ({ member }: GatewayProcess): string => file(`${member.city.card.id}.vote`);

  async function prepare({ member }: GatewayProcess): Promise<void> {
    const ran = await causeway(
      ...["ledger", "appoint", "prepare", "--term", String(term), "--card", file("card")],
      ...["--folder", join(member.folder, "gateway"), ...passphraseOf(member)],
    );
    assert.equal(ran.code, 0, ran.stderr);
  }

  function vote(voter: GatewayProcess): Promise<Ran> {
    const { member } = voter;
    return causeway(
      ...["ledger", "appoint", "vote", "--card", file("card"), "--out", voteFile(voter)],
      ...["--folder", join(member.folder, "city"), ...passphraseOf(member)],
      ...["--admin", member.addresses.admin],
    );
  }

  async function allVote(voters: readonly GatewayProcess[]): Promise<void> {
    for (const { code, stderr } of await Promise.all(voters.map(vote))) {
      assert.equal(code, 0, stderr);
    }
  }

  function open({ member }: GatewayProcess, voters: readonly GatewayProcess[]): Promise<Ran> {
    const votes = voters.map(voteFile);
    return causeway("ledger", "appoint", "open", ...votes, "--admin", member.addresses.admin);
  }

  async function isInTerm({ admin }: GatewayProcess): Promise<boolean> {
    return (await admin.status()).origin.endsWith(`/${term}`);
  }

  /** Runs a command in the middle of which a gateway is killed; it comes back, and the command ends. */
  async function killedDuring(
    victim: GatewayProcess,
    point: KillPoint,
    command: () => Promise<Ran>,
  ): Promise<Ran> {
    await victim.arm(point, 0);
    const running = command();
    await victim.isAt(point);
    await victim.end("SIGKILL");
    durable.push(...victim.journal());
    await victim.start();
    return running;
  }

  /** Opens the term, unless it is open already by what the first command left. */
  async function openAgain(
    appointee: GatewayProcess,
    voters: readonly GatewayProcess[],
    isOpen: boolean,
  ): Promise<void> {
    const again = await open(appointee, voters);
    // A sequencer that is there may have included the votes that its successor sealed.
    if (again.code === 0 && !isOpen) return;
    assert.match(again.stderr, /reason {2}TERM_ENDED:/, again.stderr);
    await eventually("the term is open", () => isInTerm(appointee));
  }

  /** One appointment, in the middle of which a gateway is killed. */
  async function appoint(fault: Case): Promise<void> {
    const { killed, point, during, isSequencerAway, isOpen = false } = fault;
    term++;
    const { provider, consumer } = network;
    const [before, appointee] = [sequencer, other];
    const voters = [provider, consumer, appointee];
    const victims: Readonly<Record<Part, GatewayProcess>> = {
      appointee: appointee,
      "sequencer before": before,
      voter: provider,
      follower: consumer,
    };
    const victim = victims[killed];
    await load.goesOn(2);
    await prepare(appointee);
    if (isSequencerAway === true) {
      await before.end("SIGKILL");
      durable.push(...before.journal());
    }
    if (during === "vote") {
      const cut = await killedDuring(victim, point, () => vote(victim));
      assert.notEqual(cut.code, 0);
    }
    await allVote(voters);
    if (during === "vote") {
      const opened = await open(appointee, voters);
      assert.equal(opened.code, 0, opened.stderr);
    } else {
      const cut = await killedDuring(victim, point, () => open(appointee, voters));
      if (victim === appointee) {
        assert.notEqual(cut.code, 0);
        await openAgain(appointee, voters, isOpen);
      } else assert.equal(cut.code, 0, cut.stderr);
    }
    if (isSequencerAway === true) await before.start();
    [sequencer, other] = [appointee, before];
    for (const gateway of network.gateways) {
      await eventually("it is in the term", () => isInTerm(gateway), 60_000);
    }
    await load.goesOn(2);
  }

  for (const fault of some(cases, 6)) {
    it(`${fault.name}: the same commands, run again, open the term`, async () => {
      for (let round = 0; round < rounds(1); round++) await appoint(fault);
    });
  }

  it("an appointed gateway that never comes to it is passed over by the next term, and its votes are void", async () => {
    term++;
    const { provider, consumer } = network;
    const [before, appointee] = [sequencer, other];
    const voters = [provider, consumer, before];
    await prepare(appointee);
    await allVote(voters);
    await appointee.arm("after commit", 0);
    const cut = open(appointee, voters);
    await appointee.isAt("after commit");
    await appointee.end("SIGKILL");
    assert.notEqual((await cut).code, 0);
    durable.push(...appointee.journal());

    term++;
    await prepare(before);
    await allVote(voters);
    const opened = await open(before, voters);
    assert.equal(opened.code, 0, opened.stderr);
    await appointee.start();
    for (const gateway of network.gateways) {
      await eventually("it is in the term", () => isInTerm(gateway), 60_000);
    }
    await load.goesOn(2);
  });

  it("nothing recorded is lost or stands twice, every gateway has one ledger, and it replays without a finding", async () => {
    await load.stop();
    const attempts = await settled(network, ledger);
    assertOnLedger(durable, ledger);
    for (const answer of load.answers) assertHandedOver(answer, attempts);
    const handles = ledger.records.map(({ handle }) => handle);
    for (const { member } of network.gateways) {
      const same = new FinalLedger(member.addresses.http);
      await eventually("it has what the others have", async () => {
        await same.update();
        return same.records.length >= handles.length;
      });
      assert.deepEqual(
        same.records.slice(0, handles.length).map(({ handle }) => handle),
        handles,
      );
    }
    await assertReplays(network);
  });
});
