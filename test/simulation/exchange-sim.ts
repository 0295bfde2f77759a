/** One schedule's gateways, the wires between them and the ledger, and who looks at them. */
import { openCallToken } from "../../src/credential/call-token.ts";
import { ExchangeChecker } from "./exchange-checker.ts";
import { SimGateway } from "./exchange-gateway.ts";
import { SimLedger } from "./exchange-ledger.ts";
import type { SimLink } from "./exchange-network.ts";
import { allExchangeRules, type ExchangeRules } from "./exchange-rules.ts";
import type { Universe } from "./exchange-universe.ts";
import { World } from "./world.ts";

export class ExchangeSim {
  readonly world: World;
  readonly universe: Universe;
  readonly rules: ExchangeRules;
  readonly ledger: SimLedger;
  readonly checker: ExchangeChecker;
  readonly provider: SimGateway;
  readonly consumers: readonly SimGateway[];
  readonly gateways: readonly SimGateway[];
  readonly links: Set<SimLink> = new Set();
  isCalm = false;
  /** A call was made when all was well again. */
  isProbed = false;

  constructor(
    seed: number,
    universe: Universe,
    options: { readonly rules?: ExchangeRules; readonly isTold?: boolean } = {},
  ) {
    this.world = new World(seed, options);
    this.universe = universe;
    this.rules = options.rules ?? allExchangeRules;
    this.ledger = new SimLedger(universe);
    this.checker = new ExchangeChecker(this);
    this.provider = new SimGateway(this, universe.provider);
    this.consumers = universe.consumers.map((keys) => new SimGateway(this, keys));
    this.gateways = [this.provider, ...this.consumers];
  }

  /** One of the gateways lies. */
  get isLying(): boolean {
    return this.gateways.some(({ lies }) => lies !== undefined);
  }

  gatewayOf(id: string): SimGateway {
    return this.gateways.find((gateway) => gateway.id === id) as SimGateway;
  }

  readonly latencyMs = (): number => {
    const { random } = this.world;
    return random.chance(0.9) ? random.between(1, 20) : random.between(20, 400);
  };

  bytes(length: number): Uint8Array {
    const { random } = this.world;
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = random.next() & 0xff;
    return bytes;
  }

  /** What a token names, for a provider that does not look at it. */
  nonceOf(token: string, otherwise: Uint8Array): Uint8Array {
    try {
      return openCallToken(token).claims.nonce;
    } catch {
      return otherwise;
    }
  }
}
