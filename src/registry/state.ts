import type {
  AgencyBody,
  AuthorizationDetail,
  Bounds,
  CalendarYear,
  FoundingCity,
  GatewayBody,
  NetworkBody,
  PolicyBody,
  ServiceBody,
} from "../credential/statements.ts";
import type { OrderedMap } from "./ordered-map.ts";

/** Where a fact stands: `<index>/<position>`. */
export interface FactAddress {
  readonly index: bigint;
  readonly position: number;
}

/** From when a fact gives, and from when it is taken away, as ledger indexes. */
export interface Standing {
  /** The statement that says what the fact holds. */
  readonly address: FactAddress;
  /** Index of that statement, or of the later one by which it is in force: a resumption, an approval. */
  readonly since: bigint;
  /** Index and position of the record that took it away, or that put the next fact in its place. */
  readonly until?: FactAddress;
  /** Issuer of the suspension that took it away, who alone may resume it. */
  readonly suspendedBy?: string;
  /** Unix seconds, when the statement limits it: valid while nbf ≤ t < exp. */
  readonly nbf?: number;
  readonly exp?: number;
}

export interface NetworkFact {
  /** SHA-256 of the founding document's payload, 32 bytes. */
  readonly id: Uint8Array;
  readonly name: string;
  readonly bounds: Bounds;
  readonly body: NetworkBody;
}

/** A city as one statement left it: keys and witness. A later statement makes another fact. */
export interface CityFact {
  readonly id: string;
  readonly city: FoundingCity;
  /** The keys before were stolen: they have had no voice since this fact's leaf. */
  readonly recovered?: true;
  readonly standing: Standing;
}

/** A city that asks to be admitted; its keys are bound when it is. */
export interface CandidacyFact {
  readonly city: FoundingCity;
  /** SHA-256 of the payload, hex: what a vote names. */
  readonly payload: string;
  readonly standing: Standing;
}

/** An appointment of a sequencer, with a log key and an origin of its own. */
export interface TermFact {
  readonly term: bigint;
  readonly gateway: string;
  /** Peer listener, `host:port`, and SHA-256 of the SPKI DER of its TLS key, hex. */
  readonly address: string;
  readonly tls: string;
  /** Raw key. */
  readonly logKey: Uint8Array;
  /** Index of the term's first leaf. */
  readonly start: bigint;
  /** Index of the leaf whose votes opened it, at or after `start`; 0 for term 0. */
  readonly since: bigint;
}

/** How many cities must cosign sizes greater than `since`, and how many may lie. */
export interface QuorumFact {
  readonly since: bigint;
  readonly quorum: number;
  readonly faults: number;
}

/** The rules for batches whose `seen_size` is greater than `since`. */
export interface RulesFact {
  readonly since: bigint;
  readonly version: number;
}

/** A city's newest vote about one thing. */
export interface VoteFact {
  readonly city: string;
  /** What counts together: `sub` and the body without what is the voter's own, in RFC 8785. */
  readonly choice: string;
  readonly address: FactAddress;
}

/** A year of the calendar, published by vote. */
export interface CalendarFact {
  readonly year: CalendarYear;
  readonly since: bigint;
}

/** A place of a chain and the leaf that stands there. */
export interface ChainPlace {
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
}

/** The end of a draining: under these batch keys nothing beyond `last` is taken any more. */
export interface ChainEnding {
  readonly address: FactAddress;
  readonly last: ChainPlace;
  /** Raw keys. */
  readonly keys: readonly Uint8Array[];
}

/** Why a chain goes no further. */
export interface ChainStop {
  /** The proof that its gateway signed two leaves for one place: only a new epoch is taken from there on. */
  readonly frozen?: FactAddress;
  readonly endings: readonly ChainEnding[];
}

export interface AgencyFact {
  readonly id: string;
  readonly body: AgencyBody;
  readonly standing: Standing;
}

export interface GatewayFact {
  readonly id: string;
  readonly body: GatewayBody;
  /** Raw 32-byte keys. */
  readonly batchKey: Uint8Array;
  readonly tokenKey: Uint8Array;
  readonly standing: Standing;
}

export interface AdministratorFact {
  /** Thumbprint of the key. */
  readonly kid: string;
  readonly agency: string;
  readonly roles: readonly string[];
  readonly standing: Standing;
}

export interface ServiceFact {
  readonly id: string;
  readonly body: ServiceBody;
  readonly standing: Standing;
}

export interface PolicyFact {
  readonly service: string;
  readonly body: PolicyBody;
  readonly standing: Standing;
}

export interface RequestFact {
  readonly jti: string;
  readonly consumer: string;
  readonly service: string;
  readonly details: readonly AuthorizationDetail[];
  readonly standing: Standing;
  /** How it was answered, and by which record: the grant, its second approval, or the denial. */
  readonly answer?: { readonly kind: "granted" | "denied"; readonly address: FactAddress };
}

export interface GrantFact {
  readonly jti: string;
  readonly request: string;
  readonly consumer: string;
  readonly provider: string;
  readonly detail: AuthorizationDetail;
  readonly standing: Standing;
  /** Record hash of the revocation, when `standing.until` is set. */
  readonly revocation?: Uint8Array;
}

