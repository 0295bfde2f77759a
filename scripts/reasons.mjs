// Writes docs/reasons.md from the built reason table; `--check` only says whether it is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { status } from "@grpc/grpc-js";

const intro = `# Reason codes

Every refusal and every error of Causeway states one of these codes: in the \`ErrorInfo\` of a \`google.rpc.Status\`
(domain \`causeway\`), in a record, or on the command line. A code never changes its meaning. They stand in the
order in which a call meets them. The same status carries both texts of a code as \`LocalizedMessage\` (\`en\` and
\`zh-CN\`), and a \`Help\` that leads to its section here. Of a refusal \`record\` in the
metadata of the \`ErrorInfo\` is the handle of its record: \`causeway exchange show\` takes it.

一切拒绝和错误都以下列代码之一说明原因：见于 \`google.rpc.Status\` 的 \`ErrorInfo\`（域为 \`causeway\`）、记录或命令行。代码的含义从不改变。
被拒绝的调用，其 \`ErrorInfo\` 元数据中的 \`record\` 是该记录的句柄，可交给 \`causeway exchange show\` 查看。

This page is generated from the table in \`src/base/reasons.ts\` by \`npm run reasons\`; a test compares the two.
`;

function section({ code, grpcCode, en, zh, next, nextZh }) {
  return `## ${code}

gRPC status \`${status[grpcCode]}\`

- ${en} **What to do:** ${next}
- ${zh}**如何处理：**${nextZh}
`;
}

/** The page for rows of {code, grpcCode, en, zh, next, nextZh}. */
export function formatReasonsPage(reasons) {
  return [intro, ...reasons.map(section)].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const { reason, reasonCodes } = await import(
    new URL("../dist/src/base/reasons.js", import.meta.url).href
  );
  const page = formatReasonsPage(reasonCodes.map(reason));
  const path = join(root, "docs", "reasons.md");
  if (!process.argv.includes("--check")) {
    writeFileSync(path, page);
  } else if (readFileSync(path, "utf8") !== page) {
    process.stderr.write("docs/reasons.md is not up to date: run `npm run reasons`\n");
    process.exit(1);
  }
}
