/**
 * The official gRPC interoperability client and server, as they are published, with two gateways between
 * them. The client knows nothing of gateways: it sets no metadata of theirs, and checks the answers itself.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { execFileSync } from "node:child_process";
import { freePort } from "../support/free-port.ts";
import { type DevUp, program, run, startDevUp, startProgram } from "../support/dev-up.ts";
import { built, missing } from "./built.ts";

const cases: readonly string[] = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "custom_metadata",
  "status_code_and_message",
  "special_status_message",
  "unimplemented_method",
  "unimplemented_service",
];

const caseMs = 20_000;

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

describe("the official interoperability client, through two gateways", {
  skip: missing("interop-server", "interop-client", "descriptors"),
}, () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-"));
  let server: ReturnType<typeof startProgram>;
  let dev: DevUp;

  before(async () => {
    const port = await freePort();
    server = startProgram(built("interop-server"), [`--port=${port}`]);
    const descriptors = join(folder, "interop.binpb");
    const names = ["grpc.testing.TestService", "grpc.testing.UnimplementedService"];
    writeFileSync(descriptors, execFileSync(built("descriptors"), names));
    dev = await startDevUp(["--upstream", `127.0.0.1:${port}`, "--descriptors", descriptors]);
    assert.ok(await listens(port), "the interoperability server listens");
  });

  after(async () => {
    await dev?.stop();
    server?.child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  for (const name of cases) {
    it(`passes ${name}`, async () => {
      const [host, port] = dev.ready.call.split(":");
      const flags = [`--server_host=${host}`, `--server_port=${port}`, `--test_case=${name}`];
      const { code, stderr, stdout } = await run(built("interop-client"), flags, {
        endMs: caseMs,
      });
      assert.equal(code, 0, stdout + stderr);
    });
  }

  it("leaves a receipt of the provider and an acknowledgement of the consumer for what was answered", async () => {
    for (const [member, kind] of [
      [dev.ready.provider, "receipt"],
      [dev.ready.consumer, "acknowledgement"],
    ] as const) {
      const words = ["record", "list", "--limit", "500", "--output", "json"];
      const listed = await run(process.execPath, [program, ...words, "--admin", member.admin]);
      const rows = JSON.parse(listed.stdout) as readonly { readonly kind: string }[];
      const count = rows.filter((row) => row.kind === kind).length;
      assert.ok(count >= 4, `${member.gateway} has sealed ${count} records of kind ${kind}`);
    }
  });
});
