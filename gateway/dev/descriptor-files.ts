/** Files of a descriptor set with their imports before them. */
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { CausewayError } from "../../src/base/errors.ts";

/**
 * Files in an order in which each stands after those that it imports: all, or those that `roots` need.
 *
 * @throws CausewayError `DESCRIPTOR_INVALID` when one is missing, or imports itself through others.
 */
export function inImportOrder(
  files: ReadonlyMap<string, FileDescriptorProto>,
  roots: Iterable<string> = files.keys(),
): readonly FileDescriptorProto[] {
  const ordered = new Set<FileDescriptorProto>();
  const open = new Set<string>();
  const visit = (name: string, from: string): void => {
    const file = files.get(name);
    if (file === undefined || open.has(name)) {
      const what = file === undefined ? "is not in the descriptor set" : "imports itself";
      throw new CausewayError("DESCRIPTOR_INVALID", `${name}, imported by ${from}, ${what}`);
    }
    if (ordered.has(file)) return;
    open.add(name);
    for (const imported of file.dependency) visit(imported, name);
    open.delete(name);
    ordered.add(file);
  };
  for (const name of roots) visit(name, "the set");
  return [...ordered];
}
