/** A published descriptor set by file, symbol and extension. */
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

interface IndexedFile {
  /** The encoded FileDescriptorProto, as published. */
  readonly bytes: Uint8Array;
  readonly imports: readonly string[];
}

const filesField = 1;

export class DescriptorIndex {
  readonly #files = new Map<string, IndexedFile>();
  /** File of each symbol, by its full name. */
  readonly #symbols = new Map<string, string>();
  readonly #messages = new Set<string>();
  /** File of each extension, by extended message and number. */
  readonly #extensions = new Map<string, Map<number, string>>();

  /** Throws what the decoder throws when `set` is no FileDescriptorSet. */
  constructor(set: Uint8Array) {
    for (const bytes of encodedFiles(set)) this.#addFile(bytes);
  }

  /** The name of the file that defines a symbol. */
  fileOfSymbol(symbol: string): string | undefined {
    return this.#symbols.get(symbol);
  }

  /** The name of the file that defines an extension of a message. */
  fileOfExtension(message: string, number: number): string | undefined {
    return this.#extensions.get(message)?.get(number);
  }

  /** Ascending; `undefined` when the message is not defined here. */
  extensionNumbers(message: string): number[] | undefined {
    if (!this.#messages.has(message)) return undefined;
    return [...(this.#extensions.get(message)?.keys() ?? [])].toSorted((a, b) => a - b);
  }

  has(file: string): boolean {
    return this.#files.has(file);
  }

  /** A file, then those that it imports, directly or not, which are not among `known`. */
  withImports(file: string, known: ReadonlySet<string>): { name: string; bytes: Uint8Array }[] {
    const found: { name: string; bytes: Uint8Array }[] = [];
    const queue = [file];
    const queued = new Set(queue);
    for (const name of queue) {
      const entry = this.#files.get(name);
      if (entry === undefined) continue;
      if (name === file || !known.has(name)) found.push({ name, bytes: entry.bytes });
      for (const imported of entry.imports) {
        if (!queued.has(imported)) queue.push(imported);
        queued.add(imported);
      }
    }
    return found;
  }

  #addFile(bytes: Uint8Array): void {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    const { name, dependency } = file;
    this.#files.set(name, { bytes, imports: dependency });
    const scope = file.package === "" ? "" : `${file.package}.`;
    for (const message of file.messageType) this.#addMessage(scope, message, name);
    for (const each of file.enumType) this.#addEnum(scope, each, name);
    for (const extension of file.extension) this.#addExtension(scope, extension, name);
    for (const service of file.service) {
      this.#symbols.set(scope + service.name, name);
      for (const method of service.method) {
        this.#symbols.set(`${scope}${service.name}.${method.name}`, name);
      }
    }
  }

  #addMessage(scope: string, message: DescriptorProto, file: string): void {
    const fullName = scope + message.name;
    const inner = `${fullName}.`;
    this.#symbols.set(fullName, file);
    this.#messages.add(fullName);
    for (const { name } of [...message.field, ...message.oneofDecl]) {
      this.#symbols.set(inner + name, file);
    }
    for (const nested of message.nestedType) this.#addMessage(inner, nested, file);
    for (const each of message.enumType) this.#addEnum(inner, each, file);
    for (const extension of message.extension) this.#addExtension(inner, extension, file);
  }

  // The values of an enum are siblings of it.
  #addEnum(scope: string, { name, value }: EnumDescriptorProto, file: string): void {
    this.#symbols.set(scope + name, file);
    for (const each of value) this.#symbols.set(scope + each.name, file);
  }

  #addExtension(scope: string, extension: FieldDescriptorProto, file: string): void {
    this.#symbols.set(scope + extension.name, file);
    const message = extension.extendee.replace(/^\./, "");
    const numbers = this.#extensions.get(message) ?? new Map<number, string>();
    numbers.set(extension.number, file);
    this.#extensions.set(message, numbers);
  }
}

/** The files of a set as they were encoded: what a reader does not know stays in them. */
function encodedFiles(set: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(set);
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === filesField && wireType === WireType.LengthDelimited) files.push(reader.bytes());
    else reader.skip(wireType, field);
  }
  return files;
}
