import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type AppointmentPorts, openTerm } from "../../gateway/admin/appointments.ts";
import { toBase64 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import {
  type OpenTermRequest,
  OpenTermRequestSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { TermToOpen } from "../../src/ledger/embedded/own-term.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork, fourCities, fourOf, type TestCity } from "../support/network.ts";
import { sayVote, signedHead } from "../support/statements.ts";

const network = createTestNetwork(fourCities);
const [hangzhou, shenzhen, suzhou, tianjin] = fourOf(network);
const appointee = tianjin.agency.gateway;
const log = network.signer("log of term 2");
const head = { size: 1n, root: new Uint8Array(32) };
const known = signedHead(network, head);
/** Of a term that has opened nowhere but where a city says so. */
const unknown = signedHead(network, head, { term: 1n, log: network.signer("log of term 1") });

function voteOf(city: TestCity, checkpoint: Uint8Array): { readonly jws: string[] } {
  const { endpoints, tls } = appointee.body;
  const { jws } = sayVote(network, city, {
    sub: appointee.id,
    body: {
      on: "sequencer",
      term: 2,
      address: endpoints.peer,
      tls: tls[0] as string,
      log: formatKey(log.publicKey),
      checkpoint: toBase64(checkpoint),
    },
  });
  return { jws: [...jws] };
}

function requestOf(...votes: readonly { readonly jws: string[] }[]): OpenTermRequest {
  return create(OpenTermRequestSchema, { votes: [...votes], waitMs: 0n });
}

describe("the opening of a term with votes of which one names a term that is not known here", () => {
  let ledger: TestLedger;
  let wanted: TermToOpen | undefined;
  let sealed: number;

  beforeEach(async () => {
    ledger = await TestLedger.founded(network);
    wanted = undefined;
    sealed = 0;
  });

  /** A member that opens a term when it gets at least so many votes. */
  function portsOf(quorum: number): AppointmentPorts {
    const ports = {
      gateway: appointee.id,
      node: {
        replica: { state: () => ledger.state, final: () => ({ size: 9n }) },
        openTerm: async (term: TermToOpen) => {
          wanted = term;
          if (term.votes.length < quorum) throw new CausewayError("VOTES_MISSING", "too few");
          return { term: 2n, start: 1n, opened: Promise.resolve({ term: 2n, since: 4n }) };
        },
      },
      journal: { finalCount: () => 0, batchCount: () => 0 },
      sealer: {
        seal: async () => {
          sealed += 1;
        },
      },
      clock: { nowMs: () => 0 },
      findLogKey: async (): Promise<Signer> => log,
    };
    return ports as unknown as AppointmentPorts;
  }

  it("leaves that vote out, and names its city", async () => {
    const request = requestOf(
      ...[hangzhou, shenzhen, tianjin].map((city) => voteOf(city, known)),
      voteOf(suzhou, unknown),
    );
    const { leftOut, start, final } = await openTerm(request, portsOf(3), 0);
    assert.deepEqual([leftOut, start, final], [[suzhou.id], 1n, true]);
    assert.deepEqual(
      wanted?.votes.map(({ city }) => city),
      [hangzhou.id, shenzhen.id, tianjin.id],
    );
    assert.equal(sealed, 3, "no record holds the vote that was left out");
  });

  for (const [what, votes] of [
    ["too few", [voteOf(shenzhen, known), voteOf(suzhou, unknown), voteOf(hangzhou, unknown)]],
    ["none", [voteOf(suzhou, unknown), voteOf(hangzhou, unknown)]],
  ] as const) {
    it(`says whose votes were left out when ${what} are left`, async () => {
      await assert.rejects(openTerm(requestOf(...votes), portsOf(3), 0), {
        code: "VOTES_MISSING",
        message: /votes of suzhou, hangzhou, which name a term/,
      });
      assert.equal(sealed, 0);
    });
  }

  it("leaves out none whose checkpoint cannot be read: what opens the term says what is wrong", async () => {
    const damaged = new TextEncoder().encode("no note");
    const request = requestOf(voteOf(shenzhen, known), voteOf(suzhou, damaged));
    const { leftOut } = await openTerm(request, portsOf(2), 0);
    assert.deepEqual([leftOut, wanted?.votes.length], [[], 2]);
  });
});
