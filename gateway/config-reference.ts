/** Every key of the configuration as the documentation lists it. */
import { configSchema } from "./config-schema.ts";
import { variableName } from "./config-overrides.ts";
import { isOneKey, leavesOf } from "./config-walk.ts";

export interface ReferenceRow {
  /** Such as `agency_systems[].tls.names`, `*` for a name that the operator chooses. */
  readonly key: string;
  readonly type: string;
  /** As YAML would say it; `undefined` for a key that may be absent without one. */
  readonly default: string | undefined;
  readonly isRequired: boolean;
  readonly reload: boolean;
  readonly text: string;
  /** The variable that sets it. */
  readonly variable: string | undefined;
}

/** In the order of the schema. Throws TypeError for a key that says nothing of itself. */
export function referenceRows(): readonly ReferenceRow[] {
  return leavesOf(configSchema).map((leaf) => {
    const { meta, path, isRequired } = leaf;
    const key = path.join(".").replaceAll(".[]", "[]");
    if (meta.type === undefined || meta.text === undefined) {
      throw new TypeError(`the key ${key} says nothing of itself`);
    }
    return {
      key,
      type: meta.type,
      default: leaf.default === undefined ? undefined : JSON.stringify(leaf.default),
      isRequired,
      reload: meta.reload === true,
      text: meta.text,
      variable: isOneKey(leaf) ? variableName(path) : undefined,
    };
  });
}
