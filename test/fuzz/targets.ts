/** Every decoder that takes bytes from outside of the process. */
import type { Target } from "./target.ts";
import { agencyTargets } from "./targets-agency.ts";
import { connectorTargets } from "./targets-connectors.ts";
import { credentialTargets } from "./targets-credential.ts";
import { exchangeTargets } from "./targets-exchange.ts";
import { fileTargets } from "./targets-files.ts";
import { ledgerTargets } from "./targets-ledger.ts";
import { noteTargets } from "./targets-note.ts";
import { recordTargets } from "./targets-record.ts";

export const targets: readonly Target[] = [
  ...recordTargets,
  ...noteTargets,
  ...credentialTargets,
  ...agencyTargets,
  ...exchangeTargets,
  ...ledgerTargets,
  ...fileTargets,
  ...connectorTargets,
];
