/**
 * Statements: signed JSON facts that stand on the ledger whole. A payload is RFC 8785 JSON with the
 * claims below and one member named like its type. Keys are base64url of the raw 32 bytes, digests are
 * lower-case hex of SHA-256, times are Unix seconds.
 */

import type { AuthorizationDetail, RequiredDurability } from "./authorization.ts";

export type {
  AuthorizationDetail,
  QuotaRule,
  QuotaShare,
  RequiredDurability,
} from "./authorization.ts";

/** `typ` is `causeway-<name>+jwt`. */
export type StatementName =
  | "network"
  | "city"
  | "vote"
  | "agency"
  | "gateway"
  | "administrator"
  | "epoch"
  | "service"
  | "policy"
  | "request"
  | "grant"
  | "denial"
  | "approval"
  | "revocation"
  | "resumption"
  | "suspension";

export interface Claims {
  /** Who says it: the network's name for `network`, otherwise a city or agency id. */
  readonly iss: string;
  /** What it is about. */
  readonly sub: string;
  /** Network id, 64 hex digits; absent in `network`. */
  readonly net?: string;
  /** UUIDv7. */
  readonly jti: string;
  readonly iat: number;
  readonly nbf?: number;
  readonly exp?: number;
}

export interface NetworkBody {
  readonly name: string;
  /** Ascending by id. */
  readonly cities: readonly FoundingCity[];
  /** How many cities must cosign; faults tolerated. */
  readonly quorum: number;
  readonly faults: number;
  readonly bounds: Bounds;
  /** Version of the registry's rules. */
  readonly rules: number;
  /** Days on which statutory limits do not run or run although they are weekends, by published year. */
  readonly calendar: Calendar;
  readonly sequencer: FoundingSequencer;
}

export interface FoundingCity {
  readonly id: string;
  readonly authority: string;
  /** SHA-256 of the raw next authority key. */
  readonly next: string;
  readonly witness: string;
  /** HTTPS address of the witness, `host:port`. */
  readonly witness_address: string;
  /** SHA-256 of the SPKI DER of the witness's TLS key. */
  readonly witness_tls: string;
  /** Official division code. */
  readonly division: string;
}

export interface FoundingSequencer {
  readonly gateway: string;
  /** Peer listener, `host:port`. */
  readonly address: string;
  readonly tls: string;
  /** Log key of term 0. */
  readonly log: string;
}

/** Seconds, counts and bytes as the names say. */
export interface Bounds {
  readonly skew_s: number;
  readonly heartbeat_s: number;
  readonly max_staleness_s: number;
  readonly inclusion_bound_s: number;
  readonly token_life_s: number;
  readonly window_segments: number;
  readonly segment_messages: number;
  readonly segment_bytes: number;
  readonly unacknowledged_receipts: number;
  readonly sealing_queue_bytes: number;
}

export const defaultBounds: Bounds = {
  skew_s: 5,
  heartbeat_s: 10,
  max_staleness_s: 900,
  inclusion_bound_s: 60,
  token_life_s: 60,
  window_segments: 4,
  segment_messages: 1024,
  segment_bytes: 1024 * 1024,
  unacknowledged_receipts: 1024,
  sealing_queue_bytes: 64 * 1024 * 1024,
};

export interface Calendar {
  /** Ascending by year. A year that is absent is not published: an error, never a guess. */
  readonly years: readonly CalendarYear[];
}

export interface CalendarYear {
  readonly year: number;
  /** ISO dates, ascending, that are no working days although they are Monday to Friday. */
  readonly off: readonly string[];
  /** ISO dates, ascending, that are working days although they are Saturday or Sunday. */
  readonly on: readonly string[];
}

export type AgencyRole = "consumer" | "provider" | "data-authority";

export interface AgencyBody {
  readonly name: string;
  readonly authority: string;
  readonly next: string;
  /** Ascending. */
  readonly roles: readonly AgencyRole[];
}

