/** Agency systems of all kinds before two real gateways: who is let in, what is recorded, and what is passed on. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Metadata, status } from "@grpc/grpc-js";
import { parse, stringify } from "yaml";
import { readWholeConfig } from "../../gateway/config.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { GetDivisionRequestSchema } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as AlphaReflection } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { causeway } from "../cli/support.ts";
import { eventually } from "../support/admin-client.ts";
import { AgencyClient, errorInfo } from "../support/agency-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, getDivision, type TwoCities } from "../support/two-cities.ts";
import { createIdentity, type Identity } from "../transport/certificate.ts";
import {
  createKey,
  createToken,
  goodClaims,
  issuer,
  issuerEntry,
  keySetOf,
} from "./identity-provider.ts";
import { channel, listenerIdentity } from "./support.ts";

const key = createKey("k1", "ES256");
const [desk, registry, limited, narrow, stranger] = [
  "desk",
  "registry",
  "limited",
  "narrow",
  "stranger",
].map((name) => createIdentity(name)) as [Identity, Identity, Identity, Identity, Identity];

function pinned(identity: Identity): { spki_sha256: string[] } {
  const { publicKey } = new X509Certificate(identity.der);
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { spki_sha256: [createHash("sha256").update(spki).digest("hex")] };
}

/** What a vendor program that can set no metadata needs. */
const routine = { purpose: "address-check", case: "routine", official: "the registry" };

function configure({ consumer }: TwoCities): void {
  const write = (name: string, text: string): string => {
    writeFileSync(join(consumer.folder, name), text, { mode: 0o600 });
    return name;
  };
  const config = parse(readFileSync(consumer.configFile, "utf8")) as Record<string, unknown>;
  config["log"] = "silent";
  config["agency"] = {
    tls: {
      certificate_file: write("agency.pem", listenerIdentity.certificate),
      key_file: write("agency.key", listenerIdentity.privateKey),
    },
    issuers: [{ ...issuerEntry, jwks_file: write("jwks.json", keySetOf(key)) }],
    failures: { per_second: 1000, burst: 1000 },
  };
  config["agency_systems"] = [
    { id: "case-desk", tls: pinned(desk), jwt: { issuer, clients: ["case-desk"] } },
    { id: "registry", tls: pinned(registry), defaults: routine },
    {
      id: "limited",
      tls: pinned(limited),
      services: ["hangzhou/civil-affairs/other"],
      defaults: routine,
    },
    { id: "narrow", tls: pinned(narrow), purposes: ["statistics"], defaults: routine },
  ];
  writeFileSync(consumer.configFile, stringify(config));
}

