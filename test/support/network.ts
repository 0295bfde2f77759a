/**
 * A network of tests: cities with one agency each, real keys from a seed, and the statements that
 * they sign. The same seed gives the same bytes. `TestLedger` beside this file folds them.
 */
import { create } from "@bufbuild/protobuf";
import { toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { formatPayload } from "../../src/credential/payloads.ts";
import { createStatement, networkId } from "../../src/credential/statement.ts";
import {
  type Claims,
  defaultBounds,
  type GatewayBody,
  type NetworkBody,
  type Statement,
  type StatementBodies,
  type StatementName,
} from "../../src/credential/statements.ts";
import { createNodeVerifier, importSigner } from "../../src/crypto/node.ts";
import type { Signer, Verifier } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";

export interface TestGateway {
  readonly id: string;
  readonly batch: Signer;
  readonly token: Signer;
  /** 16 bytes of its first start. */
  readonly boot: Uint8Array;
  readonly body: GatewayBody;
}

export interface TestAgency {
  readonly id: string;
  readonly authority: Signer;
  readonly next: Signer;
  /** Operator and approver. */
  readonly administrator: Signer;
  readonly gateway: TestGateway;
}

export interface TestCity {
  readonly id: string;
  readonly division: string;
  readonly authority: Signer;
  readonly next: Signer;
  readonly witness: Signer;
  readonly agency: TestAgency;
}

/** A signed statement, ready to be sealed. */
export interface SignedStatement<N extends StatementName = StatementName> {
  readonly claims: Claims;
  readonly body: StatementBodies[N];
  readonly jws: readonly string[];
  /** Canonical encoding of its Record. */
  readonly record: Uint8Array;
}

export interface TestNetworkOptions {
  readonly seed?: string;
  /** The first one's agency runs the sequencer. */
  readonly cities?: readonly {
    readonly id: string;
    readonly division: string;
    readonly agency: string;
  }[];
  /** Unix milliseconds of the founding. */
  readonly startMs?: number;
  readonly network?: Partial<NetworkBody>;
  /** Certificate in base64 and SPKI digest in hex; by default bytes that are no certificate. */
  readonly tls?: (owner: string) => { readonly certificate: string; readonly digest: string };
  /** `host:port` of each listener. */
  readonly address?: (owner: string, listener: "peer" | "http" | "witness") => string;
}

const twoCities = [
  { id: "hangzhou", division: "330100", agency: "civil-affairs" },
  { id: "shenzhen", division: "440300", agency: "market-regulation" },
] as const;

/** Four cities of which one may lie, each with one agency; the first one's gateway is the sequencer. */
export const fourCities: Pick<TestNetworkOptions, "cities" | "network"> = {
  cities: [
    ...twoCities,
    { id: "suzhou", division: "320500", agency: "housing" },
    { id: "tianjin", division: "120100", agency: "taxation" },
  ],
  network: { quorum: 3, faults: 1 },
};

/** The cities of a network that was made with `fourCities`. */
export function fourOf(network: TestNetwork): readonly [TestCity, TestCity, TestCity, TestCity] {
  return network.cities as readonly [TestCity, TestCity, TestCity, TestCity];
}

export type Wording<N extends StatementName> = Partial<Claims> & {
  readonly iss: string;
  readonly sub: string;
  readonly body: StatementBodies[N];
};

export interface TestNetwork {
  readonly name: string;
  readonly id: Uint8Array;
  readonly idHex: string;
  readonly verifier: Verifier;
  readonly cities: readonly TestCity[];
  /** Of the first city, whose agency provides in the flows below. */
  readonly provider: TestAgency;
  /** Of the second city. */
  readonly consumer: TestAgency;
  readonly log: Signer;
  readonly body: NetworkBody;
  readonly startMs: number;
  /** The payload whose digest is the network's id. */
  readonly payload: Uint8Array;
  /** Records of batch 0. */
  readonly founding: readonly Uint8Array[];
  /** The signer of a label; the same label is the same key. */
  readonly signer: (label: string) => Signer;
  /** A UUIDv7 that was not given before. */
  readonly uuid: () => string;
  /** Signs any statement; `net`, `jti` and `iat` are filled in. */
  say<N extends StatementName>(
    name: N,
    wording: Wording<N>,
    signers: readonly Signer[],
  ): SignedStatement<N>;
}

/** Founds a network on paper: nothing is sealed yet. */
export function createTestNetwork(options: TestNetworkOptions = {}): TestNetwork {
  const { seed = "causeway", startMs = Date.UTC(2026, 10, 21, 8), cities = twoCities } = options;
  const bytesOf = (label: string): Uint8Array => sha256(utf8(`${seed}/${label}`));
  const signers = new Map<string, Signer>();
  const signer = (label: string): Signer => {
    const known = signers.get(label) ?? importSigner(bytesOf(label));
    signers.set(label, known);
    return known;
  };
  let uuids = 0;
  const uuid = (): string => formatUuid(createUuidV7(startMs, bytesOf(`uuid ${uuids++}`)));
  const digest = (label: string): string => toHex(bytesOf(label));
  const tls =
    options.tls ??
    ((owner: string) => ({
      certificate: toBase64(bytesOf(`${owner} certificate`)),
      digest: digest(`${owner} tls`),
    }));
  const address = options.address ?? ((owner: string) => `${owner.replaceAll("/", ".")}.test:7443`);
  const keys = { signer, bytesOf, tls, address };
  const members = cities.map((city) => createCity(city, keys));
  const [first, second = first] = members as [TestCity, TestCity?];
  const name = options.network?.name ?? "两城 Two Cities";
  const sequencer = first.agency.gateway.id;
  const body: NetworkBody = {
    name,
    cities: members.map((city) => ({
      id: city.id,
      authority: formatKey(city.authority.publicKey),
      next: toHex(sha256(city.next.publicKey)),
      witness: formatKey(city.witness.publicKey),
      witness_address: address(city.id, "witness"),
      witness_tls: tls(city.id).digest,
      division: city.division,
    })),
    quorum: members.length === 1 ? 1 : Math.ceil((members.length + 1) / 2),
    faults: 0,
    bounds: defaultBounds,
    rules: 1,
    calendar: { years: [{ year: 2026, off: ["2026-10-01"], on: ["2026-10-10"] }] },
    sequencer: {
      gateway: sequencer,
      address: address(sequencer, "peer"),
      tls: tls(sequencer).digest,
      log: formatKey(signer("log").publicKey),
    },
    ...options.network,
  };
  const iat = Math.floor(startMs / 1000);
  const claims: Claims = { iss: name, sub: name, jti: uuid(), iat };
  const statement: Statement = { name: "network", claims, body };
  const payload = formatPayload(statement);
  const id = networkId(payload);
  const network = {
    name,
    id,
    idHex: toHex(id),
    verifier: createNodeVerifier(),
    cities: members,
    provider: first.agency,
    consumer: second.agency,
    log: signer("log"),
    body,
    startMs,
    payload,
    signer,
    uuid,
    say: <N extends StatementName>(
      said: N,
      { body: saidBody, ...wording }: Wording<N>,
      by: readonly Signer[],
    ): SignedStatement<N> => {
      const filled: Claims = { net: toHex(id), jti: uuid(), iat, ...wording };
      return sign(said, filled, saidBody, by);
    },
  };
  const founders = members.flatMap(({ authority, witness }) => [authority, witness]);
  const founding = [
    sign("network", claims, body, [...founders, network.log]),
    ...members.flatMap((city) => foundingStatements(network, city)),
  ].map(({ record }) => record);
  return { ...network, founding };
}

interface Keys {
  readonly signer: (label: string) => Signer;
  readonly bytesOf: (label: string) => Uint8Array;
  readonly tls: NonNullable<TestNetworkOptions["tls"]>;
  readonly address: NonNullable<TestNetworkOptions["address"]>;
}

function createCity(
  { id, division, agency }: { id: string; division: string; agency: string },
  keys: Keys,
): TestCity {
  const { signer } = keys;
  return {
    id,
    division,
    authority: signer(`${id} authority`),
    next: signer(`${id} next`),
    witness: signer(`${id} witness`),
    agency: createAgency(`${id}/${agency}`, keys),
  };
}

function createAgency(id: string, keys: Keys): TestAgency {
  return {
    id,
    authority: keys.signer(`${id} authority`),
    next: keys.signer(`${id} next`),
    administrator: keys.signer(`${id} administrator`),
    gateway: createGateway(`${id}/gw1`, keys),
  };
}

function createGateway(id: string, { signer, bytesOf, tls, address }: Keys): TestGateway {
  const batch = signer(`${id} batch`);
  const token = signer(`${id} token`);
  const { certificate, digest } = tls(id);
  const body: GatewayBody = {
    batch: formatKey(batch.publicKey),
    token: formatKey(token.publicKey),
    certificates: [certificate],
    tls: [digest],
    endpoints: { peer: address(id, "peer"), http: address(id, "http") },
  };
  return { id, batch, token, boot: bytesOf(`${id} boot`).slice(0, 16), body };
}

function sign<N extends StatementName>(
  name: N,
  claims: Claims,
  body: StatementBodies[N],
  signers: readonly Signer[],
): SignedStatement<N> {
  const jws = createStatement({ name, claims, body } as unknown as Statement, signers);
  return { claims, body, jws, record: recordOfJws(jws) };
}

/** The record that holds these JWS, whatever they say. */
export function recordOfJws(jws: readonly string[]): Uint8Array {
  return encodeRecord(
    create(RecordSchema, { body: { case: "statement", value: { jws: [...jws] } } }),
  );
}

type Sayer = Pick<TestNetwork, "say">;

function foundingStatements(network: Sayer, city: TestCity): readonly SignedStatement[] {
  const { agency } = city;
  return [
    sayAgency(network, city, agency),
    sayGateway(network, agency, agency.gateway),
    sayAdministrator(network, agency, agency.administrator),
  ];
}

/** The city admits an agency that consumes and provides. */
export function sayAgency(
  network: Sayer,
  city: Pick<TestCity, "id" | "authority">,
  agency: Pick<TestAgency, "id" | "authority" | "next">,
  change: Partial<StatementBodies["agency"]> & { readonly claims?: Partial<Claims> } = {},
): SignedStatement<"agency"> {
  const { claims, ...members } = change;
  const body: StatementBodies["agency"] = {
    name: agency.id,
    authority: formatKey(agency.authority.publicKey),
    next: toHex(sha256(agency.next.publicKey)),
    roles: ["consumer", "provider"],
    ...members,
  };
  return network.say("agency", { iss: city.id, sub: agency.id, body, ...claims }, [
    city.authority,
    agency.authority,
  ]);
}

export function sayGateway(
  network: Sayer,
  agency: Pick<TestAgency, "id" | "authority">,
  gateway: TestGateway,
  claims: Partial<Claims> = {},
): SignedStatement<"gateway"> {
  const { id: sub, body, batch, token } = gateway;
  const signers = [agency.authority, batch, token];
  return network.say("gateway", { iss: agency.id, sub, body, ...claims }, signers);
}

export function sayAdministrator(
  network: Sayer,
  agency: Pick<TestAgency, "id" | "authority">,
  administrator: Signer,
  change: Partial<StatementBodies["administrator"]> & { readonly claims?: Partial<Claims> } = {},
): SignedStatement<"administrator"> {
  const { claims, ...members } = change;
  const body: StatementBodies["administrator"] = {
    key: formatKey(administrator.publicKey),
    roles: ["approver", "operator"],
    ...members,
  };
  const sub = thumbprint(administrator.publicKey);
  return network.say("administrator", { iss: agency.id, sub, body, ...claims }, [
    agency.authority,
    administrator,
  ]);
}

/** Another agency of a city, with keys of its own. */
export function createTestAgency(network: Pick<TestNetwork, "signer">, id: string): TestAgency {
  return createAgency(id, laterKeys(network));
}

/** Another city, such as one that asks to be let in, with one agency. */
export function createTestCity(
  network: Pick<TestNetwork, "signer">,
  city: { readonly id: string; readonly division: string; readonly agency: string },
): TestCity {
  return createCity(city, laterKeys(network));
}

/** The city that asks to be let in. */
export function candidateOf(network: Pick<TestNetwork, "signer">): TestCity {
  return createTestCity(network, { id: "ningbo", division: "330200", agency: "transport" });
}

function laterKeys({ signer }: Pick<TestNetwork, "signer">): Keys {
  const bytesOf = (label: string): Uint8Array => sha256(utf8(label));
  return {
    signer,
    bytesOf,
    tls: (owner) => ({
      certificate: toBase64(bytesOf(`${owner} certificate`)),
      digest: toHex(bytesOf(`${owner} other tls`)),
    }),
    address: (owner) => `${owner.replaceAll("/", ".")}.test:7443`,
  };
}
