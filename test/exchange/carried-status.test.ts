import assert from "node:assert/strict";
import test from "node:test";
import { create } from "@bufbuild/protobuf";
import { batchRecordsMax } from "../../src/base/limits.ts";
import { exchangeTrailers } from "../../src/exchange/call-metadata.ts";
import { trailersFromStatus } from "../../src/exchange/transport/trailers.ts";
import { carriedStatus } from "../../src/exchange/upstream-frames.ts";
import { StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { formatHandle } from "../../src/record/handle.ts";

test("trailers that are carried leave room for those of the gateways", () => {
  const handle = formatHandle(new Uint8Array(32).fill(255), batchRecordsMax - 1);
  let largest = 0;
  for (let length = 7600; length < 8300; length++) {
    const value = new Uint8Array(length).fill(0x61);
    const trailers = { entries: [{ key: "k", value }] };
    let carried: ReturnType<typeof carriedStatus>;
    try {
      carried = carriedStatus(create(StatusFrameSchema, { code: 0, trailers }));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "METADATA_TOO_LARGE");
      break;
    }
    const added = exchangeTrailers(carried.trailers, new Uint8Array(16), handle);
    assert.ok(trailersFromStatus(create(StatusFrameSchema, { code: 0, trailers: added })));
    largest = length;
  }
  assert.ok(largest > 7800 && largest < 8192, String(largest));
});
