/** Which logs to believe, and which witnesses must have cosigned (C2SP tlog-policy): parsed and printed. */
import { parseUtf8, toHex, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { policyFileBytesMax, policyNamesMax } from "../base/limits.ts";
import {
  cosignatureType,
  ecdsaType,
  ed25519Type,
  formatNoteKey,
  mlDsaType,
  type NoteKey,
  parseNoteKey,
} from "./verifier-key.ts";

export interface PolicyLog {
  /** Named like the origin of the log's checkpoints. */
  readonly key: NoteKey;
  readonly url?: string;
}

export interface PolicyWitness {
  /** Used in this policy only. */
  readonly name: string;
  readonly key: NoteKey;
  /** Submission prefix, as C2SP tlog-witness has it. */
  readonly url?: string;
}

/** Has witnessed a checkpoint once `threshold` of its members have. */
export interface PolicyGroup {
  readonly name: string;
  /** 1 to the number of members. */
  readonly threshold: number;
  /** Names of witnesses and of groups before this one. */
  readonly members: readonly string[];
}

export interface TlogPolicy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly groups: readonly PolicyGroup[];
  /** The witness or group that must have witnessed; `undefined` where none has to. */
  readonly quorum: string | undefined;
}

const none = "none";

/**
 * A policy from its bytes. Octets above 0x7F are opaque: a file that is not UTF-8 is read one character for
 * each octet. Throws TOO_LARGE above the limits of bytes and names, MALFORMED with the field `line` for
 * anything that the specification does not allow.
 */
export function parseTlogPolicy(bytes: Uint8Array): TlogPolicy {
  if (bytes.length > policyFileBytesMax) {
    throw new CausewayError("TOO_LARGE", `a policy has at most ${policyFileBytesMax} bytes`);
  }
  const isUtf8 = parseUtf8(bytes) !== undefined;
  const text = parseUtf8(bytes) ?? latin1(bytes);
  const builder = new PolicyBuilder(isUtf8);
  const lines = text.split("\n");
  const last = lines.pop();
  if (last !== "") throw malformed(lines.length + 1, "the last line does not end in a line feed");
  for (const [i, line] of lines.entries()) builder.take(line, i + 1);
  return builder.finish(lines.length);
}

/** The bytes of a policy. Throws RangeError for one that `parseTlogPolicy` would not take. */
export function formatTlogPolicy(policy: TlogPolicy): Uint8Array {
  const { logs, witnesses, groups, quorum } = policy;
  const withUrl = (url: string | undefined): string => (url === undefined ? "" : ` ${url}`);
  const lines = [
    ...logs.map(({ key, url }) => `log ${formatNoteKey(key)}${withUrl(url)}`),
    ...witnesses.map(
      ({ name, key, url }) => `witness ${name} ${formatNoteKey(key)}${withUrl(url)}`,
    ),
    ...groups.map(
      ({ name, threshold, members }) => `group ${name} ${threshold} ${members.join(" ")}`,
    ),
    `quorum ${quorum ?? none}`,
  ];
  const bytes = utf8(`${lines.join("\n")}\n`);
  try {
    parseTlogPolicy(bytes);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw new RangeError(`not a policy: ${cause.message}`, { cause });
  }
  return bytes;
}

// Tab and everything from the space on but DEL: a carriage return is an error too.
const forbidden = /[^\t\u0020-\u007e\u0080-\u{10ffff}]/u;

class PolicyBuilder {
  readonly #isUtf8: boolean;
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #groups: PolicyGroup[] = [];
  readonly #names = new Set<string>();
  readonly #members = new Set<string>();
  readonly #logKeys = new Set<string>();
  readonly #witnessKeys = new Set<string>();
  #quorum: { readonly name: string | undefined } | undefined;

  constructor(isUtf8: boolean) {
    this.#isUtf8 = isUtf8;
  }

  take(line: string, number: number): void {
    if (forbidden.test(line)) throw malformed(number, "an octet that is not allowed");
    const [keyword, ...items] = line.split(/[ \t]+/).filter((item) => item !== "");
    if (keyword === undefined || keyword.startsWith("#")) return;
    switch (keyword) {
      case "log":
        return this.#takeLog(items, number);
      case "witness":
        return this.#takeWitness(items, number);
      case "group":
        return this.#takeGroup(items, number);
      case "quorum":
        return this.#takeQuorum(items, number);
      default:
        throw malformed(number, "neither log, witness, group nor quorum");
    }
  }

