import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { openStatement } from "../../src/credential/statement.ts";
import { AdminService, type RecordState } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";
import { formatUuid } from "../../src/base/ids.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { recordStateRow } from "./carry.ts";
import { integerFlag, withAdmin, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { type OutputOptions, type Row, writeRow, writeRows } from "./output.ts";

export interface RecordListOptions extends AdminOptions, OutputOptions {
  readonly limit?: number | undefined;
}

const limitDefault = 20;

/** Prints the newest records of the own chain. */
export async function recordList(options: RecordListOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const limit = options.limit ?? limitDefault;
    const { records } = await client.call(AdminService.method.listRecords, { limit });
    const rows = records.map(({ state, kind, sealedAt, detail, xid }) => ({
      sealed_at: new Date(Number(sealedAt)).toISOString(),
      kind,
      detail,
      exchange: xid.length === 16 ? formatUuid(xid) : "",
      ...placeOf(kind, state),
    }));
    writeRows(io, rows, { ...options, none: "This gateway has sealed no record." });
  });
}

/** Prints one record whole, by its handle or address. */
export async function recordShow(
  name: string,
  options: AdminOptions & OutputOptions,
  io: Io,
): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const { state, record, leaf } = await client.call(AdminService.method.getRecord, { name });
    const opened = openRecord(record);
    const { gateway, sealedAt } = openLeaf(leaf).header;
    const row = {
      ...placeOf(opened.body.case, state),
      gateway,
      sealed_at: new Date(Number(sealedAt)).toISOString(),
      kind: opened.body.case ?? "",
      body: bodyOf(opened),
    };
    writeRow(io, row, options);
  });
}

/** Where a record stands. Only a statement has an effect on the registry. */
function placeOf(kind: string | undefined, state: RecordState | undefined): Row {
  const row = recordStateRow(state);
  return kind === "statement" ? row : { ...row, effect: "" };
}

/** A record for reading: a statement as what it says, all else as protobuf's JSON, bytes in base64. */
function bodyOf(record: LedgerRecord): Readonly<Record<string, unknown>> {
  if (record.body.case !== "statement") {
    return toJson(RecordSchema, record) as Readonly<Record<string, unknown>>;
  }
  const { statement, signatures } = openStatement(record.body.value.jws);
  const { name, claims, body } = statement;
  return { ...claims, [name]: body, signers: signatures.map(({ kid }) => kid) };
}

export function registerRecord(program: Command, io: Io): void {
  const record = program.command("record").description("one fact on the ledger");
  withFormat(
    withAdmin(
      record
        .command("list")
        .description("list the newest records of this gateway")
        .option("--limit <n>", "at most so many", integerFlag(1), limitDefault),
    ),
  ).action((options: RecordListOptions) => recordList(options, io));
  withFormat(
    withAdmin(
      record
        .command("show")
        .description("show one record")
        .argument("<name>", "handle <leaf hash>/<position> or address <index>/<position>"),
    ),
  ).action((name: string, options: AdminOptions & OutputOptions) => recordShow(name, options, io));
}