export interface GatewayBody {
  readonly batch: string;
  readonly token: string;
  /** Up to 4 self-signed DER certificates, standard base64, whose only name is the gateway id. */
  readonly certificates: readonly string[];
  /** SHA-256 of the SPKI DER of each certificate's key, in the same order. */
  readonly tls: readonly string[];
  /** `host:port` of the listeners that others reach. */
  readonly endpoints: GatewayEndpoints;
  /** In a later statement of the gateway: where the chain under its earlier batch keys ends. */
  readonly last?: ChainEnd;
}

export interface GatewayEndpoints {
  readonly peer: string;
  readonly http: string;
}

export type AdministratorRole = "operator" | "approver" | "auditor";

/** `sub` is the thumbprint of the key: an administrator's name stays with the agency. */
export interface AdministratorBody {
  readonly key: string;
  /** Ascending. */
  readonly roles: readonly AdministratorRole[];
}

export type SharingAttribute = "unconditional" | "conditional" | "not-shared";

export interface ServiceBody {
  readonly version: number;
  /** SHA-256 and size of the FileDescriptorSet blob. */
  readonly descriptor: string;
  readonly descriptor_bytes: number;
  /** Ascending by path. */
  readonly methods: readonly ServiceMethod[];
  readonly sharing: SharingAttribute;
  /** Ascending. */
  readonly purposes: readonly string[];
  /** Field paths of requests that name the person or body concerned; ascending. */
  readonly subject_paths: readonly string[];
  /** Ascending by name. */
  readonly attributes: readonly ServiceAttribute[];
  readonly approval: ApprovalRule;
  readonly deadline: DeadlineProfile;
  readonly max_staleness_s: number;
  /** What every answer waits for at least; `journal` without it. */
  readonly durability?: RequiredDurability;
}

export interface ServiceMethod {
  readonly path: string;
  readonly writes: boolean;
  readonly client_streaming: boolean;
  readonly server_streaming: boolean;
}

export interface ServiceAttribute {
  readonly name: string;
  readonly type: "boolean" | "integer" | "text" | "text-set";
  readonly personal: boolean;
  readonly source: "token" | "request" | "provider";
  /** Of source `request`: where the value stands in the request; a field of the attribute's name without it. */
  readonly path?: string;
}

export interface ApprovalRule {
  /** Administrators who must approve a grant, 1 or 2. */
  readonly approvals: number;
}

/** Working days for each step of an access request. */
export interface DeadlineProfile {
  readonly name: string;
  readonly check_days: number;
  readonly answer_days: number;
}

/** `sub` is the service. */
export interface PolicyBody {
  readonly version: number;
  readonly policy: string;
  readonly policy_bytes: number;
  readonly schema: string;
  readonly schema_bytes: number;
}

/** `iss` is the consumer agency, `sub` the service. */
export interface RequestBody {
  readonly authorization_details: readonly AuthorizationDetail[];
}

/** `iss` is the provider agency, `sub` the consumer agency; `nbf` and `exp` are required. */
export interface GrantBody {
  /** `jti` of the access request. */
  readonly request: string;
  readonly authorization_details: readonly AuthorizationDetail[];
}

/** `iss` is the provider agency, `sub` the consumer agency. */
export interface DenialBody {
  readonly request: string;
  readonly reason: string;
  /** Commitment to the reason's text, hex. */
  readonly text?: string;
}

/** `iss` is the provider agency, `sub` the consumer agency. */
export interface RevocationBody {
  readonly grant: string;
  readonly reason: string;
  readonly text?: string;
}

/**
 * `iss` and `sub` are the city. A candidacy is signed by the keys that it binds; a rotation by the
 * authority key in force and by the new one, whose digest is the `next` of the one in force; a recovery by
 * that new key alone; a new witness key by the authority and by itself.
 */
export type CityBody =
  | ({ readonly change: "candidacy" } & Omit<FoundingCity, "id">)
  | { readonly change: "rotation"; readonly authority: string; readonly next: string }
  | { readonly change: "recovery"; readonly authority: string; readonly next: string }
  | {
      readonly change: "witness";
      readonly witness: string;
      readonly witness_address: string;
      readonly witness_tls: string;
    };

