/** The acts of proof: the ledger replayed offline, one record proved, and changes to copies found. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeExport, encodeExportEntry, type ExportEntry } from "../src/audit/export-file.ts";
import { assertEqual } from "./assert.ts";
import { causeway, cell, type Place, words } from "./office.ts";
import { recordsOf, type Sharing } from "./sharing.ts";
import type { Finished } from "./stage.ts";
import { checked, heading, say, typed } from "./terminal.ts";

const exportFile = "ledger.export";
const checkpointFile = "later.checkpoint";
const evidenceFile = "receipt.json";
/** Exit code of `causeway` for bytes, proofs or signatures that are not what they claim to be. */
const verificationFailed = 4;

export interface Proved {
  /** Network id, hex. */
  readonly network: string;
  /** Handle of the receipt to prove. */
  readonly receipt: string;
}

/** Plays the acts of an auditor, who has a folder of its own and knows the network id. */
export async function prove(sharing: Sharing, { network, receipt }: Proved): Promise<void> {
  const { stage } = sharing.hangzhou;
  const auditor: Place = {
    stage,
    name: "auditor",
    folder: join(stage.folder, "auditor"),
    variables: { $NETWORK: network },
  };
  mkdirSync(auditor.folder);
  await replay(auditor, sharing, network);
  await proveOne(auditor, receipt);
  await tamper(auditor, sharing, receipt);
}

async function replay(
  auditor: Place,
  { hangzhou, shenzhen }: Sharing,
  network: string,
): Promise<void> {
  heading("An auditor replays the whole ledger, offline, trusting the network id alone");
  typed(auditor.name, [`NETWORK=${network}`]);
  const { http } = hangzhou.listeners;
  await causeway(auditor, words`ledger export --from ${http} --out ${exportFile}`);
  say("A later checkpoint, from the other city, shows that the ledger was not cut short:");
  const url = `http://${shenzhen.listeners.http}/checkpoint`;
  typed(auditor.name, words`curl -s ${url} -o ${checkpointFile}`);
  const response = await fetch(url, { signal: auditor.stage.signal });
  assertEqual(response.status, 200, "the status of the checkpoint");
  writeFileSync(join(auditor.folder, checkpointFile), await response.text());

  const trust = words`--network $NETWORK --checkpoint ${checkpointFile}`;
  const verified = await causeway(auditor, words`ledger verify ${exportFile} ${trust}`, {
    show: ["size", "root", "final_time", "records", "findings_count"],
  });
  assertEqual(cell(verified, "findings_count"), "0", "the number of findings");
  checked("tree, cosignatures, chains, signatures and the network's rules hold");

  const replayed = await causeway(auditor, words`audit replay ${exportFile} ${trust}`, {
    show: ["by_kind", "attempts", "matched", "decisions", "decisions_same", "findings_count"],
  });
  const [attempts, decisions] = [cell(replayed, "attempts"), cell(replayed, "decisions")];
  assertEqual(cell(replayed, "findings_count"), "0", "the number of findings");
  assertEqual(decisions, "3", "the number of decisions");
  assertEqual(cell(replayed, "decisions_same"), decisions, "the number of equal decisions");
  assertEqual(cell(replayed, "matched"), attempts, "the number of attempts whose sides match");
  checked("every decision comes out the same again; both sides tell the same of every call");
}

async function proveOne(auditor: Place, receipt: string): Promise<void> {
  heading("One file proves one record, without the ledger");
  await causeway(
    auditor,
    words`evidence export ${receipt} --network $NETWORK --export ${exportFile} --out ${evidenceFile}`,
    { show: "nothing" },
  );
  const verified = await causeway(
    auditor,
    words`evidence verify ${evidenceFile} --network $NETWORK`,
    { show: ["valid", "record", "gateway", "sealed_at", "final_by", "cosigned_by", "step"] },
  );
  assertEqual(cell(verified, "valid"), "yes", "the verdict on the evidence");
  checked("the receipt of GetDivision 330106 is proved, with the consumer's acknowledgement");
}

