/** Connections of a TLS server whose handshake is not over: what they are judged by is what held when it began. */
import type { Server, Socket } from "node:net";

/** Both ends of a connection have the same name below TLS and above. */
type Ends = Pick<Socket, "remoteAddress" | "remotePort">;

const nameOf = ({ remoteAddress, remotePort }: Ends): string => `${remoteAddress} ${remotePort}`;

export class Handshakes {
  readonly #open = new Map<string, Socket>();

  /** `server` is one of TLS; of another nothing is to be ended. */
  constructor(server: Pick<Server, "on">) {
    server.on("connection", (socket: Socket) => {
      const name = nameOf(socket);
      this.#open.set(name, socket);
      socket.once("close", () => {
        if (this.#open.get(name) === socket) this.#open.delete(name);
      });
    });
    server.on("secureConnection", (socket: Ends) => this.#open.delete(nameOf(socket)));
  }

  /** Cuts them off: who is there begins anew, under what holds now. */
  endAll(): void {
    for (const socket of this.#open.values()) socket.destroy();
  }
}
