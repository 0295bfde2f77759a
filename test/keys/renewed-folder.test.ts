/** Key folders made from others: what changes is new, what stays is taken along. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import type { GatewayCard } from "../../gateway/keys/card.ts";
import {
  createKeyFolder,
  type GatewayKeys,
  openKeyFolder,
  unlockFolder,
} from "../../gateway/keys/key-folder.ts";
import { createLogKey, readAppointments } from "../../gateway/keys/log-keys.ts";
import { renewKeyFolder } from "../../gateway/keys/renewed-folder.ts";

const root = mkdtempSync(join(tmpdir(), "causeway-renewed-"));
after(() => rmSync(root, { recursive: true, force: true }));

const passphrase = "correct horse battery";
const options = { passphrase, nowMs: Date.UTC(2026, 9, 1, 8), scryptLogN: 4 };
const owner = {
  kind: "gateway",
  id: "hangzhou/civil-affairs/gw1",
  endpoints: { peer: "gw1.example:7444", http: "gw1.example:7445" },
  sequencer: true,
} as const;

async function renewed(
  change: "gateway" | "gateway-tls" = "gateway",
): Promise<{ readonly before: GatewayKeys; readonly now: GatewayKeys }> {
  const folder = join(mkdtempSync(join(root, "gateway-")), "keys");
  const gateway: GatewayCard = await createKeyFolder(owner, folder, options);
  const identity = await unlockFolder(folder, passphrase);
  await createLogKey(folder, { gateway, term: 3, identity });
  const before = await openKeyFolder(folder, passphrase, "gateway");
  const appointments = await readAppointments(folder);
  const renewal = { of: before, change, appointments };
  await renewKeyFolder(renewal, `${folder}-2`, options);
  return { before, now: await openKeyFolder(`${folder}-2`, passphrase, "gateway") };
}

describe("the renewed keys of a gateway", () => {
  test("are new for batches, tokens and TLS; the certificate before is shown beside the new one", async () => {
    const { before, now } = await renewed();
    for (const use of ["batch", "token"] as const) {
      assert.notDeepEqual(now[use].publicKey, before[use].publicKey);
    }
    assert.notEqual(now.tls.privateKeyPem, before.tls.privateKeyPem);
    assert.equal(now.card.certificates[1], before.card.certificates[0]);
  });

  test("are new for TLS alone where only that is asked for", async () => {
    const { before, now } = await renewed("gateway-tls");
    for (const use of ["batch", "token"] as const) {
      assert.deepEqual(now[use].publicKey, before[use].publicKey);
    }
    assert.notEqual(now.tls.privateKeyPem, before.tls.privateKeyPem);
    assert.deepEqual(now.card.certificates.slice(1), before.card.certificates);
    assert.equal(now.logs.size, before.logs.size);
  });

  test("take the log key of every term along, so that a sequencer goes on", async () => {
    const { before, now } = await renewed();
    const keys = ({ logs }: GatewayKeys): readonly string[] =>
      [...logs].map(([term, { publicKey }]) => `${term} ${toHex(publicKey)}`);
    assert.equal(before.logs.size, 2);
    assert.deepEqual(keys(now), keys(before));
    assert.equal(now.card.log, before.card.log);
  });
});
