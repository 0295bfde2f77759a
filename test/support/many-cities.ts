/**
 * Several cities with one agency and one gateway each, every gateway with its city's witness, behind
 * proxies. The first provides, the second consumes, the third sequences; the rest witness.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHex } from "../../src/base/bytes.ts";
import { formatPayload } from "../../src/credential/payloads.ts";
import { createStatement, networkId } from "../../src/credential/statement.ts";
import type { Bounds, Statement } from "../../src/credential/statements.ts";
import type { GatewayKeys } from "../../gateway/keys/key-folder.ts";
import { writeStatementFile } from "../../gateway/statement-file.ts";
import { type Wired, Wires } from "./proxies.ts";
import {
  createMember,
  divisionsService,
  found,
  type Member,
  memberStatements,
  networkBody,
  newJti,
  nowS,
  order,
  publishedBlobs,
  signerOf,
  type TwoCities,
  writeConfig,
} from "./two-cities.ts";

const names = [
  ["hangzhou", "330100", "civil-affairs"],
  ["shenzhen", "440300", "market-regulation"],
  ["chengdu", "510100", "big-data"],
  ["wuhan", "420100", "housing"],
] as const;

export interface ManyCities extends TwoCities {
  /** In the order of the first comment: provider, consumer, sequencer, then the others. */
  readonly members: readonly Member[];
  readonly wires: Wires;
  wired(member: Member): Wired;
}

/** Four cities of which three must cosign, unless told otherwise. */
export async function createManyCities(
  options: {
    readonly count?: 3 | 4;
    readonly quorum?: number;
    readonly faults?: number;
    readonly upstream?: string;
    readonly bounds?: Partial<Bounds>;
    readonly log?: string;
    /** Behind proxies, unless this is `false`: then no wire can be cut. */
    readonly proxied?: boolean;
    /** Members of the configuration of every gateway. */
    readonly config?: Readonly<Record<string, unknown>>;
  } = {},
): Promise<ManyCities> {
  const { count = 4, quorum = 3, faults = 1, bounds = {}, proxied = true } = options;
  const root = mkdtempSync(join(tmpdir(), "causeway-"));
  const members: Member[] = [];
  for (const [city, division, agency] of names.slice(0, count)) {
    const sequencer = city === "chengdu";
    members.push(await createMember(root, { city, division, agency, sequencer, proxied }));
  }
  const [provider, consumer, sequencer] = members as [Member, Member, Member];
  const body = networkBody(members, sequencer, { quorum, faults, bounds });
  const claims = { iss: body.name, sub: body.name, jti: newJti(), iat: nowS() };
  const network: Statement = { name: "network", claims, body };
  const founding = formatPayload(network);
  const jws = createStatement(network, [
    ...members.flatMap(({ city }) => [city.authority, city.witness]),
    sequencer.gateway.log as NonNullable<GatewayKeys["log"]>,
  ]);
  const net = toHex(networkId(founding));
  for (const member of members) {
    writeStatementFile(join(member.folder, "founding.json"), {
      typ: "causeway-network+jwt",
      payload: new TextDecoder().decode(founding),
      jws,
    });
    const log = options.log === undefined ? {} : { log: options.log };
    const { upstream } = options;
    writeConfig(member, {
      ...log,
      ...options.config,
      ...(member === provider && upstream !== undefined
        ? { upstreams: { [divisionsService]: upstream } }
        : {}),
      ...(member === consumer ? { agency_systems: [{ id: "registry-desk", loopback: true }] } : {}),
    });
  }
  const statements = members.flatMap((member) => memberStatements(member, net));
  await found(sequencer, founding, [jws, ...statements.toSorted((a, b) => order(a) - order(b))]);
  const wires = new Wires();
  for (const { city, addresses, published } of proxied ? members : []) {
    await wires.open(city.card.id, published.peer, addresses.peer);
    await wires.open(city.card.id, published.witness, addresses.witness);
  }
  return {
    folder: root,
    networkId: net,
    provider,
    consumer,
    sequencer,
    members,
    wires,
    wired: (member) => ({ city: member.city.card.id, source: sourceOf(members.indexOf(member)) }),
    sign: signerOf(net),
    blobs: publishedBlobs(),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Every process dials from a loopback address of its own. */
function sourceOf(number: number): string {
  return `127.0.1.${number + 1}`;
}
