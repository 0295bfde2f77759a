/** The metadata by which an agency system says what a call is for, and what never passes a gateway. */
import { parseUtf8, utf8 } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { formatUuid } from "../base/ids.ts";
import {
  type Metadata,
  type MetadataEntry,
  MetadataEntrySchema,
  MetadataSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";

/** Every entry of this prefix belongs to the gateways: dropped from callers and upstreams, never forwarded. */
export const reservedPrefix: string = "causeway-";

export interface CallMetadata {
  /** Data service id. */
  readonly service: string | undefined;
  readonly purpose: string | undefined;
  /** Bytes of the value: they are only ever committed to. */
  readonly case: Uint8Array | undefined;
  readonly official: Uint8Array | undefined;
  readonly idempotency: Uint8Array | undefined;
}

/** Largest value of one of the entries, in bytes. */
const valueBytesMax = 256;

function single(headers: Metadata, key: string): Uint8Array | undefined {
  const binaryKey = `${key}-bin`;
  const plain = headers.entries.filter((entry) => entry.key === key || entry.key === binaryKey);
  if (plain.length === 0) return undefined;
  const value = (plain[0] as MetadataEntry).value;
  if (plain.length > 1 || value.length === 0 || value.length > valueBytesMax) {
    throw new CausewayError(
      "METADATA_INVALID",
      `${key} is to be given once, with 1 to ${valueBytesMax} bytes`,
      {
        fields: { key },
      },
    );
  }
  return value;
}

function singleText(headers: Metadata, key: string): string | undefined {
  const value = single(headers, key);
  if (value === undefined) return undefined;
  const text = parseUtf8(value);
  if (text === undefined || !/^[\x21-\x7e]+$/.test(text)) {
    throw new CausewayError("METADATA_INVALID", `${key} is to be printable ASCII`, {
      fields: { key },
    });
  }
  return text;
}

/** Reads the reserved entries of a caller. Throws METADATA_INVALID. */
export function readCallMetadata(headers: Metadata): CallMetadata {
  return {
    service: singleText(headers, "causeway-service"),
    purpose: singleText(headers, "causeway-purpose"),
    case: single(headers, "causeway-case"),
    official: single(headers, "causeway-official"),
    idempotency: single(headers, "causeway-idempotency-key"),
  };
}

/** The same metadata without reserved entries. */
export function withoutReserved(headers: Metadata): Metadata {
  if (!headers.entries.some((entry) => entry.key.startsWith(reservedPrefix))) return headers;
  return createMessage(MetadataSchema, {
    entries: headers.entries.filter((entry) => !entry.key.startsWith(reservedPrefix)),
  });
}

/** The same metadata with text entries appended. */
export function withEntries(
  headers: Metadata,
  added: readonly (readonly [key: string, value: string | Uint8Array])[],
): Metadata {
  const entries = added.map(([key, value]) =>
    createMessage(MetadataEntrySchema, {
      key,
      value: typeof value === "string" ? utf8(value) : value,
    }),
  );
  return createMessage(MetadataSchema, { entries: [...headers.entries, ...entries] });
}

/** The trailers of an answer to an agency system: those received, the exchange id and, once there is one, the receipt's handle. */
export function exchangeTrailers(
  received: Metadata | undefined,
  xid: Uint8Array,
  handle: string | undefined,
): Metadata {
  return withEntries(withoutReserved(received ?? createMessage(MetadataSchema)), [
    ["causeway-exchange-id", formatUuid(xid)],
    ...(handle === undefined ? [] : ([["causeway-receipt", handle]] as const)),
  ]);
}
