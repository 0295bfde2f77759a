/** Openings for an administrator. Each look and each erasure is logged, the values never. */
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import {
  type EraseOpeningsRequest,
  type EraseOpeningsResponse,
  EraseOpeningsResponseSchema,
  type GetOpeningsRequest,
  type GetOpeningsResponse,
  GetOpeningsResponseSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { AdminOpenings, ErasedOpenings } from "../evidence-openings.ts";
import type { FindPorts } from "./find-exchange.ts";
import { openingsOfExchange, openingsOfRecord } from "./named-openings.ts";
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

/** Throws OPENING_UNKNOWN when no opening of what is named is here, or none with this label; RECORD_UNKNOWN. */
export async function getOpenings(
  { xid, label, record }: GetOpeningsRequest,
  ports: OpeningsPorts,
): Promise<GetOpeningsResponse> {
  const { openings, onOpenings } = ports;
  const { name, ids } = record === "" ? openingsOfExchange(xid) : openingsOfRecord(record, ports);
  const found = await Promise.all(ids.map((id) => openings.show(id, label)));
  const shown = found.flat();
  onOpenings({ event: "openings shown", what: name, count: shown.length });
  if (shown.length === 0) {
    throw new CausewayError("OPENING_UNKNOWN", "no opening of this exchange is here", {
      fields: { exchange: name, ...(label === "" ? {} : { label }) },
    });
  }
  return create(GetOpeningsResponseSchema, { openings: shown.map((one) => ({ ...one })) });
}

/** Erases for good, then records it. */
export async function eraseOpenings(
  { what }: EraseOpeningsRequest,
  ports: OpeningsPorts,
): Promise<EraseOpeningsResponse> {
  const { onOpenings, replica } = ports;
  const { name, erased } = await erase(what, ports);
  const count = erased.reduce((sum, one) => sum + one.count, 0);
  onOpenings({ event: "openings erased", what: name, count });
  return create(EraseOpeningsResponseSchema, {
    count: BigInt(count),
    records: erased
      .flatMap(({ records }) => records)
      .map(({ leafHash, position }) => recordState(leafHash, position, replica)),
  });
}

async function erase(
  what: EraseOpeningsRequest["what"],
  ports: OpeningsPorts,
): Promise<{ readonly name: string; readonly erased: readonly ErasedOpenings[] }> {
  const { openings } = ports;
  switch (what.case) {
    case undefined:
      throw new CausewayError("CONFIG_INVALID", "an erasure names an exchange or a time");
    case "beforeMs": {
      const name = `before ${new Date(Number(what.value)).toISOString()}`;
      return { name, erased: [await openings.eraseBefore(Number(what.value))] };
    }
    case "xid":
    case "record": {
      const { name, ids } =
        what.case === "xid" ? openingsOfExchange(what.value) : openingsOfRecord(what.value, ports);
      return { name, erased: await Promise.all(ids.map((id) => openings.erase(id))) };
    }
  }
}
