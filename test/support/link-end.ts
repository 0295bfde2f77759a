/** An end of a link to a peer whose frames go nowhere. */
import type { LinkEnd } from "../../src/exchange/ports.ts";

export function linkEnd(peer: string): LinkEnd {
  return {
    peer,
    peerTlsKey: new Uint8Array(32),
    peerBoot: new Uint8Array(16),
    renewBoot: () => undefined,
    lost: false,
    shownRoot: () => undefined,
    send: () => undefined,
  };
}
