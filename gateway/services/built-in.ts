/** The gRPC services that the gateway itself has on the agency listener. They need no grant. */
import { createHealthService, type HealthOptions } from "./health.ts";
import { createReflectionService, type ReflectionOptions } from "./reflection.ts";
import type { ServeCall } from "./served-call.ts";

export type { ServeCall } from "./served-call.ts";

export interface BuiltInServices {
  /** What serves a method path; `undefined` for every path that is no built-in service's. */
  builtInService(path: string): ServeCall | undefined;
  /** Tells every watch of the gateway's state that it takes no more calls, and ends it. */
  drain(): void;
}

export function createBuiltInServices(options: HealthOptions & ReflectionOptions): BuiltInServices {
  const health = createHealthService(options);
  const reflection = createReflectionService(options);
  return {
    builtInService: (path) => health.methods.get(path) ?? reflection.get(path),
    drain: () => health.refresh(true),
  };
}
