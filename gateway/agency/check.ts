import { createNodeVerifier } from "../../src/crypto/node.ts";
import { systemClock } from "../runtime.ts";
import { AgencyGate, type GateConfig } from "./gate.ts";
import { agencyTlsOptions } from "./tls.ts";

/**
 * Reads certificates, keys and key sets as the agency listener would. Rejects with FILE_UNREADABLE or
 * CONFIG_INVALID; what is fetched is not.
 */
export async function checkAgency(config: GateConfig): Promise<void> {
  if (config.agency.tls !== undefined) agencyTlsOptions(config.agency.tls);
  await AgencyGate.open(config, {
    clock: systemClock,
    verifier: createNodeVerifier(),
    fetchKeySet: () => Promise.resolve(new Uint8Array(0)),
    onFetchFailed: () => undefined,
  });
}
