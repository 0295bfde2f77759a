import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { AuthorizationDetail } from "../../src/credential/statements.ts";
import type { ManyCities } from "../support/many-cities.ts";
import { divisionsService, getDivision } from "../support/two-cities.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startManyCities } from "./processes.ts";
import { rounds } from "./rounds.ts";
import { assertOnLedger, sealedCounts, settled } from "./settled.ts";

const writersPerGateway = 25;
const recordsPerWriter = rounds(8);
/** Far above what a gateway needs, far below what it would need if it kept what it has sealed. */
const residentBytesMax = 640 * 2 ** 20;

const details: readonly AuthorizationDetail[] = [
  {
    type: "causeway-service",
    service: divisionsService,
    methods: [getDivision],
    purposes: ["statistics"],
    legal_basis: "order-809-12",
  },
];

describe("100 writers over four gateways", () => {
  let network: FaultNetwork<ManyCities>;

  before(async () => {
    network = await startManyCities({ program: "product" });
  });

  after(() => network?.close());

  async function write({ member, admin }: GatewayProcess): Promise<void> {
    for (let i = 0; i < recordsPerWriter; i++) {
      const body = { authorization_details: details };
      const request = network.cities.sign(member, "request", divisionsService, body);
      await admin.submit(request.jws, 0);
    }
  }

  it("leave chains without a gap, every record once, and memory as it was", async () => {
    const { gateways, consumer } = network;
    const writers = gateways.flatMap((gateway) =>
      Array.from({ length: writersPerGateway }, () => write(gateway)),
    );
    await Promise.all(writers);
    const ledger = new FinalLedger(consumer.member.addresses.http);
    const sealed = await sealedCounts(gateways);
    await settled(network, ledger);
    const ids = new Set<string>();
    for (const { body } of ledger.records) {
      const [jws = ""] = body.case === "statement" ? body.value.jws : [];
      if (body.case === "statement") assert.ok(!ids.has(jws), "a statement stands twice");
      ids.add(jws);
    }
    assert.ok(ids.size >= gateways.length * writersPerGateway * recordsPerWriter);
    for (const gateway of gateways) {
      const bytes = await gateway.residentBytes();
      assert.ok(bytes < residentBytesMax, `${gateway.member.folder}: ${bytes} bytes`);
    }
    for (const gateway of gateways) await gateway.end("SIGTERM");
    for (const [i, gateway] of gateways.entries()) {
      const durable = gateway.journal();
      const count = sealed[i] as number;
      assert.ok(count > 0 && durable.length >= count);
      assertOnLedger(durable.slice(0, count), ledger);
    }
  });
});
