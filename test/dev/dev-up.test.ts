/** `causeway dev up` as a developer runs it, before a stock gRPC server, called by a stock client without metadata. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Client, credentials, Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import {
  type DevUp,
  type Ended,
  program,
  run,
  startDevUp,
  startProgram,
} from "../support/dev-up.ts";
import { eventually } from "../support/admin-client.ts";
import { reflecting } from "./reflecting-server.ts";

const root = mkdtempSync(join(tmpdir(), "causeway-"));
after(() => rmSync(root, { recursive: true, force: true }));

const path = "/trial.v1.Greeter/Greet";
const raw = (bytes: Buffer): Buffer => bytes;

/** A server that knows nothing of gateways, with reflection: it answers what it was sent, in brackets. */
async function startServer(): Promise<{ readonly address: string; close(): void }> {
  const server = new Server();
  server.addService(reflecting.definition, reflecting.handlers);
  server.addService(
    {
      greet: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      },
    },
    {
      greet: (call: { request: Buffer }, answer: (error: null, value: Buffer) => void) =>
        answer(null, Buffer.concat([call.request, call.request])),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

function call(
  address: string,
  request: Uint8Array,
): Promise<{ readonly answer: Buffer | undefined; readonly trailers: Metadata }> {
  const client = new Client(address, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    let answer: Buffer | undefined;
    const sent = client.makeUnaryRequest(path, raw, raw, Buffer.from(request), (error, value) => {
      if (error !== null) reject(error);
      answer = value;
    });
    sent.on("status", ({ metadata: trailers }) => {
      client.close();
      setImmediate(() => resolve({ answer, trailers }));
    });
  });
}

/** Processes whose command line names a folder. */
function processesIn(folder: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`TMPDIR=${folder}`);
      } catch {
        return false;
      }
    });
}

function assertNothingLeft(temporary: string): void {
  assert.deepEqual(readdirSync(temporary), []);
  assert.deepEqual(processesIn(temporary), []);
}

describe("causeway dev up", { skip: !existsSync("/proc/self/environ") && "no /proc here" }, () => {
  const temporary = mkdtempSync(join(root, "a-"));
  let server: Awaited<ReturnType<typeof startServer>>;
  let dev: DevUp;
  let ended: Ended;

  before(async () => {
    server = await startServer();
    // What sets up a gateway of the developer's own is nothing to this one.
    const own = { CAUSEWAY_DATA: join(root, "own"), CAUSEWAY_LISTENERS_PEER: "0.0.0.0:7443" };
    const env = { TMPDIR: temporary, ...own };
    dev = await startDevUp(["--upstream", server.address], { env });
  });

  after(() => {
    dev?.child.kill("SIGKILL");
    server?.close();
  });

  it("publishes what the server says of itself by reflection", () => {
    assert.deepEqual(dev.ready.services, [
      {
        id: "hangzhou/provider/greeter",
        service: "trial.v1.Greeter",
        methods: [
          { path, writes: true },
          { path: "/trial.v1.Greeter/Look", writes: false },
        ],
      },
    ]);
  });

  it("answers a caller that sets no metadata, with a receipt that becomes final", async () => {
    const request = Uint8Array.of(10, 2, 104, 105);
    const { answer, trailers } = await call(dev.ready.call, request);
    assert.deepEqual(answer, Buffer.from([...request, ...request]));
    const [receipt] = trailers.get("causeway-receipt");
    const { admin } = dev.ready.provider;
    const show = ["record", "show", String(receipt), "--admin", admin, "--output", "json"];
    await eventually("the receipt is final", async () => {
      const { stdout } = await run(process.execPath, [program, ...show]);
      const { kind, state } = JSON.parse(stdout) as { kind?: string; state?: string };
      assert.equal(kind, "receipt");
      return state === "final";
    });
  });

  it("ends on Ctrl-C with exit code 0, and leaves no folder and no process", async () => {
    assert.notDeepEqual(readdirSync(temporary), []);
    assert.ok(processesIn(temporary).length >= 3);
    ended = await dev.stop("SIGINT");
    assert.equal(ended.code, 0, ended.stderr);
    assertNothingLeft(temporary);
  });

  it("told each step on standard error, and one line on standard output", () => {
    assert.equal(ended.stdout.split("\n").length, 2);
    for (const step of ["by reflection", "found a network", "published", "granted", "SIGINT"]) {
      assert.ok(ended.stderr.includes(step), step);
    }
  });
});

describe("causeway dev up, ended early", {
  skip: !existsSync("/proc/self/environ") && "no /proc here",
}, () => {
  const proto = ["--proto", "proto/causeway/demo/v1/division.proto"];
  const up = ["dev", "up", "--upstream", "127.0.0.1:1", ...proto];

  it("by SIGTERM while its gateways start leaves no folder and no process", async () => {
    const temporary = mkdtempSync(join(root, "b-"));
    const env = { TMPDIR: temporary };
    const { child, ended, printed } = startProgram(process.execPath, [program, ...up], { env });
    await printed((_, stderr) => stderr.includes("starts its gateway"));
    child.kill("SIGTERM");
    const { code, stdout } = await ended;
    assert.notEqual(code, 0);
    assert.equal(stdout, "");
    assertNothingLeft(temporary);
  });

  it("by SIGKILL takes its gateways with it", async () => {
    const temporary = mkdtempSync(join(root, "c-"));
    const env = { TMPDIR: temporary };
    const { child, ended, printed } = startProgram(process.execPath, [program, ...up], { env });
    await printed((_, stderr) => stderr.includes("published"));
    assert.equal(processesIn(temporary).length, 3);
    child.kill("SIGKILL");
    await ended;
    await eventually("no gateway is left", () => processesIn(temporary).length === 0);
  });

  const refused: Readonly<Record<string, readonly [argv: readonly string[], reason: string]>> = {
    "before a server that is not there": [
      ["dev", "up", "--upstream", "127.0.0.1:1"],
      "UPSTREAM_UNAVAILABLE",
    ],
    "in a folder that holds something": [[...up, "--folder", "."], "FOLDER_NOT_EMPTY"],
    "with a pattern that no method has": [[...up, "--read-only", "/No/*"], "USAGE_INVALID"],
    "for callers of other machines": [[...up, "--listen", "0.0.0.0:50052"], "USAGE_INVALID"],
    "by a file that holds no descriptors": [
      ["dev", "up", "--upstream", "127.0.0.1:1", "--descriptors", "package.json"],
      "DESCRIPTOR_INVALID",
    ],
  };
  for (const [what, [argv, reason]] of Object.entries(refused)) {
    it(`${what} says ${reason}, and leaves nothing`, async () => {
      const temporary = mkdtempSync(join(root, "d-"));
      const env = { TMPDIR: temporary };
      const { code, stderr } = await run(process.execPath, [program, ...argv], { env });
      assert.notEqual(code, 0);
      assert.match(stderr, new RegExp(`reason {2}${reason}:`));
      assertNothingLeft(temporary);
    });
  }

  it("for callers at an address that is taken says so before anything is made", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const listen = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    try {
      const { code, stderr } = await run(process.execPath, [program, ...up, "--listen", listen]);
      assert.equal(code, 1);
      assert.match(
        stderr,
        new RegExp(`^causeway: --listen ${listen} is taken\n  reason  LISTENER_FAILED`),
      );
    } finally {
      taken.close();
    }
  });
});
