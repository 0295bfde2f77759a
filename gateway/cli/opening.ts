/** `causeway opening show` and `erase`: what opens the commitments of an exchange on this side. */
import type { Command } from "commander";
import { parseUtf8, toBase64, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { formatHandle } from "../../src/record/handle.ts";
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
 * Prints the openings of an exchange. As JSON it is what `evidence export --openings` reads. Throws
 * RECORD_UNKNOWN when none is here.
 */
export async function openingShow(
  exchange: string,
  options: OpeningShowOptions,
  io: Io,
): Promise<void> {
  const xid = readXid(exchange);
  await withAdminClient(options, io, async (client) => {
    const request = { xid, label: options.label ?? "" };
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

/** Deletes openings for good: of one exchange, or of all before a time. Throws CONFIG_INVALID. */
export async function openingErase(
  exchange: string | undefined,
  options: OpeningEraseOptions,
  io: Io,
): Promise<void> {
  const { before } = options;
  if ((exchange === undefined) === (before === undefined)) {
    throw new CausewayError("CONFIG_INVALID", "give an exchange or --before");
  }
  const what =
    exchange === undefined
      ? ({ case: "beforeMs", value: BigInt(before ?? 0) } as const)
      : ({ case: "xid", value: readXid(exchange) } as const);
  await withAdminClient(options, io, async (client) => {
    const method = AdminService.method.eraseOpenings;
    const { count, records } = await client.call(method, { what }, eraseMs);
    const handles = records.map(({ leafHash, position }) => formatHandle(leafHash, position));
    writeRow(io, { erased: String(count), records: handles }, options);
  });
}

function readXid(text: string): Uint8Array {
  const xid = xidOfText(text);
  if (xid === undefined)
    throw new CausewayError("CONFIG_INVALID", "an exchange is named by its id");
  return xid;
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
        .description("show what opens the commitments of one exchange; the look is logged")
        .argument("<exchange>", "id of the exchange")
        .option("--label <name>", "one label, such as case, official, request or response"),
    ),
  ).action((exchange: string, options: OpeningShowOptions) => openingShow(exchange, options, io));
  withFormat(
    withAdmin(
      opening
        .command("erase")
        .description("delete openings for good, and record how many; every proof still verifies")
        .argument("[exchange]", "id of the exchange")
        .option("--before <time>", "of all exchanges before a date or time in UTC", timeFlag),
    ),
  ).action((exchange: string | undefined, options: OpeningEraseOptions) =>
    openingErase(exchange, options, io),
  );
}
