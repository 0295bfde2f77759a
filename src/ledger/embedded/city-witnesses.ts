import { CausewayError } from "../../base/errors.ts";
import type { CityWitness } from "./network.ts";
import type { WitnessPort } from "./ports.ts";
import type { Witness } from "./witness.ts";
import type { TermPromise } from "./witness-types.ts";

type Reached = WitnessPort & { close?(): void };

/** Every city's witness: the one in this process, and a client for each of the others. */
export class CityWitnesses {
  readonly #connect: (witness: CityWitness) => Reached;
  readonly #clients = new Map<string, Reached>();
  readonly #city: string | undefined;
  /** The one that is hosted here. */
  own: Witness | undefined;

  constructor(city: string | undefined, connect: (witness: CityWitness) => Reached) {
    this.#city = city;
    this.#connect = connect;
  }

  of(witness: CityWitness): WitnessPort {
    if (this.own !== undefined && witness.city === this.#city) return this.own;
    const name = `${witness.address} ${witness.tls}`;
    const client = this.#clients.get(name) ?? this.#connect(witness);
    this.#clients.set(name, client);
    return client;
  }

  /** What the city's own witness promises; `onPromised` is called before it is told. */
  async promise(
    { term, choice }: { readonly term: bigint; readonly choice: string },
    onPromised: () => void,
  ): Promise<TermPromise> {
    if (this.own === undefined) {
      throw new CausewayError("MEMBER_UNKNOWN", "this gateway hosts no city's witness");
    }
    const result = await this.own.promiseTerm(term, choice);
    if (result.kind === "promised") onPromised();
    return result;
  }

  close(): void {
    this.own?.close();
    for (const client of this.#clients.values()) client.close?.();
  }
}