/**
 * `iss` is the city that votes. Votes with equal `sub` and equal bodies count together, but for
 * `checkpoint`, which is each voter's own. The newest vote of a city about one thing is its vote.
 */
export type VoteBody =
  /** `sub` is the city; `candidacy` the SHA-256 of its candidacy's payload. */
  | {
      readonly on: "admission";
      readonly candidacy: string;
      readonly quorum: number;
      readonly faults: number;
    }
  /** `sub` is the city, which has no vote in it. */
  | { readonly on: "exclusion"; readonly quorum: number; readonly faults: number }
  /** `sub` is the network's id in these three. */
  | { readonly on: "quorum"; readonly quorum: number; readonly faults: number }
  | { readonly on: "rules"; readonly version: number }
  | { readonly on: "calendar"; readonly year: CalendarYear }
  /** `sub` is the gateway that is to be the sequencer. The log key signs each of the votes too. */
  | {
      readonly on: "sequencer";
      readonly term: number;
      /** Peer listener, `host:port`. */
      readonly address: string;
      readonly tls: string;
      readonly log: string;
      /**
       * Standard base64 of the highest checkpoint that the voter's witness has cosigned, by (term, size), of the
       * terms that no later one leaves out, as the log signed it.
       */
      readonly checkpoint: string;
    }
  /** A change to another ledger engine; `genesis` is the SHA-256 of what the other begins with. */
  | { readonly on: "engine"; readonly engine: "cometbft"; readonly genesis: string };

/** The end of a chain. */
export interface ChainEnd {
  readonly epoch: number;
  readonly seq: number;
  /** Leaf hash, hex. */
  readonly leaf: string;
}

/** `iss` is the agency, `sub` the gateway. */
export interface EpochBody {
  /** Above every earlier epoch of the chain. */
  readonly epoch: number;
  /** The chain's last indexed leaf, `prev` of the new epoch's first. */
  readonly last: ChainEnd;
  readonly reason: string;
  /** Unix seconds between which records may be lost. */
  readonly lost_from: number;
  readonly lost_to: number;
}

/** `iss` is the provider agency, `sub` the consumer agency. The approver is another than the grant's. */
export interface ApprovalBody {
  /** `jti` of the grant. */
  readonly grant: string;
}

/**
 * `iss` is the next higher authority: the city of an agency or of a gateway, the agency of a gateway,
 * administrator or service. `sub` is the id, of an administrator the thumbprint.
 */
export interface SuspensionBody {
  readonly what: "agency" | "gateway" | "administrator" | "service";
  readonly reason: string;
  readonly text?: string;
  /** Of a gateway: nothing of its chain beyond this is indexed any more. */
  readonly last?: ChainEnd;
}

/** By whoever suspended it: an authority of the city, an approver of the agency. */
export interface ResumptionBody {
  readonly what: SuspensionBody["what"];
  readonly reason: string;
}

/** A statement of one type. */
export interface StatementBodies {
  readonly network: NetworkBody;
  readonly agency: AgencyBody;
  readonly gateway: GatewayBody;
  readonly administrator: AdministratorBody;
  readonly service: ServiceBody;
  readonly policy: PolicyBody;
  readonly request: RequestBody;
  readonly grant: GrantBody;
  readonly denial: DenialBody;
  readonly revocation: RevocationBody;
  readonly city: CityBody;
  readonly vote: VoteBody;
  readonly epoch: EpochBody;
  readonly approval: ApprovalBody;
  readonly resumption: ResumptionBody;
  readonly suspension: SuspensionBody;
}

/** A parsed payload: claims and the body, told apart by `name`. */
export type Statement = {
  [N in StatementName]: {
    readonly name: N;
    readonly claims: Claims;
    readonly body: StatementBodies[N];
  };
}[StatementName];

/** A statement whose signatures were verified. */
export interface VerifiedStatement {
  readonly statement: Statement;
  /** Thumbprints (RFC 7638) of the keys whose signatures verified, ascending. */
  readonly signers: readonly string[];
  /** The payload's bytes. */
  readonly payload: Uint8Array;
}
