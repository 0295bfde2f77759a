/** Whether callers can be served at an address: found out before anything is made. */
import { createServer } from "node:net";
import { CausewayError } from "../../src/base/errors.ts";
import { isLoopback } from "../config-atoms.ts";
import { parseHostPort } from "../tls.ts";

/**
 * Resolves when the address is of this machine's loopback and free now.
 *
 * @throws CausewayError `USAGE_INVALID` for another address, `LISTENER_FAILED` for one that is taken.
 */
export async function assertListenable(address: string): Promise<void> {
  if (!isLoopback(address)) {
    throw new CausewayError(
      "USAGE_INVALID",
      `--listen ${address} is not on loopback: callers need no credentials there`,
    );
  }
  const { host, port } = parseHostPort(address);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new CausewayError("LISTENER_FAILED", `--listen ${address} is taken`, { cause })),
    );
    server.listen(port, host, () => server.close(() => resolve()));
  });
}
