import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { createSelfSignedCertificate } from "../../gateway/keys/tls.ts";
import { systemRandom } from "../../gateway/runtime.ts";
import { certificatePem } from "../../gateway/tls.ts";
import { parseHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { createStatement } from "../../src/credential/statement.ts";
import type { Statement } from "../../src/credential/statements.ts";
import { createHello } from "../../src/exchange/hello.ts";
import { openLink } from "../../src/exchange/transport/link-client.ts";
import { FrameSchema, type Hello } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { type BatchFields, sealBatch } from "../../src/record/batch.ts";
import { eventually } from "../support/admin-client.ts";
import { testSigner } from "../support/records.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, type Member } from "../support/two-cities.ts";
import { RogueLink, selfOf, timing } from "./support.ts";

const codeOf = (code: ReasonCode): ((error: unknown) => boolean) => {
  return (error) => {
    assert.ok(error instanceof CausewayError, String(error));
    assert.equal(error.code, code);
    return true;
  };
};

describe("a gateway whose peers and administrators lie", () => {
  let running: Running;

  before(async () => {
    running = await startTwoCities();
  });

  after(async () => {
    await running?.close();
  });

  function dial(own: Member["gateway"]["tls"], hello: () => Hello): ReturnType<typeof openLink> {
    const { provider } = running.cities;
    const tls = {
      certificate: certificatePem(own.certificateDer),
      privateKey: own.privateKeyPem,
      trusted: [provider.gateway.tls.certificateDer],
    };
    const hooks = { hello: async () => hello(), onHello: async () => undefined };
    return openLink({ address: provider.addresses.peer, tls }, hooks, timing);
  }

  function helloOf(said: {
    readonly gateway?: string;
    readonly audience?: string;
    readonly network?: Uint8Array;
    readonly signer?: Member["gateway"]["token"] | ReturnType<typeof testSigner>;
    readonly leaf?: Uint8Array;
  }): Hello {
    const { cities } = running;
    const self = selfOf(cities, said.gateway ?? cities.consumer.gateway.card.id);
    return createHello({
      self: { ...self, network: said.network ?? self.network },
      peer: said.audience ?? cities.provider.gateway.card.id,
      clockMs: Date.now(),
      checkpoint: undefined,
      leafOfPeer: said.leaf,
      signer: said.signer ?? cities.consumer.gateway.token,
    });
  }

  async function assertStillServes(): Promise<void> {
    assert.deepEqual(running.gateways.provider.notReady(), []);
    assert.equal((await running.client.getDivision("330106")).code, 0);
  }

  describe("on a link", () => {
    for (const [lie, name] of [
      ["an unknown certificate", "beijing/taxes/gw1"],
      ["a self-made certificate of a member's name", "shenzhen/market-regulation/gw1"],
    ] as const) {
      it(`gets nowhere with ${lie}`, async () => {
        const nowMs = Date.now();
        const own = createSelfSignedCertificate({
          name,
          notBeforeMs: nowMs - 60_000,
          notAfterMs: nowMs + 3_600_000,
        });
        await assert.rejects(
          dial(own, () => helloOf({})),
          codeOf("PEER_UNAVAILABLE"),
        );
        await assertStillServes();
      });
    }

    const hellos: readonly (readonly [string, () => Hello, ReasonCode])[] = [
      [
        "another gateway's id",
        () => helloOf({ gateway: "shenzhen/market-regulation/gw2" }),
        "TOKEN_ISSUER_WRONG",
      ],
      [
        "the receiver's id",
        () => helloOf({ gateway: running.cities.provider.gateway.card.id }),
        "TOKEN_ISSUER_WRONG",
      ],
      [
        "another audience",
        () => helloOf({ audience: "hangzhou/civil-affairs/gw9" }),
        "TOKEN_AUDIENCE_WRONG",
      ],
      ["another network", () => helloOf({ network: new Uint8Array(32) }), "TOKEN_NETWORK_WRONG"],
      ["a stranger's key", () => helloOf({ signer: testSigner(9) }), "TOKEN_KEY_UNKNOWN"],
      [
        "the batch key in place of the token key",
        () => helloOf({ signer: running.cities.consumer.gateway.batch }),
        "TOKEN_KEY_UNKNOWN",
      ],
      [
        "a checkpoint that it did not sign for",
        () => ({ ...helloOf({}), checkpoint: new Uint8Array(10) }),
        "TOKEN_CLAIMS_INVALID",
      ],
      [
        "a leaf that it did not sign for",
        () => ({ ...helloOf({}), leaf: new Uint8Array(10) }),
        "TOKEN_CLAIMS_INVALID",
      ],
      ["no token", () => ({ ...helloOf({}), token: "" }), "TOKEN_MALFORMED"],
    ];
    for (const [lie, hello, reason] of hellos) {
      it(`is refused ${reason} for a Hello with ${lie}`, async () => {
        const { tls } = running.cities.consumer.gateway;
        await assert.rejects(dial(tls, hello), codeOf(reason));
        await assertStillServes();
      });
    }

    it("is refused the call whose token names the boot that its own Hello said", async () => {
      const rogue = await RogueLink.open(running.cities, { service: divisionsService });
      const boot = Buffer.from(systemRandom(16)).toString("base64url");
      const body = await rogue.call({
        claims: { nonce: boot },
        statement: { method: "/x.Y/Z", purpose: "p", grant: { index: 1n, position: 0 } },
      });
      assert.equal(body.case, "nonceStale");
      rogue.close();
    });

    it("loses the link with a second Hello, and nobody else does", async () => {
      const rogue = await RogueLink.open(running.cities);
      const ended = new Promise<void>((resolve) => rogue.link.onClose(() => resolve()));
      rogue.link.send(create(FrameSchema, { body: { case: "hello", value: helloOf({}) } }));
      await ended;
      await assertStillServes();
    });
  });

  describe("on the admin socket", () => {
    const nowS = (): number => Math.floor(Date.now() / 1000);

    function revocation(said: {
      readonly by?: Member;
      readonly signer?: ReturnType<typeof testSigner>;
      readonly iss?: string;
      readonly sub?: string;
      readonly net?: string;
      readonly iat?: number;
      readonly exp?: number;
      readonly grant?: string;
    }): readonly string[] {
      const { cities, grant } = running;
      const by = said.by ?? cities.provider;
      const statement: Statement = {
        name: "revocation",
        claims: {
          iss: said.iss ?? by.agency.card.id,
          sub: said.sub ?? cities.consumer.agency.card.id,
          net: said.net ?? cities.networkId,
          jti: formatUuid(createUuidV7(Date.now(), systemRandom(10))),
          iat: said.iat ?? nowS(),
          ...(said.exp === undefined ? {} : { exp: said.exp }),
        },
        body: { grant: said.grant ?? grant, reason: "PURPOSE_ENDED" },
      };
      return createStatement(statement, [said.signer ?? by.administrator.key]);
    }

    it("is refused a statement that a stranger has signed", async () => {
      const jws = revocation({ signer: testSigner(3) });
      await assert.rejects(running.provider.submit(jws), codeOf("TOKEN_KEY_UNKNOWN"));
      await assertStillServes();
    });

    it("is refused a statement of the wrong office", async () => {
      const jws = revocation({ signer: running.cities.provider.gateway.token });
      await assert.rejects(running.provider.submit(jws), codeOf("STATEMENT_SIGNER_MISSING"));
      await assertStillServes();
    });

    it("is refused a revocation that another agency's administrator signs for the provider", async () => {
      const { consumer, provider } = running.cities;
      const jws = revocation({ by: consumer, iss: provider.agency.card.id });
      await assert.rejects(running.provider.submit(jws), codeOf("STATEMENT_SIGNER_MISSING"));
      await assertStillServes();
    });

    const voids: readonly (readonly [string, () => readonly string[], ReasonCode])[] = [
      ["of another network", () => revocation({ net: "ab".repeat(32) }), "NETWORK_WRONG"],
      [
        "by the consumer's agency",
        () => revocation({ by: running.cities.consumer }),
        "SIGNER_NOT_ALLOWED",
      ],
      [
        "about another consumer",
        () => revocation({ sub: running.cities.provider.agency.card.id }),
        "GRANT_UNKNOWN",
      ],
      ["that is 8 days old", () => revocation({ iat: nowS() - 8 * 86_400 }), "STALE"],
      ["from tomorrow", () => revocation({ iat: nowS() + 86_400 }), "NOT_YET_VALID"],
      ["that has expired", () => revocation({ iat: nowS() - 20, exp: nowS() - 10 }), "EXPIRED"],
      [
        "of a grant that is none",
        () => revocation({ grant: formatUuid(createUuidV7(Date.now(), systemRandom(10))) }),
        "GRANT_UNKNOWN",
      ],
    ];
    for (const [lie, jws, reason] of voids) {
      it(`gets void ${reason} for a revocation ${lie}, which takes nothing, early or late`, async () => {
        const { leafHash } = await running.provider.submit(jws(), 0);
        // It is recorded and not yet included: what would act as an early fact acts now.
        await assertStillServes();
        let voidReason = "";
        await eventually("it is final", async () => {
          const entries = await running.provider.records();
          const state = entries.find((entry) => {
            return Buffer.compare(entry.state?.leafHash ?? new Uint8Array(), leafHash) === 0;
          })?.state;
          voidReason = state?.voidReason ?? "";
          return state?.final === true;
        });
        assert.equal(voidReason, reason);
        await assertStillServes();
      });
    }

    it("gets void REPLAYED for a statement that was applied before", async () => {
      const { cities, consumer } = running;
      const details = [
        {
          type: "causeway-service" as const,
          service: divisionsService,
          methods: ["/causeway.demo.v1.DivisionService/GetDivision"],
          purposes: ["address-check"],
          legal_basis: "order-809-12",
        },
      ];
      const body = { authorization_details: details };
      const { jws } = cities.sign(cities.consumer, "request", divisionsService, body);
      assert.equal((await consumer.submit(jws)).voidReason, "");
      assert.equal((await consumer.submit(jws)).voidReason, "REPLAYED");
      assert.equal((await running.provider.submit(jws)).voidReason, "REPLAYED");
      await assertStillServes();
    });
  });

  describe("with a leaf of the gateway's own chain", () => {
    async function leaf(signer: Member["gateway"]["batch"]): Promise<Uint8Array> {
      const { cities, provider } = running;
      const { finalSize, finalRoot } = await provider.status();
      const fields: BatchFields = {
        kind: "evidence",
        network: parseHex(cities.networkId) as Uint8Array,
        gateway: cities.provider.gateway.card.id,
        epoch: 0n,
        boot: systemRandom(16),
        seq: 1_000n,
        prev: systemRandom(32),
        seen: { size: finalSize, root: finalRoot },
        firstAtMs: Date.now(),
        sealedAtMs: Date.now(),
      };
      return sealBatch(fields, [Uint8Array.of(1)], signer).leaf;
    }

    for (const [lie, make] of [
      ["under a stranger's key", () => leaf(testSigner(5) as Member["gateway"]["batch"])],
      ["under the consumer's key", () => leaf(running.cities.consumer.gateway.batch)],
      [
        "with a broken signature",
        async () => {
          const bytes = await leaf(running.cities.provider.gateway.batch);
          bytes[3] = (bytes[3] as number) ^ 1;
          return bytes;
        },
      ],
      ["that is garbage", async () => systemRandom(300)],
    ] as const) {
      it(`${lie} nobody can stop it`, async () => {
        const bytes = await make();
        const rogue = await RogueLink.open(running.cities, {}, { leaf: bytes });
        await assertStillServes();
        rogue.close();
      });
    }

    it("that it signed and does not have, it stops sealing: JOURNAL_ROLLED_BACK", async () => {
      const bytes = await leaf(running.cities.provider.gateway.batch);
      const { journalSealed } = await running.provider.status();
      const rogue = await RogueLink.open(running.cities, {}, { leaf: bytes }).catch(
        () => undefined,
      );
      await eventually("it is halted", () =>
        running.gateways.provider.notReady().includes("JOURNAL_ROLLED_BACK"),
      );
      const answer = await running.client.getDivision("330106");
      assert.equal(answer.reason, "JOURNAL_ROLLED_BACK");
      assert.equal(answer.message, undefined);
      assert.equal((await running.provider.status()).journalSealed, journalSealed);
      rogue?.close();
    });
  });
});
