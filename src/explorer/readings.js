// Readings of a device from a file of its packs, checked in this page and drawn: docs/gateway.md.
import { blake2b, concat, hex, le, leBytes, unhex } from './draw.js';
import { batch, blockLink, call, chart, count, genesis, h, number, Refused, short, table, time } from './lib.js';

const GRANT_LEAST = 123, GRANT_MOST = 2139, SIGNATURE = 64, CHARTS = 24, PAGE = 20, ASK = 500;
const ED25519 = 2; // key type
const ABSOLUTE_MS = 2 ** 28 * 1000; // times below are relative (RFC 8428, section 4.5.3): to when, nobody knows
const LAST_MS = 864e13; // that a Date can be

// --- encodings: docs/wire.md -----------------------------------------------------------------

function fields(digits, what) {
  if (typeof digits !== 'string' || !/^([0-9a-f]{2})+$/i.test(digits)) throw new Refused(`${what} is not in hex digits`);
  const bytes = unhex(digits);
  let at = 0;
  const take = (n) => {
    if (at + n > bytes.length) throw new Refused(`${what} is cut short`);
    at += n;
    return bytes.subarray(at - n, at);
  };
  const int = (n) => le(take(n), 0, n);
  const end = () => { if (at !== bytes.length) throw new Refused(`${what} has bytes that do not belong to it`); };
  return { bytes, take, int, blob: () => take(Number(int(2))), end };
}

function decodePack(digits) {
  const f = fields(digits, 'the pack');
  const p = { bytes: f.bytes, device: hex(f.take(32)), seq: f.int(8), from: f.int(8), to: f.int(8), readings: Number(f.int(2)), content: f.blob(), sig: f.take(SIGNATURE) };
  f.end();
  p.id = blake2b(p.bytes, 32, 'poa/pack-leaf');
  return p;
}

function decodeReceipt(digits) {
  const f = fields(digits, 'its receipt');
  const r = { id: hex(f.take(32)), root: hex(f.take(32)), height: f.int(8), index: Number(f.int(4)), packs: Number(f.int(4)), path: f.blob() };
  f.end();
  return r;
}

// The root that the path of R leads to from ID; a hash without a sibling goes up as it is.
function rootOf(id, { index, packs, path }) {
  let hash = id, at = 0;
  if (index >= packs) return '';
  for (let n = packs, i = index; n > 1; n = Math.ceil(n / 2), i = Math.floor(i / 2)) {
    const odd = i % 2;
    if (!odd && i + 1 >= n) continue;
    const sibling = path.subarray(at, at += 32);
    hash = blake2b(odd ? concat(sibling, hash) : concat(hash, sibling), 32, 'poa/pack-node');
  }
  return at === path.length ? hex(hash) : '';
}

// Records of SenML (RFC 8428), their base fields resolved.
function senml(p) {
  const base = { bn: '', bt: 0, bu: '', bv: 0 };
  let records;
  try { records = JSON.parse(new TextDecoder().decode(p.content)); } catch { records = null; }
  if (!Array.isArray(records) || records.length !== p.readings || !records.every((r) => r && typeof r === 'object')) throw new Refused('its content is not the readings that it says');
  return records.map((r) => {
    for (const k of Object.keys(base)) base[k] = r[k] ?? base[k];
    const name = `${base.bn}${r.n ?? ''}`.replace(/^urn:dev:poa:.{16}:/, '');
    return { name, unit: `${r.u ?? base.bu}`, ms: Math.round((base.bt + (r.t ?? 0)) * 1000), value: base.bv + r.v };
  }).filter((r) => Number.isFinite(r.value) && r.ms >= ABSOLUTE_MS && r.ms <= LAST_MS);
}

// --- checks ------------------------------------------------------------------------------------

// Says whether DIGEST of bytes is signed by the device; null when this browser cannot tell.
async function verifier(device) {
  try {
    const key = await crypto.subtle.importKey('raw', unhex(device), 'Ed25519', false, ['verify']);
    return (sig, digest) => crypto.subtle.verify('Ed25519', key, sig, digest);
  } catch {
    return null;
  }
}

