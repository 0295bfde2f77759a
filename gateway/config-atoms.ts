/** What the keys of a configuration are made of, and what each of them says of itself: for checks, overrides and docs. */
import { z } from "zod";
import { CausewayError } from "../src/base/errors.ts";
import { isId } from "../src/base/ids.ts";
import { timerMsMax } from "../src/base/limits.ts";
import { cosignatureType, parseVerifierKey } from "../src/note/verifier-key.ts";

/** What a key says of itself beside its schema. */
export interface KeyMeta {
  /** What may stand there, in the words of the documentation. */
  readonly type?: string;
  /** What it means: a sentence of Markdown. */
  readonly text?: string;
  /** Whether a running gateway takes a new value. */
  readonly reload?: boolean;
  /** A path: relative ones start at the folder of the configuration file. */
  readonly path?: boolean;
  /** A file that only its owner may read. */
  readonly secret?: boolean;
}

/** The same schema with more said about it. */
export function described<T extends z.ZodType>(schema: T, meta: KeyMeta): T {
  return schema.meta({ ...schema.meta(), ...meta }) as T;
}

export const address: z.ZodType<string> = described(
  z
    .string()
    .regex(/^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/, {
      error: "an address is host:port",
      abort: true,
    })
    .refine((text) => {
      const port = Number(/\d+$/.exec(text)?.[0]);
      return port >= 1 && port <= 65_535;
    }, "a port is 1 to 65535"),
  { type: "host:port" },
);

/** The path of a file that others may read. */
export const filePath: z.ZodType<string> = described(z.string().min(1, "a path is not empty"), {
  type: "file",
  path: true,
});

/** The path of a file with a secret: refused when its group or others can read it. */
export const secretFile: z.ZodType<string> = described(z.string().min(1, "a path is not empty"), {
  type: "file, mode 0600",
  path: true,
  secret: true,
});

export const folder: z.ZodType<string> = described(filePath, { type: "folder" });

export const gatewayId: z.ZodType<string> = described(
  z.string().refine((text) => isId(text, 3), "a gateway id is city/agency/gateway"),
  { type: "city/agency/gateway" },
);

export const serviceId: z.ZodType<string> = described(
  z.string().refine((text) => isId(text, 3), "a data service id is city/agency/service"),
  { type: "city/agency/service" },
);

export const systemId: z.ZodType<string> = described(
  z
    .string()
    .regex(
      /^[a-z][a-z0-9-]{0,31}$/,
      "an agency system id is 1 to 32 of a-z, 0-9 and -, a letter first",
    ),
  { type: "`[a-z][a-z0-9-]{0,31}`" },
);

/** A text that stands in metadata: printable ASCII without spaces. */
export const token: z.ZodType<string> = described(
  z.string().regex(/^[\x21-\x7e]{1,256}$/, "it is 1 to 256 printable ASCII characters"),
  { type: "text" },
);

/** A text of a person's world, which is only ever committed to. */
export const text256: z.ZodType<string> = described(
  z
    .string()
    .min(1, "it is not empty")
    .refine((text) => Buffer.byteLength(text) <= 256, "it has at most 256 bytes"),
  { type: "text" },
);

export const httpsUrl: z.ZodType<string> = described(
  z.string().refine(isHttpsUrl, "a URL is https://, or http:// on a loopback address"),
  { type: "https URL" },
);

function isHttpsUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && isLoopbackHost(hostname));
}

function isLoopbackHost(host: string): boolean {
  return /^127(?:\.\d{1,3}){3}$/.test(host) || host === "localhost" || host === "[::1]";
}

/** Whether `host:port` is of the loopback interface. */
export function isLoopback(text: string): boolean {
  return isLoopbackHost(text.slice(0, text.lastIndexOf(":")));
}

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number): z.ZodNumber {
  return described(z.int().min(min).max(max), { type: `integer, ${min} to ${max}` });
}

/** Milliseconds that a timer can take. */
export function milliseconds(min: number, max: number = timerMsMax): z.ZodNumber {
  return described(z.int().min(min).max(max), { type: `milliseconds, ${min} to ${max}` });
}

/** Requests a second. */
export const rate: z.ZodNumber = described(z.number().positive().max(1e6), {
  type: "number a second",
});

export const flag: z.ZodBoolean = described(z.boolean(), { type: "`true` or `false`" });

/** One of some words. */
export function oneOf<const T extends readonly [string, ...string[]]>(
  words: T,
): z.ZodType<T[number]> {
  return described(z.enum(words), { type: words.map((word) => `\`${word}\``).join(", ") });
}

export const witnessKey: z.ZodType<string> = described(
  z.string().refine(isCosignatureKey, "a vkey is a verifier key of type 0x04"),
  { type: "C2SP verifier key" },
);

function isCosignatureKey(text: string): boolean {
  try {
    return parseVerifierKey(text).type === cosignatureType;
  } catch (error) {
    if (error instanceof CausewayError) return false;
    throw error;
  }
}
