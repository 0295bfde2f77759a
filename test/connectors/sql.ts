/** A data service of companies, the rows behind it, and what every SQL upstream is to do with them. */
import assert from "node:assert/strict";
import type { JsonValue } from "@bufbuild/protobuf";
import type { SqlDatabase } from "../../gateway/connectors/sql-database.ts";
import type { SqlMethod } from "../../gateway/connectors/sql-plan.ts";
import {
  createSqlUpstream,
  type SqlFault,
  type SqlUpstream,
} from "../../gateway/connectors/sql-upstream.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { UnaryAnswer } from "../../src/exchange/transport/ports.ts";
import { metadata, scheduler } from "../transport/support.ts";
import { buildDescriptorSet } from "./library.ts";
import {
  openServiceDescriptors,
  type ServiceDescriptors,
} from "../../gateway/transcoding/service-descriptors.ts";
import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";

const proto = `syntax = "proto3";
package companies.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Standing { STANDING_UNSPECIFIED = 0; STANDING_ACTIVE = 1; STANDING_CLOSED = 2; }
message Address { string street = 1; string town = 2; }
message Person { string name = 1; }
message Company {
  string code = 1;
  string name = 2;
  int64 capital = 3;
  double rating = 4;
  bool listed = 5;
  bytes seal = 6;
  Standing standing = 7;
  google.protobuf.Timestamp founded_at = 8;
  google.protobuf.Int32Value staff = 9;
  repeated string trades = 10;
  Address address = 11;
  repeated Person owners = 12;
  optional string note = 13;
  repeated int64 years = 14;
}
message GetRequest { string code = 1; }
message Filter { optional int64 capital_min = 1; Standing standing = 2; google.protobuf.Timestamp since = 3; }
message ListRequest { Filter filter = 1; bool listed = 2; bytes seal = 3; repeated string codes = 4; int32 page_size = 5; google.protobuf.Int32Value staff = 6; }
message ListResponse { repeated Company companies = 1; }
message GetResponse { Company company = 1; }
service Companies {
  rpc Get(GetRequest) returns (Company);
  rpc Wrapped(GetRequest) returns (GetResponse);
  rpc List(ListRequest) returns (ListResponse);
  rpc Watch(ListRequest) returns (stream Company);
  rpc Upload(stream Company) returns (ListResponse);
  rpc Slow(GetRequest) returns (Company);
  rpc Other(GetRequest) returns (Company);
}
`;

export const method = (query: string, settings: Partial<SqlMethod> = {}): SqlMethod => ({
  query,
  rows: "one",
  rows_max: 1000,
  ...settings,
});

export const many: Partial<SqlMethod> = { rows: "many", field: "companies" };

/** The last of three companies, whole. */
export const rich: JsonValue = {
  code: "91330100C",
  name: "丙 O'Neil; --",
  capital: "9007199254740993",
  rating: 4.5,
  listed: true,
  seal: "AP8B",
  standing: "STANDING_CLOSED",
  foundedAt: "2001-02-03T04:05:06.789Z",
  staff: 0,
  trades: ["a,b", 'c"d\\', "{}", "NULL", ""],
  address: { street: "Road 1", town: "Hangzhou" },
  owners: [{ name: "Lǐ" }, {}],
  note: "",
  years: ["1999", "-1"],
};

export class Companies {
  readonly descriptors: ServiceDescriptors;
  readonly faults: SqlFault[] = [];

  constructor(descriptors: ServiceDescriptors) {
    this.descriptors = descriptors;
  }

  static async build(): Promise<Companies> {
    return new Companies(openServiceDescriptors(await buildDescriptorSet(proto)));
  }

  upstream(database: SqlDatabase, methods: Readonly<Record<string, SqlMethod>>): SqlUpstream {
    const entries = Object.entries(methods).map(([name, one]) => [pathOf(name), one]);
    return createSqlUpstream({
      database,
      methods: Object.fromEntries(entries) as Record<string, SqlMethod>,
      descriptors: () => this.descriptors,
      scheduler,
      onFault: (fault) => this.faults.push(fault),
    });
  }

  encode(name: string, json: JsonValue): Uint8Array {
    const input = this.descriptors.method(pathOf(name))?.input;
    if (input === undefined) throw new Error(`no method ${name}`);
    return toBinary(input, fromJson(input, json));
  }

  decode(name: string, bytes: Uint8Array | undefined): JsonValue {
    const output = this.descriptors.method(pathOf(name))?.output;
    if (output === undefined || bytes === undefined) throw new Error(`no answer of ${name}`);
    return toJson(output, bytes.length === 0 ? create(output) : fromBinary(output, bytes));
  }

  call(
    upstream: SqlUpstream,
    name: string,
    request: JsonValue,
    options: { timeoutMs?: number; signal?: AbortSignal; answerBytesMax?: number } = {},
  ): Promise<UnaryAnswer> {
    return upstream.callUnary({
      path: pathOf(name),
      headers: metadata(),
      message: this.encode(name, request),
      timeoutMs: options.timeoutMs,
      answerBytesMax: options.answerBytesMax ?? 1_000_000,
      signal: options.signal ?? new AbortController().signal,
    });
  }

  async answer(upstream: SqlUpstream, name: string, request: JsonValue): Promise<JsonValue> {
    const { status, messages } = await this.call(upstream, name, request);
    assert.equal(status.code, 0, JSON.stringify(this.faults));
    return this.decode(name, messages[0]);
  }

  /** The codes of the companies that a List gives. */
  async codes(upstream: SqlUpstream, request: JsonValue): Promise<readonly string[]> {
    const { companies = [] } = (await this.answer(upstream, "List", request)) as {
      companies?: { code: string }[];
    };
    return companies.map(({ code }) => code);
  }
}

export const pathOf = (name: string): string => `/companies.v1.Companies/${name}`;

export const isCode =
  (code: string, text?: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof CausewayError, String(error));
    assert.equal(error.code, code);
    if (text !== undefined) assert.match(error.message, text);
    return true;
  };