// What ITEMS hold of DEVICE. Only sound packs are in it; each of the others is in BAD with why.
async function examine(items, device, say) {
  const chain = unhex((await genesis()).chain), verify = await verifier(device);
  const out = { signatures: verify !== null, packs: new Map(), waiting: 0, bad: [], roots: new Map() };
  for (const [i, item] of items.entries()) {
    let p;
    try {
      p = decodePack(item?.pack);
      if (p.device !== device) throw new Refused(`it is of device ${short(p.device)}`);
      if (verify && !await verify(p.sig, blake2b(concat(chain, p.bytes.subarray(0, -SIGNATURE)), 32, 'poa/pack')))
        throw new Refused('its signature is not the device’s, or it is of another chain');
      p.list = senml(p);
      if (item.receipt) {
        const r = decodeReceipt(item.receipt);
        if (r.id !== hex(p.id) || rootOf(p.id, r) !== r.root) throw new Refused('the path of its receipt does not lead from it to the root');
        p.receipt = r;
        if (!out.roots.has(r.root)) out.roots.set(r.root, r);
      }
      out.packs.set(hex(p.id), p);
    } catch (e) {
      out.bad.push([p ? `pack ${p.seq}` : `the pack at place ${i + 1}`, e.message]);
    }
    if (i % PAGE === PAGE - 1) {
      say(`${number(i + 1)} of ${number(items.length)} packs checked …`);
      await new Promise((go) => { setTimeout(go); });
    }
  }
  const roots = [...out.roots.keys()], anchors = new Map();
  for (let i = 0; i < roots.length; i += ASK)
    (await batch(roots.slice(i, i + ASK).map((root) => ['poa_anchor_get', { root }])))
      .forEach((a, k) => a.result && anchors.set(roots[i + k], a.result));
  for (const [id, p] of out.packs) {
    if (!p.receipt) { out.waiting++; continue; }
    const anchor = anchors.get(p.receipt.root);
    if (anchor && anchor.packs === p.receipt.packs) continue;
    out.bad.push([`pack ${p.seq}`, `the chain of this node has no anchor ${short(p.receipt.root)}${anchor ? ' over so many packs' : ''}`]);
    out.packs.delete(id);
  }
  out.anchors = anchors;
  return out;
}

