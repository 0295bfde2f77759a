/** What one reflection stream answers: the catalogue of the ledger as its caller may use it. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Clock } from "../../src/base/clock.ts";
import { reflectionSetsMax } from "../../src/base/limits.ts";
import { Lru } from "../../src/base/lru.ts";
import { type ReasonCode, reason } from "../../src/base/reasons.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import type {
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import { rawDigest } from "../../src/registry/keys.ts";
import type { ServiceFact } from "../../src/registry/state.ts";
import { builtInDescriptors, builtInServiceNames } from "./built-in-descriptors.ts";
import { callableServices, mayUse } from "./catalogue.ts";
import { DescriptorIndex } from "./descriptor-index.ts";

export interface ReflectionPorts {
  readonly replica: Pick<Replica, "final" | "view" | "blob">;
  readonly clock: Clock;
  readonly agency: string;
}

type Answer = Exclude<
  MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"],
  undefined
>;

/** Descriptor sets by their digest, opened once for all streams. */
export class DescriptorSets {
  readonly builtIn: DescriptorIndex = builtInDescriptors();
  readonly #blob: (sha256: Uint8Array) => Uint8Array | undefined;
  readonly #opened = new Lru<string, DescriptorIndex>(reflectionSetsMax);
  readonly #broken = new Lru<string, true>(reflectionSetsMax);

  constructor(replica: Pick<Replica, "blob">) {
    this.#blob = (sha256) => replica.blob(sha256);
  }

  /**
   * `undefined` while the blob is not here, and for one that is no descriptor set: it was checked against its
   * digest when it came in, and its publisher says what it holds.
   */
  get(digest: string): DescriptorIndex | undefined {
    const known = this.#opened.get(digest);
    if (known !== undefined) return known;
    if (this.#broken.get(digest) === true) return undefined;
    const blob = this.#blob(rawDigest(digest));
    if (blob === undefined) return undefined;
    try {
      const index = new DescriptorIndex(blob);
      this.#opened.set(digest, index);
      return index;
    } catch {
      // The decoder throws errors of any kind; what one city publishes takes reflection from nobody.
      this.#broken.set(digest, true);
      return undefined;
    }
  }
}

/** Where a file or symbol is looked for. */
interface Source {
  /** Digest of the descriptor set; empty for the built-in one. */
  readonly digest: string;
  readonly index: DescriptorIndex;
}

export class ReflectionAnswers {
  readonly #ports: ReflectionPorts;
  readonly #sets: DescriptorSets;
  readonly #caller: AgencySystem;
  /** Data service that the caller has named. */
  readonly #named: string | undefined;
  /** The set that answered last: what is asked for by file name next belongs to it. */
  #current: Source | undefined;
  /** Files that the caller has, by digest of their set. */
  readonly #sent = new Map<string, Set<string>>();

  constructor(
    ports: ReflectionPorts,
    options: {
      readonly sets: DescriptorSets;
      readonly caller: AgencySystem;
      readonly service: string | undefined;
    },
  ) {
    this.#ports = ports;
    this.#sets = options.sets;
    this.#caller = options.caller;
    this.#named = options.service ?? options.caller.defaults?.service;
  }

