/**
 * How far back in the own journal a start has to look: to where the oldest attempt began that something still waits
 * for. The place of an attempt is the number of batches that there were before it, so that all of its records lie
 * behind it, whatever the order is in which they are released.
 */
export class JournalPlaces {
  /** How far the journal had come when it was last looked at. */
  #batches = 0;
  /** By how many each place is held. There are few: a place moves on only when the journal is looked at. */
  readonly #held = new Map<number, number>();

  /** Holds a place once more: by default that of what begins now. */
  hold(place: number = this.#batches): number {
    this.#held.set(place, (this.#held.get(place) ?? 0) + 1);
    return place;
  }

  letGo(place: number): void {
    const held = this.#held.get(place) ?? 0;
    if (held > 1) this.#held.set(place, held - 1);
    else this.#held.delete(place);
  }

  /** The journal has so many batches. Returns how many of them are of no interest: all where nothing is held. */
  from(batches: number): number {
    this.#batches = batches;
    let least = batches;
    for (const place of this.#held.keys()) least = Math.min(least, place);
    return least;
  }
}
