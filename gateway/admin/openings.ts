/** Openings for an administrator. Each look and each erasure is logged, the values never. */
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { formatUuid } from "../../src/base/ids.ts";
import {
  type EraseOpeningsRequest,
  type EraseOpeningsResponse,
  EraseOpeningsResponseSchema,
  type GetOpeningsRequest,
  type GetOpeningsResponse,
  GetOpeningsResponseSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { AdminOpenings } from "../evidence-openings.ts";
import type { FindPorts } from "./find-exchange.ts";
import { recordState } from "./records.ts";

export interface OpeningsPorts extends FindPorts {
  readonly openings: AdminOpenings;
  /** Personal data was looked at or erased: what for the log, without the values. */
  readonly onOpenings: (event: {
    readonly event: "openings shown" | "openings erased";
    readonly what: string;
    readonly count: number;
  }) => void;
}

const xidBytes = 16;

function assertXid(xid: Uint8Array): void {
  if (xid.length !== xidBytes) {
    throw new CausewayError("RECORD_UNKNOWN", "an exchange is named by 16 bytes");
  }
}

/** Throws RECORD_UNKNOWN when no opening of the exchange is here. */
export async function getOpenings(
  { xid, label }: GetOpeningsRequest,
  { openings, onOpenings }: OpeningsPorts,
): Promise<GetOpeningsResponse> {
  assertXid(xid);
  const shown = await openings.show(xid, label);
  onOpenings({ event: "openings shown", what: formatUuid(xid), count: shown.length });
  if (shown.length === 0) {
    throw new CausewayError("RECORD_UNKNOWN", "no opening of this exchange is here");
  }
  return create(GetOpeningsResponseSchema, { openings: shown.map((one) => ({ ...one })) });
}

/** Erases for good, then records it. */
export async function eraseOpenings(
  { what }: EraseOpeningsRequest,
  { openings, onOpenings, replica }: OpeningsPorts,
): Promise<EraseOpeningsResponse> {
  if (what.case === undefined) {
    throw new CausewayError("CONFIG_INVALID", "an erasure names an exchange or a time");
  }
  if (what.case === "xid") assertXid(what.value);
  const erased =
    what.case === "xid"
      ? await openings.erase(what.value)
      : await openings.eraseBefore(Number(what.value));
  const named =
    what.case === "xid"
      ? formatUuid(what.value)
      : `before ${new Date(Number(what.value)).toISOString()}`;
  onOpenings({ event: "openings erased", what: named, count: erased.count });
  return create(EraseOpeningsResponseSchema, {
    count: BigInt(erased.count),
    records: erased.records.map(({ leafHash, position }) =>
      recordState(leafHash, position, replica),
    ),
  });
}
