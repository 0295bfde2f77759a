/** What the connectors read: annotations of published descriptors, and the queries of an operator. */
import { parseAttributeQuery } from "../../gateway/attributes/attribute-query.ts";
import { parseSqlQuery } from "../../gateway/connectors/sql-query.ts";
import { bindingsOf } from "../../gateway/transcoding/http-binding.ts";
import { parsePathTemplate } from "../../gateway/transcoding/path-template.ts";
import { openServiceDescriptors } from "../../gateway/transcoding/service-descriptors.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { buildDescriptorSet } from "../connectors/library.ts";
import { type Target, textOf } from "./target.ts";

const annotated = await buildDescriptorSet(`syntax = "proto3"; package p;
  import "google/api/annotations.proto";
  message M { string id = 1; M inner = 2; repeated string list = 3; }
  service S {
    rpc Get(M) returns (M) { option (google.api.http) = { get: "/v1/{id=a/*}:b" additional_bindings { post: "/v1" body: "inner" } }; }
  }`);

export const connectorTargets: readonly Target[] = [
  {
    name: "a path template",
    covers: ["gateway/transcoding/path-template.ts parsePathTemplate"],
    samples: ["/v1/{name=shelves/*/books/**}:move", "/v1/{a.b}/*/c"].map(utf8),
    text: true,
    read: (input) => parsePathTemplate(textOf(input)),
    reasons: ["DESCRIPTOR_INVALID"],
  },
  {
    name: "published descriptors with HTTP annotations",
    covers: ["gateway/transcoding/service-descriptors.ts openServiceDescriptors"],
    samples: [annotated],
    read: (input) => {
      const method = openServiceDescriptors(input).method("/p.S/Get");
      // Descriptors know each other in circles: what is kept of them is not weighed.
      return method === undefined ? 0 : bindingsOf(method).map(({ verb }) => verb);
    },
    reasons: ["DESCRIPTOR_INVALID"],
    oneIn: 8,
  },
  {
    name: "a query with named parameters",
    covers: ["gateway/connectors/sql-query.ts parseSqlQuery"],
    samples: [
      "SELECT a, ':no' AS \"b;c\" FROM t -- :no\nWHERE x = :x.y AND z::text = $q$ ; $q$ /* /* */ */;",
      "WITH [t;] AS (SELECT 1) SELECT `a` FROM t WHERE x = :x;",
    ].map(utf8),
    text: true,
    read: (input) => {
      const text = textOf(input);
      const read = (dialect: "sqlite" | "postgresql"): unknown => parseSqlQuery(text, dialect);
      return /[[`]/.test(text) ? read("sqlite") : read("postgresql");
    },
    reasons: ["CONFIG_INVALID"],
  },
  {
    name: "a query that gives attributes",
    covers: ["gateway/attributes/attribute-query.ts parseAttributeQuery"],
    samples: [
      "SELECT standing FROM consumer WHERE agency = :call.consumer AND city = :call.consumer_city",
      "SELECT level AS clearance FROM person WHERE code = :attribute.code -- :x",
    ].map(utf8),
    text: true,
    read: (input) => parseAttributeQuery(textOf(input), "postgresql"),
    reasons: ["CONFIG_INVALID"],
  },
];
