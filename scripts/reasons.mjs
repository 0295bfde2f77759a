// Writes docs/reasons.md from the built reason table; `--check` only says whether it is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { status } from "@grpc/grpc-js";

const intro = `# Reason codes

Every refusal and every error of Causeway states one of these codes: in the \`ErrorInfo\` of a \`google.rpc.Status\`
(domain \`causeway\`), in a record, or on the command line. A code never changes its meaning. The rows stand in the
order in which a call meets them.

This page is generated from the table in \`src/base/reasons.ts\` by \`npm run reasons\`; a test compares the two.
`;

const cell = (text) => text.replaceAll("|", "\\|");

/** The page for rows of {code, grpcCode, en, zh, next}. */
export function formatReasonsPage(reasons) {
  const rows = reasons.map(({ code, grpcCode, en, zh, next }) => {
    const cells = [`\`${code}\``, status[grpcCode], en, zh, next].map(cell);
    return `| ${cells.join(" | ")} |`;
  });
  const head = ["| code | gRPC status | meaning | 含义 | what to do |", "|---|---|---|---|---|"];
  return `${intro}\n${[...head, ...rows].join("\n")}\n`;
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
