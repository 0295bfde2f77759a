/** Four cities of which three must cosign and one may lie; each has one gateway, which hosts its witness. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import { foundLedger, joinLedger } from "../../src/ledger/embedded/founding.ts";
import type { LedgerNode, LedgerNodeOptions } from "../../src/ledger/embedded/ledger-node.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { sayAppointment } from "../support/statements.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork, type TestCity, type TestNetwork } from "../support/network.ts";
import { finalAt, Member, networkOptions, Sockets, temporaryFolder, TestClock } from "./support.ts";

const places = [
  { id: "hangzhou", division: "330100", agency: "civil-affairs" },
  { id: "shenzhen", division: "440300", agency: "market-regulation" },
  { id: "tianjin", division: "120000", agency: "taxation" },
  { id: "wuhan", division: "420100", agency: "housing" },
];

/** A city with the process of its gateway. */
export interface Quarter {
  readonly city: TestCity;
  readonly member: Member;
}

export class FourCities {
  readonly network: TestNetwork;
  readonly ledger: TestLedger;
  readonly quarters: readonly Quarter[];

  private constructor(parts: Pick<FourCities, "network" | "ledger" | "quarters">) {
    this.network = parts.network;
    this.ledger = parts.ledger;
    this.quarters = parts.quarters;
  }

  /** Founded on every disk, with Hangzhou as the sequencer; nothing runs yet. */
  static async found(t: TestContext): Promise<FourCities> {
    const members = await Promise.all(
      places.map(async ({ id }) => new Member(id, temporaryFolder(t), await Sockets.open(t, id))),
    );
    const network = createTestNetwork({
      ...networkOptions(members, 1),
      cities: places,
      network: {
        bounds: { ...defaultBounds, heartbeat_s: 1 },
        quorum: 3,
        faults: 1,
      },
    });
    const ledger = await TestLedger.founded(network);
    const shared = {
      founding: network.payload,
      verifier: network.verifier,
      clock: new TestClock(),
    };
    const [first] = ledger.batches;
    assert.ok(first !== undefined);
    for (const [i, { folder }] of members.entries()) {
      if (i === 0) await foundLedger({ ...shared, folder }, first);
      else await joinLedger({ ...shared, folder });
    }
    members[0]?.logs.push(network.log);
    const quarters = network.cities.map((city, i) => ({ city, member: members[i] as Member }));
    t.after(() => Promise.all(members.map((member) => member.stop())));
    return new FourCities({ network, ledger, quarters });
  }

  at(id: string): Quarter {
    const quarter = this.quarters.find(({ city }) => city.id === id);
    assert.ok(quarter !== undefined, id);
    return quarter;
  }

  member(id: string): Member {
    return this.at(id).member;
  }

  async start(id: string, options: Partial<LedgerNodeOptions> = {}): Promise<LedgerNode> {
    const { city, member } = this.at(id);
    return member.start({
      founding: this.network.payload,
      verifier: this.network.verifier,
      gateway: city.agency.gateway.id,
      witness: { city: id, signer: city.witness },
      ...options,
    });
  }

  /** All run, batch 0 is final everywhere, and every city has cosigned it. */
  async startAll(): Promise<void> {
    for (const { city } of this.quarters) await this.start(city.id);
    await this.final(this.ledger.size);
    // A quorum did without the slowest of them.
    for (const { city } of this.quarters) await this.cosigned(city.id, 0);
  }

  /** Waits until a city's witness has cosigned something of a term. */
  async cosigned(id: string, term: number): Promise<void> {
    const hash = toHex(sha256(utf8(originOf(this.network.id, BigInt(term)))));
    let status = 404;
    while (status !== 200) {
      await setTimeout(10);
      status = (await this.member(id).running.witness?.latest(hash))?.status ?? 404;
      assert.ok(status === 200 || status === 404, `${id} answers ${status}`);
    }
  }

  /** Waits until a size is final at every member that runs. */
  async final(size: bigint): Promise<void> {
    for (const { member } of this.quarters) {
      if (member.node !== undefined) await finalAt(member, size);
    }
  }

  /** Each voter's witness promises the term; what comes back are the records of their votes. */
  async vote(
    voters: readonly string[],
    appointment: { readonly term: number; readonly to: string; readonly log: Signer },
  ): Promise<
    readonly { readonly city: string; readonly checkpoint: Uint8Array; record: Uint8Array }[]
  > {
    const { term, to, log } = appointment;
    const { gateway } = this.at(to).city.agency;
    const votes = [];
    for (const id of voters) {
      const { city, member } = this.at(id);
      const promised = await member.running.promiseTerm({
        term: BigInt(term),
        logKey: new Uint8Array(32).fill(term),
        sequencer: this.member(to).peer,
      });
      assert.equal(promised.kind, "promised", id);
      assert.ok(promised.kind === "promised" && promised.highest !== undefined, id);
      const checkpoint = promised.highest.note;
      const { record } = sayAppointment(this.network, city, { gateway, term, log }, checkpoint);
      votes.push({ city: id, checkpoint, record });
    }
    return votes;
  }
}
