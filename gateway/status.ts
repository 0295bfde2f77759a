/** What `causeway ledger status` shows. */
import { create } from "@bufbuild/protobuf";
import type { Clock } from "../src/base/clock.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import type { Self } from "../src/exchange/ports.ts";
import {
  type GetStatusResponse,
  GetStatusResponseSchema,
} from "../src/gen/causeway/admin/v1/admin_pb.ts";
import type { Journal } from "../src/ledger/journal/sealer.ts";
import { cosigningNow } from "../src/ledger/embedded/trust.ts";
import { formatVerifierKey } from "../src/note/verifier-key.ts";
import { logKeyOf } from "../src/registry/cosigning.ts";
import type { GatewayConfig } from "./config.ts";
import type { LedgerPart } from "./ledger-part.ts";

export const version: string = "0.1.0";

export function createStatus(options: {
  readonly config: GatewayConfig;
  readonly self: Self;
  readonly ledger: LedgerPart;
  readonly journal: Journal;
  readonly clock: Clock;
  notReady(): readonly ReasonCode[];
}): () => GetStatusResponse {
  const { config, self, ledger, journal } = options;
  const { replica, witness } = ledger.node;
  return () => {
    const final = replica.final();
    const state = replica.state();
    const trust = replica.trust();
    const term = replica.term();
    const logKey = logKeyOf(trust.state, term);
    const nowMs = options.clock.nowMs();
    const newest = state.size === 0n ? undefined : replica.batch(state.size - 1n);
    const { rule, witnesses } = cosigningNow(trust);
    const sealed = journal.reader.batchCount();
    return create(GetStatusResponseSchema, {
      gateway: self.gateway,
      network: self.network,
      boot: self.boot,
      version,
      sequencer: ledger.node.isSequencer(),
      witness: witness !== undefined,
      origin: logKey.name,
      logVerifierKey: formatVerifierKey(logKey),
      term: term.term,
      sequencerGateway: term.gateway,
      sequencerAddress: term.address,
      cosigners: witnesses.map(({ city, key, address }) => ({
        city,
        verifierKey: formatVerifierKey(key),
        witnessAddress: address,
      })),
      faults: rule.faults,
      quorum: rule.quorum,
      includedSize: state.size,
      includedAgeMs: newest === undefined ? 0n : ageMs(nowMs, Number(newest.header.sealedAt)),
      httpAddress: config.listeners.http,
      ...(final === undefined
        ? {}
        : {
            finalSize: final.size,
            finalRoot: final.root,
            finalAgeMs: ageMs(nowMs, final.timeMs),
            finalNote: final.note,
          }),
      registryDigest: state.digest,
      journalSealed: BigInt(sealed),
      journalNotFinal: BigInt(sealed - journal.reader.finalCount()),
      listeners: Object.entries(config.listeners).flatMap(([name, address]) =>
        address === undefined ? [] : [{ name, address: address as string }],
      ),
      notReady: [...options.notReady()],
    });
  };
}

function ageMs(nowMs: number, thenMs: number): bigint {
  return BigInt(Math.max(0, nowMs - thenMs));
}