  finish(lines: number): TlogPolicy {
    if (this.#quorum === undefined) throw malformed(lines, "no quorum");
    return {
      logs: this.#logs,
      witnesses: this.#witnesses,
      groups: this.#groups,
      quorum: this.#quorum.name,
    };
  }

  #takeLog(items: readonly string[], line: number): void {
    const [text, url, ...more] = items;
    if (text === undefined || more.length > 0) throw malformed(line, "a log is a key and a URL");
    const key = this.#key(text, [ed25519Type, ecdsaType, mlDsaType], line);
    addNew(this.#logKeys, toHex(key.publicKey), line, "the key of another log");
    assertRoom(this.#logs);
    this.#logs.push({ key, ...(url === undefined ? {} : { url }) });
  }

  #takeWitness(items: readonly string[], line: number): void {
    const [name, text, url, ...more] = items;
    if (name === undefined || text === undefined || more.length > 0) {
      throw malformed(line, "a witness is a name, a key and a URL");
    }
    const key = this.#key(text, [cosignatureType, mlDsaType], line);
    addNew(this.#witnessKeys, toHex(key.publicKey), line, "the key of another witness");
    this.#define(name, line);
    assertRoom(this.#witnesses);
    this.#witnesses.push({ name, key, ...(url === undefined ? {} : { url }) });
  }

  #takeGroup(items: readonly string[], line: number): void {
    const [name, threshold = "", ...members] = items;
    if (name === undefined || members.length === 0) throw malformed(line, "a group has members");
    for (const member of members) {
      if (!this.#names.has(member)) throw malformed(line, "a member that is not defined above");
      addNew(this.#members, member, line, "a name that is a member already");
    }
    this.#define(name, line);
    assertRoom(this.#groups);
    const counted = thresholdOf(threshold, members.length);
    if (counted === undefined) throw malformed(line, "a threshold is all, any, or 1 to n");
    this.#groups.push({ name, threshold: counted, members });
  }

  #takeQuorum(items: readonly string[], line: number): void {
    const [name, ...more] = items;
    if (name === undefined || more.length > 0) throw malformed(line, "a quorum is one name");
    if (this.#quorum !== undefined) throw malformed(line, "a second quorum");
    if (name !== none && !this.#names.has(name)) {
      throw malformed(line, "a quorum that is not defined above");
    }
    this.#quorum = { name: name === none ? undefined : name };
  }

  #define(name: string, line: number): void {
    if (name === none) throw malformed(line, "the name none is taken");
    addNew(this.#names, name, line, "a name that is defined already");
  }

  #key(text: string, types: readonly NoteKey["type"][], line: number): NoteKey {
    let key: NoteKey;
    try {
      key = parseNoteKey(this.#isUtf8 ? text : reread(text));
    } catch (cause) {
      if (!(cause instanceof CausewayError)) throw cause;
      throw malformed(line, cause.message, cause);
    }
    if (types.includes(key.type)) return key;
    throw malformed(line, `a key of type ${key.type} in this place`);
  }
}

function thresholdOf(text: string, members: number): number | undefined {
  if (text === "all") return members;
  if (text === "any") return 1;
  const threshold = /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : 0;
  return threshold >= 1 && threshold <= members ? threshold : undefined;
}

function addNew(known: Set<string>, value: string, line: number, what: string): void {
  if (known.has(value)) throw malformed(line, what);
  known.add(value);
}

function assertRoom(list: readonly unknown[]): void {
  if (list.length < policyNamesMax) return;
  throw new CausewayError("TOO_LARGE", `a policy has at most ${policyNamesMax} of a kind`);
}

/** One character for each octet. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** A key's name is UTF-8, also in a file that is not. */
function reread(text: string): string {
  return parseUtf8(Uint8Array.from(text, (character) => character.charCodeAt(0))) ?? "";
}

function malformed(line: number, what: string, cause?: unknown): CausewayError {
  const fields = { line: String(line) };
  return new CausewayError("MALFORMED", `policy, line ${line}: ${what}`, { cause, fields });
}
