/**
 * Two cities with real keys in real folders: Hangzhou provides (and sequences), Shenzhen consumes. Makes
 * the founding document, batch 0 and the configurations; gateways are started by the test, in this
 * process or as programs of their own.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { stringify } from "yaml";
import { toHex } from "../../src/base/bytes.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatPayload } from "../../src/credential/payloads.ts";
import { createStatement, networkId } from "../../src/credential/statement.ts";
import {
  defaultBounds,
  type Bounds,
  type Statement,
  type StatementBodies,
  type StatementName,
} from "../../src/credential/statements.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { file_causeway_demo_v1_division } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { foundLedger } from "../../src/ledger/embedded/founding.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { standardPolicyText, standardSchemaText } from "../../src/policy/standard.ts";
import {
  type AdministratorKeys,
  type AgencyKeys,
  type CityKeys,
  createKeyFolder,
  type GatewayKeys,
  openKeyFolder,
} from "../../gateway/keys/key-folder.ts";
import { systemClock, systemRandom, systemScheduler } from "../../gateway/runtime.ts";
import { writeStatementFile } from "../../gateway/statement-file.ts";
import { freeAddress } from "./free-port.ts";

export const passphrase: string = "correct horse battery";
const scryptLogN = 4;
export const divisionsService: string = "hangzhou/civil-affairs/divisions";
export const getDivision: string = "/causeway.demo.v1.DivisionService/GetDivision";
export const reportCorrection: string = "/causeway.demo.v1.DivisionService/ReportCorrection";
export const listVillages: string = "/causeway.demo.v1.DivisionService/ListVillages";

export interface Member {
  readonly city: CityKeys;
  readonly agency: AgencyKeys;
  readonly gateway: GatewayKeys;
  readonly administrator: AdministratorKeys;
  readonly folder: string;
  readonly configFile: string;
  readonly addresses: {
    readonly agency: string;
    readonly peer: string;
    readonly http: string;
    readonly witness: string;
    readonly admin: string;
  };
  /** What the ledger says of the peer and the witness listener: a proxy's addresses, or the listeners' own. */
  readonly published: { readonly peer: string; readonly witness: string };
}

export interface TwoCities {
  readonly folder: string;
  readonly networkId: string;
  readonly provider: Member;
  readonly consumer: Member;
  /** The gateway that sequences, where the provider's does not. */
  readonly sequencer: Member | undefined;
  /** A signed statement of an administrator of one member's agency. */
  sign<N extends StatementName>(
    by: Member,
    name: N,
    sub: string,
    body: StatementBodies[N],
    times?: { readonly nbf?: number; readonly exp?: number },
  ): { readonly jti: string; readonly jws: readonly string[] };
  readonly blobs: {
    readonly descriptor: Uint8Array;
    readonly policy: Uint8Array;
    readonly schema: Uint8Array;
  };
  remove(): void;
}

export const nowS = (): number => Math.floor(Date.now() / 1000);
export const newJti = (): string => formatUuid(createUuidV7(Date.now(), systemRandom(10)));

export interface Names {
  readonly city: string;
  readonly division: string;
  readonly agency: string;
  readonly sequencer: boolean;
  /** Another agency of this member's city. */
  readonly beside?: Member;
  /** Others reach it through proxies, at addresses of their own. */
  readonly proxied?: boolean;
}

export async function createMember(root: string, names: Names): Promise<Member> {
  const folder = join(root, names.beside === undefined ? names.city : names.agency);
  mkdirSync(folder, { recursive: true });
  const [agency, peer, http, witness] = await Promise.all([
    freeAddress(),
    freeAddress(),
    freeAddress(),
    freeAddress(),
  ]);
  const published =
    names.proxied === true
      ? { peer: await freeAddress(), witness: await freeAddress() }
      : { peer, witness };
  const options = { passphrase, nowMs: Date.now() - 60_000, scryptLogN };
  const id = `${names.city}/${names.agency}`;
  const { city, division } = names;
  const cityFolder = join(names.beside?.folder ?? folder, "city");
  if (names.beside === undefined) {
    await createKeyFolder(
      { kind: "city", id: city, division, witnessAddress: published.witness },
      cityFolder,
      options,
    );
  }
  await createKeyFolder(
    { kind: "agency", id, name: names.agency, roles: ["consumer", "provider"] },
    join(folder, "agency"),
    options,
  );
  await createKeyFolder(
    {
      kind: "gateway",
      id: `${id}/gw1`,
      endpoints: { peer: published.peer, http },
      sequencer: names.sequencer,
    },
    join(folder, "gateway"),
    options,
  );
  await createKeyFolder(
    { kind: "administrator", agency: id, roles: ["approver", "operator"] },
    join(folder, "administrator"),
    options,
  );
  const [cityKeys, agencyKeys, gatewayKeys, administratorKeys] = await Promise.all([
    openKeyFolder(cityFolder, passphrase, "city"),
    openKeyFolder(join(folder, "agency"), passphrase, "agency"),
    openKeyFolder(join(folder, "gateway"), passphrase, "gateway"),
    openKeyFolder(join(folder, "administrator"), passphrase, "administrator"),
  ]);
  return {
    city: cityKeys,
    agency: agencyKeys,
    gateway: gatewayKeys,
    administrator: administratorKeys,
    folder,
    configFile: join(folder, "gateway.yaml"),
    addresses: {
      agency,
      peer,
      http,
      witness: names.beside?.addresses.witness ?? witness,
      admin: join(folder, "admin.sock"),
    },
    published,
  };
}

