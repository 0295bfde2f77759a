/**
 * A program that seals two records and stands still, or fails, at one point of the second:
 * `kill-main FOLDER POINT`. The points lie in wrapped ports; the product's code has none.
 */
import { writeSync } from "node:fs";
import { parseUtf8, toHex, utf8 } from "../../src/base/bytes.ts";
import type { SealWorker } from "../../src/ledger/journal/journal.ts";
import { createSealWorker, openJournal } from "../../src/ledger/journal/sealer.ts";
import type { SealWorkerData } from "../../src/ledger/journal/seal-message.ts";
import { journalOptions } from "./support.ts";

const [folder, point] = process.argv.slice(2) as [string, string];

function createWorker(data: SealWorkerData): SealWorker {
  const script = new URL("./kill-worker.js", import.meta.url);
  const worker = createSealWorker({ ...data, point } as SealWorkerData, script);
  if (point !== "before-release") return worker;
  let sealed = 0;
  return {
    post: (message) => worker.post(message),
    listen: (onMessage, onEnd) =>
      worker.listen((message) => {
        if (message.kind === "sealed" && ++sealed === 2) writeSync(1, "standing before-release\n");
        else onMessage(message);
      }, onEnd),
  };
}

const journal = await openJournal(
  journalOptions(folder, {
    createWorker,
    onFatal: (error) => {
      writeSync(1, `fatal ${error.code}\n`);
      process.exit(70);
    },
  }),
);
for (const text of ["first", "second"]) {
  const result = await journal.sealer.seal({
    kind: "evidence",
    record: utf8(text),
    decidedAtMs: Date.now(),
    states: [],
  });
  if (result === undefined) throw new Error("dropped");
  writeSync(1, `${toHex(result.leafHash)}/${result.position} ${parseUtf8(result.record)}\n`);
}