async function tamper(auditor: Place, { hangzhou }: Sharing, receipt: string): Promise<void> {
  heading("Changes to copies are found");
  const records = await recordsOf(hangzhou);
  const changedAt = indexOf(records, ({ handle }) => handle === receipt);
  const cutAt = indexOf(records, ({ detail }) => detail === "revocation");
  const entries: ExportEntry[] = [];
  const bytes = readFileSync(join(auditor.folder, exportFile));
  for await (const entry of decodeExport([bytes])) entries.push(entry);
  const write = (file: string, changed: readonly ExportEntry[]): void =>
    writeFileSync(join(auditor.folder, file), Buffer.concat(changed.map(encodeExportEntry)));

  say(`Somebody changes one bit of the receipt at ${changedAt}/0:`);
  write("changed.export", changedRecord(entries, changedAt));
  const changed = await causeway(auditor, words`ledger verify changed.export --network $NETWORK`, {
    exitCode: verificationFailed,
    show: findings,
  });
  assertEqual(cell(changed, "first_bad_index"), String(changedAt), "the first bad index");
  checked(`found: the first bad index is ${changedAt}; exit code ${changed.code}`);

  say(`Somebody cuts the ledger off before the revocation at ${cutAt}/0:`);
  write("cut.export", cutBefore(entries, cutAt));
  const cut = await causeway(
    auditor,
    words`ledger verify cut.export --network $NETWORK --checkpoint ${checkpointFile}`,
    { exitCode: verificationFailed, show: findings },
  );
  assertEqual(/\bTRUNCATED\b/.test(cut.stdout), true, "that the cut is found");
  checked(`found: the other city's checkpoint covers more; exit code ${cut.code}`);

  say("Somebody changes one bit of the record inside of the evidence file:");
  const text = readFileSync(join(auditor.folder, evidenceFile), "utf8");
  writeFileSync(join(auditor.folder, "changed.json"), changedEvidence(text));
  const refused = await causeway(auditor, words`evidence verify changed.json --network $NETWORK`, {
    exitCode: verificationFailed,
    show: failedSteps,
  });
  assertEqual(cell(refused, "valid"), "no", "the verdict on the changed evidence");
  checked(`found: the changed evidence proves nothing; exit code ${refused.code}`);
}

function failedSteps({ stdout }: Finished): string {
  return stdout
    .split("\n")
    .filter((line) => /^valid |failed/.test(line))
    .join("\n");
}

/** The table of findings. */
function findings({ stdout }: Finished): string {
  const lines = stdout.split("\n");
  const first = lines.findIndex((line) => line.startsWith("SEVERITY"));
  const rows = lines.slice(first).filter((line) => line !== "" && !line.startsWith("not checked"));
  return first < 0 ? stdout : rows.join("\n");
}

function indexOf(
  records: Awaited<ReturnType<typeof recordsOf>>,
  isWanted: (record: (typeof records)[number]) => boolean,
): number {
  const index = records.find(isWanted)?.address.split("/")[0];
  if (index === undefined) throw new Error("the record has no address");
  return Number(index);
}

function flipped(bytes: Uint8Array): Uint8Array {
  const at = Math.floor(bytes.length / 2);
  return bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
}

/** The export with one bit of the first record of a batch changed. */
function changedRecord(entries: readonly ExportEntry[], index: number): readonly ExportEntry[] {
  let next = 0;
  return entries.map((entry) => {
    if (entry.kind !== "batch" || next++ !== index) return entry;
    const [first = new Uint8Array(), ...rest] = entry.records;
    return { ...entry, records: [flipped(first), ...rest] };
  });
}

/** The export up to the last final size that does not reach the batch. */
function cutBefore(entries: readonly ExportEntry[], index: number): readonly ExportEntry[] {
  let [batches, end] = [0, 0];
  for (const [i, { kind }] of entries.entries()) {
    if (kind === "batch") batches += 1;
    if (kind === "note" && batches <= index) end = i + 1;
  }
  return entries.slice(0, end);
}

function changedEvidence(text: string): string {
  const { record } = JSON.parse(text) as { record: { record: string } };
  const bytes = flipped(Buffer.from(record.record, "base64"));
  return text.replace(record.record, Buffer.from(bytes).toString("base64"));
}
