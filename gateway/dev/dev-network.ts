/** The founding of a place to try: the same commands that two cities type, each in its own folder. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { administratorAdd, administratorInit } from "../cli/administrator.ts";
import { agencyEnrol, agencyInit } from "../cli/agency.ts";
import { cityExportWitness, cityInit } from "../cli/city.ts";
import { gatewayEnrol, gatewayInit } from "../cli/gateway.ts";
import type { Io } from "../cli/io.ts";
import { networkDraft, networkFound, networkSign } from "../cli/network.ts";
import { type DevMember, inside } from "./dev-member.ts";

/** File of the founding document in each member's folder. */
const foundingFile = "network.json";

async function makeKeys(member: DevMember, isSequencer: boolean, io: Io): Promise<void> {
  const { city: id, division, agency, agencyName, gateway, listeners } = member;
  const at = (name: string): { folder: string } => ({ folder: inside(member, name) });
  const { witness: witnessAddress, peer, http } = listeners;
  await cityInit({ id, division, witnessAddress, ...at("city") }, io);
  await cityExportWitness({ ...at("city"), out: inside(member, "witness") }, io);
  await agencyInit(
    { id: agency, name: agencyName, role: ["consumer", "provider"], ...at("agency") },
    io,
  );
  await gatewayInit({ id: gateway, peer, http, sequencer: isSequencer, ...at("gateway") }, io);
  await administratorInit({ agency, role: ["operator", "approver"], ...at("administrator") }, io);
}

/** Statement files about the agency, the gateway and the administrator of a member. */
async function enrol(member: DevMember, io: Io): Promise<readonly string[]> {
  const options = (
    card: string,
    signers: readonly string[],
  ): { network: string; card: string; folder: string[]; out: string } => ({
    network: inside(member, foundingFile),
    card: inside(member, card),
    folder: signers.map((name) => inside(member, name)),
    out: inside(member, `${card}.statement`),
  });
  const written = [
    options("agency", ["city", "agency"]),
    options("gateway", ["agency", "gateway"]),
    options("administrator", ["agency", "administrator"]),
  ] as const;
  await agencyEnrol(written[0], io);
  await gatewayEnrol(written[1], io);
  await administratorAdd(written[2], io);
  return written.map(({ out }) => out);
}

/** Makes every key, the founding document and batch 0 with the provider as the sequencer. */
export async function foundNetwork(
  { provider, consumer }: { readonly provider: DevMember; readonly consumer: DevMember },
  io: Io,
): Promise<void> {
  await makeKeys(provider, true, io);
  await makeKeys(consumer, false, io);
  const draft = inside(provider, foundingFile);
  await networkDraft(
    {
      name: "a place to try",
      city: [provider, consumer].map((member) => inside(member, join("city", "card.json"))),
      sequencer: inside(provider, "gateway"),
      out: draft,
    },
    io,
  );
  const cities = [provider, consumer].map((member) => inside(member, "city"));
  await networkSign({ draft, folder: [...cities, inside(provider, "gateway")] }, io);
  copyFileSync(draft, inside(consumer, foundingFile));
  const statement = [...(await enrol(provider, io)), ...(await enrol(consumer, io))];
  await networkFound(
    {
      network: draft,
      statement,
      folder: inside(provider, "gateway"),
      data: inside(provider, "data"),
    },
    io,
  );
}
