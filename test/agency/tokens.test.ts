/** Agency systems that show a token of their identity provider: stock clients on real sockets. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, describe, test } from "node:test";
import { Client, credentials, status } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import type { IssuerConfig } from "../../gateway/agency/config.ts";
import { AgencyGate } from "../../gateway/agency/gate.ts";
import type { AgencyListener, AgencyListenerConfig } from "../../gateway/agency/listener.ts";
import type { GatewayConfig } from "../../gateway/config-types.ts";
import { systemClock } from "../../gateway/runtime.ts";
import { keySetBytesMax, keySetFetchAgainMs } from "../../src/base/limits.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { eventually } from "../support/admin-client.ts";
import {
  createKey,
  createToken,
  goodClaims,
  hmacWith,
  issuer,
  keySetOf,
  nowS,
  type SigningKey,
} from "./identity-provider.ts";
import {
  agencyConfig,
  bearer,
  call,
  callOnce,
  Files,
  issuerConfig,
  type Running,
  startListener,
  system,
} from "./support.ts";

const files = new Files();
after(() => files.remove());

const key = createKey("k1", "EdDSA");
const nist = createKey("k2", "ES256");
const forger = createKey("k1", "EdDSA");
const keySet = files.write("keys.json", keySetOf(key, nist));

const systems = [
  system("registry-desk", { loopback: true, defaults: { case: "no case", official: "the desk" } }),
  system("portal", { jwt: { issuer, clients: ["portal", "portal-2"] } }),
];

async function withListener(
  options: Parameters<typeof startListener>[0],
  work: (running: Running) => Promise<void>,
): Promise<void> {
  const running = await startListener(options);
  try {
    await work(running);
  } finally {
    await running.close();
  }
}

async function reload(listener: AgencyListener, config: AgencyListenerConfig): Promise<void> {
  const commit = await listener.prepare(config as GatewayConfig);
  commit();
}

const withTokens = (work: (running: Running) => Promise<void>): Promise<void> =>
  withListener({ agency: { issuers: [issuerConfig({ jwks_file: keySet })] }, systems }, work);

describe("a token in authorization", () => {
  test("names the system, and goes no further; all else does", () =>
    withTokens(async ({ address, served }) => {
      const metadata = [
        bearer(createToken(key)),
        ["x-trace", "a"],
        ["x-trace", "b"],
        ["causeway-case", "case-1"],
      ] as const;
      assert.equal((await callOnce(address, { metadata })).system, "portal");
      const [{ headers } = { headers: {} as Record<string, string[]> }] = served;
      assert.equal(headers["authorization"], undefined);
      assert.deepEqual(headers["x-trace"], ["a", "b"]);
      assert.deepEqual(headers["causeway-case"], ["case-1"]);
    }));

  test("may be of any of the system's clients, under either algorithm", () =>
    withTokens(async ({ address }) => {
      const token = createToken(nist, { claims: goodClaims({ client_id: "portal-2" }) });
      assert.equal((await callOnce(address, { metadata: [bearer(token)] })).system, "portal");
    }));

  test("may have its scheme in other letters", () =>
    withTokens(async ({ address }) => {
      const metadata = [["authorization", `bearer ${createToken(key)}`]] as const;
      assert.equal((await callOnce(address, { metadata })).system, "portal");
    }));

  test("names the official, who stands beside any other that the metadata names", () =>
    withTokens(async ({ address, served }) => {
      const token = bearer(createToken(key, { claims: goodClaims({ officer: "officer-7" }) }));
      const officials: (readonly string[] | undefined)[] = [];
      for (const stated of [[], ["officer-7"], ["officer-8"]]) {
        const more = stated.map((name) => ["causeway-official", name] as const);
        await callOnce(address, { metadata: [token, ...more] });
        officials.push(served.at(-1)?.headers["causeway-official"]);
      }
      assert.deepEqual(officials, [["officer-7"], ["officer-7"], ["officer-8", "officer-7"]]);
    }));

  test("in binary metadata counts as an official too", () =>
    withTokens(async ({ address, served }) => {
      const token = bearer(createToken(key, { claims: goodClaims({ officer: "officer-7" }) }));
      const metadata = [token, ["causeway-official-bin", Buffer.from("officer-7")]] as const;
      await callOnce(address, { metadata });
      const headers = served.at(-1)?.headers ?? {};
      assert.equal(headers["causeway-official"], undefined);
      assert.deepEqual(headers["causeway-official-bin"], ["officer-7"]);
    }));

  test("is verified once, and not taken any more from its exp on", () =>
    withTokens(async ({ address, clock }) => {
      const metadata = [bearer(createToken(key, { claims: goodClaims({ exp: nowS() + 60 }) }))];
      assert.equal((await callOnce(address, { metadata })).system, "portal");
      assert.equal((await callOnce(address, { metadata })).system, "portal");
      clock.move(95_000);
      assert.equal((await callOnce(address, { metadata })).reason, "TOKEN_EXPIRED");
    }));
});

describe("without a token", () => {
  test("the loopback system calls, with its defaults for what the call does not say", () =>
    withTokens(async ({ address, served }) => {
      const { system: taken } = await callOnce(address, {
        metadata: [["causeway-case", "case-1"]],
      });
      assert.equal(taken, "registry-desk");
      assert.deepEqual(served[0]?.headers["causeway-case"], ["case-1"]);
      assert.deepEqual(served[0]?.headers["causeway-official"], ["the desk"]);
    }));

  test("nobody calls where no system is the loopback one", () =>
    withListener({ systems: systems.slice(1) }, async ({ address, served }) => {
      const { code, reason } = await callOnce(address);
      assert.deepEqual([code, reason], [status.UNAUTHENTICATED, "CREDENTIALS_MISSING"]);
      assert.deepEqual(served, []);
    }));

  test("authorization is the data service's where the gateway takes no tokens", () =>
    withListener({ systems: systems.slice(0, 1) }, async ({ address, served }) => {
      await callOnce(address, { metadata: [["authorization", "Basic dTpw"]] });
      assert.deepEqual(served[0]?.headers["authorization"], ["Basic dTpw"]);
    }));
});

describe("a caller is refused", () => {
  const claims = (more: Record<string, unknown>): { claims: Record<string, unknown> } => ({
    claims: goodClaims(more),
  });
  const good = createToken(key);
  const attacks: Readonly<Record<string, readonly [reason: string, ...authorization: string[]]>> = {
    "with alg none": [
      "TOKEN_ALG_NOT_ALLOWED",
      createToken(key, { header: { alg: "none" }, signature: () => Buffer.alloc(0) }),
    ],
    "with HS256 over the public key": [
      "TOKEN_ALG_NOT_ALLOWED",
      createToken(key, { header: { alg: "HS256" }, signature: hmacWith(JSON.stringify(key.jwk)) }),
    ],
    "with a forged key": ["TOKEN_SIGNATURE_INVALID", createToken(forger)],
    "with a key of its own in the token": [
      "TOKEN_HEADER_INVALID",
      createToken(forger, { header: { jwk: forger.jwk } }),
    ],
    "with a kid that is a path": [
      "TOKEN_KEY_UNKNOWN",
      createToken(forger, { header: { kid: "../../keys.json" } }),
    ],
    "with a kid that is a URL": [
      "TOKEN_KEY_UNKNOWN",
      createToken(forger, { header: { kid: "http://127.0.0.1:1/" } }),
    ],
    "with jku": [
      "TOKEN_HEADER_INVALID",
      createToken(forger, { header: { jku: "http://x.example" } }),
    ],
    "with x5u": [
      "TOKEN_HEADER_INVALID",
      createToken(forger, { header: { x5u: "http://x.example" } }),
    ],
    "with crit": ["TOKEN_HEADER_INVALID", createToken(key, { header: { crit: ["x"], x: 1 } })],
    "with another typ": ["TOKEN_TYP_WRONG", createToken(key, { header: { typ: "JWT" } })],
    "of another issuer": [
      "TOKEN_ISSUER_WRONG",
      createToken(key, claims({ iss: "https://x.example" })),
    ],
    "for another audience": ["TOKEN_AUDIENCE_WRONG", createToken(key, claims({ aud: "x" }))],
    "whose token has expired": ["TOKEN_EXPIRED", createToken(key, claims({ exp: nowS() - 60 }))],
    "whose token is not valid yet": [
      "TOKEN_NOT_YET_VALID",
      createToken(key, claims({ nbf: nowS() + 99 })),
    ],
    "whose token has no exp": [
      "TOKEN_CLAIMS_INVALID",
      createToken(key, claims({ exp: undefined })),
    ],
    "whose token names its client twice": [
      "TOKEN_CLAIMS_INVALID",
      createToken(key, { claims: JSON.stringify(goodClaims()).replace("{", '{"client_id":"x",') }),
    ],
    "whose client is no system": ["CALLER_UNKNOWN", createToken(key, claims({ client_id: "x" }))],
    "that names another system's id as its client": [
      "CALLER_UNKNOWN",
      createToken(key, claims({ client_id: "registry-desk" })),
    ],
  };
  for (const [what, [reason, token = ""]] of Object.entries(attacks)) {
    test(`${what}: ${reason}`, () =>
      withTokens(async ({ address, served, unauthenticated }) => {
        const { code, reason: told } = await callOnce(address, { metadata: [bearer(token)] });
        assert.deepEqual([code, told], [status.UNAUTHENTICATED, reason]);
        assert.deepEqual(served, []);
        assert.deepEqual(unauthenticated, [reason]);
      }));
  }

  const forms: Readonly<Record<string, readonly [reason: string, ...values: string[]]>> = {
    "with a password": ["TOKEN_MALFORMED", "Basic dTpw"],
    "with no token behind the scheme": ["TOKEN_MALFORMED", "Bearer"],
    "with a token without its scheme": ["TOKEN_MALFORMED", good],
    "with two tokens in one": ["TOKEN_MALFORMED", `Bearer ${good},Bearer ${good}`],
    "with more metadata than there may be": ["METADATA_TOO_LARGE", `Bearer ${"A".repeat(8192)}`],
  };
  for (const [what, [reason, ...values]] of Object.entries(forms)) {
    test(`${what}: ${reason}`, () =>
      withTokens(async ({ address, served }) => {
        const metadata = values.map((value) => ["authorization", value] as const);
        assert.equal((await callOnce(address, { metadata })).reason, reason);
        assert.deepEqual(served, []);
      }));
  }
});

test("two authorizations are refused, also of one value: TOKEN_MALFORMED", async () => {
  const agency = agencyConfig({ issuers: [issuerConfig({ jwks_file: keySet })] });
  const gate = await AgencyGate.open(
    { agency, agency_systems: systems },
    {
      clock: systemClock,
      verifier: createNodeVerifier(),
      fetchKeySet: () => Promise.reject(new Error("nothing is fetched")),
      onFetchFailed: () => undefined,
    },
  );
  const entry = { key: "authorization", value: Buffer.from(`Bearer ${createToken(key)}`) };
  const connection = { remoteAddress: "127.0.0.1", certificate: undefined, isAuthorized: false };
  const callerOf = async (...entries: (typeof entry)[]): Promise<string> =>
    (await gate.callerOf(create(MetadataSchema, { entries }), connection)).system.id;
  assert.equal(await callerOf(entry), "portal");
  await assert.rejects(callerOf(entry, entry), { code: "TOKEN_MALFORMED" });
});

describe("an address that keeps failing", () => {
  const failures = { per_second: 1, burst: 3 };

  test("is answered BUSY for tokens that were not verified before, until it has paused", () =>
    withListener(
      { agency: { issuers: [issuerConfig({ jwks_file: keySet })], failures }, systems },
      async ({ address, clock }) => {
        const known = bearer(createToken(key));
        const fresh = (): readonly [string, string] =>
          bearer(createToken(key, { claims: goodClaims({ jti: String(Math.random()) }) }));
        const client = new Client(address, credentials.createInsecure());
        const ask = async (entry: readonly [string, string]): Promise<string | undefined> => {
          const { reason, system: taken } = await call(client, { metadata: [entry] });
          return reason ?? taken;
        };
        try {
          assert.equal(await ask(known), "portal");
          for (let i = 0; i < 4; i++) {
            assert.equal(await ask(bearer(createToken(forger))), "TOKEN_SIGNATURE_INVALID");
          }
          assert.equal(await ask(bearer(createToken(forger))), "BUSY");
          assert.equal(await ask(fresh()), "BUSY");
          assert.equal(await ask(known), "portal");
          clock.move(5000);
          assert.equal(await ask(fresh()), "portal");
        } finally {
          client.close();
        }
      },
    ));
});

/** An identity provider that publishes its keys over HTTP. */
class KeyServer {
  readonly #server: Server;
  requests = 0;
  answer: (
    respond: (status: number, body: string, headers?: Record<string, string>) => void,
  ) => void;

