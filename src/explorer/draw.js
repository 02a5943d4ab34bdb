// The draws of a slot, recomputed from what the chain says: docs/assignment.md.
//
// BLAKE2b (RFC 7693) and the output of the VRF (RFC 9381, section 5.2) are written out here
// because browsers have neither. They keep no secret and admit nothing: they let whoever looks
// compare. Nodes and devices use libsodium.

const M64 = (1n << 64n) - 1n;
const IV = [0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n];
const SIGMA = ['0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8',
  '905724afe1bc683d', '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a',
  '6fe9b308c2d714a5', 'a2847615fb9e3cd0'];

const ror = (v, n) => ((v >> n) | (v << (64n - n))) & M64;
export const le = (b, at, n) => {
  let v = 0n;
  for (let i = n - 1; i >= 0; i--) v = (v << 8n) | BigInt(b[at + i]);
  return v;
};
const leBytes = (v, n) => Uint8Array.from({ length: n }, (_, i) => Number((BigInt(v) >> BigInt(8 * i)) & 255n));
export const hex = (b) => Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
export const unhex = (s) => Uint8Array.from(s.match(/../g) ?? [], (x) => parseInt(x, 16));
const concat = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) { out.set(p, at); at += p.length; }
  return out;
};

// Whole blocks of 128 bytes; SIGMA is written for this order of indices.
export function blake2b(input, bytes = 32, personal = '') {
  const param = new Uint8Array(64);
  param[0] = bytes; param[2] = 1; param[3] = 1;
  param.set(new TextEncoder().encode(personal), 48);
  const h = IV.map((iv, i) => iv ^ le(param, 8 * i, 8));
  const blocks = Math.max(1, Math.ceil(input.length / 128));
  for (let b = 0; b < blocks; b++) {
    const chunk = new Uint8Array(128);
    chunk.set(input.subarray(128 * b, 128 * b + 128));
    const last = b === blocks - 1;
    const v = [...h, ...IV];
    v[12] ^= BigInt(last ? input.length : 128 * (b + 1));
    if (last) v[14] ^= M64;
    const m = Array.from({ length: 16 }, (_, i) => le(chunk, 8 * i, 8));
    const mix = (a, x, c, d, p, q) => {
      v[a] = (v[a] + v[x] + p) & M64; v[d] = ror(v[d] ^ v[a], 32n);
      v[c] = (v[c] + v[d]) & M64; v[x] = ror(v[x] ^ v[c], 24n);
      v[a] = (v[a] + v[x] + q) & M64; v[d] = ror(v[d] ^ v[a], 16n);
      v[c] = (v[c] + v[d]) & M64; v[x] = ror(v[x] ^ v[c], 63n);
    };
    for (let r = 0; r < 12; r++) {
      const s = Array.from(SIGMA[r % 10], (c) => m[parseInt(c, 16)]);
      mix(0, 4, 8, 12, s[0], s[1]); mix(1, 5, 9, 13, s[2], s[3]);
      mix(2, 6, 10, 14, s[4], s[5]); mix(3, 7, 11, 15, s[6], s[7]);
      mix(0, 5, 10, 15, s[8], s[9]); mix(1, 6, 11, 12, s[10], s[11]);
      mix(2, 7, 8, 13, s[12], s[13]); mix(3, 4, 9, 14, s[14], s[15]);
    }
    for (let i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
  }
  return concat(...h.map((x) => leBytes(x, 8))).subarray(0, bytes);
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
