// Hashes, and the draws of a slot recomputed from what the chain says: docs/assignment.md.
//
// BLAKE2b (RFC 7693) and the output of the VRF (RFC 9381, section 5.2) are written out here
// because browsers have neither. They keep no secret and admit nothing: they let whoever looks
// compare. Nodes and devices use libsodium.

// The words of IV and of the state are two halves each, low first: numbers of 64 bits are slow here.
const IV = Uint32Array.of(0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
  0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19);
const SIGMA = ['0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8',
  '905724afe1bc683d', '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a',
  '6fe9b308c2d714a5', 'a2847615fb9e3cd0'].map((s) => Uint8Array.from(s, (c) => 2 * parseInt(c, 16)));
const MIXES = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]].map((m) => m.map((i) => 2 * i));

export const le = (b, at, n) => {
  let v = 0n;
  for (let i = n - 1; i >= 0; i--) v = (v << 8n) | BigInt(b[at + i]);
  return v;
};
export const leBytes = (v, n) => Uint8Array.from({ length: n }, (_, i) => Number((BigInt(v) >> BigInt(8 * i)) & 255n));
export const hex = (b) => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
export const unhex = (s) => Uint8Array.from(s.match(/../g) ?? [], (x) => parseInt(x, 16));
export const concat = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) { out.set(p, at); at += p.length; }
  return out;
};

// v[a] += w[x]
function add(v, a, w, x) {
  const low = v[a] + w[x];
  v[a] = low;
  v[a + 1] += w[x + 1] + (low > 0xffffffff ? 1 : 0);
}
// v[d] = (v[d] ^ v[a]) turned right by N
function turn(v, d, a, n) {
  let low = v[d] ^ v[a], high = v[d + 1] ^ v[a + 1];
  if (n >= 32) [low, high, n] = [high, low, n - 32];
  v[d] = n ? (low >>> n) | (high << (32 - n)) : low;
  v[d + 1] = n ? (high >>> n) | (low << (32 - n)) : high;
}

export function blake2b(input, bytes = 32, personal = '') {
  const param = new Uint8Array(64);
  param[0] = bytes; param[2] = 1; param[3] = 1;
  param.set(new TextEncoder().encode(personal), 48);
  const words = new DataView(param.buffer);
  const h = IV.map((iv, i) => iv ^ words.getUint32(4 * i, true));
  const blocks = Math.max(1, Math.ceil(input.length / 128));
  const chunk = new Uint8Array(128), view = new DataView(chunk.buffer);
  const m = new Uint32Array(32), v = new Uint32Array(32);
  for (let b = 0; b < blocks; b++) {
    chunk.fill(0);
    chunk.set(input.subarray(128 * b, 128 * b + 128));
    for (let i = 0; i < 32; i++) m[i] = view.getUint32(4 * i, true);
    const last = b === blocks - 1;
    v.set(h);
    v.set(IV, 16);
    v[24] ^= last ? input.length : 128 * (b + 1); // below 2^32
    if (last) { v[28] = ~v[28]; v[29] = ~v[29]; }
    for (let r = 0; r < 12; r++) {
      const s = SIGMA[r % 10];
      for (let i = 0; i < 8; i++) {
        const [a, x, c, d] = MIXES[i];
        add(v, a, v, x); add(v, a, m, s[2 * i]); turn(v, d, a, 32);
        add(v, c, v, d); turn(v, x, c, 24);
        add(v, a, v, x); add(v, a, m, s[2 * i + 1]); turn(v, d, a, 16);
        add(v, c, v, d); turn(v, x, c, 63);
      }
    }
    for (let i = 0; i < 16; i++) h[i] ^= v[i] ^ v[i + 16];
  }
  const out = new Uint8Array(64), to = new DataView(out.buffer);
  h.forEach((x, i) => to.setUint32(4 * i, x, true));
  return out.subarray(0, bytes);
}
const lottery = (...parts) => blake2b(concat(...parts), 32, 'poa/lottery');

// --- the output of a VRF proof: SHA-512 over 8 times its point Gamma --------------------

const P = (1n << 255n) - 19n;
const mod = (v) => ((v % P) + P) % P;
const pow = (b, e) => {
  let r = 1n;
  for (b = mod(b); e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) r = mod(r * b);
  return r;
};
const inverse = (v) => pow(v, P - 2n);
const D = mod(-121665n * inverse(121666n));

function decompress(b) {
  const bytes = Uint8Array.from(b);
  const sign = bytes[31] >> 7;
  bytes[31] &= 127;
  const y = le(bytes, 0, 32), u = mod(y * y - 1n), v = mod(D * y * y + 1n);
  let x = mod(u * pow(v, 3n) * pow(u * pow(v, 7n), (P - 5n) / 8n));
  if (mod(v * x * x) !== u) x = mod(x * pow(2n, (P - 1n) / 4n));
  if (mod(v * x * x) !== u) throw new Error('not a point of the curve');
  if (Number(x & 1n) !== sign) x = mod(-x);
  return [x, y];
}
function twice([x, y]) {
  const xy = mod(x * y), t = mod(D * xy * xy);
  return [mod(2n * xy * inverse(1n + t)), mod((y * y + x * x) * inverse(1n - t))];
}

const TAI = 3; // the suite of the protocol
export async function vrfOutput(proof) {
  const [x, y] = twice(twice(twice(decompress(proof.subarray(0, 32)))));
  const point = leBytes(y, 32);
  point[31] |= Number(x & 1n) << 7;
  const text = concat(Uint8Array.of(TAI, 3), point, Uint8Array.of(0));
  return new Uint8Array(await crypto.subtle.digest('SHA-512', text));
}

// --- draws ------------------------------------------------------------------------------

// Policies `random` and `weighted`, and the first window of an epoch under `vrf`: draw j
// names the index of a device and its rank.
export function publicDraws(chain, seed, slot, eligible, count) {
  return Array.from({ length: count }, (_, j) => {
    const h = lottery(unhex(chain), unhex(seed), leBytes(slot, 8), leBytes(j, 4));
    return { j, hash: hex(h), index: Number(le(h, 0, 8) % BigInt(eligible)), rank: le(h, 8, 8), lot: h[16] % 64 };
  });
}

// Seats that the ticket with output BETA wins in its window.
export function ticketSeats(beta, { eligible, window_slots, seats_per_slot }) {
  const wanted = 2 * seats_per_slot * window_slots;
  let k = 1;
  while (k < 64 && window_slots % (2 * k) === 0 && k * eligible < wanted) k *= 2;
  const part = BigInt(window_slots / k), a = BigInt(seats_per_slot * window_slots), b = BigInt(eligible * k);
  const threshold = a >= b ? 1n << 64n : (a << 64n) / b;
  const seats = [];
  for (let j = 0; j < k; j++) {
    const h = lottery(beta, leBytes(j, 4));
    if (le(h, 0, 8) < threshold)
      seats.push({ j, hash: hex(h), slot: j * Number(part) + Number(le(h, 8, 8) % part), rank: le(h, 16, 8) });
  }
  return seats;
}
