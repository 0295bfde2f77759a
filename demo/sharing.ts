/** The acts of sharing: a service published, access asked for and granted, calls, refusals, a revocation. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { DivisionService } from "../src/gen/causeway/demo/v1/division_pb.ts";
import { type AgencySystem, type Answer, methodPath } from "./agency-system.ts";
import { assertEqual } from "./assert.ts";
import { eventually } from "./founding.ts";
import { causeway, cell, type Office, words } from "./office.ts";
import { answered, checked, copyable, heading, say } from "./terminal.ts";

export const service: string = "hangzhou/civil-affairs/divisions";
const { getDivision, listVillages, reportCorrection } = DivisionService.method;
const inProcess = true;
const asAdministrator = words`--admin admin.sock --folder administrator`;
const statementCells = ["jti", "handle", "address", "state", "effect"] as const;

/** One thing that happened, for the table at the end. */
export interface Event {
  readonly by: string;
  readonly what: string;
  readonly outcome: string;
  /** `<leaf hash>/<position>`. */
  readonly handle: string;
}

export interface Sharing {
  readonly hangzhou: Office;
  readonly shenzhen: Office;
  readonly system: AgencySystem;
  readonly events: Event[];
  /** Calls that the data service behind the gateway has seen. */
  upstreamCalls(): number;
}

interface RecordRow {
  readonly kind: string;
  readonly detail: string;
  readonly handle: string;
  readonly address: string;
  readonly state: string;
}

/** Records of a gateway's own chain, the newest first. */
export async function recordsOf(office: Office): Promise<readonly RecordRow[]> {
  const { stdout } = await causeway(
    office,
    words`record list --limit 100 --admin admin.sock --output json`,
    { inProcess, silent: true },
  );
  return JSON.parse(stdout) as RecordRow[];
}

/** Waits until a list command of an office shows a text: its gateway has verified what is new. */
async function seen(office: Office, argv: readonly string[], text: string): Promise<void> {
  const command = words`${argv} --admin admin.sock`;
  await eventually(office, `${text} is known in ${office.name}`, async () => {
    const { stdout } = await causeway(office, command, { inProcess, silent: true });
    return stdout.includes(text);
  });
}

/** Publishes the service and its policy, from the provider's own .proto file. */
export async function publish(
  { hangzhou, shenzhen, events }: Sharing,
  protoFile: string,
): Promise<void> {
  heading("Hangzhou publishes a data service");
  copyFileSync(protoFile, join(hangzhou.folder, "division.proto"));
  const methods = [
    methodPath(getDivision),
    methodPath(listVillages),
    `${methodPath(reportCorrection)}=writes`,
  ];
  const published = await causeway(
    hangzhou,
    words`service publish --id ${service} --proto division.proto --method ${methods}
      --purpose address-check statistics --sharing conditional ${asAdministrator}`,
    { show: statementCells },
  );
  const policy = await causeway(
    hangzhou,
    words`policy publish --service ${service} ${asAdministrator}`,
    { show: statementCells },
  );
  events.push(
    {
      by: "hangzhou",
      what: "service published",
      outcome: "applied",
      handle: cell(published, "handle"),
    },
    {
      by: "hangzhou",
      what: "policy published",
      outcome: "applied",
      handle: cell(policy, "handle"),
    },
  );
  await seen(shenzhen, words`service list`, cell(policy, "address"));
  checked("Shenzhen's gateway has verified both statements");
}

/** Asks for access and grants it. Answers the grant's id. */
export async function grantAccess(
  { hangzhou, shenzhen, events }: Sharing,
  title: string = "Shenzhen asks for access, Hangzhou grants it",
): Promise<string> {
  heading(title);
  const methods = [getDivision, listVillages, reportCorrection].map(methodPath);
  const asked = await causeway(
    shenzhen,
    words`request create --service ${service} --method ${methods} --purpose address-check
      --legal-basis order-809 ${asAdministrator}`,
    { show: statementCells },
  );
  const request = cell(asked, "jti");
  await seen(hangzhou, words`request list`, request);
  const granted = await causeway(
    hangzhou,
    words`request approve ${request} --days 30 ${asAdministrator}`,
    { show: statementCells },
  );
  const grant = cell(granted, "jti");
  await seen(shenzhen, words`grant list`, grant);
  const { stdout } = await causeway(shenzhen, words`grant list --admin admin.sock`);
  if (!stdout.includes("IN_FORCE")) throw new Error("the grant is not in force");
  events.push(
    { by: "shenzhen", what: "access requested", outcome: "applied", handle: cell(asked, "handle") },
    { by: "hangzhou", what: "access granted", outcome: "applied", handle: cell(granted, "handle") },
  );
  return grant;
}

const metadata = {
  "causeway-purpose": "address-check",
  "causeway-case": "case-2026-001",
  "causeway-official": "official-1",
} as const;

function tellCall(path: string, request: object, purpose: string): void {
  copyable(`registry-desk> ${path} ${JSON.stringify(request)}   purpose ${purpose}`);
}