  constructor(...keys: readonly SigningKey[]) {
    this.answer = (respond) => respond(200, keySetOf(...keys));
    this.#server = createServer((_request, response) => {
      this.requests++;
      this.answer((code, body, headers = {}) => response.writeHead(code, headers).end(body));
    });
  }

  publish(...keys: readonly SigningKey[]): void {
    this.answer = (respond) => respond(200, keySetOf(...keys));
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }
}

describe("keys that are fetched", () => {
  const withServer = async (
    server: KeyServer,
    work: (
      ask: (signer: SigningKey) => Promise<string | undefined>,
      running: Running,
    ) => Promise<void>,
    more: Partial<IssuerConfig> = {},
  ): Promise<void> => {
    const jwks_url = await server.listen();
    try {
      await withListener(
        { agency: { issuers: [issuerConfig({ jwks_url, ...more })] }, systems },
        (running) =>
          work(async (signer) => {
            const claims = goodClaims({ jti: String(Math.random()) });
            const metadata = [bearer(createToken(signer, { claims }))];
            const { reason, system: taken } = await callOnce(running.address, { metadata });
            return reason ?? taken;
          }, running),
      );
    } finally {
      await server.close();
    }
  };

  test("are fetched with the first token, and once", async () => {
    const server = new KeyServer(key);
    await withServer(server, async (ask) => {
      assert.equal(server.requests, 0);
      assert.deepEqual(await Promise.all([ask(key), ask(key), ask(key)]), Array(3).fill("portal"));
      assert.equal(server.requests, 1);
    });
  });

  test("are fetched again for an unknown kid, at most once a minute", async () => {
    const server = new KeyServer(key);
    await withServer(server, async (ask, { clock }) => {
      assert.equal(await ask(key), "portal");
      server.publish(key, nist);
      assert.equal(await ask(nist), "TOKEN_KEY_UNKNOWN");
      assert.equal(await ask(createKey("never", "ES256")), "TOKEN_KEY_UNKNOWN");
      assert.equal(server.requests, 1);
      clock.move(keySetFetchAgainMs);
      assert.equal(await ask(nist), "portal");
      assert.equal(server.requests, 2);
    });
  });

  test("hold while the identity provider is away", async () => {
    const server = new KeyServer(key);
    await withServer(server, async (ask, { clock, keysUnavailable }) => {
      assert.equal(await ask(key), "portal");
      server.answer = (respond) => respond(503, "");
      clock.move(keySetFetchAgainMs);
      assert.equal(await ask(nist), "TOKEN_KEY_UNKNOWN");
      assert.equal(keysUnavailable.length, 1);
      assert.equal(await ask(key), "portal");
    });
  });

  test("are not believed any more once they are withdrawn and the set is old, not even for a known token", async () => {
    const server = new KeyServer(key, nist);
    await withServer(
      server,
      async (ask, { address, clock }) => {
        const metadata = [bearer(createToken(key, { claims: goodClaims({ exp: nowS() + 3600 }) }))];
        assert.equal((await callOnce(address, { metadata })).system, "portal");
        server.publish(nist);
        clock.move(120_000);
        // The first call behind the age sets off the fetch, and does not wait for it.
        assert.equal(await ask(key), "portal");
        await eventually("the new set is in force", async () => {
          return (await callOnce(address, { metadata })).reason === "TOKEN_KEY_UNKNOWN";
        });
        assert.equal(await ask(nist), "portal");
        assert.equal(server.requests, 2);
      },
      { jwks_refresh_s: 120 },
    );
  });

  test("are fetched again also where every call shows a token that is known", async () => {
    const server = new KeyServer(key, nist);
    await withServer(
      server,
      async (_ask, { address, clock }) => {
        const metadata = [bearer(createToken(key, { claims: goodClaims({ exp: nowS() + 3600 }) }))];
        assert.equal((await callOnce(address, { metadata })).system, "portal");
        server.publish(nist);
        clock.move(120_000);
        await eventually("the new set is in force", async () => {
          return (await callOnce(address, { metadata })).reason === "TOKEN_KEY_UNKNOWN";
        });
      },
      { jwks_refresh_s: 120 },
    );
  });

  test("are waited for at twice their age, unless the identity provider has been asked in vain", async () => {
    const server = new KeyServer(key, nist);
    await withServer(
      server,
      async (ask, { address, clock, keysUnavailable }) => {
        const metadata = [bearer(createToken(key, { claims: goodClaims({ exp: nowS() + 3600 }) }))];
        assert.equal((await callOnce(address, { metadata })).system, "portal");
        server.answer = (respond) => respond(503, "");
        clock.move(240_000);
        assert.equal((await callOnce(address, { metadata })).system, "portal");
        assert.equal(keysUnavailable.length, 1);
        server.publish(nist, key);
        clock.move(keySetFetchAgainMs);
        await eventually("the same set is fetched", async () => {
          await ask(key);
          return server.requests === 3;
        });
        server.publish(nist);
        clock.move(240_000);
        assert.equal((await callOnce(address, { metadata })).reason, "TOKEN_KEY_UNKNOWN");
      },
      { jwks_refresh_s: 120 },
    );
  });

  test("hold over a reload while the identity provider is away", async () => {
    const server = new KeyServer(key);
    await withServer(server, async (ask, { listener, config }) => {
      assert.equal(await ask(key), "portal");
      server.answer = (respond) => respond(503, "");
      await reload(listener, config);
      assert.equal(await ask(key), "portal");
      const [entry] = config.agency.issuers as readonly [IssuerConfig];
      const issuers = [{ ...entry, age_max_s: entry.age_max_s - 1 }];
      await reload(listener, { ...config, agency: { ...config.agency, issuers } });
      assert.equal(await ask(key), "ISSUER_UNAVAILABLE");
    });
  });

  const unusable: Readonly<Record<string, KeyServer["answer"]>> = {
    "with an error": (respond) => respond(500, ""),
    "with a redirect, which is not followed": (respond) =>
      respond(302, "", { location: "https://x.example/jwks" }),
    "with no JSON": (respond) => respond(200, "<html>"),
    "with no keys": (respond) => respond(200, '{"keys":[]}'),
    "with more than a set may have": (respond) => respond(200, " ".repeat(keySetBytesMax + 1)),
    "with a private key": (respond) =>
      respond(200, JSON.stringify({ keys: [{ ...key.jwk, d: "AAAA" }] })),
  };
  for (const [what, answer] of Object.entries(unusable)) {
    test(`are not had from one that answers ${what}: ISSUER_UNAVAILABLE`, async () => {
      const server = new KeyServer();
      server.answer = answer;
      await withServer(server, async (ask, { served, keysUnavailable }) => {
        assert.equal(await ask(key), "ISSUER_UNAVAILABLE");
        assert.equal(keysUnavailable.length, 1);
        assert.deepEqual(served, []);
      });
    });
  }
});

describe("a key set in a file is refused at the start", () => {
  const open = (jwks_file: string): Promise<Running> =>
    startListener({ agency: { issuers: [issuerConfig({ jwks_file })] }, systems });
  const bad: Readonly<Record<string, readonly [reason: string, file: string]>> = {
    "when it is missing": ["FILE_UNREADABLE", "/nowhere/keys.json"],
    "when it is none": ["CONFIG_INVALID", files.write("none.json", "{}")],
  };
  for (const [what, [code, file]] of Object.entries(bad)) {
    test(`${what}: ${code}`, () => assert.rejects(open(file), { code }));
  }
});
