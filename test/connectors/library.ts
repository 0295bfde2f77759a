/** A data service with HTTP annotations of every kind, and its published descriptor set. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { readDescriptors } from "../../gateway/cli/descriptors.ts";
import {
  openServiceDescriptors,
  type ServiceDescriptors,
} from "../../gateway/transcoding/service-descriptors.ts";

const proto = `syntax = "proto3";
package library.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";

enum Kind { KIND_UNSPECIFIED = 0; KIND_NOVEL = 1; KIND_ATLAS = 2; }
message Author { string name = 1; int32 born = 2; }
message Book {
  string name = 1;
  string title = 2;
  int64 pages = 3;
  bytes cover = 4;
  Kind kind = 5;
  google.protobuf.Timestamp printed_at = 6;
  google.protobuf.Int32Value edition = 7;
  repeated string tags = 8;
  Author author = 9;
  repeated Author translators = 10;
  map<string, string> notes = 11;
  double price = 12;
  bool lent = 13;
  optional uint32 shelf_mark = 14;
}
message GetBookRequest { string name = 1; }
message SearchRequest {
  string shelf = 1;
  int32 page_size = 2;
  repeated string tags = 3;
  repeated Kind kinds = 4;
  Author author = 5;
  google.protobuf.Timestamp since = 6;
  google.protobuf.BoolValue lent = 7;
  bytes cover = 8;
  google.protobuf.Struct filter = 9;
  optional int64 pages = 10;
}
message SearchResponse { repeated Book books = 1; int32 total = 2; }
message UpdateRequest { Book book = 1; bool dry_run = 2; }
message MoveRequest { string name = 1; string to = 2; Author by = 3; }
message CountRequest { int64 id = 1; Kind kind = 2; bool exact = 3; }
message CountResponse { int64 count = 1; }
message PutCoverRequest { string name = 1; google.api.HttpBody cover = 2; }

service Library {
  rpc GetBook(GetBookRequest) returns (Book) {
    option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}" additional_bindings { get: "/v1/archive/{name=**}" } };
  }
  rpc Search(SearchRequest) returns (SearchResponse) {
    option (google.api.http) = { get: "/v1/shelves/{shelf}/books" additional_bindings { post: "/v1/books:search" body: "*" } };
  }
  rpc ListBooks(SearchRequest) returns (SearchResponse) {
    option (google.api.http) = { get: "/v1/shelves/{shelf}/titles" response_body: "books" };
  }
  rpc Update(UpdateRequest) returns (Book) {
    option (google.api.http) = { patch: "/v1/{book.name=shelves/*/books/*}" body: "book" };
  }
  rpc Move(MoveRequest) returns (Book) {
    option (google.api.http) = { post: "/v1/{name=shelves/*/books/*}:move" body: "*" };
  }
  rpc Count(CountRequest) returns (CountResponse) {
    option (google.api.http) = { custom { kind: "REPORT" path: "/v1/counts/{kind}/{id}/{exact}" } };
  }
  rpc Remove(GetBookRequest) returns (CountResponse) {
    option (google.api.http) = { delete: "/v1/{name=shelves/*/books/*}" };
  }
  rpc Watch(SearchRequest) returns (stream Book) {
    option (google.api.http) = { get: "/v1/shelves/{shelf}/watch" };
  }
  rpc Upload(stream Book) returns (CountResponse) {
    option (google.api.http) = { post: "/v1/upload" body: "*" };
  }
  rpc GetCover(GetBookRequest) returns (google.api.HttpBody) {
    option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}/cover" };
  }
  rpc PutCover(PutCoverRequest) returns (CountResponse) {
    option (google.api.http) = { put: "/v1/{name=shelves/*/books/*}/cover" body: "cover" };
  }
  rpc Scan(google.api.HttpBody) returns (google.api.HttpBody) {
    option (google.api.http) = { post: "/v1/scan" body: "*" };
  }
  rpc ReadPages(GetBookRequest) returns (stream google.api.HttpBody) {
    option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}/pages" };
  }
  rpc Plain(GetBookRequest) returns (Book);
}
`;

/** `google.api.HttpBody` as it is published by its owners. */
const httpBodyProto = `syntax = "proto3";
package google.api;
import "google/protobuf/any.proto";
message HttpBody { string content_type = 1; bytes data = 2; repeated google.protobuf.Any extensions = 3; }
`;

/** Builds a `.proto` text with buf, beside the annotations of `google.api`. */
export async function buildDescriptorSet(text: string): Promise<Uint8Array> {
  const root = mkdtempSync(join(tmpdir(), "causeway-protos-"));
  try {
    mkdirSync(join(root, "google"));
    cpSync("proto/google/api", join(root, "google/api"), { recursive: true });
    writeFileSync(join(root, "google/api/httpbody.proto"), httpBodyProto);
    writeFileSync(join(root, "service.proto"), text);
    return await readDescriptors({ proto: join(root, "service.proto"), protoRoot: root });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

export class Library {
  readonly bytes: Uint8Array;
  readonly descriptors: ServiceDescriptors;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.descriptors = openServiceDescriptors(bytes);
  }

  static async build(): Promise<Library> {
    return new Library(await buildDescriptorSet(proto));
  }

  method(name: string): NonNullable<ReturnType<ServiceDescriptors["method"]>> {
    const method = this.descriptors.method(`/library.v1.Library/${name}`);
    if (method === undefined) throw new Error(`no method ${name}`);
    return method;
  }

  message(name: string): DescMessage {
    const full = name.includes(".") ? name : `library.v1.${name}`;
    const message = this.descriptors.registry.getMessage(full);
    if (message === undefined) throw new Error(`no message ${name}`);
    return message;
  }

  encode(name: string, json: JsonValue): Uint8Array {
    const desc = this.message(name);
    const { registry } = this.descriptors;
    return toBinary(desc, json === null ? create(desc) : fromJson(desc, json, { registry }));
  }

  decode(name: string, bytes: Uint8Array): JsonValue {
    const desc = this.message(name);
    const message: Message = fromBinary(desc, bytes);
    return toJson(desc, message, { registry: this.descriptors.registry });
  }
}
