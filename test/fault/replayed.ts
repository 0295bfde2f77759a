/** The auditor's judgement of a ledger, by the product's own export and replay. */
import assert from "node:assert/strict";
import { parseHex } from "../../src/base/bytes.ts";
import type { FindingCode } from "../../src/audit/findings.ts";
import { replayLedger } from "../../src/audit/replay.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { readExport } from "../../gateway/cli/ledger-download.ts";
import { LedgerHttp } from "../../gateway/cli/ledger-http.ts";
import type { FaultNetwork } from "./processes.ts";

/** Everything final, verified, decided and matched again, has no finding but those that are told. */
export async function assertReplays(
  { cities }: Pick<FaultNetwork, "cities">,
  { but = [] }: { readonly but?: readonly FindingCode[] } = {},
): Promise<void> {
  const result = await replayLedger(readExport(new LedgerHttp(cities.consumer.addresses.http)), {
    networkId: parseHex(cities.networkId) as Uint8Array,
    verifier: createNodeVerifier(),
    depth: "full",
    engine: createCedarEngine(),
  });
  assert.deepEqual(
    result.findings.filter(({ code }) => !but.includes(code)),
    [],
  );
}
