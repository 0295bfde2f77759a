/** Looks at what makes a gateway itself: the founding document and its keys, opened as at its start. */
import { CausewayError } from "../src/base/errors.ts";
import { readLedgerNetwork } from "../src/ledger/embedded/network.ts";
import type { Problem } from "./config-problems.ts";
import type { GatewayConfig } from "./config-types.ts";
import type { KeyPath } from "./config-yaml.ts";
import { witnessKeysOf, gatewayKeysOf, readFounding } from "./self.ts";

type IdentityConfig = Pick<
  GatewayConfig,
  "founding" | "gateway" | "keys" | "passphrase_file" | "witness"
>;

/** What is wrong with the founding document and the key folders, each at its key. */
export async function checkIdentity(config: IdentityConfig): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const look = async (path: KeyPath, work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      problems.push({ path, text: textOf(error) });
    }
  };
  await look(["founding"], () => readLedgerNetwork(readFounding(config.founding)));
  await look(["keys"], () => gatewayKeysOf(config));
  await look(["witness", "keys"], () => witnessKeysOf(config));
  return problems;
}

function textOf({ code, message }: CausewayError): string {
  if (code !== "KEY_LOCKED") return message;
  return "it does not open with the passphrase of passphrase_file, or a file of it is damaged";
}
