/** The metadata of an agency system's call, as its gateway takes it. */
import { create } from "@bufbuild/protobuf";
import { equalBytes, utf8 } from "../../src/base/bytes.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import {
  type Metadata,
  type MetadataEntry,
  MetadataEntrySchema,
  MetadataSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

export interface CallerFacts {
  readonly defaults: AgencySystem["defaults"];
  /** The official that the caller's token names. */
  readonly official: string | undefined;
  /** `authorization` was for the gateway. */
  readonly dropAuthorization: boolean;
}

/**
 * Headers without what was for the gateway itself, with case and official filled in. An official of the
 * token stands beside another one that the metadata names: two of them are refused as METADATA_INVALID.
 */
export function callerHeaders(headers: Metadata, facts: CallerFacts): Metadata {
  const { defaults, official, dropAuthorization } = facts;
  const entries = dropAuthorization
    ? headers.entries.filter(({ key }) => key !== "authorization")
    : headers.entries;
  const added = [
    ...missing(entries, "causeway-case", defaults?.case),
    ...(official === undefined
      ? missing(entries, "causeway-official", defaults?.official)
      : differing(entries, "causeway-official", official)),
  ];
  if (added.length === 0 && entries.length === headers.entries.length) return headers;
  return create(MetadataSchema, { entries: [...entries, ...added] });
}

function given(entries: readonly MetadataEntry[], key: string): readonly MetadataEntry[] {
  return entries.filter((entry) => entry.key === key || entry.key === `${key}-bin`);
}

function missing(
  entries: readonly MetadataEntry[],
  key: string,
  value: string | undefined,
): MetadataEntry[] {
  if (value === undefined || given(entries, key).length > 0) return [];
  return [create(MetadataEntrySchema, { key, value: utf8(value) })];
}

function differing(entries: readonly MetadataEntry[], key: string, value: string): MetadataEntry[] {
  const stated = utf8(value);
  if (given(entries, key).some((entry) => equalBytes(entry.value, stated))) return [];
  return [create(MetadataEntrySchema, { key, value: stated })];
}
