/** Public cards: what a new key folder shows to others, so that they can write its statement. */
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { cardBytesMax } from "../../src/base/limits.ts";
import {
  address,
  agencyId,
  certificate,
  cityId,
  digest,
  displayName,
  divisionCode,
  key,
  memberId,
} from "../../src/credential/atoms.ts";
import { isJson, isObject, type JsonValue } from "../../src/credential/jcs.ts";
import {
  ascending,
  conform,
  list,
  misfitError,
  object,
  oneOf,
  optional,
  type Shape,
} from "../../src/credential/shape.ts";
import type {
  AdministratorBody,
  AdministratorRole,
  AgencyBody,
  AgencyRole,
  FoundingCity,
  GatewayBody,
  GatewayEndpoints,
} from "../../src/credential/statements.ts";

/** The members of {@link FoundingCity}, and the certificate of the witness. */
export interface CityCard extends FoundingCity {
  readonly kind: "city";
  /** DER, standard base64; its common name is `<city>/witness`. */
  readonly witness_certificate: string;
}

export interface AgencyCard extends AgencyBody {
  readonly kind: "agency";
  readonly id: string;
}

export interface GatewayCard extends Omit<GatewayBody, "last"> {
  readonly kind: "gateway";
  readonly id: string;
  /** Log key, when this gateway is to be a sequencer. */
  readonly log?: string;
}

export interface AdministratorCard extends AdministratorBody {
  readonly kind: "administrator";
  /** Thumbprint of the key. */
  readonly id: string;
  readonly agency: string;
}

export type Card = CityCard | AgencyCard | GatewayCard | AdministratorCard;
export type CardKind = Card["kind"];

const self = (value: string): string => value;

const shapes: { readonly [K in CardKind]: Shape<Extract<Card, { kind: K }>> } = {
  city: object<CityCard>({
    kind: oneOf("city"),
    id: cityId,
    division: divisionCode,
    authority: key,
    next: digest,
    witness: key,
    witness_address: address,
    witness_tls: digest,
    witness_certificate: certificate,
  }),
  agency: object<AgencyCard>({
    kind: oneOf("agency"),
    id: agencyId,
    name: displayName,
    roles: ascending(
      oneOf<AgencyRole>("consumer", "data-authority", "provider"),
      { min: 1, max: 3 },
      self,
    ),
    authority: key,
    next: digest,
  }),
  gateway: object<GatewayCard>({
    kind: oneOf("gateway"),
    id: memberId,
    batch: key,
    token: key,
    log: optional(key),
    certificates: list(certificate, { min: 1, max: 4 }),
    tls: list(digest, { min: 1, max: 4 }),
    endpoints: object<GatewayEndpoints>({ peer: address, http: address }),
  }),
  administrator: object<AdministratorCard>({
    kind: oneOf("administrator"),
    id: key,
    agency: agencyId,
    roles: ascending(
      oneOf<AdministratorRole>("approver", "auditor", "operator"),
      { min: 1, max: 3 },
      self,
    ),
    key,
  }),
};

/** The text of a card: JSON for people to read, with a line feed at its end. */
export function formatCard(card: Card): string {
  return `${JSON.stringify(card, undefined, 2)}\n`;
}

function parseJson(bytes: Uint8Array): JsonValue {
  const text = bytes.length <= cardBytesMax ? parseUtf8(bytes) : undefined;
  try {
    const value: unknown = text === undefined ? undefined : JSON.parse(text);
    if (isJson(value)) return value;
  } catch (cause) {
    throw new CausewayError("CARD_INVALID", "the card is not JSON", { cause });
  }
  throw new CausewayError("CARD_INVALID", `the card is not JSON of at most ${cardBytesMax} bytes`);
}

/**
 * The card that `bytes` hold, with exactly the members of its kind.
 *
 * @param kind the only kind that is accepted; without it any is.
 * @throws CausewayError `CARD_INVALID`, with the field `path` when one member is not as it should be.
 */
export function parseCard<K extends CardKind = CardKind>(
  bytes: Uint8Array,
  kind?: K,
): Extract<Card, { kind: K }> {
  const json = parseJson(bytes);
  const stated = isObject(json) ? json["kind"] : undefined;
  if (typeof stated !== "string" || !Object.hasOwn(shapes, stated)) {
    throw misfitError("CARD_INVALID", "card.kind");
  }
  if (kind !== undefined && stated !== kind) throw misfitError("CARD_INVALID", "card.kind");
  const shape = shapes[stated as CardKind] as Shape<unknown>;
  return conform(json, shape, { code: "CARD_INVALID", root: "card" }) as Extract<Card, { kind: K }>;
}