/** Tells an answer that is not OK, after checking its reason and that the service was not asked. */
async function refused(
  sharing: Sharing,
  what: string,
  reason: string,
  call: { readonly path?: string; readonly purpose?: string } = {},
): Promise<void> {
  const { system, events, hangzhou, shenzhen } = sharing;
  const { path = methodPath(getDivision), purpose = metadata["causeway-purpose"] } = call;
  const request = { code: "330106" };
  const [before, known] = [sharing.upstreamCalls(), new Set(await handles(sharing))];
  tellCall(path, request, purpose);
  const answer = await system.call(getDivision, request, {
    path,
    metadata: { ...metadata, "causeway-purpose": purpose },
  });
  answered(`status ${answer.code}  ${answer.reason ?? "OK"}: ${answer.details}`);
  assertEqual(answer.reason, reason, "the reason");
  assertEqual(answer.message, undefined, "the answer");
  assertEqual(sharing.upstreamCalls(), before, "the number of calls that reached the service");
  for (const office of [shenzhen, hangzhou]) {
    const record = (await recordsOf(office)).find(
      ({ kind, detail, handle }) => kind === "refusal" && detail === reason && !known.has(handle),
    );
    if (record === undefined) continue;
    events.push({ by: office.name, what, outcome: reason, handle: record.handle });
    checked(`refused by ${office.gateway}, on record there; the data service was not asked`);
    return;
  }
  throw new Error(`no gateway has put the refusal ${reason} on record`);
}

async function handles({ hangzhou, shenzhen }: Sharing): Promise<readonly string[]> {
  const records = [...(await recordsOf(shenzhen)), ...(await recordsOf(hangzhou))];
  return records.map(({ handle }) => handle);
}

/** A call before anything is granted. */
export async function callWithoutGrant(sharing: Sharing): Promise<void> {
  heading("A program in Shenzhen calls before it is granted anything");
  say("The program uses the provider's own stubs. It knows the address of its own gateway only.");
  await refused(sharing, "call without a grant", "GRANT_MISSING");
}

function receiptOf(answer: Answer<unknown>): string {
  assertEqual(answer.code, 0, `the status (${answer.details})`);
  if (answer.receipt === undefined) throw new Error("the answer names no receipt");
  return answer.receipt;
}

/** Granted calls. Answers the receipt of the first. */
export async function call({ system, events }: Sharing): Promise<string> {
  heading("The same program calls with the grant");
  const tell = (what: string, outcome: string, answer: Answer<unknown>): string => {
    const handle = receiptOf(answer);
    answered(`receipt ${handle}`);
    events.push({ by: "hangzhou", what, outcome, handle });
    return handle;
  };
  const one = { code: "330106" };
  tellCall(methodPath(getDivision), one, metadata["causeway-purpose"]);
  const division = await system.call(getDivision, one, { metadata });
  assertEqual(division.message?.division?.name, "西湖区", "the division 330106");
  const { source } = division.message ?? {};
  answered(
    `${division.message?.division?.code} ${division.message?.division?.name} · ${source?.publisher}, edition ${source?.edition}`,
  );
  const receipt = tell("GetDivision 330106", "西湖区", division);

  const all = { code: "3301", pageSize: 3 };
  tellCall(methodPath(listVillages), all, metadata["causeway-purpose"]);
  const villages = await system.call(listVillages, all, { metadata });
  assertEqual(villages.message?.total, 3320, "the number of villages of Hangzhou");
  answered(
    `${villages.message?.villages.map(({ name }) => name).join(", ")} … ${villages.message?.total} in all`,
  );
  tell("ListVillages 3301", "3,320", villages);

  const correction = { code: "330106", error: "NAME" };
  tellCall(methodPath(reportCorrection), correction, metadata["causeway-purpose"]);
  const reported = await system.call(reportCorrection, correction, { metadata });
  assertEqual(reported.message?.ticket, "correction-1", "the ticket of the correction");
  answered(`ticket ${reported.message?.ticket}`);
  tell("ReportCorrection (writes)", "correction-1", reported);
  checked("three answers, each released only after its receipt was durable");
  return receipt;
}

/** Calls that the grant does not cover. */
export async function callOutside(sharing: Sharing): Promise<void> {
  heading("Outside of the grant the program is refused");
  await refused(sharing, "outside of the purpose", "PURPOSE_NOT_GRANTED", {
    purpose: "statistics",
  });
  const path = "/causeway.demo.v1.DivisionService/DeleteDivision";
  await refused(sharing, "unknown method", "METHOD_UNKNOWN", { path });
}

/** Revokes the grant: the next call is refused. */
export async function revoke(sharing: Sharing, grant: string): Promise<void> {
  const { hangzhou, events } = sharing;
  heading("Hangzhou revokes the grant");
  const revoked = await causeway(
    hangzhou,
    words`grant revoke ${grant} --reason PURPOSE_ENDED ${asAdministrator}`,
    { show: statementCells },
  );
  events.push({
    by: "hangzhou",
    what: "grant revoked",
    outcome: "applied",
    handle: cell(revoked, "handle"),
  });
  await refused(sharing, "call after the revocation", "GRANT_REVOKED");
}
