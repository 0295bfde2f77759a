/**
 * A gateway as a program of its own whose batches of evidence reach no ledger: `resent-main CONFIG [stop]`.
 * With `stop` it prints `acknowledged` once an acknowledgement is durable, and never sends it.
 */
import { writeSync } from "node:fs";
import { createGateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { kindOfBatch } from "../../src/record/batch.ts";
import { openRecord } from "../../src/record/record.ts";

const forever = <T>(): Promise<T> => new Promise<T>(() => undefined);

async function main(configFile: string, stops: boolean): Promise<void> {
  const gateway = await createGateway(readConfig(configFile), {
    wrapEngine: (engine) => ({
      submit: (batch) =>
        kindOfBatch(openLeaf(batch.leaf).header) === "evidence" ? forever() : engine.submit(batch),
      putBlob: (content) => engine.putBlob(content),
    }),
    wrapSealer: (sealer) => ({
      seal: async (record) => {
        const sealed = await sealer.seal(record);
        if (!stops || openRecord(record.record).body.case !== "acknowledgement") return sealed;
        writeSync(1, "acknowledged\n");
        return forever();
      },
    }),
  });
  await gateway.start();
  writeSync(1, "running\n");
}

const [, , configFile, stop] = process.argv;
if (configFile !== undefined) await main(configFile, stop === "stop");