export function writeConfig(member: Member, extra: Record<string, unknown>): void {
  const { addresses, folder, configFile, gateway } = member;
  writeFileSync(join(folder, "passphrase"), `${passphrase}\n`, { mode: 0o600 });
  writeFileSync(
    configFile,
    stringify({
      gateway: gateway.card.id,
      keys: "gateway",
      passphrase_file: "passphrase",
      founding: "founding.json",
      data: "data",
      listeners: {
        agency: addresses.agency,
        peer: addresses.peer,
        admin: "admin.sock",
        http: addresses.http,
      },
      witness: { keys: "city", passphrase_file: "passphrase", listen: addresses.witness },
      ledger: { quiet_ms: 0 },
      log: "warn",
      ...extra,
    }),
  );
}

export function networkBody(
  members: readonly Member[],
  sequencer: Member,
  rule: { readonly quorum: number; readonly faults: number; readonly bounds: Partial<Bounds> },
): StatementBodies["network"] {
  const { quorum, faults, bounds } = rule;
  const cities = members.map(({ city }) => {
    const { kind: _kind, witness_certificate: _certificate, ...founding } = city.card;
    return founding;
  });
  const { card } = sequencer.gateway;
  return {
    name: members.length === 2 ? "two-cities" : "many-cities",
    cities: cities.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    quorum,
    faults,
    bounds: { ...defaultBounds, ...bounds },
    rules: 1,
    calendar: { years: [] },
    sequencer: {
      gateway: card.id,
      address: sequencer.published.peer,
      tls: card.tls[0] as string,
      log: card.log as string,
    },
  };
}

export function memberStatements(
  { city, agency, gateway, administrator }: Member,
  net: string,
): string[][] {
  const iat = nowS();
  const claims = (iss: string, sub: string): Statement["claims"] => ({
    iss,
    sub,
    net,
    jti: newJti(),
    iat,
  });
  const { kind: _a, id: agencyId, ...agencyBody } = agency.card;
  const { kind: _g, id: gatewayId, log: _log, ...gatewayBody } = gateway.card;
  const { kind: _k, id: kid, agency: _agency, ...administratorBody } = administrator.card;
  return [
    createStatement({ name: "agency", claims: claims(city.card.id, agencyId), body: agencyBody }, [
      city.authority,
      agency.authority,
    ]),
    createStatement({ name: "gateway", claims: claims(agencyId, gatewayId), body: gatewayBody }, [
      agency.authority,
      gateway.batch,
      gateway.token,
    ]),
    createStatement(
      { name: "administrator", claims: claims(agencyId, kid), body: administratorBody },
      [agency.authority, administrator.key],
    ),
  ].map((jws) => [...jws]);
}

/** Seals batch 0 into the sequencer's data folder. */
export async function found(
  sequencer: Member,
  founding: Uint8Array,
  statements: readonly (readonly string[])[],
): Promise<void> {
  const data = join(sequencer.folder, "data");
  mkdirSync(data, { recursive: true });
  const journal = await openJournal({
    path: join(data, "journal.sqlite"),
    gateway: sequencer.gateway.card.id,
    network: networkId(founding),
    batchKeySeed: sequencer.gateway.batch.seed,
    epoch: 0n,
    boot: systemRandom(16),
    clock: systemClock,
    scheduler: systemScheduler,
    seen: () => ({ size: 0n, root: emptyRoot }),
    queueBytesMax: 1024 * 1024,
    onFatal: (error) => {
      throw error;
    },
  });
  const sealed = statements.map((jws) =>
    journal.sealer.seal({
      kind: "governance",
      record: encodeRecord(
        create(RecordSchema, { body: { case: "statement", value: { jws: [...jws] } } }),
      ),
      decidedAtMs: Date.now(),
      states: [],
    }),
  );
  await Promise.all(sealed);
  const batch = journal.reader.tip();
  if (batch === undefined) throw new Error("batch 0 was not sealed");
  await foundLedger(
    { folder: data, founding, verifier: createNodeVerifier(), clock: systemClock },
    batch,
  );
  await journal.close();
}

