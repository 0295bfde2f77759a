/** Every active gateway is asked for the newest header that it holds of this one: the Hello of a link says it. */
import type { Clock, Scheduler } from "../src/base/clock.ts";
import { CausewayError } from "../src/base/errors.ts";
import { acceptHello, createHello, type OwnLeaf } from "../src/exchange/hello.ts";
import type { Self } from "../src/exchange/ports.ts";
import type { LinkHooks } from "../src/exchange/transport/link.ts";
import { openLink } from "../src/exchange/transport/link-client.ts";
import type { Verifier } from "../src/crypto/ports.ts";
import type { LedgerReplica } from "../src/ledger/embedded/replica.ts";
import type { GatewayKeys } from "./keys/key-folder.ts";
import { boundBatchKeys, certificatesOf, tokenKeyOf } from "./peers.ts";
import { deferToEndOfTurn } from "./runtime.ts";
import { certificatePem } from "./tls.ts";

export interface PeerAnswer {
  readonly gateway: string;
  /** The newest own leaf that it holds; absent when it holds none. */
  readonly shown?: OwnLeaf;
  /** Why it has not answered. */
  readonly failure?: CausewayError;
}

export interface PeersOptions {
  readonly self: Self;
  readonly keys: GatewayKeys;
  readonly replica: LedgerReplica;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** Answers in the order of the gateways' ids. */
export async function askPeers(options: PeersOptions): Promise<readonly PeerAnswer[]> {
  const { self, replica } = options;
  const peers = [...replica.state().gateways.keys()].filter((id) => {
    return id !== self.gateway && certificatesOf(replica.state(), id).length > 0;
  });
  return Promise.all(peers.map((peer) => askPeer(peer, options)));
}

async function askPeer(peer: string, options: PeersOptions): Promise<PeerAnswer> {
  const { keys, replica, scheduler } = options;
  const fact = replica.state().gateways.get(peer)?.at(-1);
  if (fact === undefined) throw new TypeError("an unknown gateway is not asked");
  let shown: OwnLeaf | undefined;
  const hooks = helloHooks(peer, options, (leaf) => {
    shown = leaf;
  });
  try {
    const tls = {
      certificate: certificatePem(keys.tls.certificateDer),
      privateKey: keys.tls.privateKeyPem,
      trusted: certificatesOf(replica.state(), peer),
    };
    const target = { address: fact.body.endpoints.peer, tls };
    const link = await openLink(target, hooks, { scheduler, defer: deferToEndOfTurn });
    link.onFrame(() => undefined);
    link.close();
    return { gateway: peer, ...(shown === undefined ? {} : { shown }) };
  } catch (failure) {
    if (!(failure instanceof CausewayError)) throw failure;
    return { gateway: peer, failure };
  }
}

function helloHooks(
  peer: string,
  { self, keys, replica, verifier, clock }: PeersOptions,
  onShown: (leaf: OwnLeaf | undefined) => void,
): LinkHooks {
  const tip = replica.state().chains.get(peer);
  return {
    hello: async () =>
      createHello({
        self,
        peer,
        clockMs: clock.nowMs(),
        checkpoint: replica.final()?.note,
        leafOfPeer: tip === undefined ? undefined : replica.batch(tip.index)?.leaf,
        signer: keys.token,
      }),
    onHello: async (hello) => {
      try {
        const keyOf = (kid: string, issuer: string): Uint8Array | undefined =>
          tokenKeyOf(replica, kid, issuer);
        const ownBatchKeys = boundBatchKeys(replica.state(), self.gateway);
        const accepted = await acceptHello({ hello, self, peer, keyOf, ownBatchKeys, verifier });
        onShown(accepted.ownLeaf);
        return undefined;
      } catch (error) {
        if (error instanceof CausewayError) return error;
        throw error;
      }
    },
  };
}