  answer({ messageRequest }: ServerReflectionRequest): Answer {
    switch (messageRequest.case) {
      case "listServices":
        return this.#listServices();
      case "fileByFilename": {
        const name = messageRequest.value;
        return this.#file(this.#sources(), (index) => (index.has(name) ? name : undefined));
      }
      case "fileContainingSymbol": {
        const symbol = messageRequest.value.replace(/^\./, "");
        return this.#file(this.#sources(symbol), (index) => index.fileOfSymbol(symbol));
      }
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = messageRequest.value;
        return this.#file(this.#sources(containingType), (index) =>
          index.fileOfExtension(containingType, extensionNumber),
        );
      }
      case "allExtensionNumbersOfType":
        return this.#extensionNumbers(messageRequest.value.replace(/^\./, ""));
      default:
        return failed("MALFORMED");
    }
  }

  #listServices(): Answer {
    const { agency, clock, replica } = this.#ports;
    const names = new Set(builtInServiceNames);
    if (replica.final() !== undefined) {
      const callable = callableServices({
        view: replica.view(),
        agency,
        system: this.#caller,
        nowS: Math.floor(clock.nowMs() / 1000),
      });
      for (const { service, grpcNames } of callable) {
        if (this.#sets.get(service.body.descriptor) === undefined) continue;
        for (const name of grpcNames) names.add(name);
      }
    }
    const service = [...names].toSorted().map((name) => ({ name }));
    return { case: "listServicesResponse", value: { service } };
  }

  #file(sources: Iterable<Source>, find: (index: DescriptorIndex) => string | undefined): Answer {
    for (const source of sources) {
      const name = find(source.index);
      if (name === undefined) continue;
      this.#current = source;
      return this.#withImports(source, name);
    }
    return failed("DESCRIPTOR_UNKNOWN");
  }

  #withImports({ digest, index }: Source, name: string): Answer {
    const sent = this.#sent.get(digest) ?? new Set<string>();
    this.#sent.set(digest, sent);
    const files = index.withImports(name, sent);
    for (const file of files) sent.add(file.name);
    return {
      case: "fileDescriptorResponse",
      value: { fileDescriptorProto: files.map(({ bytes }) => bytes) },
    };
  }

  #extensionNumbers(message: string): Answer {
    for (const { index } of this.#sources(message)) {
      const extensionNumber = index.extensionNumbers(message);
      if (extensionNumber === undefined) continue;
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: message, extensionNumber },
      };
    }
    return failed("DESCRIPTOR_UNKNOWN");
  }

  /**
   * Every set that this caller may read, the likeliest first, because two services may publish different
   * versions of one file: the service that it named, the services whose own contract the symbol is of,
   * the set that answered last, what it can call, the rest of the catalogue.
   */
  *#sources(symbol?: string): Generator<Source> {
    const offered = new Set<string>();
    const owners = symbol === undefined ? [] : this.#owners(symbol);
    const ranked = [
      ...this.#services().filter(({ id }) => id === this.#named),
      ...owners,
      this.#current,
      ...this.#services(),
    ];
    for (const each of ranked) {
      const source = each === undefined || "index" in each ? each : this.#sourceOf(each);
      if (source === undefined || offered.has(source.digest)) continue;
      offered.add(source.digest);
      yield source;
    }
    yield { digest: "", index: this.#sets.builtIn };
  }

  #sourceOf({ body }: ServiceFact): Source | undefined {
    const index = this.#sets.get(body.descriptor);
    return index === undefined ? undefined : { digest: body.descriptor, index };
  }

  /** Services that publish this gRPC service, or this method of it, as theirs. */
  #owners(symbol: string): ServiceFact[] {
    const method = `/${symbol.replace(/\.([^.]*)$/, "/$1")}`;
    return this.#services().filter(({ body }) =>
      body.methods.some(({ path }) => path === method || path.startsWith(`/${symbol}/`)),
    );
  }

  /** Those that it can call first. */
  #services(): ServiceFact[] {
    const { agency, clock, replica } = this.#ports;
    if (replica.final() === undefined) return [];
    const view = replica.view();
    const nowS = Math.floor(clock.nowMs() / 1000);
    const callable = callableServices({ view, agency, system: this.#caller, nowS }).map(
      ({ service }) => service,
    );
    const others = view
      .services()
      .filter((service) => mayUse(this.#caller, service.id) && !callable.includes(service));
    return [...callable, ...others];
  }
}

/** An error in-band: the stream goes on. */
function failed(code: ReasonCode): Answer {
  const { grpcCode, en } = reason(code);
  return {
    case: "errorResponse",
    value: { errorCode: grpcCode, errorMessage: `${code}: ${en}` },
  };
}
