// Elements, calls, live events, and how values are shown.

export function h(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes))
    if (k === 'on') for (const [event, f] of Object.entries(v)) e.addEventListener(event, f);
    else if (v === true) e.setAttribute(k, '');
    else if (v !== false && v != null) e.setAttribute(k, v);
  e.append(...children.flat(9).filter((c) => c != null && c !== false).map((c) => (c instanceof Node ? c : String(c))));
  return e;
}

// --- calls: JSON-RPC, several in one request --------------------------------------------

export class Refused extends Error {}

export async function batch(calls) {
  const body = JSON.stringify(calls.map(([method, params = {}], id) => ({ jsonrpc: '2.0', method, params, id })));
  const answer = await fetch('/', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  if (!answer.ok) throw new Refused(`the node answers ${answer.status} ${answer.statusText}`);
  const all = [];
  for (const a of await answer.json()) all[a.id] = a;
  return all;
}
export async function call(method, params) {
  const [a] = await batch([[method, params]]);
  if (a.error) throw new Refused(typeof a.error.data === 'string' ? a.error.data : a.error.message);
  return a.result;
}

// The N blocks below height BELOW, as far as this node has them, latest first, and their
// transactions, at most 1,000.
export async function lookBack(below, n) {
  const heights = Array.from({ length: n }, (_, i) => below - 1n - BigInt(i)).filter((x) => x > 0n);
  const found = async (calls) => (calls.length ? await batch(calls) : []).map((a) => a.result).filter(Boolean);
  const blocks = await found(heights.map((x) => ['poa_block_get', { height: String(x) }]));
  const txs = await found(blocks.flatMap((b) => b.transactions).slice(0, 1000).map(({ id }) => ['poa_tx_get', { id }]));
  return { blocks, txs, next: heights.at(-1) ?? 1n };
}

let genesisOnce;
export const genesis = () => (genesisOnce ??= call('poa_genesis_get'));
const epochs = new Map();
export async function epoch(number) {
  if (!epochs.has(number)) epochs.set(number, call('poa_epoch_get', { epoch: number }));
  try {
    return await epochs.get(number);
  } catch (e) {
    epochs.delete(number);
    throw e;
  }
}
let witnessesOnce;
export const witnesses = () => (witnessesOnce ??= call('poa_witnesses_list', { limit: 1000 })
  .then((v) => new Map(v.items.map((w) => [w.key, w]))));

// --- live: one stream per page ------------------------------------------------------------

let stream;
export function live(query, handlers) {
  stream?.close();
  stream = new EventSource(`/v1/events?${query}`);
  for (const [name, f] of Object.entries(handlers)) stream.addEventListener(name, (e) => f(JSON.parse(e.data)));
  stream.onerror = () => say('The stream of events is interrupted; trying again.');
  stream.onopen = () => say('');
}
export const quiet = () => { stream?.close(); stream = null; say(''); };
export function say(text) {
  const state = document.getElementById('state');
  if (state.textContent !== text) state.textContent = text;
}

export const set = (id, text) => { const e = document.getElementById(id); if (e && e.textContent !== text) e.textContent = text; };

// --- values ---------------------------------------------------------------------------------

export const NEVER = '18446744073709551615';
export const number = (v) => BigInt(v).toLocaleString('en');
export const count = (n, word) => `${number(n)} ${word}${Number(n) === 1 ? '' : 's'}`;
export const short = (s) => (s.length > 18 ? `${s.slice(0, 10)}…${s.slice(-6)}` : s);
export const time = (ms) => new Date(Number(ms)).toISOString().replace('T', ' ').slice(0, 23);
export const percent = (p) => (p === 0 ? '0' : p < 1e-4 ? p.toExponential(1) : p.toLocaleString('en', { maximumSignificantDigits: 3 }));
export const zero = (hash) => /^0*$/.test(hash);
const link = (to, text, full) => h('a', { href: `#/${to}`, class: 'mono', title: full ?? null }, text);
export const blockLink = (height) => link(`block/${height}`, number(height));
export const hashLink = (hash) => link(`block/${hash}`, short(hash), hash);
export const txLink = (id) => link(`tx/${id}`, short(id), id);
export const accountLink = (a) => link(`account/${a}`, short(a), a);
export const deviceLink = (d) => link(`device/${d}`, short(d), d);

export const facts = (rows) => h('dl', { class: 'facts' }, rows.filter(Boolean).map(([k, ...v]) => [h('dt', {}, k), h('dd', {}, v)]));
export const tiles = (rows) => h('dl', { class: 'tiles' }, rows.map(([k, v, id]) => h('div', {}, h('dt', {}, k), h('dd', { id: id ?? null }, v))));
export function table(caption, heads, rows) {
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    h('table', {}, h('caption', {}, caption),
      h('thead', {}, h('tr', {}, heads.map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, rows.map((r) => h('tr', {}, r.map((c) => h('td', {}, c)))))));
}
// An entry of the state with all that proves it, on demand.
export function proofButton(tableName, key) {
  const out = h('div', {}), button = h('button', { type: 'button', id: 'prove' }, 'Prove it');
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      const p = await call('poa_proof_get', { table: tableName, key });
      out.replaceChildren(h('p', { role: 'status' }, `As of block ${number(p.height)}: the entry, ${p.proof.length / 2} bytes of path to the state root in the header of the next block, and a certificate of ${p.certificate.length / 2} bytes over it. Save it and check it with poa verify proof, which trusts only the chain that you name.`), json(p));
    } catch (e) {
      out.replaceChildren(h('p', { class: 'bad', role: 'status' }, e.message));
    }
    button.disabled = false;
  });
  return section('Proof', button, out);
}
export const json = (v) => h('pre', { tabindex: 0, 'aria-label': 'JSON' }, JSON.stringify(v, null, 2));
export const section = (title, ...children) => h('section', {}, h('h2', {}, title), children);

// A line over time. DATA: rows of [Date, value...]; what it shows is said in words as well.
export function chart(label, labels, data, { labelWidth = 90, ...options } = {}) {
  const box = h('div', { class: 'chart' });
  const figure = h('figure', { role: 'img', 'aria-label': label }, box);
  let graph;
  const draw = () => {
    const css = getComputedStyle(document.documentElement);
    graph = new Dygraph(box, data, {
      labels, colors: [css.getPropertyValue('--accent').trim(), css.getPropertyValue('--bad').trim()],
      axisLineColor: css.getPropertyValue('--line').trim(), gridLineColor: css.getPropertyValue('--line').trim(),
      strokeWidth: 2, includeZero: true, legend: 'never', interactionModel: {}, axisLabelFontSize: 13,
      axes: { y: { axisLabelWidth: labelWidth, axisLabelFormatter: (v) => v.toLocaleString('en') } }, labelsUTC: true, ...options,
    });
  };
  requestAnimationFrame(() => box.isConnected && data.length > 1 && draw());
  figure.update = () => {
    if (!box.isConnected || data.length < 2) return;
    if (graph) graph.updateOptions({ file: data });
    else draw();
  };
  return figure;
}
