import type { SimNode } from "./node.ts";
import type { World } from "./world.ts";

/** How the wires behave now. */
export interface Weather {
  readonly loss: number;
  readonly duplication: number;
  /** Of the messages, and by how much at most. */
  readonly slow: number;
  readonly slowMs: number;
}

export const fair: Weather = { loss: 0, duplication: 0, slow: 0, slowMs: 0 };

/** Ordered and reliable until it breaks, as a connection is. */
export interface Wire<T> {
  readonly isOpen: boolean;
  /** Items arrive in their order; nothing arrives on a broken wire. */
  send(items: readonly T[]): void;
  /** By its sender: the receiver hears it. */
  breakOff(): void;
  /** By its receiver, who hears nothing more. */
  close(): void;
}

interface OpenWire {
  readonly from: SimNode;
  readonly to: SimNode;
  breakOff(): void;
}

/** Calls and connections between nodes, with delay, loss, duplication, reordering and cuts. */
export class Network {
  readonly #world: World;
  readonly #cuts = new Set<string>();
  readonly #wires = new Set<OpenWire>();
  weather: Weather = fair;

  constructor(world: World) {
    this.#world = world;
  }

  /** Nothing passes from one to the other; one direction alone. */
  cut(from: SimNode, to: SimNode): void {
    this.#cuts.add(`${from.city}>${to.city}`);
    for (const wire of [...this.#wires]) {
      const isCut =
        (wire.from === from && wire.to === to) || (wire.from === to && wire.to === from);
      if (isCut) wire.breakOff();
    }
  }

  heal(): void {
    this.#cuts.clear();
  }

  isCut(from: SimNode, to: SimNode): boolean {
    return this.#cuts.has(`${from.city}>${to.city}`);
  }

  /** Ends every connection of a node whose process is gone. */
  dropWires(node: SimNode): void {
    for (const wire of [...this.#wires])
      if (wire.from === node || wire.to === node) wire.breakOff();
  }

  /** `done` is called once: with the answer, or with `undefined` when none came in time. */
  call<A>(options: {
    readonly from: SimNode;
    readonly to: SimNode;
    readonly timeoutMs: number;
    readonly serve: (server: SimNode, answer: (value: A) => void) => void;
    readonly done: (value: A | undefined) => void;
  }): void {
    const { from, to, serve, done } = options;
    const { incarnation } = from;
    let isDone = false;
    const finish = (value: A | undefined): void => {
      if (isDone) return;
      isDone = true;
      cancel();
      done(value);
    };
    const cancel = from.after(options.timeoutMs, () => finish(undefined));
    const answer = (value: A): void => {
      this.#deliver(to, from, () => finish(value), incarnation);
    };
    const ask = (): void => {
      if (to.isUp) to.run(() => serve(to, answer));
      else if (!this.isCut(to, from)) {
        this.#world.after(this.#latencyMs(), () =>
          from.runIf(incarnation, () => finish(undefined)),
        );
      }
    };
    this.#deliver(from, to, ask);
  }

  #deliver(from: SimNode, to: SimNode, run: () => void, incarnation?: number): void {
    if (from === to) {
      this.#world.after(0, () => to.runIf(incarnation, run));
      return;
    }
    const { loss, duplication } = this.weather;
    const { random } = this.#world;
    if (this.isCut(from, to) || (loss > 0 && random.chance(loss))) return;
    const copies = duplication > 0 && random.chance(duplication) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      this.#world.after(this.#latencyMs(), () => {
        if (!this.isCut(from, to)) to.runIf(incarnation, run);
      });
    }
  }

  /** A connection that carries items to `to`; both ends hear once that it broke. */
  connect<T>(options: {
    readonly from: SimNode;
    readonly to: SimNode;
    readonly onItems: (items: readonly T[]) => void;
    /** At the receiver. */
    readonly onEnd: () => void;
  }): Wire<T> {
    const { from, to, onItems, onEnd } = options;
    const world = this.#world;
    const receiver = to.incarnation;
    let lastMs = world.nowMs;
    let isOpen = true;
    const wire: OpenWire = {
      from,
      to,
      breakOff: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#wires.delete(wire);
        world.after(world.random.between(1, 3000), () => to.runIf(receiver, onEnd));
      },
    };
    this.#wires.add(wire);
    if (this.isCut(from, to) || this.isCut(to, from)) wire.breakOff();
    return {
      get isOpen(): boolean {
        return isOpen;
      },
      send: (items) => {
        const { loss } = this.weather;
        // Loss on a connection shows as delay, a lot of it as its end.
        if (isOpen && loss > 0 && world.random.chance(loss / 4)) wire.breakOff();
        if (!isOpen) return;
        lastMs = Math.max(lastMs, world.nowMs + this.#latencyMs());
        world.after(lastMs - world.nowMs, () => {
          if (isOpen) to.runIf(receiver, () => onItems(items));
        });
      },
      breakOff: () => wire.breakOff(),
      close: () => {
        isOpen = false;
        this.#wires.delete(wire);
      },
    };
  }

  /** One message that opens a connection; `onFail` when it cannot be opened. */
  open(
    from: SimNode,
    to: SimNode,
    { onOpen, onFail }: { readonly onOpen: () => void; readonly onFail: () => void },
  ): void {
    const isReached = !this.isCut(from, to) && !this.isCut(to, from);
    const { incarnation } = from;
    this.#world.after(isReached ? this.#latencyMs() : 2000, () => {
      if (isReached && to.isUp) to.run(onOpen);
      else from.runIf(incarnation, onFail);
    });
  }

  #latencyMs(): number {
    const { slow, slowMs } = this.weather;
    const { random } = this.#world;
    return slow > 0 && random.chance(slow) ? random.between(50, slowMs) : random.between(1, 25);
  }
}
