/** Files that people write and pass on: cards, statement files, configurations, policies, descriptors. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeMethods } from "../../gateway/cli/descriptors.ts";
import { readDraft } from "../../gateway/cli/drafts.ts";
import { parseNetworkId, readOpenings } from "../../gateway/cli/ledger-input.ts";
import { parseChainEnd } from "../../gateway/cli/standing.ts";
import { parseConfig } from "../../gateway/config.ts";
import { formatCard, parseCard } from "../../gateway/keys/card.ts";
import { formatAppointment, parseAppointment } from "../../gateway/keys/log-keys.ts";
import { readPassphraseFile } from "../../gateway/keys/passphrase.ts";
import { openKey, sealKey } from "../../gateway/keys/sealed-file.ts";
import { readFounding } from "../../gateway/self.ts";
import { readStatementFile } from "../../gateway/statement-file.ts";
import { parseHostPort } from "../../gateway/tls.ts";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { createMask } from "../../src/policy/mask.ts";
import { checkPolicyPublication, checkServicePublication } from "../../src/policy/publication.ts";
import { generateX25519Identity } from "age-encryption";
import { statementFixtures } from "../credential/fixtures.ts";
import {
  blobsOf,
  descriptorSet,
  policyBodyOf,
  reportCorrection,
  serviceBody,
  serviceId,
} from "../policy/fixtures.ts";
import {
  descriptors,
  method as maskedMethod,
  randomMessage,
  typeOf,
} from "../policy/mask-types.ts";
import { audit } from "./samples.ts";
import { statementFileSamples } from "./targets-credential.ts";
import { type Target, textOf } from "./target.ts";

const folder = mkdtempSync(join(tmpdir(), "causeway-fuzz-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** A file that holds the input. */
function fileOf(input: Uint8Array): string {
  const file = join(folder, "input");
  writeFileSync(file, input);
  return file;
}

const { body: network } = audit.network;
const { body: gateway } = statementFixtures.gateway;
const { body: administrator, claims } = statementFixtures.administrator;
const cards: readonly Uint8Array[] = [
  formatCard({ kind: "agency", id: claims.iss, ...statementFixtures.agency.body }),
  formatCard({ kind: "gateway", id: `${claims.iss}/gw1`, ...gateway }),
  formatCard({ kind: "administrator", id: claims.sub, agency: claims.iss, ...administrator }),
].map(utf8);

const config = `# a gateway
gateway: hangzhou/civil-affairs/gw1
keys: keys
passphrase_file: passphrase
founding: network.json
data: &data data
listeners:
  agency: 127.0.0.1:7001
  peer: 0.0.0.0:7002
  admin: run/admin.sock
  http: "[::1]:7003"
agency_systems:
  - id: registry
    loopback: true
    purposes: [address-check]
upstreams:
  hangzhou/civil-affairs/divisions: 127.0.0.1:9000
log: info
`;

const engine = createCedarEngine();
const blobs = blobsOf();
const service = { id: serviceId, body: serviceBody() };
const identity = await generateX25519Identity();
const sealedKey = await sealKey(sha256(utf8("seed")), identity);
const openings = [{ label: "case", salt: "AAAA", value: "Y2FzZQ==" }];

const mask = createMask({
  descriptors,
  method: maskedMethod,
  paths: ["node.by_key.name", "node.child", "node.detail", "old"],
});

