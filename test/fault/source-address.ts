/**
 * Loaded before a program (`node --import`): its TCP connections begin at the loopback address that
 * CAUSEWAY_TEST_SOURCE names, so that proxies can tell the processes of a test apart.
 */
import net from "node:net";

const source = process.env["CAUSEWAY_TEST_SOURCE"];

interface Options {
  readonly port?: unknown;
  readonly path?: unknown;
  localAddress?: string;
}

/** The options among the forms of arguments that `connect` takes, its own normalised one included. */
function optionsOf(first: unknown): Options | undefined {
  const options: unknown = Array.isArray(first) ? first[0] : first;
  return typeof options === "object" && options !== null ? options : undefined;
}

if (source !== undefined) {
  const prototype = net.Socket.prototype as { connect: (...args: unknown[]) => net.Socket };
  const connect: unknown = Reflect.get(prototype, "connect");
  prototype.connect = function (this: net.Socket, ...args: unknown[]): net.Socket {
    const options = optionsOf(args[0]);
    if (options?.port !== undefined && options.path === undefined) options.localAddress ??= source;
    return Reflect.apply(connect as (...args: unknown[]) => net.Socket, this, args);
  };
}
