/** gRPC status codes and HTTP status codes, as `google.rpc.Code` maps them. */

const httpOf: readonly number[] = [
  200, // OK
  499, // CANCELLED
  500, // UNKNOWN
  400, // INVALID_ARGUMENT
  504, // DEADLINE_EXCEEDED
  404, // NOT_FOUND
  409, // ALREADY_EXISTS
  403, // PERMISSION_DENIED
  429, // RESOURCE_EXHAUSTED
  400, // FAILED_PRECONDITION
  409, // ABORTED
  400, // OUT_OF_RANGE
  501, // UNIMPLEMENTED
  500, // INTERNAL
  503, // UNAVAILABLE
  500, // DATA_LOSS
  401, // UNAUTHENTICATED
];

/** Names of the gRPC codes, by their number. */
export const grpcCodeNames: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** The HTTP status of a gRPC code; 500 for what is none. */
export function httpStatusOf(grpcCode: number): number {
  return httpOf[grpcCode] ?? 500;
}

const grpcOf: Readonly<Record<number, number>> = {
  400: 3,
  401: 16,
  403: 7,
  404: 5,
  408: 4,
  409: 10,
  412: 9,
  416: 11,
  429: 8,
  499: 1,
  500: 13,
  501: 12,
  502: 14,
  503: 14,
  504: 4,
};

/**
 * The gRPC code of an HTTP status that is no success. Where several codes share a status it is the one
 * that promises least. Other 4xx are FAILED_PRECONDITION, other 5xx INTERNAL, and what is no error,
 * such as a redirect, UNKNOWN.
 */
export function grpcCodeOf(httpStatus: number): number {
  const known = grpcOf[httpStatus];
  if (known !== undefined) return known;
  if (httpStatus >= 400 && httpStatus < 500) return 9;
  return httpStatus >= 500 && httpStatus < 600 ? 13 : 2;
}
