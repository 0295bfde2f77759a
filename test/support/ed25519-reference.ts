/** The one Ed25519 rule written from the formulas of RFC 8032 section 5.1, slow and plain. */
import { createHash } from "node:crypto";

const p = 2n ** 255n - 19n;
const order = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (value: bigint): bigint => ((value % p) + p) % p;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (
    let square = mod(base), rest = exponent;
    rest > 0n;
    rest >>= 1n, square = mod(square * square)
  ) {
    if ((rest & 1n) === 1n) result = mod(result * square);
  }
  return result;
}

const inverse = (value: bigint): bigint => power(value, p - 2n);
const d = mod(-121665n * inverse(121666n));
const rootOfMinusOne = power(2n, (p - 1n) / 4n);

/** Extended coordinates of section 5.1.4. */
type Point = readonly [x: bigint, y: bigint, z: bigint, t: bigint];
const identity: Point = [0n, 1n, 1n, 0n];

function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * t1 * t2 * d);
  const e = mod(2n * z1 * z2);
  return [
    mod((b - a) * (e - c)),
    mod((e + c) * (b + a)),
    mod((e - c) * (e + c)),
    mod((b - a) * (b + a)),
  ];
}

function multiply(scalar: bigint, point: Point): Point {
  let result = identity;
  for (let double = point, rest = scalar; rest > 0n; rest >>= 1n, double = add(double, double)) {
    if ((rest & 1n) === 1n) result = add(result, double);
  }
  return result;
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

function decode(bytes: Uint8Array): Point | undefined {
  const number = littleEndian(bytes);
  const y = number & (2n ** 255n - 1n);
  if (y >= p) return undefined;
  const square = mod((y * y - 1n) * inverse(d * y * y + 1n));
  let x = power(square, (p + 3n) / 8n);
  if (mod(x * x) !== square) x = mod(x * rootOfMinusOne);
  if (mod(x * x) !== square) return undefined;
  const sign = number >> 255n;
  if (x === 0n && sign === 1n) return undefined;
  if ((x & 1n) !== sign) x = p - x;
  return [x, y, 1n, mod(x * y)];
}

function encode([px, py, pz]: Point): Buffer {
  const z = inverse(pz);
  const number = mod(py * z) | ((mod(px * z) & 1n) << 255n);
  return Buffer.from(number.toString(16).padStart(64, "0"), "hex").reverse();
}

const isIdentity = (point: Point): boolean => encode(point).equals(encode(identity));
const baseY = mod(4n * inverse(5n));
const base = decode(Buffer.from(baseY.toString(16).padStart(64, "0"), "hex").reverse()) as Point;

/** Whether a signature is accepted: slow, for comparison in tests alone. */
export function verifySlowly(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const point = decode(key);
  if (
    point === undefined ||
    isIdentity(multiply(8n, point)) ||
    !isIdentity(multiply(order, point))
  ) {
    return false;
  }
  const s = littleEndian(signature.subarray(32));
  if (s >= order) return false;
  const r = signature.subarray(0, 32);
  const k =
    littleEndian(createHash("sha512").update(r).update(key).update(message).digest()) % order;
  const [x, y, z, t] = multiply(k, point);
  const recomputed = add(multiply(s, base), [mod(-x), y, z, mod(-t)]);
  return encode(recomputed).equals(r);
}
