/**
 * TCP proxies before the listeners of gateways. Every process of the test dials from a loopback address
 * of its own, so that a proxy knows who calls, and a partition is what it is on a wire: bytes that do not
 * arrive, on connections that nobody ends.
 */
import { createServer, connect, type Server, type Socket } from "node:net";

interface Pair {
  readonly source: string;
  readonly inward: Socket;
  readonly outward: Socket;
}

/** One listener's proxy. */
export class Proxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #isCut: (source: string) => boolean;

  private constructor(target: string, isCut: (source: string) => boolean) {
    this.#isCut = isCut;
    this.#server = createServer((inward) => this.#accept(inward, target));
  }

  static async open(
    listen: string,
    target: string,
    isCut: (source: string) => boolean,
  ): Promise<Proxy> {
    const proxy = new Proxy(target, isCut);
    const { host, port } = hostPort(listen);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(port, host, resolve);
    });
    return proxy;
  }

  #accept(inward: Socket, target: string): void {
    const source = inward.remoteAddress ?? "";
    const outward = connect(hostPort(target));
    const pair: Pair = { source, inward, outward };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      inward.destroy();
      outward.destroy();
    };
    for (const socket of [inward, outward]) {
      socket.setNoDelay(true);
      socket.on("error", () => undefined);
      socket.on("close", end);
    }
    this.#flow(inward, outward);
    this.#flow(outward, inward);
    if (this.#isCut(source)) hold(pair);
  }

  #flow(from: Socket, to: Socket): void {
    from.on("data", (chunk) => {
      if (to.write(chunk)) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
  }

  /** Holds what is cut now and lets go what is not. What was held for long has lost its connection: it is ended. */
  refresh(): void {
    for (const pair of this.#pairs) {
      if (this.#isCut(pair.source)) hold(pair);
      else if (pair.inward.isPaused()) {
        pair.inward.destroy();
        pair.outward.destroy();
      }
    }
  }

  async close(): Promise<void> {
    for (const { inward, outward } of this.#pairs) {
      inward.destroy();
      outward.destroy();
    }
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function hold({ inward, outward }: Pair): void {
  inward.pause();
  outward.pause();
}

function hostPort(text: string): { readonly host: string; readonly port: number } {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}

/** The wires between cities: every gateway behind proxies, each pair cut and joined at will. */
export class Wires {
  readonly #proxies: Proxy[] = [];
  /** `<source address> <city>` of what does not arrive. */
  readonly #cut = new Set<string>();

  async open(city: string, listen: string, target: string): Promise<void> {
    const isCut = (source: string): boolean => this.#cut.has(`${source} ${city}`);
    this.#proxies.push(await Proxy.open(listen, target, isCut));
  }

  /** Cuts every wire between the cities of one side and those of the other, both ways. */
  partition(one: readonly Wired[], other: readonly Wired[]): void {
    for (const a of one) {
      for (const b of other) {
        this.#cut.add(`${a.source} ${b.city}`);
        this.#cut.add(`${b.source} ${a.city}`);
      }
    }
    for (const proxy of this.#proxies) proxy.refresh();
  }

  heal(): void {
    this.#cut.clear();
    for (const proxy of this.#proxies) proxy.refresh();
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }
}

/** A city's end of the wires. */
export interface Wired {
  readonly city: string;
  /** The loopback address that its processes dial from. */
  readonly source: string;
}
