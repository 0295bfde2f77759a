// Writes docs/configuration.md from the built schema; `--check` only says whether it is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const intro = `# Configuration

A gateway has one YAML file. \`causeway gateway check gateway.yaml\` checks it, with every file that it names, opens the key
folders with their passphrases and SQLite databases to show them their queries, and starts nothing; it asks no other machine.
\`causeway gateway run --config gateway.yaml\` checks it first too. All problems are told at once,
each with its line, its key and what would be right:

\`\`\`text
gateway.yaml:13: agency_systems[0].loopbak: there is no such key; did you mean loopback?
gateway.yaml:21: limits.drain_ms: expected milliseconds, 0 to 600000, not -1
\`\`\`

This page is written from the schema by \`node scripts/configuration.mjs\`; a test compares the two.

## An example

\`\`\`yaml
gateway: shenzhen/market-regulation/gw1
keys: gateway
passphrase_file: passphrase
founding: network.json
data: data
listeners:
  agency: 10.1.2.3:7001
  peer: 0.0.0.0:7002
  admin: run/admin.sock
  http: 127.0.0.1:7003
agency:
  tls:
    certificate_file: tls/agency.pem
    key_file: tls/agency.key
  issuers:
    - issuer: https://idp.market-regulation.example
      audiences: ["urn:causeway:shenzhen/market-regulation/gw1"]
      jwks_url: https://idp.market-regulation.example/jwks
      official_claim: employee_number
agency_systems:
  - id: case-desk                       # shows tokens of the identity provider
    jwt: { issuer: https://idp.market-regulation.example, clients: [case-desk] }
    purposes: [address-check]
  - id: registry                        # a vendor program that can set no metadata
    tls: { spki_sha256: [5f78c33274e43fa9de5659265c1d917e25c03722dcb0b8d27db8d5feaa813953] }
    services: [hangzhou/civil-affairs/divisions]
    defaults: { purpose: address-check, case: routine }
upstreams:
  shenzhen/market-regulation/licences: 127.0.0.1:9000
\`\`\`

The digest of a client certificate's key:

\`\`\`sh
openssl x509 -in client.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256
\`\`\`

## Who calls

Each call of an agency system is one system's, or it is answered \`UNAUTHENTICATED\` and forwarded to nobody:

1. A call with \`authorization\`, where \`agency.issuers\` names an identity provider, is that of the system whose \`jwt\`
   names the token's issuer and client. Exactly one bearer token may stand there. It is for this gateway: it is
   neither passed on nor committed to.
2. A call without it is that of the system whose \`tls\` names the client certificate.
3. One that shows neither is that of the system with \`loopback: true\`, if there is one.

A system with \`tls\` and \`jwt\` shows both. A certificate of one system beside a token of another is refused as
\`CREDENTIALS_DIFFER\`, and so is a token that is bound to another certificate (\`cnf\` with \`x5t#S256\`). What a system may
not use is refused as \`CALLER_NOT_ALLOWED\`, and leaves its record. Calls whose caller is not known leave none: they are
counted in \`causeway_unauthenticated_calls_total\`, by reason.

A token is checked in the order of RFC 8725: size, form, header, algorithm, issuer, type, key, signature, claims,
audience, times; each step has a reason of its own. It names its key by \`kid\`, and brings no key, URL or certificate. \`exp\` and
\`iat\` are needed, each claim stands once.

Where the metadata of a call names no service, purpose, case or official, the system's \`defaults\` hold. The service may
also be left out where the method belongs to exactly one granted service that the system may use. An official of the
token counts before all others; metadata that names another one is refused as \`METADATA_INVALID\`.

## Files

Relative paths begin at the folder of the configuration file. Secrets (passphrases, private keys, passwords) stand in
files of their own, never in the configuration, and are refused when anybody but their owner can read them: mode 0600. A
JWK set is refused when others can write it.

## Environment

A key is set by the variable \`CAUSEWAY_\` with its path in capitals, dots as underscores: \`CAUSEWAY_LOG=debug\`,
\`CAUSEWAY_LISTENERS_AGENCY=127.0.0.1:7001\`. A variable counts before the file.

- A text is taken as it is; a relative path begins at the working directory. Everything else is read as YAML.
- Lists and maps are set whole: \`CAUSEWAY_AGENCY_SYSTEMS='[{id: desk, loopback: true}]'\`.
- An empty variable counts as none. One of this prefix that names no key is an error, which says what may have been
  meant. Only those of the project's own tests (\`CAUSEWAY_TEST_…\`, \`FAULT\`, \`DISK\`, \`SIM\`, \`MODEL\`, \`FUZZ\`) are passed over.
- \`CAUSEWAY_PASSPHRASE_FILE\` names the passphrase of the key folder that a command opens: also for commands without a
  configuration.

## Reload

\`causeway gateway reload --admin SOCKET\`, or the signal SIGHUP, puts the file in force as it stands now. Either all of it
is taken, or, when something is wrong, nothing: the old configuration stays in force, and the answer or the log says why.
Files that it names (certificates, keys, passwords, JWK sets) are read again in any case. Keys without a *yes* below wait for the next
start; the answer names those that differ. Open calls go on as they began. TLS of the agency listener is renewed by
a reload, and switched on or off by a start only.

## Keys

\`[]\` stands for each element of a list, \`*\` for a name. A key that is *needed* in a section is needed where the section stands.
`;

const cell = (text) => text.replaceAll("|", "\\|");

/** The page for rows of {key, type, default, isRequired, reload, text}. */
export function formatConfigurationPage(rows) {
  const lines = rows.map(({ key, type, default: value, isRequired, reload, text }) => {
    const without = isRequired ? "**needed**" : value === undefined ? "" : `\`${value}\``;
    return `| ${[`\`${key}\``, type, without, reload ? "yes" : "", text].map(cell).join(" | ")} |`;
  });
  const head = ["| key | type | default | reloads | meaning |", "|---|---|---|---|---|"];
  return `${intro}\n${[...head, ...lines].join("\n")}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const { referenceRows } = await import(
    new URL("../dist/gateway/config-reference.js", import.meta.url).href
  );
  const page = formatConfigurationPage(referenceRows());
  const path = join(root, "docs", "configuration.md");
  if (!process.argv.includes("--check")) {
    writeFileSync(path, page);
  } else if (readFileSync(path, "utf8") !== page) {
    process.stderr.write(
      "docs/configuration.md is not up to date: run `node scripts/configuration.mjs`\n",
    );
    process.exit(1);
  }
}
