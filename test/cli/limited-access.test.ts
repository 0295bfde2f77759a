/** Grants for some fields of an answer and for so many exchanges, made with the program's own commands. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { administer as administerAt, list, runLoneGateway, service } from "./lone-gateway.ts";
import { assertApplied, assertRefused, causeway, type Ran } from "./support.ts";

const lone = runLoneGateway("limited");
const administer = (...argv: readonly string[]): Promise<Ran> => administerAt(lone, ...argv);
const read = "/causeway.demo.v1.DivisionService/GetDivision";
const fields = ["division.code", "division.name"];
const ask = ["request", "create", "--service", service, "--method", read];
const why = ["--purpose", "address-check", "--legal-basis", "PIPL-13"];

async function shown(grant: string): Promise<Record<string, unknown>> {
  const { stdout } = await causeway(
    ...["grant", "show", grant, "--admin", lone.socket, "--output", "json"],
  );
  return (JSON.parse(stdout) as { authorization: Record<string, unknown> }).authorization;
}

describe("limited access", () => {
  test("is published, asked for and granted, and stands on the ledger as it was narrowed", async () => {
    assertApplied(
      await administer(
        ...["service", "publish", "--id", service, "--purpose", "address-check"],
        ...["--sharing", "conditional", "--proto", "proto/causeway/demo/v1/division.proto"],
        ...["--method", read, "--durability", "ledger"],
      ),
    );
    const limits = ["--quota", "1000/1d", "--max-bytes", "4096"];
    const masked = ["--field", ...fields.toReversed(), "--metadata", "etag", "grpc-message"];
    const asked = assertApplied(await administer(...ask, ...why, ...masked, ...limits));
    const jti = asked["jti"] as string;
    const [row] = await list(lone, "request", "list");
    assert.equal(
      row?.["limits"],
      `field=${fields.join(",")} metadata=etag,grpc-message quota=1000/86400s max-bytes=4096`,
    );

    const approve = ["request", "approve", jti, "--days", "365"];
    const wider = await administer(...approve, "--quota", "1001/1d");
    assertRefused(wider, "OUTSIDE_REQUEST", 1);
    const granted = assertApplied(
      await administer(
        ...approve,
        ...["--field", "division.name", "--quota", "100/1d", "--durability", "ledger"],
        ...["--share", "hangzhou/civil-affairs/gw1=60", "--share", "hangzhou/civil-affairs/gw2=40"],
      ),
    );
    const authorization = await shown(granted["jti"] as string);
    assert.deepEqual(authorization, {
      type: "causeway-service",
      service,
      methods: [read],
      purposes: ["address-check"],
      legal_basis: "PIPL-13",
      fields: ["division.name"],
      metadata: ["etag", "grpc-message"],
      quota: {
        limit: 100,
        period_s: 86400,
        shares: [
          { gateway: "hangzhou/civil-affairs/gw1", limit: 60 },
          { gateway: "hangzhou/civil-affairs/gw2", limit: 40 },
        ],
      },
      bytes_max: 4096,
      durability: "ledger",
    });
  });

  const wrong: readonly (readonly [string, readonly string[], string, number, RegExp])[] = [
    [
      "a field that the answer lacks",
      ["--field", "division.colour"],
      "MASK_INVALID",
      1,
      /division\.colour is no field of causeway\.demo\.v1\.GetDivisionResponse/,
    ],
    [
      "a field below another",
      ["--field", "division", "division.name"],
      "MASK_INVALID",
      1,
      /below division/,
    ],
    ["metadata without fields", ["--metadata", "etag"], "USAGE_INVALID", 2, /--field/],
  ];
  for (const [what, flags, reason, code, words] of wrong) {
    test(`for ${what} is refused before anything is signed`, async () => {
      const ran = await administer(...ask, ...why, ...flags);
      assertRefused(ran, reason, code);
      assert.match(ran.stderr, words);
    });
  }

  for (const quota of ["1000", "0/1d", "5/1w", "5/367d", "x/1d"]) {
    test(`under the quota ${quota} is a usage error that says how it is written`, async () => {
      const ran = await administer(...ask, ...why, "--quota", quota);
      assert.equal(ran.code, 2);
      assert.match(ran.stderr, /1000\/1d/);
    });
  }

  test("whose quota is shared without one is refused", async () => {
    const asked = assertApplied(await administer(...ask, ...why));
    const ran = await administer(
      ...["request", "approve", asked["jti"] as string, "--days", "1"],
      ...["--share", "hangzhou/civil-affairs/gw1=1"],
    );
    assertRefused(ran, "USAGE_INVALID", 2);
  });
});