describe("agency systems before two gateways", () => {
  let running: Running;
  let address: string;
  /** Metadata of the calls that reached the upstream, as [key, value]. */
  const reached: (readonly (readonly [string, string])[])[] = [];
  const clients: AgencyClient[] = [];

  const wrapUpstream = (upstream: UpstreamConnector): UpstreamConnector => ({
    ...upstream,
    callUnary: (call) => {
      reached.push(
        call.headers.entries.map(({ key: name, value }) => [name, Buffer.from(value).toString()]),
      );
      return upstream.callUnary(call);
    },
  });

  before(async () => {
    let file = "";
    running = await startTwoCities({
      configure: (cities) => {
        configure(cities);
        file = cities.consumer.configFile;
      },
      overrides: {
        provider: { wrapUpstream },
        consumer: { rereadConfig: () => readWholeConfig(file) },
      },
    });
    address = running.cities.consumer.addresses.agency;
  });

  after(async () => {
    for (const client of clients) client.close();
    await running?.close();
  });

  const clientOf = (identity?: Identity): AgencyClient => {
    const client = new AgencyClient(address, channel(identity));
    clients.push(client);
    return client;
  };
  const token = (more: Record<string, unknown> = {}): string =>
    `Bearer ${createToken(key, { claims: goodClaims({ client_id: "case-desk", ...more }) })}`;

  /** The newest record of the consumer's side. */
  const newest = async (): Promise<
    readonly [kind: string | undefined, detail: string | undefined]
  > => {
    const [record] = await running.consumer.records(1);
    return [record?.kind, record?.detail];
  };
  const recordCount = async (): Promise<number> => (await running.consumer.records(1000)).length;

  async function assertRefused(
    reason: string,
    call: () => Promise<{ readonly reason: string | undefined }>,
  ): Promise<void> {
    const before = reached.length;
    const { reason: told } = await call();
    assert.equal(told, reason);
    assert.deepEqual(await newest(), ["refusal", reason]);
    assert.equal(reached.length, before, "nothing reached the upstream");
  }

  test("one with certificate and token is answered; its token goes no further", async () => {
    const answer = await clientOf(desk).getDivision("330106", {
      metadata: {
        authorization: token({ officer: "officer-7" }),
        "causeway-purpose": "address-check",
        "causeway-case": "case-1",
        "x-request-id": "r-1",
      },
    });
    assert.equal(answer.code, status.OK, answer.details);
    assert.equal(answer.message?.division?.name, "西湖区");
    assert.match(String(answer.trailers.get("causeway-receipt")[0]), /^[0-9a-f]{64}\/\d+$/);
    const names = reached.at(-1)?.map(([name]) => name) ?? [];
    assert.ok(!names.includes("authorization"));
    assert.ok(names.includes("x-request-id"));
  });

  test("one that can set no metadata is answered by its defaults", async () => {
    const answer = await clientOf(registry).getDivision("330106", { metadata: {} });
    assert.equal(answer.code, status.OK, answer.details);
  });

  test("one that reaches for a service that is not its own is refused, on the record", () =>
    assertRefused("CALLER_NOT_ALLOWED", () =>
      clientOf(limited).getDivision("330106", { metadata: {} }),
    ));

  test("one that names the service of another is refused all the same", () =>
    assertRefused("CALLER_NOT_ALLOWED", () =>
      clientOf(limited).getDivision("330106", {
        metadata: { "causeway-service": divisionsService },
      }),
    ));

  test("one that names a purpose that is not its own is refused, on the record", () =>
    assertRefused("CALLER_NOT_ALLOWED", () =>
      clientOf(narrow).getDivision("330106", { metadata: { "causeway-purpose": "address-check" } }),
    ));

  test("one that names another official than its token is refused, on the record", () =>
    assertRefused("METADATA_INVALID", () =>
      clientOf(desk).getDivision("330106", {
        metadata: {
          authorization: token({ officer: "officer-7" }),
          "causeway-official": "officer-8",
          "causeway-purpose": "address-check",
        },
      }),
    ));

  const unknown: Readonly<Record<string, readonly [string, () => AgencyClient, (() => string)?]>> =
    {
      "without a certificate": ["CREDENTIALS_MISSING", () => clientOf()],
      "with a certificate of nobody": ["CALLER_UNKNOWN", () => clientOf(stranger)],
      "with its certificate and without its token": ["CREDENTIALS_DIFFER", () => clientOf(desk)],
      "with its token and another's certificate": [
        "CREDENTIALS_DIFFER",
        () => clientOf(registry),
        token,
      ],
      "with an expired token": [
        "TOKEN_EXPIRED",
        () => clientOf(desk),
        () => token({ exp: Math.floor(Date.now() / 1000) - 60 }),
      ],
    };
  for (const [what, [reason, client, authorization]] of Object.entries(unknown)) {
    test(`one ${what} is told ${reason}, and leaves no record`, async () => {
      const [before, records] = [reached.length, await recordCount()];
      const answer = await client().getDivision("330106", {
        metadata: {
          "causeway-purpose": "address-check",
          ...(authorization === undefined ? {} : { authorization: authorization() }),
        },
      });
      assert.deepEqual([answer.code, answer.reason], [status.UNAUTHENTICATED, reason]);
      assert.deepEqual([reached.length, await recordCount()], [before, records]);
    });
  }

  for (const { typeName, methods } of [Health, ServerReflection, AlphaReflection]) {
    for (const { name } of methods) {
      test(`one without a certificate is told CREDENTIALS_MISSING by ${typeName}/${name} too`, async () => {
        const [input, output] = [HealthCheckRequestSchema, HealthCheckResponseSchema];
        const answer = await clientOf().call(`/${typeName}/${name}`, input, output, {});
        assert.deepEqual(
          [answer.code, answer.reason],
          [status.UNAUTHENTICATED, "CREDENTIALS_MISSING"],
        );
      });
    }
  }

  /** A call as raw header fields, which no stub would send. */
  async function raw(
    fields: OutgoingHttpHeaders,
    path: string = getDivision,
  ): Promise<{ readonly code: number; readonly reason: string | undefined }> {
    const session = connect(`https://${address}`, {
      ca: listenerIdentity.certificate,
      cert: registry.certificate,
      key: registry.privateKey,
      checkServerIdentity: () => undefined,
    });
    const message = toBinary(
      GetDivisionRequestSchema,
      create(GetDivisionRequestSchema, { code: "330106" }),
    );
    try {
      return await new Promise((resolve, reject) => {
        session.once("error", reject);
        const stream = session.request({
          ":method": "POST",
          ":path": path,
          "content-type": "application/grpc",
          te: "trailers",
          ...fields,
        });
        const take = (headers: IncomingHttpHeaders): void => {
          if (headers["grpc-status"] === undefined) return;
          const trailers = new Metadata();
          const details = headers["grpc-status-details-bin"];
          if (typeof details === "string") {
            trailers.set("grpc-status-details-bin", Buffer.from(details, "base64"));
          }
          const code = Number(headers["grpc-status"]);
          resolve({ code, reason: errorInfo(trailers)?.reason });
        };
        stream.on("response", take);
        stream.on("trailers", take);
        stream.once("error", reject);
        stream.resume();
        stream.end(Buffer.concat([Buffer.of(0, 0, 0, 0, message.length), message]));
      });
    } finally {
      session.close();
    }
  }

  const smuggled: Readonly<Record<string, OutgoingHttpHeaders>> = {
    "a purpose given twice": { "causeway-purpose": ["address-check", "address-check"] },
    "a purpose and another in binary": {
      "causeway-purpose": "address-check",
      "causeway-purpose-bin": Buffer.from("marketing").toString("base64"),
    },
    "two purposes in one binary entry": {
      "causeway-purpose-bin": `${Buffer.from("address-check").toString("base64")},YQ`,
    },
    "an empty purpose": { "causeway-purpose": "" },
    "a purpose with a space in it": { "causeway-purpose": "address-check x" },
    "a purpose with bytes beyond ASCII": { "causeway-purpose": "address-check\u00a0" },
    "a purpose that is too long": { "causeway-purpose": "a".repeat(257) },
    "a service given twice": { "causeway-service": [divisionsService, "shenzhen/a/b"] },
    "two cases": { "causeway-case": ["case-1", "case-2"] },
  };
  for (const [what, fields] of Object.entries(smuggled)) {
    test(`${what} is refused: METADATA_INVALID`, () =>
      assertRefused("METADATA_INVALID", () => raw(fields)));
  }

  test("what only gateways say is dropped when a caller says it, in any spelling", async () => {
    const forged = {
      "causeway-exchange-id": "forged",
      "causeway-consumer": "forged",
      "causeway-agency": "forged",
      "causeway-grant": "forged",
      "causeway-receipt": "forged",
      "causeway-anything-bin": Buffer.from("forged").toString("base64"),
      "CAUSEWAY-Gateway": "forged",
    };
    assert.equal((await raw(forged)).code, status.OK);
    const values = reached.at(-1)?.map(([, value]) => value) ?? [];
    assert.ok(values.length > 0);
    assert.ok(!values.includes("forged"));
  });

  const [, service = "", method = ""] = getDivision.split("/");
  const paths: readonly string[] = [
    `/${getDivision}`,
    `${getDivision}/`,
    `/${service}//${method}`,
    `/x/../${service}/${method}`,
    `/${service}/./${method}`,
    `/${service}/%47etDivision`,
    `/${service}%2F${method}`,
    `/${service}/${method}%00`,
    `/${service}/${method}?x=1`,
    `/${service}/${method}#x`,
    `/${service}/${method};x`,
    `/${service}/${method.toLowerCase()}`,
    `/${service.toUpperCase()}/${method}`,
    `/${service}\\${method}`,
    `/${service}/GetDivisi\u00f6n`,
    `/${service}/`,
    `/${service}`,
    "/",
    `/${"a".repeat(2000)}/b`,
  ];
  for (const path of paths) {
    test(`the path ${path.slice(0, 60)} is no method: METHOD_UNKNOWN`, async () => {
      const before = reached.length;
      assert.equal((await raw({}, path)).reason, "METHOD_UNKNOWN");
      assert.equal(reached.length, before, "nothing reached the upstream");
    });
  }

  test("each of these paths is on record, alone or in the count of its second", async () => {
    const json = async (...words: readonly string[]): Promise<unknown> => {
      const { admin } = running.cities.consumer.addresses;
      const ran = await causeway("exchange", ...words, "--admin", admin, "--output", "json");
      return JSON.parse(ran.stdout);
    };
    const countOf = async ({ handle }: { readonly handle: string }): Promise<number> => {
      const shown = (await json("show", handle)) as {
        readonly records: readonly {
          readonly body: { readonly refusal: { readonly aggregate?: { readonly count: string } } };
        }[];
      };
      return Number(shown.records[0]?.body.refusal.aggregate?.count ?? 1);
    };
    await eventually("all are on record", async () => {
      const flags = ["--outcome", "METHOD_UNKNOWN", "--limit", "100"];
      const rows = (await json("list", ...flags)) as readonly { readonly handle: string }[];
      const counts = await Promise.all(rows.map(countOf));
      return counts.reduce((sum, count) => sum + count, 0) === paths.length;
    });
  });

  test("a configuration is checked without starting anything", async () => {
    const { configFile } = running.cities.consumer;
    const { code, stdout } = await causeway("gateway", "check", configFile);
    assert.deepEqual(
      [code, stdout],
      [
        0,
        `${configFile} is right: shenzhen/market-regulation/gw1, agency systems 4, upstreams 0\n`,
      ],
    );
  });

  test("a reload takes a system away, and one that is wrong changes nothing", async () => {
    const { configFile, addresses } = running.cities.consumer;
    const admin = ["--admin", addresses.admin] as const;
    const config = parse(readFileSync(configFile, "utf8")) as {
      agency_systems: { id: string }[];
      log: string;
      data: string;
    };
    const client = clientOf(registry);
    const call = (): ReturnType<AgencyClient["getDivision"]> =>
      client.getDivision("330106", { metadata: {} });
    writeFileSync(configFile, stringify({ ...config, agency_systems: [], log: "loud" }));
    const wrong = await causeway("gateway", "reload", ...admin);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /CONFIG_INVALID/);
    assert.match(wrong.stderr, /log: expected `debug`/);
    assert.equal((await call()).code, status.OK);
    const others = config.agency_systems.filter(({ id }) => id !== "registry");
    writeFileSync(configFile, stringify({ ...config, agency_systems: others, data: "elsewhere" }));
    const taken = await causeway("gateway", "reload", ...admin);
    assert.deepEqual(
      [taken.code, taken.stdout],
      [0, "taken  agency_systems\nleft   data: it waits for the next start\nin force\n"],
    );
    assert.equal((await call()).reason, "CALLER_UNKNOWN");
  });
});
