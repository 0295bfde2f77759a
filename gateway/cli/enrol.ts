/** Statements of authorities: written to a file or carried, signed by the folders at hand. */
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { networkId } from "../../src/credential/statement.ts";
import type { NetworkBody, Statement } from "../../src/credential/statements.ts";
import { carryDraft, type CarryOptions } from "./carry.ts";
import {
  assertComplete,
  createClaims,
  createDraft,
  type Draft,
  missingSignatures,
  readDraft,
  signDraft,
  writeDraft,
} from "./drafts.ts";
import type { Keys } from "../keys/key-folder.ts";
import type { Io } from "./io.ts";
import { openFolders, type SignerOptions } from "./key-folders.ts";

export interface SayOptions extends SignerOptions, Partial<CarryOptions> {
  /** Founding document, or its draft: the statement names its network. */
  readonly network: string;
  /** Statement file to write. */
  readonly out?: string | undefined;
}

export interface EnrolOptions extends SayOptions {
  /** Card of who is enrolled: a file or its key folder. */
  readonly card: string;
}

/** A statement without the claims that are filled in. */
export type Told = {
  [N in Statement["name"]]: {
    readonly name: N;
    readonly iss: string;
    readonly sub: string;
    readonly body: Extract<Statement, { name: N }>["body"];
    readonly nbf?: number | undefined;
    readonly exp?: number | undefined;
  };
}[Statement["name"]];

/** The network that a founding document or its draft describes, and its id as hex. */
export async function readNetwork(
  file: string,
): Promise<{ readonly net: string; readonly network: NetworkBody }> {
  const { statement, payload } = await readDraft(file);
  if (statement.name !== "network") {
    throw new CausewayError("STATEMENT_INVALID", `${file} is not a founding document`);
  }
  return { net: toHex(networkId(payload)), network: statement.body };
}

/** A rotated key is right and unknown to the founding document: only the ledger can tell it from a wrong one. */
function tellOtherAuthority(keys: Keys, { cities }: NetworkBody, io: Pick<Io, "warn">): void {
  if (keys.kind !== "city") return;
  const founded = cities.find(({ id }) => id === keys.card.id);
  if (founded === undefined || founded.authority === keys.card.authority) return;
  io.warn(
    `The founding document names another authority key of ${keys.card.id}: unless it was rotated, the ledger refuses this statement.\n`,
  );
}

/** Writes the statement, with the signatures of the folders given, to a file or through a gateway. */
export async function sayAsAuthority(told: Told, options: SayOptions, io: Io): Promise<void> {
  const { out, admin } = options;
  if (out === undefined && admin === undefined) {
    throw new CausewayError("USAGE_INVALID", "give --out to write a file, or --admin to carry it");
  }
  const { name, iss, sub, body, nbf, exp } = told;
  const { net, network } = await readNetwork(options.network);
  const times = { ...(nbf === undefined ? {} : { nbf }), ...(exp === undefined ? {} : { exp }) };
  const claims = createClaims({ iss, sub, net, ...times }, io);
  let draft = createDraft({ name, claims, body } as Statement);
  for (const keys of await openFolders(options, io)) {
    // A gateway that carries it knows which key is in force.
    if (admin === undefined) tellOtherAuthority(keys, network, io);
    draft = signDraft(draft, keys);
  }
  if (out !== undefined) {
    writeDraft(out, draft);
    tellMissing(out, draft, io);
  }
  if (admin === undefined) return;
  assertComplete(draft, out ?? "the statement");
  await carryDraft(draft, { ...options, admin }, io);
}

/** Says who still has to sign a statement file. */
export function tellMissing(file: string, draft: Draft, io: Pick<Io, "warn">): void {
  const missing = missingSignatures(draft);
  const { name, claims } = draft.statement;
  const what = `The ${name} statement about ${claims.sub} is in ${file}`;
  if (missing.length === 0) io.warn(`${what}, signed by all.\n`);
  else io.warn(`${what}. Still to sign: ${missing.join(", ")}.\n`);
}
