/** For a rule the schedule that provokes just what it prevents. */
import type { Vote } from "./history.ts";
import type { Rules } from "./mutants.ts";
import type { LedgerContent } from "./replica.ts";
import { fair } from "./network.ts";
import type { SimNode } from "./node.ts";
import { openTerm } from "./open-term.ts";
import { fourCities, sixCities } from "./schedule.ts";
import type { Script, Stage } from "./script.ts";
import type { WitnessContent } from "./witness.ts";

/** The first sequencer leaves one gateway out, and shows everybody the same. */
const leavesOut = { victim: 1, cosignsAll: true, sides: [[0, 1, 2, 3]] } as const;
/** Of six, after the change. */
const newCities = [0, 3, 4, 5];

/**
 * A batch that its sequencer alone has, since it is cut off, is dropped by the term that the others open. Its
 * gateway brings it again at once, and does not leave that to the witnesses, half of the inclusion bound later.
 */
const resubmitAfterTerm: Script = {
  breaks: /what it dropped is included$/,
  play: (stage) => {
    stage.isolate(0);
    const batch = stage.seal(0, { kind: "revocation", grant: 0 });
    stage.await("it is included where it was sealed", 2000, () => stage.holds(0, batch));
    stage.appoint(1);
    stage.await("the others open a term", 5000, () => stage.termAt(1) === 1);
    stage.heal();
    stage.await("the first sequencer hears of it", 20_000, () => stage.termAt(0) === 1);
    const boundMs = stage.sim.config.inclusionBoundMs;
    stage.await("what it dropped is included", boundMs / 2, () => stage.holds(1, batch));
  },
};

/**
 * A gateway opens a term, and its machine ends before anyone follows. The next term leaves it behind. When it is back
 * its witness cosigns in its own term, before it hears of the other. The sequencer of that one is lost then: of
 * the three cities that are left none can be done without.
 */
const votesPassOver: Script = {
  breaks: /^not in time: a third term opens$/,
  play: (stage) => {
    stage.isolate(0);
    stage.appoint(0);
    stage.await("it opens a term alone", 5000, () => stage.termAt(0) === 1);
    stage.stop(0);
    stage.heal();
    stage.appoint(3);
    stage.await("the others open a second term", 20_000, () => stage.termAt(1) === 2);
    const batch = stage.seal(1, { kind: "revocation", grant: 1 });
    stage.await("it is final for them", 20_000, () => stage.isFinalAt(2, batch));
    stage.stop(3);
    stage.restart(0);
    stage.await("the first one follows", 20_000, () => stage.termAt(0) === 2);
    stage.never("its witness did not cosign alone", !stage.hasCosignedIn(0, 1));
    stage.appoint(1);
    stage.await("a third term opens", 20_000, () => stage.termAt(1) === 3);
    stage.finalise(stage.seal(0, { kind: "revocation", grant: 0 }));
  },
};

/**
 * Two cities hold leaves of the first term that its successor dropped, and hear of neither that term nor the next one,
 * which keeps the leaf that opened it, before the sequencer of the one between is gone for good. The third city alone
 * has both: it is asked for the next as soon as it has told of the first, and not those who know of none.
 */
const followersAskOpener: Script = {
  breaks: /^not in time: the others hear of both terms$/,
  play: (stage) => {
    stage.isolate(1);
    stage.isolate(3);
    const open = promised(stage, { city: 1, term: 1 });
    const dropped = [0, 1, 2].map((grant) => stage.seal(2, { kind: "revocation", grant }));
    const isHeld = (city: number): boolean => dropped.every((batch) => stage.holds(city, batch));
    stage.await("two cities hold what is not final", 5000, () => isHeld(0) && isHeld(2));
    stage.heal();
    cut(stage, [
      [0, 3],
      [1, 2],
      [2, 3],
    ]);
    open();
    stage.await("a term opens", 3000, () => stage.termAt(1) === 1);
    stage.await("its city cosigns in it", 5000, () => stage.hasCosignedIn(1, 1));
    cut(stage, [[0, 1]]);
    promised(stage, { city: 3, term: 2 })();
    stage.await("a second term opens", 5000, () => stage.termAt(3) === 2);
    stage.stop(1);
    stage.heal();
    const isHeard = (): boolean => stage.termAt(0) === 2 && stage.termAt(2) === 2;
    stage.await("the others hear of both terms", 20_000, isHeard);
    for (const batch of dropped) stage.finalise(batch);
  },
};

/** All cities but the first promise the term; what is returned opens it. */
function promised(
  stage: Stage,
  { city, term }: { readonly city: number; readonly term: number },
): () => void {
  const { notes, nodes } = stage.sim;
  const node = stage.node(city);
  const key = notes.makeKey(term, city);
  node.logKeys.set(term, key);
  const votes: Vote[] = [];
  for (const voter of nodes.slice(1)) {
    voter.run(() =>
      voter.process?.witness.promiseTerm(term, (result) => {
        if (result.kind !== "promised") return;
        const highest = result.highest && notes.read(result.highest.note);
        votes.push({ city: voter.city, term, gateway: city, key, highest });
      }),
    );
  }
  return () => node.run(() => openTerm(node, term, votes));
}

function cut({ sim }: Stage, pairs: readonly (readonly [number, number])[]): void {
  for (const pair of pairs) {
    const [a, b] = pair.map((city) => sim.nodes[city] as SimNode) as [SimNode, SimNode];
    sim.network.cut(a, b);
    sim.network.cut(b, a);
  }
}

