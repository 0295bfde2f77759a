/** The members of a random history with their keys: what a generator needs to say something that may be right. */
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { formatPayload } from "../../src/credential/payloads.ts";
import type {
  CityBody,
  GatewayBody,
  Statement,
  StatementBodies,
  StatementName,
} from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { recordHash } from "../../src/record/record.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork, type TestGateway, type TestNetwork } from "../support/network.ts";
import { emptyHistory, type Fact, factsOf, type History, newest } from "./facts.ts";
import { bindKeys, digestOf, kidOf, putFact, type Said } from "./rules.ts";
import { openStatement } from "../../src/credential/statement.ts";
import { openRecord } from "../../src/record/record.ts";

/** A statement with the record that holds it. */
export interface Spoken extends Said {
  readonly record: Uint8Array;
}

/** Cities of the founding: a quorum of three bears one that lies. */
const founders = [
  { id: "chengdu", division: "510100", agency: "big-data" },
  { id: "hangzhou", division: "330100", agency: "civil-affairs" },
  { id: "shenzhen", division: "440300", agency: "market-regulation" },
  { id: "wuhan", division: "420100", agency: "housing" },
];

export class World {
  readonly network: TestNetwork;
  readonly ledger: TestLedger;
  readonly history: History;
  /** Candidacies that were said, with the key of each candidate. */
  readonly candidates: { readonly id: string; readonly payload: string; readonly key: Signer }[] =
    [];
  readonly said: Spoken[] = [];
  #keys = 0;
  /** By the SHA-256 of the public key, hex. */
  readonly #signers = new Map<string, Signer>();

  private constructor(network: TestNetwork, ledger: TestLedger, history: History) {
    this.network = network;
    this.ledger = ledger;
    this.history = history;
    this.#keep(network.log);
    for (const { authority, next, witness, agency } of network.cities) {
      const { gateway, administrator } = agency;
      const own = [authority, next, witness, agency.authority, agency.next, administrator];
      for (const key of [...own, gateway.batch, gateway.token]) this.#keep(key);
    }
  }

  static async found(): Promise<World> {
    const network = createTestNetwork({
      seed: "model",
      cities: founders,
      network: { quorum: 3, faults: 1 },
    });
    const world = new World(network, await TestLedger.founded(network), emptyHistory());
    foundModel(world);
    return world;
  }

  /** The same world as it is now; what is said in one is not known in the other. */
  fork(): World {
    const history = structuredClone(this.history);
    const other = new World(this.network, this.ledger.fork(), history);
    other.candidates.push(...this.candidates);
    other.said.push(...this.said);
    for (const signer of this.#signers.values()) other.#keep(signer);
    other.#keys = this.#keys;
    return other;
  }

  /** A key that nobody has. */
  freshKey(): Signer {
    return this.#keep(this.network.signer(`fresh ${this.#keys++}`));
  }

  #keep(signer: Signer): Signer {
    this.#signers.set(toHex(sha256(signer.publicKey)), signer);
    return signer;
  }

