/** grpc-js credentials for mutual TLS 1.3 with exactly the certificates that the ledger binds. */
import { createSecureContext } from "node:tls";
import { ChannelCredentials } from "@grpc/grpc-js";
import { acceptExactly, type PeerTls, secureContextOptions } from "./tls-options.ts";

/** Credentials of a channel to the holder of one of `tls.trusted`, whatever names its certificate carries. */
export function peerChannelCredentials(tls: PeerTls): ChannelCredentials {
  return ChannelCredentials.createFromSecureContext(
    createSecureContext(secureContextOptions(tls)),
    {
      checkServerIdentity: acceptExactly(tls.trusted),
    },
  );
}