/**
 * The first sequencer opens a term that leaves behind what is final, of which it has told one city alone. Nobody
 * cosigns in it; but its own vote on the next term names what it has signed there, above all that the others name.
 */
const earlierStarts: Script = {
  breaks: /a second final history of/,
  lies: { victim: undefined, cosignsAll: true, sides: [[0, 1, 2, 3]], keeps: 1 },
  play: (stage) => {
    const [liar, second] = [stage.node(0), stage.node(2)];
    const { network } = stage.sim;
    stage.isolate(3);
    const batch = stage.seal(1, { kind: "revocation", grant: 0 });
    stage.await("a second city cosigns it", 5000, () => stage.hasCosignedAt(2, 2));
    network.cut(liar, second);
    stage.await("it is final for the first", 5000, () => stage.isFinalAt(1, batch));
    for (const city of [1, 2]) stage.isolate(city);
    stage.never("the second knows that it is final", stage.isFinalAt(2, batch));
    stage.appoint(0);
    stage.await("the liar opens a term", 5000, () => stage.termAt(0) === 1);
    stage.heal();
    stage.isolate(1);
    stage.wait(3000);
    stage.appoint(3);
    stage.wait(15_000);
    stage.heal();
    stage.wait(5000);
  },
};

/** A revocation is left out, and one call after another would rest on checkpoints that are young without it. */
const omission: Script = {
  breaks: /a receipt long after grant 0 was revoked$/,
  lies: leavesOut,
  play: (stage) => {
    stage.seal(1, { kind: "revocation", grant: 0 });
    stage.wait(24_000);
    for (let i = 0; i < 10; i++) {
      for (const city of [2, 3]) stage.call(city, 0);
      stage.wait(200);
    }
  },
};

/** The first sequencer's machine starts from an old copy, and a batch is at hand that the copy has room for. */
const sequencerPolls: Script = {
  breaks: /the log of term 0 signed two histories$/,
  play: (stage) => {
    const copy = copyOf(stage);
    for (const city of [1, 2])
      stage.finalise(stage.seal(city, { kind: "revocation", grant: city }));
    setBack(stage, copy);
    stage.isolate(0);
    stage.node(0).start();
    stage.seal(0, { kind: "revocation", grant: 3 });
    stage.wait(3000);
    stage.heal();
    stage.wait(5000);
  },
};

/** It starts from an old copy while what it has sent is still on its way to the witnesses. */
const sequencerIsQuiet: Script = {
  breaks: /the log of term 0 signed two histories$/,
  config: { ...fourCities, heartbeatMs: 10_000, quietMs: 1900 },
  play: (stage) => {
    const { network, config } = stage.sim;
    const copy = copyOf(stage);
    network.weather = { ...fair, slow: 1, slowMs: 1500 };
    const batch = stage.seal(0, { kind: "revocation", grant: 0 });
    stage.await("it is put before the witnesses", 2000, () => stage.holds(0, batch));
    network.weather = fair;
    // Time for the followers to have it too, and far too short for most of what the witnesses are asked.
    stage.wait(40);
    setBack(stage, copy);
    stage.node(0).start();
    stage.wait(config.quietMs + 100);
    stage.seal(1, { kind: "revocation", grant: 1 });
    stage.wait(10_000);
  },
};

/** The old cities and the new ones are shown two histories: in one of them the cities change. */
const oldQuorum: Script = {
  breaks: /a second final history of/,
  config: sixCities,
  lies: {
    victim: undefined,
    cosignsAll: true,
    sides: [
      [3, 4, 5],
      [0, 1, 2],
    ],
  },
  play: (stage) => {
    stage.seal(3, { kind: "membership", cities: newCities, quorum: 3, faults: 1 });
    stage.seal(1, { kind: "revocation", grant: 0 });
    stage.wait(15_000);
  },
};

/** The cities change while those that come are away: nothing rests on what they have not cosigned. */
const newQuorum: Script = {
  breaks: /final without the new ones$/,
  config: sixCities,
  play: (stage) => {
    for (const city of [4, 5]) stage.isolate(city);
    const change = stage.seal(1, { kind: "membership", cities: newCities, quorum: 3, faults: 1 });
    stage.wait(3000);
    stage.never("a change of cities is final without the new ones", stage.isFinalAt(1, change));
    stage.heal();
    stage.finalise(change);
  },
};

interface Copy {
  readonly ledger: LedgerContent;
  readonly witness: WitnessContent;
}

/** Of what the first sequencer's machine holds now. */
function copyOf(stage: Stage): Copy {
  const { ledger, witness } = stage.node(0).disks;
  return { ledger: ledger.content, witness: witness.content };
}

function setBack(stage: Stage, copy: Copy): void {
  const { checker } = stage.sim;
  const first = stage.node(0);
  first.crash({ isPowerLost: false, restart: false });
  checker.ledgerSetBack(first);
  checker.witnessSetBack(first);
  first.disks.ledger.replace(copy.ledger);
  first.disks.witness.replace(copy.witness);
}

export const scripts: Readonly<Partial<Record<keyof Rules, Script>>> = {
  oldQuorum,
  newQuorum,
  resubmitAfterTerm,
  votesPassOver,
  followersAskOpener,
  earlierStartsChecked: earlierStarts,
  withholdsOmitted: omission,
  withholdsHeartbeats: omission,
  sequencerPolls,
  sequencerIsQuiet,
};
