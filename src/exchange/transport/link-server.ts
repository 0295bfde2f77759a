/** The side that accepts links: the provider's gateway. */
import {
  Metadata,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { CausewayError } from "../../base/errors.ts";
import { toServiceError } from "./grpc-errors.ts";
import { establishLink, type Link, type LinkHooks, type LinkTiming } from "./link.ts";
import { connectMethod } from "./link-codec.ts";

export interface LinkServiceOptions extends LinkHooks, LinkTiming {
  /** Whether the holder of this certificate may have a link now; the reason when it may not. */
  refuses(peerCertificate: Uint8Array): CausewayError | undefined;
  /** A new link. Its listeners are to be set in this call. */
  onLink(link: Link): void;
  /** A link that was not established, for telemetry. */
  onRefused?(error: CausewayError): void;
}

/** LinkService, to be added to the grpc-js server of a listener for peers. */
export interface LinkServiceHandler {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  readonly links: ReadonlySet<Link>;
  /** Ends the links whose certificate is refused by now. */
  recheck(): void;
  /** Tells all links to drain: their other sides open new ones. */
  drain(): void;
  /** Refuses new links with SHUTTING_DOWN, and tells all that stand to drain. */
  refuseNew(): void;
  /** Ends all links, and refuses new ones with SHUTTING_DOWN. */
  close(): void;
}

/** The service of LinkService.Connect. */
export function createLinkService(options: LinkServiceOptions): LinkServiceHandler {
  const links = new Set<Link>();
  let closing = false;
  const drain = (): void => {
    for (const link of links) link.drain();
  };
  const connect = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    const refusal = closing ? shuttingDown() : undefined;
    accept(call, refusal, options).then(
      (link) => {
        links.add(link);
        link.onClose(() => links.delete(link));
        options.onLink(link);
      },
      (error: CausewayError) => options.onRefused?.(error),
    );
  };
  return {
    definition: { connect: connectMethod },
    implementation: { connect },
    links,
    recheck: () => {
      for (const link of links) {
        const refusal = options.refuses(link.peerCertificate);
        if (refusal !== undefined) link.close(refusal);
      }
    },
    drain,
    refuseNew: () => {
      closing = true;
      drain();
    },
    close: () => {
      closing = true;
      for (const link of links) link.close();
    },
  };
}

async function accept(
  call: ServerDuplexStream<Buffer, Buffer>,
  refusal: CausewayError | undefined,
  options: LinkServiceOptions,
): Promise<Link> {
  const abort = (reason: CausewayError): void => {
    call.emit("error", toServiceError(reason));
  };
  call.on("error", ignore);
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  const peerCertificate = new Uint8Array(raw ?? []);
  const reason = raw === undefined ? unknown() : (refusal ?? options.refuses(peerCertificate));
  if (reason !== undefined) {
    abort(reason);
    throw reason;
  }
  // The other side waits for headers before it says anything.
  call.sendMetadata(new Metadata());
  return establishLink({
    role: "accepts",
    stream: { duplex: call, abort, failure: (cause) => lost(cause) },
    peerCertificate,
    hooks: options,
    timing: options,
  });
}

function unknown(): CausewayError {
  return new CausewayError("GATEWAY_UNKNOWN", "a link needs a certificate");
}

function lost(cause: Error): CausewayError {
  return new CausewayError("PEER_LOST", "the link broke", { cause });
}

function shuttingDown(): CausewayError {
  return new CausewayError("SHUTTING_DOWN", "no new link is accepted");
}

// The end of the call is reported by the link.
function ignore(): void {}
