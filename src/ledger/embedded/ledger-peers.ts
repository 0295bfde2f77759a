import type { GatewayFact, RegistryState, TermFact } from "../../registry/state.ts";
import type { FollowSource } from "./follower.ts";
import type { LedgerClient, LedgerPeer } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";

/** The sequencer of an appointment, under every TLS key that the registry gives its gateway. */
export function sequencerOf(state: RegistryState, { gateway, address, tls }: TermFact): LedgerPeer {
  const stated = currentGateway(state, gateway)?.body.tls ?? [];
  return { address, tls: [...new Set([tls, ...stated])] };
}

/** The peer listeners of every gateway that nothing has taken away, but for the own one. */
function membersOf(state: RegistryState, own: string): readonly LedgerPeer[] {
  return [...state.gateways.keys()].flatMap((id) => {
    const fact = id === own ? undefined : currentGateway(state, id);
    return fact === undefined ? [] : [{ address: fact.body.endpoints.peer, tls: fact.body.tls }];
  });
}

function currentGateway(state: RegistryState, id: string): GatewayFact | undefined {
  const fact = state.gateways.get(id)?.at(-1);
  return fact?.standing.until === undefined ? fact : undefined;
}

/** The other gateways of the network, each with one client. */
export class LedgerPeers {
  readonly #own: string;
  readonly #replica: LedgerReplica;
  readonly #connect: (peer: LedgerPeer) => LedgerClient;
  readonly #clients = new Map<string, LedgerClient>();
  readonly #sources = new Map<string, FollowSource>();
  #hint: { readonly term: bigint; readonly peer: LedgerPeer } | undefined;

  constructor(options: {
    readonly own: string;
    readonly replica: LedgerReplica;
    readonly connect: (peer: LedgerPeer) => LedgerClient;
  }) {
    this.#own = options.own;
    this.#replica = options.replica;
    this.#connect = options.connect;
  }

  /** Where the sequencer of a coming term answers: asked first until the term has begun here. */
  hint(term: bigint, peer: LedgerPeer): void {
    this.#hint = { term, peer };
  }

  client(peer: LedgerPeer): LedgerClient {
    const name = nameOf(peer);
    const client = this.#clients.get(name) ?? this.#connect(peer);
    this.#clients.set(name, client);
    return client;
  }

  /** The sequencer of the newest term; `undefined` when it is this gateway. */
  sequencer(): LedgerClient | undefined {
    const { state } = this.#replica.trust();
    const term = this.#replica.term();
    return term.gateway === this.#own ? undefined : this.client(sequencerOf(state, term));
  }

  /** Whom to follow, the best first. */
  sources(): readonly FollowSource[] {
    const { state } = this.#replica.trust();
    const term = this.#replica.term();
    const sequencer = term.gateway === this.#own ? [] : [sequencerOf(state, term)];
    const [first] = sequencer;
    const members = membersOf(state, this.#own).filter(({ address }) => address !== first?.address);
    const hint = this.#hint !== undefined && this.#hint.term > term.term ? [this.#hint.peer] : [];
    return [
      ...hint.map((peer) => this.#source(peer, false)),
      ...sequencer.map((peer) => this.#source(peer, true)),
      ...members.map((peer) => this.#source(peer, false)),
    ];
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #source(peer: LedgerPeer, isSequencer: boolean): FollowSource {
    const name = `${isSequencer ? "sequencer" : "member"} ${nameOf(peer)}`;
    const source = this.#sources.get(name) ?? { client: this.client(peer), isSequencer };
    this.#sources.set(name, source);
    return source;
  }
}

function nameOf({ address, tls }: LedgerPeer): string {
  return `${address} ${tls.join(" ")}`;
}
