/** What all schedules have in common: a founded network, two services, and grants with the statements that revoke them. */
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { type AuthorizationDetail, defaultBounds } from "../../src/credential/statements.ts";
import type { VerifiedStatement } from "../../src/credential/statements.ts";
import { file_causeway_demo_v1_division } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import type { FinalCheckpoint } from "../../src/ledger/ports.ts";
import { formatNote } from "../../src/note/note.ts";
import { addSignatures, cosignCheckpoint, signCheckpoint } from "../../src/note/sign.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import type { PolicyEngine, PolicyProblem, PolicyVerdict } from "../../src/policy/ports.ts";
import { standardPolicyText, standardSchema } from "../../src/policy/standard.ts";
import { recordHash } from "../../src/record/record.ts";
import { type RecordFact, verifyBatch } from "../../src/registry/verify-batch.ts";
import { TestLedger } from "../support/ledger.ts";
import {
  createTestNetwork,
  type SignedStatement,
  type TestAgency,
  type TestGateway,
  type TestNetwork,
} from "../support/network.ts";
import { sayPolicy, sayRevocation, sayService } from "../support/statements.ts";
import { streamDescriptors, streamMethods, streamShapes } from "../support/stream-service.ts";
import { maskFields, maskMetadata } from "./exchange-answers.ts";
import { fastSigner, fastVerifier } from "./exchange-crypto.ts";

/** A grant that a schedule may revoke, with the statement that does. */
export interface SimGrant {
  readonly jti: string;
  readonly consumer: string;
  readonly service: string;
  /** Encoded record of the revocation, and what the fold makes of it. */
  readonly revocation: Uint8Array;
  readonly verified: VerifiedStatement;
  readonly fact: RecordFact;
}

export interface SimMethod {
  readonly path: string;
  readonly service: string;
  readonly writes: boolean;
  readonly client: boolean;
  readonly server: boolean;
}

export interface Universe {
  readonly network: TestNetwork;
  readonly provider: TestGateway;
  readonly consumers: readonly [TestGateway, TestGateway];
  readonly ledger: TestLedger;
  /** What an export of the ledger holds so far. */
  readonly entries: readonly ExportEntry[];
  readonly finals: readonly FinalCheckpoint[];
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  readonly grants: readonly SimGrant[];
  readonly methods: readonly SimMethod[];
  readonly engine: PolicyEngine;
  /** Unix milliseconds at which schedules begin. */
  readonly startMs: number;
}

export const purpose = "address-check";
const grantsEach = 3;
/** Seconds from the begin of a schedule to the end of the grant that ends in it. */
export const earlyEndS: number = 25;
const mask = { fields: maskFields, metadata: maskMetadata } as const;
/** Used up where calls come in a crowd. */
const quota = { limit: 5, period_s: 30 } as const;

let universe: Promise<Universe> | undefined;

/** Made once in a process: nothing in it changes. */
export function theUniverse(): Promise<Universe> {
  universe ??= found();
  return universe;
}

/** The final note of a tree, with a cosignature of each city. */
export function finalNote(
  network: TestNetwork,
  tree: { readonly size: bigint; readonly root: Uint8Array },
  timeMs: number,
): Uint8Array {
  const origin = `causeway/${network.idHex}/0`;
  const checkpoint = { origin, ...tree, extensions: [] };
  const cosignatures = network.cities.map((city) =>
    cosignCheckpoint({
      checkpoint,
      name: `causeway/${network.idHex}/${city.id}`,
      signer: fastSigner(city.witness),
      timeMs,
    }),
  );
  return formatNote(
    addSignatures(signCheckpoint(checkpoint, fastSigner(network.log)), cosignatures),
  );
}

const descriptorsOfDivisions = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, { file: [file_causeway_demo_v1_division.proto] }),
);
const policyText = utf8(standardPolicyText);
const schemaText = utf8(standardSchema([]));

