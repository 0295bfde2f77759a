/** Prints the encoded decisions of a fixed list of calls, and where the process believes to be. */
import { toBinary } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import { DecisionSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { createAttributeValue, type GivenAttribute } from "../../src/policy/attributes.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { decide, type DecisionFacts } from "../../src/policy/decide.ts";
import { expires, factsOf, notBefore, registry, reportCorrection } from "./fixtures.ts";

const attributes: readonly ServiceAttribute[] = [
  { name: "tags", type: "text-set", personal: false, source: "provider" },
  { name: "İd", type: "text", personal: false, source: "request" },
  { name: "id", type: "text", personal: false, source: "request" },
  { name: "ä", type: "integer", personal: false, source: "token" },
];
const given: readonly GivenAttribute[] = [
  { name: "ä", value: createAttributeValue(7n) },
  { name: "id", value: createAttributeValue("ı") },
  { name: "İd", value: createAttributeValue("I") },
  { name: "tags", value: createAttributeValue(["z", "ä", "a", "İ", "i", "é", "西湖"]) },
];
const overflow = "9223372036854775807 + context.now > 0";
const policyText = ["z", "a-b", "ab", "a1", "a"]
  .map((id) => `@id("${id}") forbid(principal, action, resource) when { ${overflow} };`)
  .join("\n");

const calls: readonly (readonly [DecisionFacts, readonly GivenAttribute[]])[] = [
  [factsOf(registry()), []],
  [factsOf(registry(), { method: reportCorrection, evaluatedAtS: expires - 1 }), []],
  [factsOf(registry(), { evaluatedAtS: notBefore }), []],
  [factsOf(registry(), { evaluatedAtS: expires }), []],
  [factsOf(registry(), { purpose: "statistics" }), []],
  [factsOf(registry({ policyText: "" })), []],
  [factsOf(registry({ policyText })), []],
  [factsOf(registry({ attributes })), given],
];

const engine = createCedarEngine();
const decisions = calls.map(([facts, values]) => {
  const { decision } = decide(facts, values, engine);
  return decision === undefined ? "" : toHex(toBinary(DecisionSchema, decision));
});
const place = {
  zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  hour: new Date(0).getHours(),
  locale: Intl.DateTimeFormat().resolvedOptions().locale,
};
process.stdout.write(JSON.stringify({ place, decisions }));