/** A grant of a service that asks for two approvals, until the second. */
export interface PendingGrantFact extends GrantFact {
  /** Thumbprint of the administrator who granted: the second one is another. */
  readonly approver: string;
}

/** The newest leaf of one gateway. */
export interface ChainTip extends ChainPlace {
  readonly index: bigint;
  readonly boot: Uint8Array;
  readonly seenSize: bigint;
  readonly sealedAt: bigint;
}

/** What a key is bound to: one key, one use. */
export interface KeyBinding {
  /** Raw 32 bytes; the SPKI digest for a TLS key, the SHA-256 of the raw key for a next authority. */
  readonly key: Uint8Array;
  readonly use:
    | "authority"
    | "next-authority"
    | "witness"
    | "log"
    | "batch"
    | "token"
    | "tls"
    | "administrator";
  readonly owner: string;
  readonly since: bigint;
}

/**
 * The registry after `size` leaves. A value: `apply` returns another one and never changes this.
 * Several facts of one id are kept in the order of the ledger, so that `view` can answer for any size.
 */
export interface RegistryState {
  readonly size: bigint;
  /** 32 bytes; zeros for size 0. */
  readonly digest: Uint8Array;
  /** Expected network id, 32 bytes. */
  readonly networkId: Uint8Array;
  readonly network?: NetworkFact;
  readonly cities: OrderedMap<readonly CityFact[]>;
  /** By SHA-256 of the candidacy's payload, hex. */
  readonly candidacies: OrderedMap<CandidacyFact>;
  /** Ascending by term; the last is in force. */
  readonly terms: readonly TermFact[];
  /** Ascending by `since`. */
  readonly quorums: readonly QuorumFact[];
  /** Ascending by `since`. */
  readonly rules: readonly RulesFact[];
  /** Years published after the founding, in the order of the ledger. */
  readonly calendar: readonly CalendarFact[];
  /** By `<on> <sub> <city>`; gone once the vote has passed. */
  readonly votes: OrderedMap<VoteFact>;
  readonly agencies: OrderedMap<readonly AgencyFact[]>;
  readonly gateways: OrderedMap<readonly GatewayFact[]>;
  /** By thumbprint. */
  readonly administrators: OrderedMap<readonly AdministratorFact[]>;
  readonly services: OrderedMap<readonly ServiceFact[]>;
  /** By service. */
  readonly policies: OrderedMap<readonly PolicyFact[]>;
  /** By `jti`. */
  readonly requests: OrderedMap<RequestFact>;
  /** By `jti`. */
  readonly grants: OrderedMap<GrantFact>;
  /** `jti` of the grant at `<index>/<position>`. */
  readonly grantsByAddress: OrderedMap<string>;
  /** `jti` of each grant, by `<consumer agency> <jti>`. */
  readonly grantsByConsumer: OrderedMap<string>;
  /** By gateway. */
  readonly chains: OrderedMap<ChainTip>;
  /** By gateway: chains that are frozen or have ended. */
  readonly chainStops: OrderedMap<ChainStop>;
  /** By `jti`: grants that wait for a second approval. */
  readonly pendingGrants: OrderedMap<PendingGrantFact>;
  /**
   * An Ed25519 key stands under its thumbprint, under `sha256:<hex of the raw key's digest>` and under
   * `tls:<hex of its SPKI digest>`; of a next authority only the second is known, of a TLS key the third.
   */
  readonly keys: OrderedMap<KeyBinding>;
  /** Where each `jti` was used up. */
  readonly usedJti: OrderedMap<FactAddress>;
}

/**
 * The registry as a decision under `seenSize` sees it: a fact gives iff its `since` < `seenSize`, and is
 * taken iff its `until` is set and included (an early fact when its index ≥ `seenSize`).
 */
export interface RegistryView {
  readonly seenSize: bigint;
  readonly network: NetworkFact | undefined;
  city(id: string): CityFact | undefined;
  agency(id: string): AgencyFact | undefined;
  gateway(id: string): GatewayFact | undefined;
  administrator(kid: string): AdministratorFact | undefined;
  service(id: string): ServiceFact | undefined;
  policy(service: string): PolicyFact | undefined;
  request(jti: string): RequestFact | undefined;
  grant(jti: string): GrantFact | undefined;
  /** The grant at an address, if it gives under this view. */
  grantAt(address: FactAddress): GrantFact | undefined;
  /** Grants of a consumer agency that give, taken ones included. */
  grantsOf(consumer: string): readonly GrantFact[];
  grants(): readonly GrantFact[];
  services(): readonly ServiceFact[];
  requests(): readonly RequestFact[];
  /** Raw key of a gateway whose 8-byte digest is `keyDigest`. */
  batchKey(gateway: string, keyDigest: Uint8Array): Uint8Array | undefined;
  /** The gateway whose TLS key has this SPKI digest. */
  gatewayOfTlsKey(spkiDigest: Uint8Array): GatewayFact | undefined;
}
