import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readConfig } from "../../gateway/config.ts";
import type { GatewayConfig } from "../../gateway/config-types.ts";
import { checkIdentity } from "../../gateway/identity-check.ts";
import { createKeyFolder } from "../../gateway/keys/key-folder.ts";
import type { Owner } from "../../gateway/keys/new-keys.ts";
import { createTwoCities, type Member, type TwoCities } from "../support/two-cities.ts";

const passphrase = "a passphrase";
const owners: readonly Owner[] = [
  { kind: "city", id: "hangzhou", division: "330100", witnessAddress: "localhost:1" },
  {
    kind: "gateway",
    id: "hangzhou/civil-affairs/gw9",
    endpoints: { peer: "localhost:1", http: "localhost:2" },
    sequencer: false,
  },
];

describe("the check of what makes a gateway itself", () => {
  let cities: TwoCities;
  let folder: string;
  let member: Member;
  const file = (name: string): string => join(folder, name);

  before(async () => {
    cities = await createTwoCities({ upstream: "127.0.0.1:1" });
    member = cities.provider;
    folder = mkdtempSync(join(tmpdir(), "causeway-identity-"));
    writeFileSync(file("other passphrase"), "another passphrase\n", { mode: 0o600 });
    writeFileSync(file("passphrase"), `${passphrase}\n`, { mode: 0o600 });
    writeFileSync(file("network.json"), "{}");
    for (const owner of owners) {
      await createKeyFolder(owner, file(owner.kind), { passphrase, nowMs: 0, scryptLogN: 4 });
    }
  });

  after(async () => {
    cities?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** As path and text of each problem. */
  async function told(changes: Partial<GatewayConfig>): Promise<readonly string[]> {
    const problems = await checkIdentity({ ...readConfig(member.configFile), ...changes });
    return problems.map(({ path, text }) => `${path.join(".")}: ${text}`);
  }

  it("finds nothing wrong with what a gateway runs with", async () => {
    assert.deepEqual(await told({}), []);
  });

  it("names a folder that is not there", async () => {
    assert.deepEqual(await told({ keys: file("none") }), [
      `keys: cannot read ${file("none/card.json")}: ENOENT`,
    ]);
  });

  it("says so of a folder of other keys, of another gateway, and of a passphrase that does not open it", async () => {
    const own = { passphrase_file: file("passphrase") };
    const [kind] = await told({ ...own, keys: file("city") });
    assert.match(String(kind), /^keys: .*card/);
    assert.deepEqual(await told({ ...own, keys: file("gateway") }), [
      `keys: ${file("gateway")} holds the keys of hangzhou/civil-affairs/gw9`,
    ]);
    assert.deepEqual(
      await told({ keys: file("gateway"), passphrase_file: file("other passphrase") }),
      ["keys: it does not open with the passphrase of passphrase_file, or a file of it is damaged"],
    );
  });

  it("tells of everything at once", async () => {
    const witness = { keys: file("gateway"), passphrase_file: file("passphrase"), listen: "x:1" };
    const problems = await told({ founding: file("network.json"), keys: file("none"), witness });
    assert.deepEqual(
      problems.map((problem) => problem.split(":")[0]),
      ["founding", "keys", "witness.keys"],
    );
  });
});
