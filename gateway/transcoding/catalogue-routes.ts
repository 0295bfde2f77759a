/** The HTTP forms of every method that is granted to an agency, made again when grants or services change. */
import type { DescMethod } from "@bufbuild/protobuf";
import { parseHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { routeDescriptorsMax } from "../../src/base/limits.ts";
import { Lru } from "../../src/base/lru.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import type { RegistryView, ServiceFact } from "../../src/registry/state.ts";
import { bindingsOf } from "./http-binding.ts";
import { type Route, RouteTable } from "./routes.ts";
import { openServiceDescriptors, type ServiceDescriptors } from "./service-descriptors.ts";

export interface RoutedMethod {
  /** Data service id. */
  readonly service: string;
  /** Method path. */
  readonly path: string;
  readonly method: DescMethod;
  readonly descriptors: ServiceDescriptors;
}

export type CatalogueRoutes = RouteTable<RoutedMethod>;

/**
 * Gives the routes at the moment of each call. A descriptor set that cannot be opened, and an annotation
 * that does not fit its method, make no route: they are another agency's.
 */
export function followCatalogue(
  replica: Pick<Replica, "view" | "blob">,
  agency: string,
): () => CatalogueRoutes {
  const opened = new Lru<string, ServiceDescriptors>(routeDescriptorsMax);
  let seen: RegistryView | undefined;
  let held: { readonly key: string; readonly routes: CatalogueRoutes } | undefined;

  function descriptorsOf({ body }: ServiceFact): ServiceDescriptors | undefined {
    const known = opened.get(body.descriptor);
    if (known !== undefined) return known;
    const digest = parseHex(body.descriptor);
    const bytes = digest === undefined ? undefined : replica.blob(digest);
    if (bytes === undefined) return undefined;
    try {
      const descriptors = openServiceDescriptors(bytes);
      opened.set(body.descriptor, descriptors);
      return descriptors;
    } catch (error) {
      if (error instanceof CausewayError) return undefined;
      throw error;
    }
  }

  function routesOf(services: readonly ServiceFact[]): Route<RoutedMethod>[] {
    return services.flatMap((service) => {
      const descriptors = descriptorsOf(service);
      if (descriptors === undefined) return [];
      return service.body.methods.flatMap(({ path }) => {
        const method = descriptors.method(path);
        const target = method && { service: service.id, path, method, descriptors };
        return target === undefined ? [] : routesOfMethod(target);
      });
    });
  }

  return () => {
    const view = replica.view();
    if (held !== undefined && seen === view) return held.routes;
    const granted = new Set(view.grantsOf(agency).map(({ detail }) => detail.service));
    const services = view.services().filter(({ id }) => granted.has(id));
    const key = services
      .map(({ id, body }) => `${id} ${body.version} ${body.descriptor}`)
      .join("\n");
    if (held?.key !== key) held = { key, routes: new RouteTable(routesOf(services)) };
    seen = view;
    return held.routes;
  };
}

function routesOfMethod(target: RoutedMethod): Route<RoutedMethod>[] {
  try {
    return bindingsOf(target.method).map((binding) => ({ binding, target }));
  } catch (error) {
    if (error instanceof CausewayError) return [];
    throw error;
  }
}
