/** Descriptor sets of data services: built from `.proto` files with buf, or read as they are. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compareText } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { blobBytesMax } from "../../src/base/limits.ts";
import type { ServiceMethod } from "../../src/credential/statements.ts";
import { readBounded } from "../keys/files.ts";

export interface DescriptorOptions {
  /** `.proto` file that holds the service. */
  readonly proto?: string | undefined;
  /** Folder that its imports start from; by default its buf module, or its own folder. */
  readonly protoRoot?: string | undefined;
  /** File of a `google.protobuf.FileDescriptorSet` with all imports. */
  readonly descriptors?: string | undefined;
}

const buildMs = 60_000;

/** The bytes of the descriptor set. Throws USAGE_INVALID, FILE_UNREADABLE or DESCRIPTOR_INVALID. */
export async function readDescriptors(options: DescriptorOptions): Promise<Uint8Array> {
  const { proto, descriptors } = options;
  if ((proto === undefined) === (descriptors === undefined)) {
    throw new CausewayError("USAGE_INVALID", "give either --proto or --descriptors");
  }
  if (descriptors !== undefined) return readSet(descriptors);
  if (!existsSync(proto as string)) throw new CausewayError("FILE_UNREADABLE", `no file ${proto}`);
  return buildDescriptors(proto as string, options.protoRoot);
}

async function readSet(file: string): Promise<Uint8Array> {
  const bytes = await readBounded(file, blobBytesMax);
  try {
    fromBinary(FileDescriptorSetSchema, bytes);
    return bytes;
  } catch (cause) {
    throw new CausewayError("DESCRIPTOR_INVALID", `${file} is no FileDescriptorSet`, { cause });
  }
}

/** Runs buf, which comes with this program. */
function buildDescriptors(proto: string, protoRoot: string | undefined): Uint8Array {
  const packageFile = createRequire(import.meta.url).resolve("@bufbuild/buf/package.json");
  const program = join(dirname(packageFile), "bin", "buf");
  const root = protoRoot === undefined ? undefined : resolve(protoRoot);
  // An empty configuration makes the folder the root of imports, whatever module it lies in.
  const input =
    root === undefined
      ? [resolve(proto)]
      : [".", "--path", relative(root, resolve(proto)), "--config", '{"version":"v1"}'];
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [program, "build", ...input, "--as-file-descriptor-set", "--exclude-source-info", "-o", "-"],
    { cwd: root ?? dirname(resolve(proto)), maxBuffer: blobBytesMax, timeout: buildMs },
  );
  if (status === 0) return new Uint8Array(stdout);
  const text = error?.message ?? stderr.toString("utf8").trim();
  throw new CausewayError("DESCRIPTOR_INVALID", `${proto} does not build: ${text}`, {
    cause: error,
  });
}

/**
 * The methods of a service statement, as the descriptor set has them.
 *
 * @param flags `/package.Service/Method`, with `=writes` behind a method that changes something.
 * @throws CausewayError `DESCRIPTOR_INVALID` for a method that the set does not have.
 */
export function describeMethods(
  descriptorSet: Uint8Array,
  flags: readonly string[],
): readonly ServiceMethod[] {
  const registry = registryOf(descriptorSet);
  const methods = flags.map((flag): ServiceMethod => {
    const [path = "", mark, ...more] = flag.split("=");
    if (more.length > 0 || (mark !== undefined && mark !== "writes")) {
      throw new CausewayError("USAGE_INVALID", `${flag} is not a method path, or one with =writes`);
    }
    const [, service = "", name = ""] = path.split("/");
    const method = registry.getService(service)?.methods.find((one) => one.name === name);
    if (method === undefined) {
      throw new CausewayError("DESCRIPTOR_INVALID", `the descriptor set has no method ${path}`);
    }
    const { clientStreaming, serverStreaming } = method.proto;
    return {
      path,
      writes: mark === "writes",
      client_streaming: clientStreaming,
      server_streaming: serverStreaming,
    };
  });
  return methods.sort((a, b) => compareText(a.path, b.path));
}

function registryOf(descriptorSet: Uint8Array): ReturnType<typeof createFileRegistry> {
  try {
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));
  } catch (cause) {
    throw new CausewayError("DESCRIPTOR_INVALID", "it is not a complete descriptor set", { cause });
  }
}
