/** The side that opens a link: the consumer's gateway. */
import { Client, type ClientDuplexStream, Metadata, type ServiceError } from "@grpc/grpc-js";
import { CausewayError } from "../../base/errors.ts";
import { connectMs } from "../../base/limits.ts";
import { fromServiceError } from "./grpc-errors.ts";
import { grpcClientOptions } from "./grpc-options.ts";
import { establishLink, type Link, type LinkHooks, type LinkTiming } from "./link.ts";
import { connectMethod } from "./link-codec.ts";
import { peerChannelCredentials } from "./peer-credentials.ts";
import type { PeerTls } from "./tls-options.ts";

export interface LinkTarget {
  /** `host:port`. */
  readonly address: string;
  /** The own certificate, and those that the ledger binds to the peer. */
  readonly tls: PeerTls;
}

/** Any name: the peer is known by its certificate, and TLS wants no address as a server name. */
const serverName = "gateway.causeway.internal";

/**
 * Opens a link on a connection of its own. Rejects with PEER_UNAVAILABLE when there is no connection
 * or its certificate is not among `target.tls.trusted`, with the peer's reason when it refuses, and as
 * `establishLink` does.
 */
export async function openLink(
  target: LinkTarget,
  hooks: LinkHooks,
  timing: LinkTiming,
): Promise<Link> {
  const client = new Client(target.address, peerChannelCredentials(target.tls), {
    ...grpcClientOptions,
    "grpc.ssl_target_name_override": serverName,
  });
  const { path, requestSerialize, responseDeserialize } = connectMethod;
  const duplex = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    new Metadata(),
  );
  duplex.on("status", () => client.close());
  return establishLink({
    role: "opens",
    stream: {
      duplex,
      abort: () => duplex.cancel(),
      failure: (error) => fromServiceError(error as ServiceError),
    },
    peerCertificate: await certificateOf(duplex, timing),
    hooks,
    timing,
  });
}

// The other side's first headers show that the handshake is over and the call accepted.
function certificateOf(
  duplex: ClientDuplexStream<Buffer, Buffer>,
  { scheduler }: LinkTiming,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const giveUp = (message: string): void => {
      reject(new CausewayError("PEER_UNAVAILABLE", message));
      duplex.cancel();
    };
    const cancel = scheduler.after(connectMs, () => giveUp("connecting took too long"));
    duplex.once("metadata", () => {
      cancel();
      const raw = duplex.getAuthContext()?.sslPeerCertificate?.raw;
      if (raw === undefined) giveUp("the peer shows no certificate");
      else resolve(new Uint8Array(raw));
    });
    duplex.on("error", (error) => {
      cancel();
      reject(fromServiceError(error as ServiceError));
    });
  });
}
