/** Messages as people read them: protobuf's JSON, with bytes in hex as everywhere else on the command line. */
import {
  type DescField,
  type DescMessage,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";

type Json = Readonly<Record<string, unknown>>;

export function hexJson<S extends DescMessage>(schema: S, message: MessageShape<S>): Json {
  return withHex(schema, toJson(schema, message) as Json);
}

function withHex(schema: DescMessage, json: Json): Json {
  const fields = new Map(schema.fields.map((field) => [field.jsonName, field]));
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      const field = fields.get(name);
      return [name, field === undefined ? value : valueOf(field, value)];
    }),
  );
}

function valueOf(field: DescField, value: unknown): unknown {
  if (field.fieldKind === "list") {
    const { listKind } = field;
    return (value as readonly unknown[]).map((element) =>
      elementOf(
        listKind === "message" ? field.message : undefined,
        listKind === "scalar" && field.scalar === ScalarType.BYTES,
        element,
      ),
    );
  }
  const message = field.fieldKind === "message" ? field.message : undefined;
  return elementOf(
    message,
    field.fieldKind === "scalar" && field.scalar === ScalarType.BYTES,
    value,
  );
}

function elementOf(message: DescMessage | undefined, isBytes: boolean, value: unknown): unknown {
  if (message !== undefined) return withHex(message, value as Json);
  return isBytes ? Buffer.from(value as string, "base64").toString("hex") : value;
}
