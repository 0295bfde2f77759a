/**
 * Begins the new epoch of a recovered gateway and stops at a step: `recover-main CONFIG STATEMENTS POINT`.
 * STATEMENTS is a file with the JSON list of signatures. It prints `standing` at the point and waits to be killed.
 */
import { readFileSync, writeSync } from "node:fs";
import { readConfig } from "../../gateway/config.ts";
import { sealEpoch } from "../../gateway/recover-epoch.ts";
import { createSealWorker } from "../../src/ledger/journal/sealer.ts";

const [, , configFile, statements, point] = process.argv as [
  string,
  string,
  string,
  string,
  string,
];
const stand = (): void => void writeSync(1, "standing\n");

await sealEpoch(
  JSON.parse(readFileSync(statements, "utf8")) as string[],
  { config: readConfig(configFile), waitMs: 20_000 },
  {
    createSealWorker: (data) => {
      const worker = createSealWorker(data);
      return {
        post: (message) => {
          if (message.kind === "seal" && point === "before its commit") stand();
          else worker.post(message);
        },
        listen: (onMessage, onEnd) =>
          worker.listen((message) => {
            if (message.kind === "sealed" && point === "after its commit") stand();
            else onMessage(message);
          }, onEnd),
      };
    },
  },
);
writeSync(1, "done\n");
