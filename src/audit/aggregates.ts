import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Aggregate } from "../gen/causeway/record/v1/record_pb.ts";

/** A window of one second, closed within half a second by a timer that a busy process may delay. */
const aggregateSpanMaxMs = 5000n;
/** Refusals a second of one caller: more than any gateway answers. */
const refusalsPerSecondMax = 1_000_000n;

/** Whether so many refusals can have been counted in this time, before this seal. */
export function isPlausibleAggregate(aggregate: Aggregate, header: Header): boolean {
  const { count, firstAt, lastAt } = aggregate;
  const spanMs = lastAt - firstAt;
  return (
    count > 0n &&
    spanMs >= 0n &&
    spanMs <= aggregateSpanMaxMs &&
    count <= (refusalsPerSecondMax * (spanMs + 1000n)) / 1000n &&
    // The clock may step back by up to a second, and is held then.
    lastAt <= header.sealedAt + 1000n &&
    firstAt + 1000n >= header.firstAt
  );
}
