import { equalBytes } from "../base/bytes.ts";
import { keyDigest } from "../record/leaf.ts";
import { formatAddress } from "../record/handle.ts";
import { tlsKeyId } from "./keys.ts";
import type { OrderedMap } from "./ordered-map.ts";
import type { GatewayFact, GrantFact, RegistryState, RegistryView, Standing } from "./state.ts";

interface Fact {
  readonly standing: Standing;
}

/**
 * The registry as a decision under `seenSize` sees it (DESIGN section 3). Nothing is computed before
 * it is asked for, and what was found is remembered: a view serves every call until the next final size.
 *
 * @throws RangeError when the registry has not reached `seenSize`.
 */
export function view(state: RegistryState, seenSize: bigint): RegistryView {
  if (seenSize < 0n || seenSize > state.size) {
    throw new RangeError(`the registry has ${state.size} leaves, not ${seenSize}`);
  }
  const isGiven = ({ standing }: Fact): boolean => standing.since < seenSize;

  /** The newest fact of an id that gives. */
  function newest<F extends Fact>(facts: OrderedMap<readonly F[]>): (id: string) => F | undefined {
    return remembered((id) => facts.get(id)?.findLast(isGiven));
  }
  function only<F extends Fact>(facts: OrderedMap<F>): (id: string) => F | undefined {
    return remembered((id) => {
      const fact = facts.get(id);
      return fact !== undefined && isGiven(fact) ? fact : undefined;
    });
  }
  const gateway = newest(state.gateways);
  const service = newest(state.services);
  const grant = only(state.grants);
  const grantAt = remembered((address) => {
    const jti = state.grantsByAddress.get(address);
    return jti === undefined ? undefined : grant(jti);
  });
  const grantsOf = remembered((consumer): readonly GrantFact[] | undefined => {
    const jtis = [...state.grantsByConsumer.withPrefix(`${consumer} `)].map(([, jti]) => jti);
    const found = jtis.flatMap((jti) => grant(jti) ?? []);
    return found.length === 0 ? undefined : found;
  });
  const gatewayOfTlsKey = remembered((digest): GatewayFact | undefined => {
    const binding = state.keys.get(digest);
    const owner = binding?.use === "tls" ? gateway(binding.owner) : undefined;
    return owner?.body.tls.some((hex) => `tls:${hex}` === digest) === true ? owner : undefined;
  });
  const batchKeys = remembered((id) =>
    state.gateways
      .get(id)
      ?.filter(isGiven)
      .map(({ batchKey }) => ({ batchKey, digest: keyDigest(batchKey) })),
  );
  const grants = once(() => [...state.grants.values()].filter(isGiven));
  const requests = once(() => [...state.requests.values()].filter(isGiven));
  const services = once(() => [...state.services.keys()].flatMap((id) => service(id) ?? []));

  return {
    seenSize,
    network: seenSize > 0n ? state.network : undefined,
    city: newest(state.cities),
    agency: newest(state.agencies),
    gateway,
    administrator: newest(state.administrators),
    service,
    policy: newest(state.policies),
    request: only(state.requests),
    grant,
    grantAt: ({ index, position }) => grantAt(formatAddress(index, position)),
    grantsOf: (consumer) => grantsOf(consumer) ?? [],
    grants,
    services,
    requests,
    batchKey: (id, digest) =>
      batchKeys(id)?.find((known) => equalBytes(known.digest, digest))?.batchKey,
    gatewayOfTlsKey: (spkiDigest) => gatewayOfTlsKey(tlsKeyId(spkiDigest)),
  };
}

/** `find` with what it found remembered. What is not there is looked for again: callers choose the keys. */
function remembered<V>(find: (key: string) => V | undefined): (key: string) => V | undefined {
  const found = new Map<string, V>();
  return (key) => {
    const known = found.get(key) ?? find(key);
    if (known !== undefined) found.set(key, known);
    return known;
  };
}

function once<V extends object>(compute: () => V): () => V {
  let value: V | undefined;
  return () => (value ??= compute());
}
