/**
 * The TCP and TLS side of the listener for peers. Connections for exchange streams are told by their
 * server name; all others are the grpc-js server's, which serves links and the ledger.
 */
import type { AddressInfo } from "node:net";
import {
  createServer,
  type DetailedPeerCertificate,
  type TlsOptions,
  type TLSSocket,
} from "node:tls";
import { type Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import type { Scheduler } from "../../base/clock.ts";
import { connectMs, keepaliveMs, linkCloseMs, peerConnectionsMax } from "../../base/limits.ts";
import { exchangeServerName } from "./exchange-stream-session.ts";
import { type PeerTls, serverTlsOptions } from "./tls-options.ts";

export interface LinkListenerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly tls: PeerTls;
  readonly scheduler: Scheduler;
  /** Serves every connection that is not for exchange streams. */
  readonly grpc: GrpcServer;
  /** Serves a connection for exchange streams. */
  readonly onStreams: (socket: TLSSocket) => void;
}

export interface LinkListener {
  readonly port: number;
  /**
   * New connections get this certificate and are held to these peers. Open ones of a certificate that is
   * trusted no more are cut off soon: their services, which look the peer up for each use, say why first.
   */
  update(tls: PeerTls): void;
  /** Accepts no more and cuts off what is open. The grpc-js server is ended apart. */
  close(): Promise<void>;
}

/** Starts to listen. Rejects with the socket's error when the address cannot be bound. */
export async function listenForPeers(options: LinkListenerOptions): Promise<LinkListener> {
  const { grpc, host, onStreams, port, scheduler, tls } = options;
  const sockets = new Set<TLSSocket>();
  let current = tls;
  // The handshake is over when a connection is handed to it: TLS is this listener's.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const server = createServer({
    ...(serverTlsOptions(tls) as TlsOptions),
    handshakeTimeout: connectMs,
  });
  server.maxConnections = peerConnectionsMax;
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", ignore);
    socket.setKeepAlive(true, keepaliveMs);
    socket.setNoDelay(true);
    // The handshake may have begun when others were trusted.
    if (socket.alpnProtocol !== "h2" || !isTrusted(socket, current)) socket.destroy();
    else if (serverNameOf(socket) === exchangeServerName) onStreams(socket);
    else injector.injectConnection(rememberingPeer(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", ignore);
  return {
    port: (server.address() as AddressInfo).port,
    update: (next) => {
      current = next;
      server.setSecureContext(serverTlsOptions(next));
      for (const socket of sockets) {
        if (!isTrusted(socket, next)) scheduler.after(linkCloseMs, () => socket.destroy());
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

// grpc-js asks for the peer of a connection at each call, and the runtime would parse its certificate each
// time. TLS 1.3 ends with one peer what it began with it; whether that one is trusted is asked elsewhere.
function rememberingPeer(socket: TLSSocket): TLSSocket {
  const certificate = socket.getPeerCertificate();
  socket.getPeerCertificate = () => certificate as DetailedPeerCertificate;
  return socket;
}

function isTrusted(socket: TLSSocket, { trusted }: PeerTls): boolean {
  const raw = socket.getPeerCertificate().raw as Buffer | undefined;
  return raw !== undefined && trusted.some((der) => Buffer.compare(der, raw) === 0);
}

// Set by the handshake of a server's socket, which the types do not know.
function serverNameOf(socket: TLSSocket): unknown {
  return (socket as { readonly servername?: unknown }).servername;
}

// A handshake that fails, or a connection that breaks, is its peer's affair.
function ignore(): void {}
