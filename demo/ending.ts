/** The end: what happened and where it stands, the listeners, what to try next, and a network left running. */
import { once } from "node:events";
import { join } from "node:path";
import { eventually, status } from "./founding.ts";
import { program, type Office } from "./office.ts";
import { grantAccess, recordsOf, type Sharing } from "./sharing.ts";
import { answered, copyable, heading, say, table } from "./terminal.ts";

const handleDigits = 12;

/** Waits until everything that both gateways have sealed is final. */
export async function settled({ hangzhou, shenzhen }: Sharing): Promise<void> {
  for (const office of [hangzhou, shenzhen]) {
    await eventually(office, `all records of ${office.name} are final`, async () => {
      return (await status(office))["not_final"] === "0";
    });
  }
}

/** The events with their places on the ledger. Throws when one is not final. */
export async function tellRecords(sharing: Sharing): Promise<void> {
  heading("What happened, and where it stands on the ledger");
  const records = [...(await recordsOf(sharing.hangzhou)), ...(await recordsOf(sharing.shenzhen))];
  const rows = sharing.events.map(({ by, what, outcome, handle }) => {
    const record = records.find((one) => one.handle === handle);
    if (record?.state !== "final") throw new Error(`${what}: ${handle} is not final`);
    const [hash = "", position] = handle.split("/");
    return {
      "what happened": what,
      outcome,
      "recorded by": by,
      record: `${hash.slice(0, handleDigits)}…/${position}`,
      address: record.address,
      state: record.state,
    };
  });
  table(rows);
}

/** Where the gateways answer, or answered. */
export function tellListeners(offices: readonly Office[]): void {
  say("The listeners, all on loopback, with an admin socket in each folder:");
  for (const { gateway, listeners } of offices) {
    const all = Object.entries(listeners).map(([name, address]) => `${name} ${address}`);
    answered(`${gateway}  ${all.join("  ")}`);
  }
}

/** What a reader may do next, when nothing runs any more. */
export function tellNext(): void {
  say("What to try next:");
  answered(
    [
      "npm run demo -- --keep                 leaves it running: call it, administer it, break it",
      "node dist/gateway/cli/main.js --help   all commands",
      "docs/ARCHITECTURE.md                   how it works, and what happens when parts of it fail",
    ].join("\n"),
  );
}

/** Grants access once more, says how to go on by hand, and waits until the stage is interrupted. */
export async function keepRunning(
  sharing: Sharing,
  { root, network }: { readonly root: string; readonly network: string },
): Promise<void> {
  const { hangzhou, shenzhen } = sharing;
  const grant = await grantAccess(sharing, "The network stays: a new grant, so that you can call");
  heading("By hand, from another terminal");
  say("As a program in Shenzhen:");
  copyable(`cd ${root}`);
  const [path, request] = ["causeway.demo.v1.DivisionService/GetDivision", `'{"code":"330106"}'`];
  copyable("npx buf curl --schema proto --protocol grpc --http2-prior-knowledge \\");
  copyable(
    "    --header 'causeway-purpose: address-check' --header 'causeway-case: case-2026-001' \\",
  );
  copyable(`    --data ${request} http://${shenzhen.listeners.agency}/${path}`);
  say("or:");
  copyable("grpcurl -plaintext -import-path proto -proto causeway/demo/v1/division.proto \\");
  copyable("    -H 'causeway-purpose: address-check' -H 'causeway-case: case-2026-001' \\");
  copyable(`    -d ${request} ${shenzhen.listeners.agency} ${path}`);
  say("As the administrators:");
  copyable(`alias causeway='node ${program}'`);
  copyable("export CAUSEWAY_PASSPHRASE_FILE=passphrase");
  for (const { folder } of [shenzhen, hangzhou]) {
    copyable(`(cd ${folder} && causeway exchange list --admin admin.sock)`);
  }
  copyable(`(cd ${hangzhou.folder} && causeway grant list --admin admin.sock)`);
  copyable(
    `(cd ${hangzhou.folder} && causeway grant revoke ${grant} --reason PURPOSE_ENDED --admin admin.sock --folder administrator)`,
  );
  say("As an auditor, anywhere:");
  copyable(`export NETWORK=${network}`);
  copyable(`causeway ledger export --from ${hangzhou.listeners.http} --out ledger.export`);
  copyable("causeway audit replay ledger.export --network $NETWORK");
  say(`Read-only, for anybody: http://${hangzhou.listeners.http}/checkpoint  /metrics  /healthz`);
  say(`Corrections that were reported: ${join(hangzhou.stage.folder, "corrections.jsonl")}`);
  tellListeners([hangzhou, shenzhen]);
  say("");
  say("Running. Ctrl-C ends it and removes everything.");
  const { signal } = hangzhou.stage;
  if (!signal.aborted) await once(signal, "abort");
}
