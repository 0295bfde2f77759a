/** Why a part was not measured: what this machine lacks. */
export interface Missing {
  readonly missing: string;
}

export function isMissing(figures: object): figures is Missing {
  return "missing" in figures;
}
