/** One element of `authorization_details` (RFC 9396): what is asked for, or given, of a data service. */
import { code, fieldPath, legalBasis, memberId, methodPath } from "./atoms.ts";
import { ascending, integer, object, oneOf, optional, refined, type Shape, text } from "./shape.ts";

export interface AuthorizationDetail {
  readonly type: "causeway-service";
  readonly service: string;
  /** Ascending method paths. */
  readonly methods: readonly string[];
  /** Ascending. */
  readonly purposes: readonly string[];
  /** Code of the law or rule that the access rests on. */
  readonly legal_basis: string;
  /**
   * Ascending paths of the responses' fields that pass, in the names of the .proto, none below another;
   * absent for all. A path through a list or map goes on in its messages.
   */
  readonly fields?: readonly string[];
  /**
   * Only beside `fields`: ascending keys of headers and trailers that pass, none when absent. The message of a
   * status passes under `grpc-message`, its details under `grpc-status-details-bin`; its code always passes.
   */
  readonly metadata?: readonly string[];
  readonly quota?: QuotaRule;
  /** Most messages and message bytes of one answer; absent where the grant sets no bound. */
  readonly messages_max?: number;
  readonly bytes_max?: number;
  /** What an answer waits for at least; the service's without it. */
  readonly durability?: RequiredDurability;
}

/** When an answer is released: once its receipt is durable at the provider, or once it is final. */
export type RequiredDurability = "journal" | "ledger";

/** Attempts with a receipt in each period of `period_s` seconds from the grant's `nbf` on. */
export interface QuotaRule {
  readonly limit: number;
  readonly period_s: number;
  /**
   * Of a grant: how many of them each provider gateway may give, in sum at most `limit`, ascending by gateway.
   * A gateway without a share gives none. Without shares gateways count what they see of each other.
   */
  readonly shares?: readonly QuotaShare[];
}

export interface QuotaShare {
  readonly gateway: string;
  readonly limit: number;
}

const self = (value: string): string => value;
const safeInteger = (min: number): Shape<number> => integer({ min, max: Number.MAX_SAFE_INTEGER });
const daysMax = 366;

/** A key of headers or trailers, or one of the two that stand for parts of a status. */
const metadataKey = text(
  (key) =>
    /^[0-9a-z_.-]{1,64}$/.test(key) &&
    !key.startsWith("causeway-") &&
    (!key.startsWith("grpc-") || key === "grpc-message" || key === "grpc-status-details-bin"),
);

const quotaShare: Shape<QuotaShare> = object<QuotaShare>({
  gateway: memberId,
  limit: safeInteger(1),
});

const quota: Shape<QuotaRule> = refined(
  object<QuotaRule>({
    limit: safeInteger(1),
    period_s: integer({ min: 1, max: daysMax * 24 * 3600 }),
    shares: optional(ascending(quotaShare, { min: 1, max: 64 }, ({ gateway }) => gateway)),
  }),
  ({ limit, shares = [] }) => shares.reduce((sum, share) => sum + share.limit, 0) <= limit,
);

const fields = refined(
  ascending(fieldPath, { min: 1, max: 256 }, self),
  (paths) => !paths.some((path) => paths.some((above) => path.startsWith(`${above}.`))),
);

export const authorizationDetail: Shape<AuthorizationDetail> = refined(
  object<AuthorizationDetail>({
    type: oneOf("causeway-service"),
    service: memberId,
    methods: ascending(methodPath, { min: 1, max: 256 }, self),
    purposes: ascending(code, { min: 1, max: 64 }, self),
    legal_basis: legalBasis,
    fields: optional(fields),
    metadata: optional(ascending(metadataKey, { min: 1, max: 64 }, self)),
    quota: optional(quota),
    messages_max: optional(safeInteger(1)),
    bytes_max: optional(safeInteger(1)),
    durability: optional(oneOf<RequiredDurability>("journal", "ledger")),
  }),
  (detail) => detail.metadata === undefined || detail.fields !== undefined,
);
