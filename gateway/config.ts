/** The configuration of a gateway process: one YAML file, checked whole, errors with their line. */
import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { z } from "zod";
import { CausewayError } from "../src/base/errors.ts";
import { isId } from "../src/base/ids.ts";
import { timerMsMax } from "../src/base/limits.ts";
import { cosignatureType, parseVerifierKey } from "../src/note/verifier-key.ts";

const address = z
  .string()
  .regex(/^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/, "an address is host:port");
const path = z.string().min(1);
const gatewayId = z.string().refine((text) => isId(text, 3), "a gateway id is city/agency/gateway");
const serviceId = z
  .string()
  .refine((text) => isId(text, 3), "a data service id is city/agency/service");
const systemId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, "an agency system id is [a-z][a-z0-9-]{0,31}");

const witnessKey = z
  .string()
  .refine((text) => isCosignatureKey(text), "a vkey is a verifier key of type 0x04");

function isCosignatureKey(text: string): boolean {
  try {
    return parseVerifierKey(text).type === cosignatureType;
  } catch (error) {
    if (error instanceof CausewayError) return false;
    throw error;
  }
}

/** What a configuration says. Paths are absolute. */
export interface GatewayConfig {
  readonly gateway: string;
  readonly keys: string;
  readonly passphrase_file: string;
  readonly founding: string;
  readonly data: string;
  readonly listeners: {
    readonly agency: string;
    readonly peer: string;
    readonly admin: string;
    readonly http: string;
  };
  readonly witness?:
    | { readonly keys: string; readonly passphrase_file: string; readonly listen: string }
    | undefined;
  readonly agency_system?: AgencySystemConfig | undefined;
  readonly upstreams: Readonly<Record<string, string>>;
  readonly ledger?: LedgerConfig | undefined;
  readonly http?: HttpConfig | undefined;
  readonly log: "debug" | "info" | "warn" | "error" | "silent";
}

/** The read-only HTTP listener. */
export interface HttpConfig {
  /** Of one remote address in the long run. */
  readonly requests_per_second: number;
  /** Of one remote address at once after a pause. */
  readonly burst: number;
  /** Leaves below it are not served any more. */
  readonly minimum_index: number;
}

/** What an export of a large ledger needs, and far less than one address can keep a gateway busy with. */
export const httpDefaults: HttpConfig = {
  requests_per_second: 1000,
  burst: 4000,
  minimum_index: 0,
};

/** Of the gateway that sequences the ledger. */
export interface LedgerConfig {
  readonly quiet_ms?: number | undefined;
  readonly outside_witnesses?: readonly OutsideWitnessConfig[] | undefined;
}

export interface OutsideWitnessConfig {
  readonly name: string;
  /** Verifier key as C2SP writes it. */
  readonly vkey: string;
  readonly url: string;
}

export interface AgencySystemConfig {
  readonly id: string;
  readonly services?: readonly string[] | undefined;
  readonly purposes?: readonly string[] | undefined;
  readonly defaults?:
    | { readonly service?: string | undefined; readonly purpose?: string | undefined }
    | undefined;
}

