import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { statusFieldsBytesMax } from "../../src/base/limits.ts";
import { reason, reasonCodes } from "../../src/base/reasons.ts";
import { errorDomain, reasonsPage, statusOf } from "../../src/exchange/status.ts";
import {
  ErrorInfoSchema,
  HelpSchema,
  LocalizedMessageSchema,
} from "../../src/gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";

const detailsBytesMax = 2048;

function detailsOf(status: Status): {
  readonly info: { reason: string; domain: string; metadata: Record<string, string> } | undefined;
  readonly localized: Readonly<Record<string, string>>;
  readonly links: readonly { readonly description: string; readonly url: string }[];
} {
  const localized: Record<string, string> = {};
  for (const any of status.details) {
    const message = anyUnpack(any, LocalizedMessageSchema);
    if (message !== undefined) localized[message.locale] = message.message;
  }
  const infos = status.details.map((any) => anyUnpack(any, ErrorInfoSchema));
  return {
    info: infos.find((info) => info !== undefined),
    localized,
    links: status.details.flatMap((any) => anyUnpack(any, HelpSchema)?.links ?? []),
  };
}

describe("the texts of a reason", () => {
  for (const code of reasonCodes) {
    test(`${code} says meaning and next step in English and in Chinese, without placeholders`, () => {
      const { en, zh, next, nextZh } = reason(code);
      for (const text of [en, next]) {
        assert.match(text, /^[A-Z].*[^.]\.$/);
        assert.doesNotMatch(text, /\p{Script=Han}/u);
      }
      for (const text of [zh, nextZh]) assert.match(text, /\p{Script=Han}.*。$/u);
      for (const text of [en, zh, next, nextZh]) {
        assert.doesNotMatch(text, /\$\{|\{\w*\}|<\w+>|%[sd]|\.\.\.|…|\n/);
      }
      assert.notEqual(en, next);
      assert.notEqual(zh, nextZh);
    });
  }
});

describe("a status of the gateway's own", () => {
  const page = readFileSync(reasonsPage, "utf8");

  for (const code of reasonCodes) {
    test(`${code} has its reason, both languages and a way to its section, in less than 2 KiB`, () => {
      const room = "v".repeat(statusFieldsBytesMax - 4);
      const frame = statusOf(code, { name: room, beyond: "room" });
      assert.ok(frame.details.length < detailsBytesMax, `${frame.details.length}`);
      const status = fromBinary(StatusSchema, frame.details);
      assert.equal(status.code, reason(code).grpcCode);
      assert.equal(frame.code, status.code);
      assert.equal(Buffer.from(frame.message).toString(), status.message);
      const { info, localized, links } = detailsOf(status);
      assert.deepEqual(info?.metadata, { name: room });
      assert.deepEqual([info?.reason, info?.domain], [code, errorDomain]);
      assert.deepEqual(Object.keys(localized), ["en", "zh-CN"]);
      assert.match(localized["zh-CN"] ?? "", /\p{Script=Han}/u);
      const [link] = links;
      assert.equal(link?.url, `${reasonsPage}#${code.toLowerCase()}`);
      assert.ok(link.description.includes(reason(code).next));
      // Where a page of the repository is shown, a heading is reached by its text in lower case.
      assert.ok(page.includes(`\n## ${code}\n`));
    });
  }
});
