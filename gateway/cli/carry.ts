/** Carries complete statements onto the ledger through the own gateway, and says what became of them. */
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { isReasonCode } from "../../src/base/reasons.ts";
import { createStatement } from "../../src/credential/statement.ts";
import type {
  Claims,
  Statement,
  StatementBodies,
  StatementName,
} from "../../src/credential/statements.ts";
import { AdminService, type RecordState } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { formatAddress, formatHandle } from "../../src/record/handle.ts";
import { type AdminClient, type AdminOptions, withAdminClient } from "./admin-client.ts";
import { createClaims, createDraft, type Draft } from "./drafts.ts";
import type { Io } from "./io.ts";
import { openFolder } from "./key-folders.ts";
import { type OutputOptions, type Row, writeRow } from "./output.ts";

export interface CarryOptions extends AdminOptions, OutputOptions {
  /** Wait until the statement is final; true unless given. */
  readonly wait?: boolean | undefined;
  /** Seconds to wait at most, 60 unless given. */
  readonly timeout?: number | undefined;
}

export interface AdministratorOptions extends CarryOptions {
  /** Key folder of the administrator. */
  readonly folder: string;
  readonly passphraseFile?: string | undefined;
}

const timeoutDefaultS = 60;

/** Where a record stands, for people: its names, and how far it has come. */
export function recordStateRow(state: RecordState | undefined): Row {
  if (state === undefined) throw new CausewayError("MALFORMED", "the gateway named no record");
  const { leafHash, position, included, index, final } = state;
  return {
    handle: formatHandle(leafHash, position),
    address: included ? formatAddress(index, position) : "",
    state: final ? "final" : included ? "included" : "recorded",
    effect: effectOf(state),
  };
}

function effectOf({ included, voidReason }: RecordState): string {
  if (!included) return "";
  return voidReason === "" ? "applied" : `void ${voidReason}`;
}

/**
 * Carries a statement and prints what became of it.
 *
 * @throws CausewayError with the reason of a void effect and the field `effect`; `LEDGER_BEHIND` when it
 * is recorded but was not final in time.
 */
export async function carryDraft(draft: Draft, options: CarryOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, (client) => carry(client, draft, options, io));
}

async function carry(
  client: AdminClient,
  { statement, jws }: Draft,
  options: CarryOptions,
  io: Io,
): Promise<void> {
  const { wait = true, timeout = timeoutDefaultS } = options;
  const waitMs = wait ? timeout * 1000 : 0;
  const request = { jws: [...jws], waitMs: BigInt(waitMs) };
  const { state } = await client.call(AdminService.method.submitStatement, request, waitMs);
  const { name, claims } = statement;
  const row = recordStateRow(state);
  writeRow(io, { statement: name, jti: claims.jti, subject: claims.sub, ...row }, options);
  assertEffect(state as RecordState, { wait, timeout });
}

function assertEffect(
  { final, voidReason }: RecordState,
  { wait, timeout }: { readonly wait: boolean; readonly timeout: number },
): void {
  if (isReasonCode(voidReason)) {
    const message = "the statement stands on the ledger without effect";
    throw new CausewayError(voidReason, message, { fields: { effect: "void" } });
  }
  if (wait && !final) {
    throw new CausewayError(
      "LEDGER_BEHIND",
      `recorded, but not final within ${timeout} s: it is not to be said again, \`causeway record show\` with its handle tells when it is`,
    );
  }
}

/** What a statement says beside the claims that are filled in. */
export interface Wording<N extends StatementName> extends Pick<Claims, "sub" | "nbf" | "exp"> {
  readonly body: StatementBodies[N];
}

/** Signs a statement with an administrator's key for its agency, and carries it. */
export async function sayAsAdministrator<N extends StatementName>(
  name: N,
  options: AdministratorOptions,
  io: Io,
  word: (
    client: AdminClient,
    said: { readonly agency: string; readonly nowS: number },
  ) => Promise<Wording<N>>,
): Promise<void> {
  const keys = await openFolder(options, "administrator", io);
  const { agency } = keys.card;
  await withAdminClient(options, io, async (client) => {
    const { network } = await client.call(AdminService.method.getStatus, {});
    const nowS = Math.floor(io.clock.nowMs() / 1000);
    const { body, ...about } = await word(client, { agency, nowS });
    const claims = createClaims({ iss: agency, net: toHex(network), ...about }, io);
    const draft = createDraft({ name, claims, body } as Statement);
    const jws = createStatement(draft.statement, [keys.key]);
    await carry(client, { ...draft, jws }, options, io);
  });
}
