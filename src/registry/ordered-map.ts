interface Node<V> {
  readonly key: string;
  readonly value: V;
  readonly left: Node<V> | undefined;
  readonly right: Node<V> | undefined;
  readonly height: number;
}

type Tree<V> = Node<V> | undefined;

/**
 * A map from text that never changes: `with` and `without` give another one that shares all but the path
 * to the entry (an AVL tree). Iteration is ascending by UTF-16 code units, so it depends on the entries alone,
 * not on their order of arrival. Every operation is O(log n) in the worst case: the keys come from
 * members, and no choice of keys makes it slower.
 */
export class OrderedMap<V> implements ReadonlyMap<string, V> {
  readonly #root: Tree<V>;
  readonly size: number;

  private constructor(root: Tree<V>, size: number) {
    this.#root = root;
    this.size = size;
  }

  static empty<V>(): OrderedMap<V> {
    return new OrderedMap<V>(undefined, 0);
  }

  static from<V>(entries: Iterable<readonly [string, V]>): OrderedMap<V> {
    let map = OrderedMap.empty<V>();
    for (const [key, value] of entries) map = map.with(key, value);
    return map;
  }

  get(key: string): V | undefined {
    return find(this.#root, key)?.value;
  }

  has(key: string): boolean {
    return find(this.#root, key) !== undefined;
  }

  /** This map with `value` at `key`, in place of what stood there. */
  with(key: string, value: V): OrderedMap<V> {
    const size = this.has(key) ? this.size : this.size + 1;
    return new OrderedMap(insert(this.#root, key, value), size);
  }

  /** This map without the entry at `key`; itself when there is none. */
  without(key: string): OrderedMap<V> {
    return this.has(key) ? new OrderedMap(remove(this.#root, key), this.size - 1) : this;
  }

  /** The entries whose key begins with `prefix`, ascending. */
  *withPrefix(prefix: string): Generator<[string, V], undefined> {
    for (const { key, value } of ascend(this.#root, prefix)) {
      if (!key.startsWith(prefix)) return;
      yield [key, value];
    }
  }

  *entries(): Generator<[string, V], undefined> {
    for (const { key, value } of ascend(this.#root, "")) yield [key, value];
  }

  *keys(): Generator<string, undefined> {
    for (const { key } of ascend(this.#root, "")) yield key;
  }

  *values(): Generator<V, undefined> {
    for (const { value } of ascend(this.#root, "")) yield value;
  }

  [Symbol.iterator](): Generator<[string, V], undefined> {
    return this.entries();
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }
}

function find<V>(root: Tree<V>, key: string): Tree<V> {
  let node = root;
  while (node !== undefined && node.key !== key) node = key < node.key ? node.left : node.right;
  return node;
}

/** The nodes whose key is not below `start`, ascending. */
function* ascend<V>(node: Tree<V>, start: string): Generator<Node<V>, undefined> {
  if (node === undefined) return;
  if (node.key >= start) {
    yield* ascend(node.left, start);
    yield node;
  }
  yield* ascend(node.right, start);
}

function heightOf<V>(node: Tree<V>): number {
  return node?.height ?? 0;
}

function nodeOf<V>(entry: { key: string; value: V }, left: Tree<V>, right: Tree<V>): Node<V> {
  const height = 1 + Math.max(heightOf(left), heightOf(right));
  return { key: entry.key, value: entry.value, left, right, height };
}

function insert<V>(node: Tree<V>, key: string, value: V): Node<V> {
  if (node === undefined) return nodeOf({ key, value }, undefined, undefined);
  if (key === node.key) return nodeOf({ key, value }, node.left, node.right);
  if (key < node.key) return balance(node, insert(node.left, key, value), node.right);
  return balance(node, node.left, insert(node.right, key, value));
}

function remove<V>(node: Tree<V>, key: string): Tree<V> {
  if (node === undefined) return undefined;
  if (key < node.key) return balance(node, remove(node.left, key), node.right);
  if (key > node.key) return balance(node, node.left, remove(node.right, key));
  if (node.right === undefined) return node.left;
  const next = lowest(node.right);
  return balance(next, node.left, remove(node.right, next.key));
}

function lowest<V>(node: Node<V>): Node<V> {
  let low = node;
  while (low.left !== undefined) low = low.left;
  return low;
}

/** `entry` over two trees whose heights differ by at most 2. */
function balance<V>(entry: Node<V>, left: Tree<V>, right: Tree<V>): Node<V> {
  const lean = heightOf(left) - heightOf(right);
  if (left !== undefined && lean > 1) {
    const inner = left.right;
    if (inner === undefined || heightOf(left.left) >= inner.height) {
      return nodeOf(left, left.left, nodeOf(entry, inner, right));
    }
    return nodeOf(inner, nodeOf(left, left.left, inner.left), nodeOf(entry, inner.right, right));
  }
  if (right !== undefined && lean < -1) {
    const inner = right.left;
    if (inner === undefined || heightOf(right.right) >= inner.height) {
      return nodeOf(right, nodeOf(entry, left, inner), right.right);
    }
    return nodeOf(inner, nodeOf(entry, left, inner.left), nodeOf(right, inner.right, right.right));
  }
  return nodeOf(entry, left, right);
}
