/** Answers of the two services: each says of which exchange it is, and holds a name that a mask may exclude. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import {
  GetDivisionResponseSchema,
  ReportCorrectionResponseSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import type { SimMethod } from "./exchange-universe.ts";

/** What the masks of the grants let through. */
export const maskFields: readonly string[] = ["division.code", "ticket"];
export const maskMetadata: readonly string[] = ["x-from", "x-upstream"];

const excluded = "not for everyone";

/** Of the streams the text alone: nobody reads their messages. */
export function answerOf({ path }: Pick<SimMethod, "path">, said: string): Uint8Array {
  if (path.endsWith("/GetDivision")) {
    const division = { code: said, name: excluded };
    return toBinary(GetDivisionResponseSchema, create(GetDivisionResponseSchema, { division }));
  }
  if (path.endsWith("/ReportCorrection")) {
    const report = create(ReportCorrectionResponseSchema, { ticket: said, source: {} });
    return toBinary(ReportCorrectionResponseSchema, report);
  }
  return utf8(said);
}

/** What an answer says, and whether it holds what a mask would have taken out. */
export function readAnswer(
  { path }: Pick<SimMethod, "path">,
  bytes: Uint8Array,
): { readonly said: string; readonly isWhole: boolean } {
  if (path.endsWith("/GetDivision")) {
    const { code = "", name = "" } = fromBinary(GetDivisionResponseSchema, bytes).division ?? {};
    return { said: code, isWhole: name !== "" };
  }
  if (path.endsWith("/ReportCorrection")) {
    const { ticket, source } = fromBinary(ReportCorrectionResponseSchema, bytes);
    return { said: ticket, isWhole: source !== undefined };
  }
  return { said: new TextDecoder().decode(bytes), isWhole: true };
}
