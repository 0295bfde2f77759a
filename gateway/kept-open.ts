/** What is open for the entries of one part of the configuration, over its reloads. */
import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { contentsOf } from "./config-files.ts";

interface Opened<Config, Thing> {
  readonly config: Config;
  /** Of the files that it names. */
  readonly contents: readonly string[];
  readonly thing: Thing;
}

export interface KeptOpenOptions<Config, Thing> {
  readonly schema: z.ZodType<Config>;
  open(name: string, config: Config): Thing;
  /** Ends what is in force no more, or never came to be. Must not reject. */
  end(thing: Thing): Promise<void>;
}

/** What would be open under other entries. */
export interface Change<Thing> {
  /** All of it, by the names of the entries. */
  readonly things: ReadonlyMap<string, Thing>;
  /** Of that, what was opened for them. */
  readonly added: readonly (readonly [name: string, thing: Thing])[];
  readonly commit: () => void;
  /** Ends what was opened for them. */
  readonly abandon: () => Promise<void>;
}

/** An entry that has not changed, nor a file that it names, keeps what is open for it. */
export class KeptOpen<Config, Thing> {
  readonly #options: KeptOpenOptions<Config, Thing>;
  #opened: ReadonlyMap<string, Opened<Config, Thing>> = new Map();

  constructor(options: KeptOpenOptions<Config, Thing>) {
    this.#options = options;
  }

  get(name: string): Thing | undefined {
    return this.#opened.get(name)?.thing;
  }

  entries(): readonly (readonly [name: string, thing: Thing])[] {
    return [...this.#opened].map(([name, { thing }]) => [name, thing] as const);
  }

  /** Throws FILE_UNREADABLE and what `open` throws; then nothing is left of what was opened. */
  prepare(entries: Readonly<Record<string, Config>>): Change<Thing> {
    const before = this.#opened;
    const known = new Set(before.values());
    const after = new Map<string, Opened<Config, Thing>>();
    const added = (): readonly (readonly [string, Thing])[] =>
      [...after].flatMap(([name, opened]) =>
        known.has(opened) ? [] : [[name, opened.thing] as const],
      );
    const abandon = async (): Promise<void> => {
      await Promise.all(added().map(([, thing]) => this.#options.end(thing)));
    };
    try {
      for (const [name, config] of Object.entries(entries)) {
        after.set(name, this.#openedFor(name, config));
      }
    } catch (error) {
      void abandon();
      throw error;
    }
    return {
      things: new Map([...after].map(([name, { thing }]) => [name, thing])),
      added: added(),
      commit: () => {
        this.#opened = after;
        const kept = new Set(after.values());
        for (const gone of known) if (!kept.has(gone)) void this.#options.end(gone.thing);
      },
      abandon,
    };
  }

  #openedFor(name: string, config: Config): Opened<Config, Thing> {
    const contents = contentsOf(config, this.#options.schema);
    const known = this.#opened.get(name);
    const isKept =
      known !== undefined && isDeepStrictEqual([known.config, known.contents], [config, contents]);
    return isKept ? known : { config, contents, thing: this.#options.open(name, config) };
  }
}
