/** `causeway opening show` and `erase`: what opens the commitments of an exchange on this side. */
import type { Command } from "commander";
import { parseUtf8, toBase64, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { formatHandle, parseAddress, parseHandle } from "../../src/record/handle.ts";
import { xidOfText } from "../xid.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { timeFlag, withAdmin, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { childOf } from "./ledger-input.ts";
import { type OutputOptions, writeRow, writeRows } from "./output.ts";

export interface OpeningShowOptions extends AdminOptions, OutputOptions {
  readonly label?: string | undefined;
}

/** Erasing a large store takes its time. */
const eraseMs = 600_000;

/**
 * Prints the openings of an exchange or refusal. As JSON it is what `evidence export --openings` reads. Throws
 * OPENING_UNKNOWN when none is here.
 */
export async function openingShow(
  name: string,
  options: OpeningShowOptions,
  io: Io,
): Promise<void> {
  const named = readName(name);
  await withAdminClient(options, io, async (client) => {
    const { label = "" } = options;
    const request =
      named.case === "xid" ? { xid: named.value, label } : { record: named.value, label };
    const { openings } = await client.call(AdminService.method.getOpenings, request);
    io.warn("This is personal data. The gateway's log says that it was looked at.\n");
    const rows = openings.map(({ attempt, side, label, salt, value }) =>
      options.output === "table"
        ? { attempt, side, label, salt: toHex(salt), value: readable(value) }
        : { attempt, side, label, salt: toBase64(salt), value: toBase64(value) },
    );
    writeRows(io, rows, { ...options, none: "No opening is here." });
  });
}

export interface OpeningEraseOptions extends AdminOptions, OutputOptions {
  /** Unix milliseconds. */
  readonly before?: number | undefined;
}

/** Deletes openings for good: of one exchange or refusal, or of all before a time. Throws USAGE_INVALID. */
export async function openingErase(
  name: string | undefined,
  options: OpeningEraseOptions,
  io: Io,
): Promise<void> {
  const { before } = options;
  if ((name === undefined) === (before === undefined)) {
    throw new CausewayError("USAGE_INVALID", "give an exchange or --before");
  }
  const what =
    name === undefined
      ? ({ case: "beforeMs", value: BigInt(before ?? 0) } as const)
      : readName(name);
  await withAdminClient(options, io, async (client) => {
    const method = AdminService.method.eraseOpenings;
    const { count, records } = await client.call(method, { what }, eraseMs);
    const handles = records.map(({ leafHash, position }) => formatHandle(leafHash, position));
    writeRow(io, { erased: String(count), records: handles }, options);
  });
}

type Named =
  | { readonly case: "xid"; readonly value: Uint8Array }
  | { readonly case: "record"; readonly value: string };

/** An exchange by its id, or a record by its handle or address. */
function readName(text: string): Named {
  const xid = xidOfText(text);
  if (xid !== undefined) return { case: "xid", value: xid };
  if (parseHandle(text) !== undefined || parseAddress(text) !== undefined) {
    return { case: "record", value: text };
  }
  throw new CausewayError(
    "USAGE_INVALID",
    "an exchange is named by its id, a record by its handle",
  );
}

/** Text where the bytes are some that a terminal can show, else hex. */
function readable(value: Uint8Array): string {
  const text = parseUtf8(value);
  return text !== undefined && /^[\P{C}]*$/u.test(text) ? text : toHex(value);
}

export function registerOpening(program: Command, io: Io): void {
  const opening = childOf(program, "opening", "personal data that opens commitments on this side");
  withFormat(
    withAdmin(
      opening
        .command("show")
        .description(
          "show what opens the commitments of one exchange or refusal; the look is logged",
        )
        .argument("<name>", "id of the exchange, or handle <leaf hash>/<position> of a record")
        .option("--label <name>", "one label, such as case, official, request or response"),
    ),
  ).action((name: string, options: OpeningShowOptions) => openingShow(name, options, io));
  withFormat(
    withAdmin(
      opening
        .command("erase")
        .description("delete openings for good, and record how many; every proof still verifies")
        .argument("[name]", "id of the exchange, or handle <leaf hash>/<position> of a record")
        .option("--before <time>", "of all exchanges before a date or time in UTC", timeFlag),
    ),
  ).action((name: string | undefined, options: OpeningEraseOptions) =>
    openingErase(name, options, io),
  );
}
