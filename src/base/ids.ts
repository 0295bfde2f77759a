/** Ids of cities, agencies, gateways and data services: lower-case levels joined by `/`. */
import { toHex, u64be } from "./bytes.ts";

const level = "[a-z][a-z0-9-]{0,31}";
const patterns: readonly RegExp[] = [1, 2, 3].map(
  (levels) => new RegExp(`^${Array(levels).fill(level).join("/")}$`),
);

/** Whether `text` is an id of exactly `levels` levels: 1 a city, 2 an agency, 3 a gateway or data service. */
export function isId(text: string, levels: 1 | 2 | 3): boolean {
  return (patterns[levels - 1] as RegExp).test(text);
}

/** The city of an agency, gateway or data service id. */
export function cityOf(id: string): string {
  const end = id.indexOf("/");
  return end === -1 ? id : id.slice(0, end);
}

/** The agency of a gateway or data service id. */
export function agencyOf(id: string): string {
  const end = id.indexOf("/", id.indexOf("/") + 1);
  return end === -1 ? id : id.slice(0, end);
}

const methodPattern =
  /^\/[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*\/[A-Za-z_][A-Za-z0-9_]*$/;

/** Whether `text` is a full gRPC method path, `/package.Service/Method`, of at most 255 characters. */
export function isMethodPath(text: string): boolean {
  return text.length <= 255 && methodPattern.test(text);
}

const uuidV7Pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Whether `text` is a UUID of version 7 (RFC 9562 section 5.7) in lower case. */
export function isUuidV7(text: string): boolean {
  return uuidV7Pattern.test(text);
}

/** A UUIDv7 from Unix milliseconds and 10 random bytes, as 16 bytes. */
export function createUuidV7(unixMs: number, random: Uint8Array): Uint8Array {
  if (random.length < 10) throw new RangeError("a UUIDv7 needs 10 random bytes");
  const out = new Uint8Array(16);
  out.set(u64be(BigInt(unixMs) << 16n));
  out.set(random.subarray(0, 10), 6);
  out[6] = ((out[6] as number) & 0x0f) | 0x70;
  out[8] = ((out[8] as number) & 0x3f) | 0x80;
  return out;
}

/** The text form of 16 UUID bytes. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = toHex(bytes);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
