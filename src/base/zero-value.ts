/** The kinds of value whose absence shows in different ways. */
export type AbsentAs =
  | "message"
  | "bytes"
  | "string"
  | "bool"
  | "uint64"
  | "uint32"
  | "int32"
  | "enum";

/**
 * Whether a property of a generated message holds what stands for a field without presence that is absent: it
 * has no place on the wire.
 */
export function isAbsent(kind: AbsentAs, value: unknown): boolean {
  switch (kind) {
    case "message":
      return value === undefined;
    case "bytes":
      return value instanceof Uint8Array && value.length === 0;
    case "string":
      return value === "";
    case "bool":
      return value === false;
    case "uint64":
      return value === 0n;
    default:
      return value === 0;
  }
}