  #signer(digest: string): Signer {
    const signer = this.#signers.get(digest);
    if (signer === undefined) throw new Error("every key is one of the world's");
    return signer;
  }

  /** Ids of every city that is or was one. */
  get cities(): readonly string[] {
    return this.#ids("city");
  }

  get agencies(): readonly string[] {
    return this.#ids("agency");
  }

  #ids(kind: Fact["kind"]): readonly string[] {
    return [...new Set(this.history.facts.flatMap((fact) => (fact.kind === kind ? fact.id : [])))];
  }

  /** Authority keys that a city or agency has had, the newest last. */
  authoritiesOf(id: string): readonly Signer[] {
    const facts = factsOf(this.history, id.includes("/") ? "agency" : "city", id);
    return facts.map(({ body }) => this.#signer(digestOf(body["authority"] as string)));
  }

  authorityOf(id: string): Signer {
    const known =
      this.authoritiesOf(id).at(-1) ?? this.candidates.find((one) => one.id === id)?.key;
    if (known === undefined) throw new Error(`nobody knows ${id}`);
    return known;
  }

  /** The signer of a log key as a statement writes it. */
  logOf(key: string): Signer {
    return this.#signer(digestOf(key));
  }

  /** The key that a city or agency has committed to as its next. */
  nextOf(id: string): Signer {
    const fact = newest(this.history, id.includes("/") ? "agency" : "city", id);
    return this.#signer(fact?.body["next"] as string);
  }

  administratorsOf(agency: string): readonly Signer[] {
    return this.history.facts.flatMap(({ kind, owner, body }) =>
      kind === "administrator" && owner === agency
        ? [this.#signer(digestOf(body["key"] as string))]
        : [],
    );
  }

  /** The gateways of an agency under each batch key that they have had. */
  gatewaysOf(agency: string): readonly TestGateway[] {
    return this.history.facts.flatMap(({ kind, id, owner, body }) =>
      kind === "gateway" && owner === agency ? [this.#gateway(id, body as never)] : [],
    );
  }

  #gateway(id: string, body: GatewayBody): TestGateway {
    const [batch, token] = [body.batch, body.token].map((key) => this.#signer(digestOf(key)));
    const boot = sha256(utf8(`${id} ${body.batch}`)).slice(0, 16);
    return { id, batch: batch as Signer, token: token as Signer, boot, body };
  }

  get nowS(): number {
    return Math.floor(this.ledger.nowMs / 1000);
  }

  speak<N extends StatementName>(
    name: N,
    wording: {
      readonly iss: string;
      readonly sub: string;
      readonly body: StatementBodies[N];
      readonly nbf?: number;
      readonly exp?: number;
      readonly iat?: number;
      readonly jti?: string;
      readonly net?: string;
    },
    signers: readonly Signer[],
  ): Spoken {
    const unique = [...new Map(signers.map((one) => [thumbprint(one.publicKey), one])).values()];
    const signed = this.network.say(name, { iat: this.nowS, ...wording }, unique);
    const { claims, body, record } = signed;
    const statement = { name, claims, body } as unknown as Statement;
    return {
      statement,
      signers: [...unique.map(({ publicKey }) => thumbprint(publicKey))].sort(),
      payload: toHex(sha256(formatPayload(statement))),
      record,
      recordHash: toHex(recordHash(record)),
    };
  }

  gatewayBody(id: string, batch: Signer, token: Signer): GatewayBody {
    return {
      batch: formatKey(batch.publicKey),
      token: formatKey(token.publicKey),
      certificates: ["AAAA"],
      tls: [toHex(sha256(utf8(`tls ${this.#keys++} ${id}`)))],
      endpoints: { peer: "gw.test:7443", http: "gw.test:7080" },
    };
  }

  candidacyBody(id: string, keys: readonly [Signer, Signer, Signer]): CityBody {
    const [authority, next, witness] = keys;
    return {
      change: "candidacy",
      authority: formatKey(authority.publicKey),
      next: toHex(sha256(next.publicKey)),
      witness: formatKey(witness.publicKey),
      witness_address: `${id}.test:7443`,
      witness_tls: toHex(sha256(utf8(`witness tls ${id} ${this.#keys++}`))),
      division: "360100",
    };
  }
}

/** Batch 0 in the model: every statement of it has its effect. */
function foundModel({ network, ledger, history }: World): void {
  const { body } = network;
  const place = { index: 0, position: 0 };
  for (const { id, ...city } of body.cities) {
    history.facts.push({ kind: "city", id, owner: id, body: city, place, since: 0 });
    history.keys.push(
      { key: digestOf(city.authority), use: "authority", owner: id, kid: kidOf(city.authority) },
      { key: city.next, use: "next-authority", owner: id },
      { key: digestOf(city.witness), use: "witness", owner: id, kid: kidOf(city.witness) },
      { key: city.witness_tls, use: "tls", owner: id },
    );
  }
  const { log, gateway } = body.sequencer;
  history.keys.push({ key: digestOf(log), use: "log", owner: gateway, kid: kidOf(log) });
  history.terms.push({ term: 0, gateway, log, since: 0 });
  history.quorums.push({ since: 0, quorum: body.quorum, faults: body.faults });
  history.rules.push({ since: 0, version: body.rules });
  for (const [position, record] of network.founding.entries()) {
    const opened = openRecord(record).body;
    if (opened.case !== "statement") continue;
    const { statement } = openStatement(opened.value.jws);
    const { name, claims, body: said } = statement;
    history.usedJti.push(claims.jti);
    if (name === "network") continue;
    const kind = name as "agency" | "gateway" | "administrator";
    putFact(history, {
      kind,
      id: claims.sub,
      owner: claims.iss,
      body: said as unknown as Readonly<Record<string, unknown>>,
      place: { index: 0, position },
      since: 0,
      nbf: claims.nbf,
      exp: claims.exp,
    });
    bindKeys(history, statement);
  }
  const batch = ledger.batches[0];
  if (batch === undefined) throw new Error("the ledger is founded");
  const sequencer = network.provider.gateway;
  history.leaves.push({
    gateway: sequencer.id,
    key: digestOf(sequencer.body.batch),
    epoch: 0,
    seq: 0,
    hash: toHex(batch.leafHash),
    seenSize: 0,
    sealedAtMs: Number(batch.header.sealedAt),
  });
}