const schema: z.ZodType<GatewayConfig> = z.strictObject({
  gateway: gatewayId,
  /** Key folder of `causeway gateway init`. */
  keys: path,
  /** File with the passphrase of the key folder; only its owner may read it. */
  passphrase_file: path,
  /** The founding document. */
  founding: path,
  /** Journal, replica and openings. */
  data: path,
  listeners: z.strictObject({
    /** Agency systems call here; loopback, without TLS. */
    agency: address,
    peer: address,
    /** Path of a Unix socket. */
    admin: path,
    http: address,
  }),
  /** On the gateway that hosts its city's witness. */
  witness: z
    .strictObject({
      /** Key folder of `causeway city init`. */
      keys: path,
      passphrase_file: path,
      listen: address,
    })
    .optional(),
  /** Programs inside the agency. The loopback listener serves exactly one. */
  agency_system: z
    .strictObject({
      id: systemId,
      services: z.array(serviceId).optional(),
      purposes: z.array(z.string().min(1)).optional(),
      defaults: z
        .strictObject({ service: serviceId.optional(), purpose: z.string().min(1).optional() })
        .optional(),
    })
    .optional(),
  /** Where the data services of this agency answer gRPC, by service id. */
  upstreams: z.record(serviceId, address).default({}),
  /** Of the gateway that sequences the ledger. */
  ledger: z
    .strictObject({
      /** Milliseconds that nothing is served after the start: 10,000 unless told. */
      quiet_ms: z.int().min(0).max(timerMsMax).optional(),
      /** Witnesses of C2SP that are asked once a size is final; they never count for a quorum. */
      outside_witnesses: z
        .array(z.strictObject({ name: z.string().min(1), vkey: witnessKey, url: z.url() }))
        .optional(),
    })
    .optional(),
  /** How the read-only HTTP listener serves the ledger. */
  http: z
    .strictObject({
      requests_per_second: z.number().positive().max(1e6).default(httpDefaults.requests_per_second),
      burst: z.number().int().min(1).max(1e6).default(httpDefaults.burst),
      /** Only under a retention policy of the network: without one it stays 0. */
      minimum_index: z.number().int().min(0).default(httpDefaults.minimum_index),
    })
    .optional(),
  log: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

/** Of a Unix socket on every system: longer ones are cut off without an error. */
const socketPathBytesMax = 103;

function isLoopback(text: string): boolean {
  return /^(127\.|localhost:|\[::1\]:)/.test(text);
}

/** The line of the YAML node that an issue is about, or of the nearest node above it. */
function lineOf(root: Node | null, issuePath: readonly PropertyKey[], lines: LineCounter): number {
  let node: unknown = root;
  let offset = 0;
  for (const key of issuePath) {
    if (!isMap(node)) break;
    const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
    if (pair === undefined) break;
    offset = (pair.key as Node).range?.[0] ?? offset;
    node = pair.value;
  }
  return lines.linePos(offset).line;
}

// The parser recurses, and throws what is no error of its own for a text that is nested too deep.
function parseYaml(text: string, lines: LineCounter, file: string): Document.Parsed {
  try {
    return parseDocument(text, { lineCounter: lines });
  } catch (cause) {
    throw new CausewayError("CONFIG_INVALID", `${file}: it is nested too deep`, { cause });
  }
}

// Aliases that stand for more than the text itself are not written out.
function plainOf(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new CausewayError("CONFIG_INVALID", `${file}: an alias cannot be resolved`, { cause });
  }
}

/** Parses a configuration. `file` names it in errors, and is what relative paths start from. */
export function parseConfig(text: string, file: string): GatewayConfig {
  const lines = new LineCounter();
  const document = parseYaml(text, lines, file);
  const [broken] = document.errors;
  if (broken !== undefined) {
    throw new CausewayError(
      "CONFIG_INVALID",
      `${file}:${lines.linePos(broken.pos[0]).line}: ${broken.message}`,
    );
  }
  const parsed = schema.safeParse(plainOf(document, file));
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const name = issue.path.map(String).join(".") || "the file";
      return `${file}:${lineOf(document.contents, issue.path, lines)}: ${name}: ${issue.message}`;
    });
    throw new CausewayError("CONFIG_INVALID", problems.join("\n"));
  }
  const config = parsed.data;
  if (!isLoopback(config.listeners.agency)) {
    const line = lineOf(document.contents, ["listeners", "agency"], lines);
    throw new CausewayError(
      "CONFIG_INVALID",
      `${file}:${line}: listeners.agency: without TLS only a loopback address is allowed`,
    );
  }
  const resolved = resolvePaths(config, dirname(resolve(file)));
  if (Buffer.byteLength(resolved.listeners.admin) > socketPathBytesMax) {
    const line = lineOf(document.contents, ["listeners", "admin"], lines);
    throw new CausewayError(
      "CONFIG_INVALID",
      `${file}:${line}: listeners.admin: ${resolved.listeners.admin} is longer than the ${socketPathBytesMax} bytes of a Unix socket's path`,
    );
  }
  return resolved;
}

function resolvePaths(config: GatewayConfig, folder: string): GatewayConfig {
  const at = (name: string): string => (isAbsolute(name) ? name : resolve(folder, name));
  const { witness } = config;
  return {
    ...config,
    keys: at(config.keys),
    passphrase_file: at(config.passphrase_file),
    founding: at(config.founding),
    data: at(config.data),
    listeners: { ...config.listeners, admin: at(config.listeners.admin) },
    ...(witness === undefined
      ? {}
      : {
          witness: {
            ...witness,
            keys: at(witness.keys),
            passphrase_file: at(witness.passphrase_file),
          },
        }),
  };
}

/** Reads and parses a configuration file. */
export function readConfig(file: string): GatewayConfig {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `the configuration ${file} cannot be read`, {
      cause,
    });
  }
  return parseConfig(text, file);
}

/** Reads a secret that a file holds, without its last line feed. Refused when others than its owner can read it. */
export function readSecretFile(file: string): string {
  try {
    if ((statSync(file).mode & 0o077) !== 0) {
      throw new CausewayError(
        "FILE_UNREADABLE",
        `${file} can be read by others: set its mode to 0600`,
      );
    }
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw new CausewayError("FILE_UNREADABLE", `the secret ${file} cannot be read`, { cause });
  }
}
