/**
 * A gateway of the product as a process of the benchmark, which also seals what its parent asks for.
 *
 * `node ledger-gateway.js --config FILE --records FOLDER`
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createGateway } from "../gateway/app.ts";
import { readConfig } from "../gateway/config.ts";
import { parseBody } from "../src/ledger/embedded/bodies.ts";
import type { Sealer } from "../src/ledger/ports.ts";
import { serveParent } from "./child.ts";
import { FinalWatch, type LoadQuestion, recordsFile, runLedgerLoad } from "./ledger-load.ts";

const { values } = parseArgs({
  options: { config: { type: "string" }, records: { type: "string" } },
});
const { config, records } = values;
if (config === undefined || records === undefined) {
  throw new TypeError("--config FILE and --records FOLDER are needed");
}
const watch = new FinalWatch();
let sealer: Sealer | undefined;
const gateway = await createGateway(readConfig(config), {
  wrapSealer: (own) => {
    sealer = own;
    return own;
  },
  ledgerStores: { ledger: (open) => watch.watch(open()) },
});
await gateway.start();
serveParent(0, async (message) => {
  const { records: set, load } = message as LoadQuestion;
  if (sealer === undefined) throw new Error("the gateway has no sealer");
  return runLedgerLoad({ sealer, watch }, parseBody(readFileSync(recordsFile(records, set))), load);
});