function gaps(packs) {
  const seqs = [...new Set(packs.map((p) => p.seq))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const missing = seqs.slice(1).reduce((n, s, i) => n + (s - seqs[i] - 1n), 0n);
  return seqs.length ? `Packs ${number(seqs[0])} to ${number(seqs.at(-1))} by the device’s own count${missing ? `, of which ${count(missing, 'pack')} of these ${missing === 1n ? 'is' : 'are'} not here` : ', without a gap'}.` : '';
}

function verdict(e) {
  const packs = [...e.packs.values()], anchored = packs.length - e.waiting;
  const line = (kind, word, ...text) => h('li', {}, h('strong', { class: kind }, word), ' ', text);
  const heights = [...e.anchors.values()].map((a) => BigInt(a.height)).sort((a, b) => (a < b ? -1 : 1));
  return h('ul', { class: 'checks', id: 'checks' },
    packs.length === 0 ? line('bad', 'Nothing to show:', 'no pack passed the checks.') : null,
    packs.length && e.signatures ? line('good', 'Verified:', `${count(packs.length, 'pack')} signed by this device for this chain.`) : null,
    e.signatures ? null : line('bad', 'Not verified:', 'the signatures: this browser has no Ed25519.'),
    anchored ? line('good', 'Verified:', `${anchored === packs.length ? 'each' : number(anchored)} of them leads by its path to a root that this node’s chain has, ${count(e.anchors.size, 'anchor')} in blocks `, blockLink(heights[0]), ' to ', blockLink(heights.at(-1)), ': so it was there unchanged when that block was made.') : null,
    e.waiting ? line('dim', 'Not verified:', `${count(e.waiting, 'pack')} without a receipt: ${e.waiting === 1 ? 'it waits' : 'they wait'} for an anchor.`) : null,
    packs.length ? line('dim', 'Not verified:', 'that this node shows the chain that its witnesses certified. ', h('code', {}, 'poa data verify FILE --genesis genesis.poa'), ' checks that too, and believes no node.') : null,
    packs.length ? line('dim', 'Not verifiable:', 'that the sensor measured right. ', gaps(packs)) : null,
    e.bad.length ? line('bad', 'Refused, and not drawn:', `${count(e.bad.length, 'pack')}. `, e.bad.slice(0, 10).map(([which, why]) => h('div', {}, `${which}: ${why}`)),
      e.bad.length > 10 ? `and ${number(e.bad.length - 10)} more` : '') : null);
}

// --- what they say -------------------------------------------------------------------------------

const plain = (v) => v.toLocaleString('en', { maximumSignificantDigits: 6 });

function drawn(e) {
  const by = new Map();
  for (const p of e.packs.values())
    for (const r of p.list) {
      const key = r.unit ? `${r.name}, ${r.unit}` : r.name;
      if (!by.has(key)) by.set(key, []);
      by.get(key).push(r);
    }
  const rows = [], charts = [];
  for (const [key, list] of [...by].sort(([a], [b]) => (a < b ? -1 : 1))) {
    list.sort((a, b) => a.ms - b.ms);
    let low = Infinity, high = -Infinity, sum = 0;
    for (const { value } of list) { low = Math.min(low, value); high = Math.max(high, value); sum += value; }
    const [first, last] = [list[0], list.at(-1)];
    const from = time(first.ms).slice(0, 19), to = time(last.ms).slice(0, 19);
    rows.push([key, number(list.length), from, to.slice(0, 10) === from.slice(0, 10) ? to.slice(11) : to, plain(low), plain(sum / list.length), plain(high), plain(last.value)]);
    if (charts.length < CHARTS && list.length > 1)
      charts.push(h('div', {}, h('h3', {}, key), chart(`${key}: ${count(list.length, 'reading')} from ${time(first.ms)} to ${time(last.ms)} UTC, between ${plain(low)} and ${plain(high)}; the table has more`,
        ['at time', key], list.map((r) => [new Date(r.ms), r.value]), { legend: 'follow', includeZero: false, labelWidth: Math.max(50, 9 * Math.max(plain(low).length, plain(high).length)) })));
  }
  if (!rows.length) return [];
  return [table('What was read', ['Quantity', 'Readings', 'From (UTC)', 'To', 'Lowest', 'Mean', 'Highest', 'Latest'], rows), h('div', { class: 'charts' }, charts),
    by.size > CHARTS ? h('p', {}, `The first ${CHARTS} quantities are drawn; the table has all ${by.size}.`) : null];
}

// --- where they come from ------------------------------------------------------------------------

// Packs that this node keeps, for a grant that names no reader: asked with a key made for that.
async function byGrant(device, grant) {
  const status = await call('poa_status');
  let pair;
  try { pair = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']); } catch { throw new Refused('This browser has no Ed25519, with which the request is signed: use poa data get --grant.'); }
  const reader = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  const items = [];
  for (let from = '0'; from !== null;) {
    const asked = concat(unhex(status.key), unhex(device), leBytes(Date.now(), 8), Uint8Array.of(ED25519), reader, leBytes(grant.length / 2, 2), unhex(grant));
    const digest = blake2b(concat(unhex(status.chain), asked), 32, 'poa/data-ask');
    const sig = new Uint8Array(await crypto.subtle.sign('Ed25519', pair.privateKey, digest));
    const page = await call('poa_packs_get', { request: hex(concat(asked, sig)), from });
    items.push(...page.items);
    from = page.next;
  }
  return items;
}

const isGrant = (text) => text.length % 2 === 0 && text.length >= 2 * GRANT_LEAST && text.length <= 2 * GRANT_MOST && /^[0-9a-f]+$/i.test(text);

async function itemsOf(text, device) {
  if (isGrant(text)) return byGrant(device, text);
  let v;
  try { v = JSON.parse(text); } catch { v = null; }
  const items = Array.isArray(v?.packs) ? v.packs : v?.pack ? [v] : null;
  if (!items) throw new Refused('This is no file of poa data get, no pack with its receipt, and no grant of poa data grant.');
  return items;
}

// The section of DEVICE; GRANT, when the link has one, is read at once.
export function readings(device, grant) {
  const state = h('p', { role: 'status', id: 'read' }), out = h('div', {});
  const file = h('input', { type: 'file', id: 'packs' });
  async function show(text) {
    out.replaceChildren();
    state.className = '';
    try {
      state.textContent = 'Checking …';
      const items = await itemsOf((await text).trim(), device);
      const e = await examine(items, device, (t) => { state.textContent = t; });
      out.replaceChildren(...[verdict(e), ...drawn(e)].flat(9).filter(Boolean));
      const all = [...e.packs.values()].reduce((n, p) => n + p.list.length, 0);
      state.textContent = `${count(all, 'reading')} in ${e.packs.size === items.length ? count(items.length, 'pack') : `${number(e.packs.size)} of ${count(items.length, 'pack')}`}.`;
    } catch (e) {
      state.className = 'bad';
      state.textContent = e.message;
    }
  }
  file.addEventListener('change', () => file.files.length && show(file.files[0].text()));
  if (grant) show(Promise.resolve(grant));
  return [
    h('p', {}, 'Readings belong to the owner: a gateway gives them to the owner, to the device and to whom the owner lets, and this page has no key. ',
      h('code', {}, 'poa data get DEVICE --from OWNER --output FILE'), ' writes them to a file. Opened here it is checked and drawn in this page and goes nowhere; the node is only asked for the anchors, by their roots. A grant for whoever has it (',
      h('code', {}, 'poa data grant'), ' without ', h('code', {}, '--reader'), ') opens too, on the gateway that keeps the packs.'),
    h('p', {}, h('label', { for: 'packs' }, 'File of packs, or a grant: '), file), state, out];
}
