/** Two hops of nginx as one sets them up for gRPC between two parties, with mutual TLS between them and no log. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createSelfSignedCertificate } from "../gateway/keys/tls.ts";
import { certificatePem } from "../gateway/tls.ts";
import { eventually } from "../test/support/admin-client.ts";
import { freePort } from "../test/support/free-port.ts";
import type { Chain } from "./chains.ts";
import type { Child } from "./child.ts";
import { childrenOf, tellsUsage, usageOf } from "./process-usage.ts";

export interface Nginx {
  readonly command: string;
  /** Such as `1.22.1`. */
  readonly version: string;
}

const commands = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"];
const day = 24 * 60 * 60 * 1000;

/** The nginx of this machine, or why there is none that will do. Nothing is installed. */
export function findNginx(): Nginx | { readonly missing: string } {
  if (!tellsUsage()) return { missing: "no /proc, which says what nginx uses" };
  for (const command of commands) {
    const { status, stderr } = spawnSync(command, ["-V"], { encoding: "utf8" });
    if (status !== 0) continue;
    const [, version] = /nginx\/(\d+\.\d+\.\d+)/.exec(stderr) ?? [];
    if (version === undefined || !isAtLeast(version, [1, 20])) {
      return { missing: `nginx 1.20 or newer is needed, this is ${version ?? "another"}` };
    }
    const modules = ["--with-http_v2_module", "--with-http_ssl_module"];
    const absent = modules.find((module) => !stderr.includes(module));
    return absent === undefined
      ? { command, version }
      : { missing: `${command} was built without ${absent}` };
  }
  return { missing: "no nginx" };
}

/** Starts both hops in front of an upstream on plaintext, `host:port`; what they need is below `folder`. */
export async function startNginx(
  nginx: Nginx,
  { upstream, folder }: { readonly upstream: string; readonly folder: string },
): Promise<Chain> {
  const tls = writeTls(folder);
  const provider = await startHop(nginx, join(folder, "provider"), {
    listen: [
      "ssl_protocols TLSv1.3;",
      `ssl_certificate ${tls.provider.certificate};`,
      `ssl_certificate_key ${tls.provider.key};`,
      `ssl_client_certificate ${tls.consumer.certificate};`,
      "ssl_verify_client on;",
    ],
    isTls: true,
    next: upstream,
    pass: ["grpc_pass grpc://next;"],
  });
  const consumer = await startHop(nginx, join(folder, "consumer"), {
    listen: [],
    isTls: false,
    next: `127.0.0.1:${provider.port}`,
    pass: [
      "grpc_pass grpcs://next;",
      "grpc_ssl_protocols TLSv1.3;",
      `grpc_ssl_certificate ${tls.consumer.certificate};`,
      `grpc_ssl_certificate_key ${tls.consumer.key};`,
      `grpc_ssl_trusted_certificate ${tls.provider.certificate};`,
      "grpc_ssl_verify on;",
      "grpc_ssl_server_name on;",
      `grpc_ssl_name ${tls.provider.name};`,
    ],
  });
  return {
    name: "nginx",
    target: `127.0.0.1:${consumer.port}`,
    hops: { consumer, provider },
    settle: async () => undefined,
    stop: async () => {
      await consumer.stop();
      await provider.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface HopConfig {
  /** Directives of its own listener. */
  readonly listen: readonly string[];
  readonly isTls: boolean;
  /** `host:port` of the next hop. */
  readonly next: string;
  /** Directives about the next hop. */
  readonly pass: readonly string[];
}

interface TlsFiles {
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
}

/** Where the keys of both sides are below the folder. */
export function tlsFiles(folder: string): Record<"consumer" | "provider", TlsFiles> {
  const of = (side: string): TlsFiles => ({
    name: `${side}.bench.invalid`,
    certificate: join(folder, `${side}.crt`),
    key: join(folder, `${side}.key`),
  });
  return { consumer: of("consumer"), provider: of("provider") };
}

/** Keys of the kind that gateways have, P-256, each side's certificate the only one that the other takes. */
function writeTls(folder: string): ReturnType<typeof tlsFiles> {
  const files = tlsFiles(folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const { name, certificate, key } of [files.consumer, files.provider]) {
    const times = { notBeforeMs: Date.now() - day, notAfterMs: Date.now() + day };
    const made = createSelfSignedCertificate({ name, ...times });
    writeFileSync(certificate, certificatePem(made.certificateDer));
    writeFileSync(key, made.privateKeyPem, { mode: 0o600 });
  }
  return files;
}

async function startHop(nginx: Nginx, folder: string, config: HopConfig): Promise<Child> {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "nginx.conf");
  writeFileSync(file, formatConfig(nginx, { folder, port, config }));
  const args = ["-e", "stderr", "-p", folder, "-c", file];
  const process_ = spawn(nginx.command, args, { stdio: ["ignore", 2, 2] });
  // Nginx does not notice when whoever started it is gone.
  const kill = (): void => void process_.kill("SIGTERM");
  process.once("exit", kill);
  await once(process_, "spawn");
  const hasEnded = (): boolean => process_.exitCode !== null || process_.signalCode !== null;
  await eventually("nginx listens", () => hasEnded() || canConnect(port));
  if (hasEnded()) throw new Error(`nginx ended with code ${process_.exitCode}`);
  const pid = process_.pid as number;
  return {
    port,
    ask: () => Promise.reject(new Error("nginx answers no questions")),
    usage: async () => usageOf([pid, ...childrenOf(pid)]),
    stop: async () => {
      process.off("exit", kill);
      kill();
      if (!hasEnded()) await once(process_, "exit");
    },
  };
}

/** As many workers as cores, pools of kept connections that nothing closes, nothing logged but faults. */
function formatConfig(
  { version }: Nginx,
  hop: { readonly folder: string; readonly port: number; readonly config: HopConfig },
): string {
  const { folder, port, config } = hop;
  // The parameter of `listen` became a directive of its own, and nginx warns of the old form.
  const hasDirective = isAtLeast(version, [1, 25, 1]);
  const listen = `listen 127.0.0.1:${port}${config.isTls ? " ssl" : ""}${hasDirective ? "" : " http2"};`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return [
    "daemon off;",
    `pid ${join(folder, "nginx.pid")};`,
    "error_log stderr warn;",
    "worker_processes auto;",
    // What the master may read, a worker of another user may not.
    ...(process.getuid?.() === 0 ? ["user root;"] : []),
    "events { worker_connections 4096; }",
    "http {",
    "  access_log off;",
    ...temporary.map((name) => `  ${name}_temp_path ${join(folder, name)};`),
    "  keepalive_requests 1000000000;",
    "  keepalive_timeout 1h;",
    "  upstream next {",
    `    server ${config.next};`,
    "    keepalive 512;",
    "    keepalive_requests 1000000000;",
    "    keepalive_timeout 1h;",
    "  }",
    "  server {",
    `    ${listen}`,
    ...(hasDirective ? ["    http2 on;"] : []),
    "    http2_max_concurrent_streams 1024;",
    ...config.listen.map((line) => `    ${line}`),
    "    location / {",
    ...config.pass.map((line) => `      ${line}`),
    "    }",
    "  }",
    "}",
    "",
  ].join("\n");
}

function isAtLeast(version: string, wanted: readonly number[]): boolean {
  const parts = version.split(".").map(Number);
  const at = wanted.findIndex((part, i) => part !== parts[i]);
  return at === -1 || (parts[at] ?? 0) > (wanted[at] ?? 0);
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