export const fileTargets: readonly Target[] = [
  {
    name: "a card",
    covers: ["gateway/keys/card.ts parseCard"],
    samples: cards,
    read: (input) => parseCard(input),
    reasons: ["CARD_INVALID"],
  },
  {
    name: "the card of an appointment",
    covers: ["gateway/keys/log-keys.ts parseAppointment"],
    samples: [
      utf8(
        formatAppointment({
          kind: "appointment",
          term: 1,
          gateway: network.sequencer.gateway,
          address: network.sequencer.address,
          tls: network.sequencer.tls,
          log: network.sequencer.log,
        }),
      ),
    ],
    read: (input) => parseAppointment(input),
    reasons: ["CARD_INVALID"],
  },
  {
    name: "a statement file",
    covers: ["gateway/statement-file.ts readStatementFile", "gateway/cli/drafts.ts readDraft"],
    samples: statementFileSamples,
    read: (input) => {
      const file = fileOf(input);
      readStatementFile(file);
      return readDraft(file, audit.network.verifier);
    },
    reasons: [
      "STATEMENT_INVALID",
      "MALFORMED",
      "NOT_CANONICAL",
      "TOO_LARGE",
      "TOKEN_TOO_LARGE",
      "TOKEN_MALFORMED",
      "TOKEN_HEADER_INVALID",
      "TOKEN_ALG_NOT_ALLOWED",
      "TOKEN_TYP_WRONG",
      "TOKEN_SIGNATURE_INVALID",
      "KEY_NOT_ACCEPTED",
    ],
    oneIn: 2,
  },
  {
    name: "a founding document",
    covers: ["gateway/self.ts readFounding"],
    samples: statementFileSamples.slice(0, 1),
    read: (input) => readFounding(fileOf(input)),
    reasons: [
      "STATEMENT_INVALID",
      "MALFORMED",
      "NOT_CANONICAL",
      "TOO_LARGE",
      "TOKEN_TOO_LARGE",
      "TOKEN_MALFORMED",
      "TOKEN_HEADER_INVALID",
      "TOKEN_ALG_NOT_ALLOWED",
      "TOKEN_TYP_WRONG",
      "TOKEN_SIGNATURE_INVALID",
    ],
    oneIn: 2,
  },
  {
    name: "a list of openings",
    covers: ["gateway/cli/ledger-input.ts readOpenings"],
    samples: [utf8(JSON.stringify(openings))],
    read: (input) => readOpenings(fileOf(input)),
    reasons: ["MALFORMED"],
  },
  {
    name: "a passphrase file",
    covers: ["gateway/keys/passphrase.ts readPassphraseFile"],
    samples: [utf8("correct horse battery\n")],
    read: (input) => readPassphraseFile(fileOf(input)),
    reasons: ["CONFIG_INVALID", "TOO_LARGE"],
  },
  {
    name: "an encrypted key",
    covers: ["gateway/keys/sealed-file.ts openKey"],
    samples: [sealedKey],
    read: (input) => openKey(input, identity),
    sealed: true,
    reasons: ["KEY_LOCKED"],
    oneIn: 3,
  },
  {
    name: "a configuration",
    covers: ["gateway/config.ts parseConfig"],
    samples: [utf8(config)],
    text: true,
    read: (input) => parseConfig(textOf(input), "gateway.yaml"),
    reasons: ["CONFIG_INVALID"],
    oneIn: 8,
  },
  {
    name: "host and port",
    covers: ["gateway/tls.ts parseHostPort"],
    samples: ["localhost:7001", "[::1]:65535"].map(utf8),
    text: true,
    read: (input) => parseHostPort(textOf(input)),
    reasons: ["CONFIG_INVALID"],
  },
  {
    name: "a network id",
    covers: ["gateway/cli/ledger-input.ts parseNetworkId"],
    samples: [utf8(audit.network.idHex)],
    text: true,
    read: (input) => parseNetworkId(textOf(input)),
    reasons: ["USAGE_INVALID"],
  },
  {
    name: "the end of a chain",
    covers: ["gateway/cli/standing.ts parseChainEnd"],
    samples: [utf8(`0/12/${audit.network.idHex}`)],
    text: true,
    read: (input) => parseChainEnd(textOf(input)),
    reasons: ["USAGE_INVALID"],
  },
  {
    name: "a policy set",
    covers: ["src/policy/publication.ts checkPolicyPublication"],
    samples: [blobs.policy],
    read: (policy) => {
      const given = { ...blobs, policy };
      return checkPolicyPublication({ engine, body: policyBodyOf(given), blobs: given, service });
    },
    reasons: ["POLICY_INVALID"],
    oneIn: 4,
  },
  {
    name: "a policy schema",
    covers: ["src/policy/publication.ts checkPolicyPublication"],
    samples: [blobs.schema],
    read: (schema) => {
      const given = { ...blobs, schema };
      return checkPolicyPublication({ engine, body: policyBodyOf(given), blobs: given, service });
    },
    reasons: ["POLICY_INVALID"],
    oneIn: 4,
  },
  {
    name: "a descriptor set",
    covers: [
      "src/policy/publication.ts checkServicePublication",
      "src/policy/descriptors.ts parseDescriptorSet",
    ],
    samples: [descriptorSet],
    read: (input) => {
      const descriptor = toHex(sha256(input));
      const body = serviceBody({ descriptor, descriptor_bytes: input.length });
      return checkServicePublication(body, input) ?? true;
    },
    reasons: ["DESCRIPTOR_INVALID"],
    oneIn: 2,
  },
  {
    name: "an answer under a mask",
    covers: ["src/policy/mask-copy.ts copyMasked"],
    samples: [1, 2, 3].map((seed) => randomMessage(typeOf("Answer"), seed, true).bytes),
    read: (input) => mask.apply(input),
    reasons: ["MASK_UNAPPLICABLE"],
  },
  {
    name: "a descriptor set of the command line",
    covers: ["gateway/cli/descriptors.ts describeMethods"],
    samples: [descriptorSet],
    read: (input) => describeMethods(input, [`${reportCorrection}=writes`]),
    reasons: ["DESCRIPTOR_INVALID"],
    oneIn: 2,
  },
];
