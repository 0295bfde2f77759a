import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Ports below those that the system gives to outgoing connections, in parts for processes that run at one time. */
const portsFrom = 10_000;
const portsOfProcess = 500;
const processesApart = 44;
const givenPorts = new Set<number>();

/**
 * A free TCP port of the loopback interface that nobody else is given meanwhile: a gateway that is started
 * later, or again, finds it free.
 */
export async function freePort(): Promise<number> {
  const first = portsFrom + (process.pid % processesApart) * portsOfProcess;
  while (givenPorts.size < portsOfProcess) {
    const port = first + randomInt(portsOfProcess);
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error("every port of this process was given");
}

/** `host:port` of such a port. */
export async function freeAddress(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
