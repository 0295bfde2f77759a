/** grpc-js credentials for mutual TLS 1.3 with exactly the certificates that the ledger binds. */
import { createSecureContext } from "node:tls";
import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";
import { http2StreamWindowBytes } from "../../base/limits.ts";
import {
  acceptExactly,
  type PeerTls,
  secureContextOptions,
  serverTlsOptions,
} from "./tls-options.ts";

/**
 * Credentials of a grpc-js server whose certificate and trusted peers can change while it runs.
 * A change binds new connections; calls on open ones are checked by their own service.
 */
export class PeerServerCredentials extends ServerCredentials {
  constructor(tls: PeerTls) {
    const { requestCert, rejectUnauthorized, ALPNProtocols } = serverTlsOptions(tls);
    super(
      {
        requestCert: requestCert === true,
        rejectUnauthorized: rejectUnauthorized === true,
        ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
        settings: { initialWindowSize: http2StreamWindowBytes },
      },
      secureContextOptions(tls),
    );
  }

  update(tls: PeerTls): void {
    this.updateSecureContextOptions(secureContextOptions(tls));
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

/** Credentials of a channel to the holder of one of `tls.trusted`, whatever names its certificate carries. */
export function peerChannelCredentials(tls: PeerTls): ChannelCredentials {
  return ChannelCredentials.createFromSecureContext(
    createSecureContext(secureContextOptions(tls)),
    {
      checkServerIdentity: acceptExactly(tls.trusted),
    },
  );
}
