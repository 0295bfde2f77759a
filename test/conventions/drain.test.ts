/** SIGTERM before a real gateway process, with a call in flight. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { credentials, makeClientConstructor, type ServiceError, status } from "@grpc/grpc-js";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import {
  Health,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import { AgencyClient } from "../support/agency-client.ts";
import { eventually } from "../support/admin-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";

const program = fileURLToPath(new URL("../../gateway/cli/main.js", import.meta.url));

/** Holds every call of the data service until it is let go. */
class Held extends EventEmitter {
  #free: Promise<void> = Promise.resolve();
  #letGo = (): void => undefined;

  hold(): void {
    this.#free = new Promise((resolve) => {
      this.#letGo = resolve;
    });
  }

  letGo(): void {
    this.#letGo();
  }

  wrap(upstream: UpstreamConnector): UpstreamConnector {
    return {
      kind: upstream.kind,
      open: (call, listener) => upstream.open(call, listener),
      callUnary: async (call) => {
        this.emit("called");
        await this.#free;
        return upstream.callUnary(call);
      },
      close: () => upstream.close(),
    };
  }
}

describe("a gateway process that is told to end", () => {
  const held = new Held();
  let running: Running;

  before(async () => {
    running = await startTwoCities({
      overrides: { provider: { wrapUpstream: (upstream) => held.wrap(upstream) } },
    });
    await running.gateways.consumer.close();
  });

  after(async () => {
    held.letGo();
    await running?.close();
  });

  async function started(drainMs: number): Promise<ChildProcess> {
    const file = running.cities.consumer.configFile;
    const config = parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    writeFileSync(file, stringify({ ...config, limits: { drain_ms: drainMs } }), { mode: 0o600 });
    const child = spawn(
      process.execPath,
      ["--no-turbo-inline-js-wasm-calls", program, "gateway", "run", "--config", file],
      { stdio: ["ignore", "ignore", "inherit"], timeout: 40_000, killSignal: "SIGKILL" },
    );
    await eventually("the gateway is ready", async () => (await health()).ready);
    return child;
  }

  async function health(): Promise<{ ready: boolean; reasons: readonly string[] }> {
    const url = `http://${running.cities.consumer.addresses.http}/healthz`;
    const response = await fetch(url).catch(() => undefined);
    if (response === undefined) return { ready: false, reasons: [] };
    return (await response.json()) as { ready: boolean; reasons: readonly string[] };
  }

  async function unacknowledged(): Promise<string | undefined> {
    const page = await fetch(`http://${running.cities.provider.addresses.http}/metrics`);
    return /^causeway_unacknowledged_receipts (\d+)$/m.exec(await page.text())?.[1];
  }

  test("says first that it takes no more calls, lets the open one end with its records, and ends with 0", async () => {
    const child = await started(20_000);
    const { agency } = running.cities.consumer.addresses;
    const client = new AgencyClient(agency);
    const Stub = makeClientConstructor(grpcDefinition(Health), Health.typeName);
    const stub = new Stub(agency, credentials.createInsecure());
    const states: Serving[] = [];
    const watch = stub["watch"]?.({ $typeName: "grpc.health.v1.HealthCheckRequest", service: "" });
    const ended = new Promise<ServiceError>((resolve) => watch.on("error", resolve));
    watch.on("data", (response: HealthCheckResponse) => states.push(response.status));
    await once(watch, "data");

    held.hold();
    const called = once(held, "called");
    const answer = client.getDivision("330106");
    await called;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    assert.equal((await ended).code, status.UNAVAILABLE);
    assert.deepEqual(states, [Serving.SERVING, Serving.NOT_SERVING]);
    assert.deepEqual(await health(), { ready: false, reasons: ["SHUTTING_DOWN"] });
    assert.equal(child.exitCode, null);

    held.letGo();
    const { code, message, reason, trailers } = await answer;
    assert.equal(code, status.OK, reason);
    assert.equal(message?.division?.name, "西湖区");
    assert.equal(trailers.get("causeway-receipt").length, 1);
    assert.deepEqual(await exited, [0, null]);
    assert.equal(await unacknowledged(), "0");
    client.close();
    stub.close();
  });

  test("cuts off what is open past the grace, closes it with its record, and ends with 0", async () => {
    const child = await started(300);
    const client = new AgencyClient(running.cities.consumer.addresses.agency);
    held.hold();
    const called = once(held, "called");
    const answer = client.getDivision("330106");
    await called;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
    assert.notEqual((await answer).code, status.OK);
    held.letGo();
    client.close();
  });
});