async function found(): Promise<Universe> {
  const made = createTestNetwork({
    seed: "exchange simulation",
    cities: [
      { id: "hangzhou", division: "330100", agency: "civil-affairs" },
      { id: "shenzhen", division: "440300", agency: "market-regulation" },
      { id: "suzhou", division: "320500", agency: "housing" },
    ],
    network: {
      bounds: {
        ...defaultBounds,
        heartbeat_s: 5,
        inclusion_bound_s: 60,
        window_segments: 2,
        segment_messages: 3,
        unacknowledged_receipts: 12,
      },
    },
  });
  const network: TestNetwork = { ...made, verifier: fastVerifier };
  const agencies = network.cities.map(({ agency }) => agency) as [
    TestAgency,
    TestAgency,
    TestAgency,
  ];
  const [provider, first, second] = agencies;
  const founding = new Founding(network);
  await founding.batch(provider, network.founding);
  const services = [
    { sub: `${provider.id}/streams`, descriptors: streamDescriptors(), methods: streamRows() },
    { sub: `${provider.id}/divisions`, descriptors: descriptorsOfDivisions, methods: unaryRows() },
  ];
  for (const { sub, descriptors, methods } of services) {
    const body = {
      descriptor: toHex(sha256(descriptors)),
      descriptor_bytes: descriptors.length,
      methods: methods.map(({ path, writes, client, server }) => ({
        path,
        writes,
        client_streaming: client,
        server_streaming: server,
      })),
      max_staleness_s: 30,
    };
    founding.blob(descriptors);
    await founding.batch(provider, [sayService(network, { claims: { sub }, body }).record]);
  }
  founding.blob(policyText);
  founding.blob(schemaText);
  const policy = {
    policy: toHex(sha256(policyText)),
    policy_bytes: policyText.length,
    schema: toHex(sha256(schemaText)),
    schema_bytes: schemaText.length,
  };
  const policies = services.map(
    ({ sub }) => sayPolicy(network, { claims: { sub }, body: policy }).record,
  );
  await founding.batch(provider, policies);
  const asked: {
    readonly agency: TestAgency;
    readonly request: SignedStatement<"request">;
    readonly endsEarly: boolean;
  }[] = [];
  for (const agency of [first, second]) {
    const requests = services.flatMap(({ sub, methods }) =>
      Array.from({ length: grantsEach }, (_, i) => {
        const details: AuthorizationDetail[] = [
          {
            type: "causeway-service",
            service: sub,
            methods: methods.map(({ path }) => path).toSorted(),
            purposes: [purpose],
            legal_basis: "GB/T-2260",
            // The second newest asks for what is final before it is released, the newest counts its calls.
            ...(i === 1 ? { durability: "ledger" as const } : {}),
            ...(i === grantsEach - 1 ? { quota } : {}),
            ...(i === grantsEach - 1 && sub.endsWith("/divisions") ? mask : {}),
          },
        ];
        const body = { authorization_details: details };
        const claims = { iss: agency.id, sub, body };
        const request = network.say("request", claims, [agency.administrator]);
        // Streams of one consumer are open when the newest grant ends, and go on under the one before.
        const endsEarly = agency === second && sub.endsWith("/streams") && i === grantsEach - 1;
        return { agency, request, endsEarly };
      }),
    );
    asked.push(...requests);
    const records = requests.map(({ request }) => request.record);
    await founding.batch(agency, records);
  }
  // With the batch of the grants, and a second before the schedules begin.
  const startS = Math.floor(founding.ledger.nowMs / 1000) + 2;
  const granted = asked.map(({ agency, request, endsEarly }) => {
    const nbf = Math.floor(network.startMs / 1000);
    const { authorization_details } = request.body;
    const body = { request: request.claims.jti, authorization_details };
    const claims = {
      iss: provider.id,
      sub: agency.id,
      nbf,
      exp: endsEarly ? startS + earlyEndS : nbf + 86_400,
    };
    return network.say("grant", { ...claims, body }, [provider.administrator]);
  });
  await founding.batch(
    provider,
    granted.map(({ record }) => record),
  );
  const grants = await Promise.all(granted.map((grant) => founding.revocationOf(grant)));
  return {
    network,
    provider: provider.gateway,
    consumers: [first.gateway, second.gateway],
    ledger: founding.ledger,
    entries: founding.entries,
    finals: founding.finals,
    blobs: founding.blobs,
    grants,
    methods: services.flatMap(({ sub, methods }) =>
      methods.map((method) => ({ ...method, service: sub })),
    ),
    engine: timeless(createCedarEngine()),
    startMs: founding.ledger.nowMs + 1000,
  };
}

