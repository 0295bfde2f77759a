/** The demonstration's service, as it would be published with HTTP annotations. */
import { readFileSync } from "node:fs";
import { buildDescriptorSet } from "./library.ts";

const rules: Readonly<Record<string, string>> = {
  GetDivision: 'get: "/v1/divisions/{code}"',
  ListVillages: 'get: "/v1/divisions/{code}/villages"',
  ReportCorrection: 'post: "/v1/divisions/{code}:correct" body: "*"',
};

/** Its published descriptor set. */
export async function annotatedDivisions(): Promise<Uint8Array> {
  const text = readFileSync("proto/causeway/demo/v1/division.proto", "utf8");
  const annotated = text
    .replace("package causeway.demo.v1;", '$&\nimport "google/api/annotations.proto";')
    .replace(/rpc (\w+)(.*);/g, (_all, name: string, rest: string) => {
      return `rpc ${name}${rest} { option (google.api.http) = { ${rules[name]} }; }`;
    });
  return buildDescriptorSet(annotated);
}