export async function createTwoCities(
  options: {
    readonly upstream?: string;
    readonly bounds?: Partial<Bounds>;
    readonly log?: string;
    /** Hangzhou's sequencer and witness run in a gateway beside the provider's. */
    readonly ownSequencer?: boolean;
    /** Others reach the provider's gateway through proxies, at addresses of their own. */
    readonly proxied?: boolean;
  } = {},
): Promise<TwoCities> {
  const root = mkdtempSync(join(tmpdir(), "causeway-"));
  const provider = await createMember(root, {
    city: "hangzhou",
    division: "330100",
    agency: "civil-affairs",
    sequencer: options.ownSequencer !== true,
    proxied: options.proxied === true,
  });
  const sequencer =
    options.ownSequencer === true
      ? await createMember(root, {
          city: "hangzhou",
          division: "330100",
          agency: "data-authority",
          sequencer: true,
          beside: provider,
        })
      : undefined;
  const sequencing = sequencer ?? provider;
  const consumer = await createMember(root, {
    city: "shenzhen",
    division: "440300",
    agency: "market-regulation",
    sequencer: false,
  });
  const bounds = options.bounds ?? {};
  const body = networkBody([provider, consumer], sequencing, { quorum: 2, faults: 0, bounds });
  const network: Statement = {
    name: "network",
    claims: { iss: body.name, sub: body.name, jti: newJti(), iat: nowS() },
    body,
  };
  const founding = formatPayload(network);
  const jws = createStatement(network, [
    provider.city.authority,
    provider.city.witness,
    consumer.city.authority,
    consumer.city.witness,
    sequencing.gateway.log as NonNullable<GatewayKeys["log"]>,
  ]);
  const net = toHex(networkId(founding));
  const log = options.log === undefined ? {} : { log: options.log };
  const members = [provider, consumer, ...(sequencer === undefined ? [] : [sequencer])];
  for (const member of members) {
    writeStatementFile(join(member.folder, "founding.json"), {
      typ: "causeway-network+jwt",
      payload: new TextDecoder().decode(founding),
      jws,
    });
  }
  const witness = { keys: "../hangzhou/city", passphrase_file: "passphrase" };
  if (sequencer !== undefined) {
    const listen = sequencer.addresses.witness;
    writeConfig(sequencer, { ...log, witness: { ...witness, listen } });
  }
  writeConfig(provider, {
    ...log,
    ...(sequencer === undefined ? {} : { witness: undefined }),
    ...(options.upstream === undefined
      ? {}
      : { upstreams: { [divisionsService]: options.upstream } }),
  });
  writeConfig(consumer, { ...log, agency_systems: [{ id: "registry-desk", loopback: true }] });
  const statements = members.flatMap((member) => memberStatements(member, net));
  await found(sequencing, founding, [jws, ...statements.toSorted((a, b) => order(a) - order(b))]);
  return {
    folder: root,
    networkId: net,
    provider,
    consumer,
    sequencer,
    sign: signerOf(net),
    blobs: publishedBlobs(),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Signs statements of administrators for a network. */
export function signerOf(net: string): TwoCities["sign"] {
  return (by, name, sub, body, times = {}) => {
    const jti = newJti();
    const claims = { iss: by.agency.card.id, sub, net, jti, iat: nowS(), ...times };
    const statement = { name, claims, body } as unknown as Statement;
    return { jti, jws: createStatement(statement, [by.administrator.key]) };
  };
}

/** What the division service is published with. */
export function publishedBlobs(): TwoCities["blobs"] {
  return {
    descriptor: toBinary(
      FileDescriptorSetSchema,
      create(FileDescriptorSetSchema, { file: [file_causeway_demo_v1_division.proto] }),
    ),
    policy: new TextEncoder().encode(standardPolicyText),
    schema: new TextEncoder().encode(standardSchemaText),
  };
}

// Agencies before gateways before administrators: each rests on what stands before it.
export function order([first = ""]: readonly string[]): number {
  const header = JSON.parse(atob(first.split(".")[0] ?? "")) as { typ: string };
  return ["agency", "gateway", "administrator"].findIndex(
    (name) => header.typ === `causeway-${name}+jwt`,
  );
}

export interface Published {
  readonly service: StatementBodies["service"];
  readonly policy: StatementBodies["policy"];
}

/** The statements that publish the division service and the standard policy. */
export function publication({ blobs }: TwoCities): Published {
  const digest = (bytes: Uint8Array): string => toHex(sha256(bytes));
  const method = (
    path: string,
    writes: boolean,
  ): StatementBodies["service"]["methods"][number] => ({
    path,
    writes,
    client_streaming: false,
    server_streaming: false,
  });
  return {
    service: {
      version: 1,
      descriptor: digest(blobs.descriptor),
      descriptor_bytes: blobs.descriptor.length,
      methods: [
        method(getDivision, false),
        method(listVillages, false),
        method(reportCorrection, true),
      ],
      sharing: "conditional",
      purposes: ["address-check", "statistics"],
      subject_paths: [],
      attributes: [],
      approval: { approvals: 1 },
      deadline: { name: "plain", check_days: 2, answer_days: 5 },
      max_staleness_s: 900,
    },
    policy: {
      version: 1,
      policy: digest(blobs.policy),
      policy_bytes: blobs.policy.length,
      schema: digest(blobs.schema),
      schema_bytes: blobs.schema.length,
    },
  };
}