/** The same engine, asked once for what differs in time alone: the published policy does not ask for it. */
function timeless(engine: PolicyEngine): PolicyEngine {
  const verdicts = new Map<string, PolicyVerdict>();
  let problems: readonly PolicyProblem[] | undefined;
  return {
    name: engine.name,
    version: engine.version,
    digest: engine.digest,
    evaluate: (query) => {
      const { principal, resource, context } = query.request;
      const key = JSON.stringify([principal, resource, { ...context, now: 0 }]);
      const verdict = verdicts.get(key) ?? engine.evaluate(query);
      verdicts.set(key, verdict);
      return verdict;
    },
    validate: (blobs) => (problems ??= engine.validate(blobs)),
  };
}

type MethodRow = Omit<SimMethod, "service">;

function streamRows(): readonly MethodRow[] {
  return Object.entries(streamMethods)
    .map(([name, path]) => ({ path, ...streamShapes[name as keyof typeof streamShapes] }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function unaryRows(): readonly MethodRow[] {
  const path = "/causeway.demo.v1.DivisionService";
  const unary = { client: false, server: false };
  return [
    { path: `${path}/GetDivision`, writes: false, ...unary },
    { path: `${path}/ReportCorrection`, writes: true, ...unary },
  ];
}

class Founding {
  readonly ledger: TestLedger;
  readonly entries: ExportEntry[];
  readonly finals: FinalCheckpoint[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  readonly #network: TestNetwork;

  constructor(network: TestNetwork) {
    this.#network = network;
    this.ledger = new TestLedger(network);
    this.entries = [{ kind: "header", network: network.id }];
  }

  blob(content: Uint8Array): void {
    this.entries.push({ kind: "blob", content });
    this.blobs.set(toHex(sha256(content)), content);
  }

  /** A batch of the agency's gateway, final a second later. */
  async batch({ gateway }: TestAgency, records: readonly Uint8Array[]): Promise<void> {
    const { ledger } = this;
    const { batch, voids } = await ledger.append(gateway, records, {
      signer: fastSigner(gateway.batch),
    });
    if (voids.length > 0) throw new TypeError(`void: ${voids.map(({ reason }) => reason).join()}`);
    this.entries.push({ kind: "batch", leaf: batch.leaf, records: batch.records });
    ledger.nowMs += 1000;
    const { nowMs: timeMs, size, state } = ledger;
    const root = ledger.rootAt(size) as Uint8Array;
    const note = finalNote(this.#network, { size, root }, timeMs);
    this.entries.push({ kind: "note", note, digest: state.digest });
    this.finals.push({ size, root, note, timeMs });
  }

  async revocationOf(grant: SignedStatement<"grant">): Promise<SimGrant> {
    const { record } = sayRevocation(this.#network, grant);
    const { gateway } = this.#network.provider;
    const signer = fastSigner(gateway.batch);
    const batch = this.ledger.seal(gateway, [record], { signer });
    const checked = await verifyBatch(this.ledger.state, batch, fastVerifier);
    const fact = checked.kind === "verified" ? checked.facts[0] : undefined;
    if (fact?.kind !== "statement") throw new TypeError("the revocation does not verify");
    return {
      jti: grant.claims.jti,
      consumer: grant.claims.sub,
      service: grant.body.authorization_details[0]?.service as string,
      revocation: record,
      verified: fact.said,
      fact: { ...fact, recordHash: recordHash(record) },
    };
  }
}
