/** The acts of the demonstration, in their order. */
import { join } from "node:path";
import { connectAgencySystem } from "./agency-system.ts";
import { keepRunning, settled, tellListeners, tellNext, tellRecords } from "./ending.ts";
import { foundNetwork, startGateways } from "./founding.ts";
import { openOffice } from "./office.ts";
import { prove } from "./proving.ts";
import {
  call,
  callOutside,
  callWithoutGrant,
  type Event,
  grantAccess,
  publish,
  revoke,
  service,
  type Sharing,
} from "./sharing.ts";
import type { Stage } from "./stage.ts";
import { banner, say } from "./terminal.ts";
import { startDivisionUpstream } from "./upstream.ts";

/** `kept` when it ended because the reader had seen enough of the running network. */
export type End = "played" | "kept";

/** Plays everything. Rejects when an answer is not the expected one, or when the stage is interrupted. */
export async function play(
  stage: Stage,
  { root, keep }: { readonly root: string; readonly keep: boolean },
): Promise<End> {
  const startedMs = Date.now();
  banner([
    "Causeway: a data exchange between two cities, with every grant, refusal and exchange on record.",
    "The network is a demonstration; the names of cities and offices are labels: no authority takes part.",
    "The data are real: division codes of the National Bureau of Statistics of China, edition 2023.",
  ]);
  const upstream = await startDivisionUpstream({
    port: 0,
    dataFile: join(root, "demo", "data", "divisions.tsv"),
    correctionsFile: join(stage.folder, "corrections.jsonl"),
  });
  stage.onClose(() => upstream.close());
  const hangzhou = await openOffice(stage, {
    name: "hangzhou",
    division: "330100",
    agency: "hangzhou/civil-affairs",
    agencyName: "Hangzhou Civil Affairs (demonstration)",
  });
  const shenzhen = await openOffice(stage, {
    name: "shenzhen",
    division: "440300",
    agency: "shenzhen/market-regulation",
    agencyName: "Shenzhen Market Regulation (demonstration)",
  });
  const network = await foundNetwork(
    hangzhou,
    shenzhen,
    join(root, "demo", "data", "calendar.json"),
  );
  await startGateways(hangzhou, shenzhen, { service, address: upstream.address });
  const system = connectAgencySystem(shenzhen.listeners.agency);
  stage.onClose(() => system.close());
  const events: Event[] = [];
  const sharing: Sharing = {
    hangzhou,
    shenzhen,
    system,
    events,
    upstreamCalls: () => upstream.calls(),
  };
  await publish(sharing, join(root, "proto", "causeway", "demo", "v1", "division.proto"));
  await callWithoutGrant(sharing);
  const grant = await grantAccess(sharing);
  const receipt = await call(sharing);
  await callOutside(sharing);
  await revoke(sharing, grant);
  await settled(sharing);
  await prove(sharing, { network, receipt });
  await tellRecords(sharing);
  const seconds = Math.round((Date.now() - startedMs) / 1000);
  if (keep) {
    await keepRunning(sharing, { root, network });
    return "kept";
  }
  tellListeners([hangzhou, shenzhen]);
  tellNext();
  say(
    `Done in ${seconds} s. Both gateways are being stopped, and the temporary folder is removed.`,
  );
  return "played";
}
