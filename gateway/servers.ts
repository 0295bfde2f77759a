/** How a server starts to listen, and how it ends with nothing left open. */
import type { Server as HttpServer } from "node:http";
import type { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import type { Scheduler } from "../src/base/clock.ts";
import { httpConnectionsMax, httpHeadersMs, httpRequestMs } from "../src/base/limits.ts";
import { parseHostPort } from "./tls.ts";

/** Anyone may connect: whoever is slow, or sends nothing, is let go. */
function bound(server: HttpServer): void {
  server.maxConnections = httpConnectionsMax;
  server.headersTimeout = httpHeadersMs;
  server.requestTimeout = httpRequestMs;
  server.timeout = httpRequestMs;
}

/** Listens at `host:port`, within the bounds of a listener that is open to anyone; how to end it. */
export function listenHttp(server: HttpServer, address: string): Promise<() => Promise<void>> {
  const { host, port } = parseHostPort(address);
  bound(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve(
        () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      );
    });
  });
}

/** Has a gRPC server listen at an address as grpc-js writes it. */
export function bindGrpc(
  server: GrpcServer,
  address: string,
  credentials: ServerCredentials,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error) => (error === null ? resolve() : reject(error)));
  });
}

const forceAgainMs = 200;
const forceAttemptsMax = 10;

/**
 * Ends a gRPC server. A peer that dials again in this very moment may get a session that the forced shutdown
 * has not seen: it is forced again until all are gone.
 */
export function shutDownGrpc(server: GrpcServer, scheduler: Scheduler): Promise<void> {
  return new Promise((resolve) => {
    let ended = false;
    let cancel = (): void => undefined;
    const force = (attempts: number): void => {
      server.forceShutdown();
      if (ended) return;
      if (attempts === 0) resolve();
      else cancel = scheduler.after(forceAgainMs, () => force(attempts - 1));
    };
    server.tryShutdown(() => {
      ended = true;
      cancel();
      resolve();
    });
    force(forceAttemptsMax);
  });
}
