/** A batch that a test hands in at the sequencer, in the name of a gateway whose keys it has. */
import type { GatewayKeys } from "../../gateway/keys/key-folder.ts";
import { createLedgerClient } from "../../gateway/ledger/ledger-client.ts";
import { certificatePem } from "../../gateway/tls.ts";
import type { SealedBatch, SubmitResult } from "../../src/ledger/ports.ts";
import type { Member } from "./two-cities.ts";

export async function handIn(
  sequencer: Pick<Member, "addresses" | "gateway">,
  { tls }: Pick<GatewayKeys, "tls">,
  batch: SealedBatch,
): Promise<SubmitResult> {
  const client = createLedgerClient({
    address: sequencer.addresses.peer,
    tls: sequencer.gateway.card.tls[0] as string,
    identity: {
      keyPem: tls.privateKeyPem,
      certificatePem: certificatePem(tls.certificateDer),
    },
  });
  try {
    return await client.submit(batch);
  } finally {
    client.close();
  }
}
