// Which page is shown, and those that are short.
import { blockPage, txPage } from './block.js';
import { devicePage } from './device.js';
import { batch, blockLink, call, chart, deviceLink, facts, genesis, h, hashLink, live, lookBack, number, percent, proofButton, quiet, Refused, section, set, short, table, tiles, time, txLink, witnesses } from './lib.js';

const main = document.getElementById('main');

// --- the chain as it becomes final --------------------------------------------------------------

const SHOWN = 25, POINTS = 120;

function rowOf(b) {
  return h('tr', { class: 'new', 'data-height': b.height }, [
    blockLink(b.height), hashLink(b.hash), time(b.time_ms).slice(11), String(b.leader), String(b.transactions), String(b.seals),
  ].map((c) => h('td', {}, c)), h('td', { class: 'dim' }, ''));
}

async function chainPage() {
  const status = await call('poa_status');
  const points = [], blocks = table('Latest final blocks', ['Height', 'Hash', 'Time (UTC)', 'Leader', 'Transactions', 'Seals', 'Signatures'], []);
  const body = blocks.querySelector('tbody');
  const graph = chart('Transactions per second and blocks per second, the last two minutes', ['time', 'transactions', 'blocks'], points);
  let paused = false, since = 0;
  const pause = h('button', { type: 'button', id: 'pause', 'aria-pressed': 'false' }, 'Pause');
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
  });
  live('topics=block,finality,status', {
    block(b) {
      since++;
      set('height', number(b.height));
      if (paused) return;
      body.prepend(rowOf(b));
      while (body.rows.length > SHOWN) body.lastChild.remove();
    },
    finality(f) {
      const row = body.querySelector(`tr[data-height="${f.height}"]`);
      if (row) row.lastChild.textContent = `${f.signatures}`;
    },
    status(s) {
      set('tps', s.tps.toFixed(1));
      set('skipped', number(s.nullified));
      set('txs', number(s.txs));
      set('seals', number(s.seals));
      set('peers', String(s.peers));
      set('waiting', number(s.mempool));
      points.push([new Date(), s.tps, since]);
      since = 0;
      if (points.length > POINTS) points.shift();
      if (!paused) graph.update();
    },
  });
  return [
    h('h1', {}, `Chain of ${(await genesis()).genesis.name}`),
    status.ready ? null : h('p', { class: 'bad' }, `This node is not ready: ${status.why}`),
    tiles([['Final height', number(status.height), 'height'], ['Transactions per second', '…', 'tps'],
      ['Transactions', number(status.state.txs), 'txs'], ['Seals', number(status.state.seals), 'seals'],
      ['Views skipped', number(status.consensus.views_nullified), 'skipped'], ['Waiting here', number(status.consensus.mempool), 'waiting'],
      ['Peers', String(status.peers), 'peers'], ['Devices', number(status.state.devices)]]),
    section('Rate', h('p', {}, h('span', { class: 'key' }, 'Transactions'), ' and ', h('span', { class: 'key' }, 'blocks'), ' per second.'), graph),
    h('section', {}, h('div', { class: 'bar' }, h('h2', {}, 'Blocks'), pause), blocks),
  ];
}

// --- accounts ----------------------------------------------------------------------------------

const LOOK_BACK = 100;
async function accountPage(address) {
  const a = await call('poa_account_get', { address });
  const seen = table('Transactions that name it', ['Transaction', 'Block', 'Operations', 'Result'], []);
  const body = seen.querySelector('tbody');
  const row = (t) => h('tr', {}, [txLink(t.id), blockLink(t.height),
    (t.tx?.ops ?? []).map((o) => o.operation).join(', '), t.code ? t.result : 'done'].map((c) => h('td', {}, c)));
  let below = BigInt((await call('poa_status')).height) + 1n;
  const note = h('p', { class: 'dim', role: 'status' }, 'New ones appear here as they become final.');
  const more = h('button', { type: 'button', id: 'back' }, `Look ${LOOK_BACK} blocks back`);
  more.addEventListener('click', async () => {
    more.disabled = true;
    const { txs, next } = await lookBack(below, LOOK_BACK);
    for (const t of txs) if (JSON.stringify(t.tx).includes(address)) body.append(row(t));
    below = next;
    note.textContent = `Looked back to block ${number(below)}.`;
    more.disabled = below <= 1n;
  });
  live(`account=${encodeURIComponent(address)}`, {
    async tx(t) {
      body.prepend(row(t));
      const now = await call('poa_account_get', { address });
      set('balance', number(now.balance));
      set('nonce', number(now.nonce));
    },
  });
  return [
    h('h1', {}, 'Account'), h('p', { class: 'mono' }, address),
    tiles([['Balance', number(a.balance), 'balance'], ['Transactions sent', number(a.nonce), 'nonce'],
      a.held !== undefined ? ['Held for grade 2', number(a.held)] : null].filter(Boolean)),
    section('Transactions', note, more, seen),
    proofButton('account', await addressHex(address)),
  ];
}
// The 32 bytes of a bech32m address, whose checksum the node has checked.
async function addressHex(address) {
  const set32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
  let bits = 0n;
  for (const c of address.slice(4, -6)) bits = (bits << 5n) | BigInt(set32.indexOf(c));
  const spare = BigInt((address.length - 10) * 5 - 256);
  return (bits >> spare).toString(16).padStart(64, '0');
}

// --- fleet and network --------------------------------------------------------------------------

const PAGE = 50;
async function fleetPage(from = '0') {
  const [devices, peers, status] = (await batch([['poa_devices_list', { from: Number(from), limit: PAGE }], ['poa_peers_list'], ['poa_status']])).map((a) => a.result);
  // A gateway knows who is connected to it; who asks without the right sees no peers.
  const here = status.roles.includes('trusted') && devices.items.length > 0
    ? (await batch(devices.items.map((d) => ['poa_presence_get', { device: d.device }]))).map((a) => a.result) : [];
  const presence = (p) => (p?.connected ? h('span', { class: 'good' }, `${number((BigInt(Date.now()) - BigInt(p.since_ms)) / 1000n)} s`) : p ? 'no' : '–');
  const share = (d) => (d.assigned === '0' ? '–' : `${(100 * Number(d.sealed) / Number(d.assigned)).toFixed(1)} %`);
  const rates = [], issued = [];
  const graph = chart('Seals and anchors per second, the last two minutes', ['time', 'seals', 'anchors'], rates);
  const rewards = chart('Rewards that the chain issued since this page was opened', ['time', 'issued'], issued);
  let before;
  live('topics=status', {
    status(s) {
      const now = Date.now();
      set('connected', number(s.devices));
      set('accepted', number(s.packs));
      set('anchors', number(s.anchors));
      set('sealed', number(s.seals));
      if (before) rates.push([new Date(now), Number(BigInt(s.seals) - BigInt(before.seals)) * 1000 / (now - before.now), Number(BigInt(s.anchors) - BigInt(before.anchors)) * 1000 / (now - before.now)]);
      before = { ...s, now };
      issued.push([new Date(now), Number(BigInt(s.issued) - BigInt(status.state.issued))]);
      for (const list of [rates, issued]) if (list.length > POINTS) list.shift();
      graph.update();
      rewards.update();
    },
  });
  return [
    h('h1', {}, 'Fleet'),
    tiles([['Registered devices', number(devices.total)], ['Connected to this node', number(status.devices), 'connected'], ['Usage packs accepted here', number(status.packs), 'accepted'], ['Anchors on the chain', number(status.state.anchors), 'anchors'], ['Seals', number(status.state.seals), 'sealed']]),
    section('Devices', table('In order of registration', ['Device', 'Maker', 'Region', 'State', 'Connected here', 'Seats', 'Sealed', 'Earned'],
      devices.items.map((d, i) => [deviceLink(d.device), String(d.maker), String(d.region), d.status ? h('span', { class: 'bad' }, 'suspended') : 'active', presence(here[i]), number(d.assigned), share(d), number(d.earned)])),
    h('p', {}, Number(from) > 0 ? [h('a', { href: `#/fleet/${Math.max(0, Number(from) - PAGE)}` }, 'Before'), ' '] : null,
      devices.next !== null ? h('a', { href: `#/fleet/${devices.next}` }, 'More') : null)),
    section('Seals and anchors', h('p', {}, h('span', { class: 'key' }, 'Seals'), ' and ', h('span', { class: 'key' }, 'anchors'), ' per second. What an anchor commits to only the owners can read: open the page of a device.'), graph),
    section('Rewards', h('p', {}, 'Issued since this page was opened, in the smallest unit.'), rewards),
    section('Nodes and gateways', peers === undefined ? h('p', {}, 'Shown to callers with the right to operate.') : table('Peers of this node on the mesh', ['Node', 'Address', 'Connected', 'Height', 'Sent', 'Received'],
      peers.map((p) => [p.name || short(p.key), p.address || 'dials us', p.connected ? h('span', { class: 'good' }, 'yes') : h('span', { class: 'bad' }, 'no'), number(p.height), `${number(p.sent_bytes)} B`, `${number(p.received_bytes)} B`]))),
  ];
}

async function networkPage() {
  const [s, latency] = (await batch([['poa_status'], ['poa_latency_get']])).map((a) => a.result);
  const [e, names] = [await call('poa_epoch_get', { epoch: s.consensus.epoch }), await witnesses()];
  const w = s.witness ?? e.witness;
  live('topics=status,block', {
    status(v) { set('tps', v.tps.toFixed(1)); set('skipped', number(v.nullified)); set('peers', String(v.peers)); },
    block(b) { set('height', number(b.height)); set('view', number(b.view)); },
  });
  const ms = (us) => `${(Number(us) / 1000).toFixed(1)} ms`;
  return [
    h('h1', {}, 'Network'),
    tiles([['Final height', number(s.height), 'height'], ['Transactions per second', '…', 'tps'],
      ['Finality, median', latency?.count > 0 ? ms(latency.p50_us) : 'no sample'], ['Finality, 99 of 100', latency?.count > 0 ? ms(latency.p99_us) : 'no sample'],
      ['View', number(s.consensus.view), 'view'], ['Views skipped', number(s.consensus.views_nullified), 'skipped'], ['Peers', String(s.peers), 'peers'], ['Epoch', number(s.consensus.epoch)]]),
    section('Committee', h('p', {}, `${e.committee.members.length} witnesses; ${e.committee.quorum} signatures make a block final.`),
      table(`Witnesses of epoch ${e.epoch}`, ['Witness', 'Maker', 'Region', 'Provider', 'Key'],
        e.committee.members.map((m) => [names.get(m.key)?.name || short(m.key), String(m.maker), String(m.region), String(m.provider), h('code', { title: m.key }, short(m.key))]))),
    w ? section('Bounds', h('p', { class: w.met || w.devnet ? '' : 'bad' }, w.devnet ? 'A test network promises nothing.' : w.met ? 'The committee meets the target of genesis.' : 'The committee misses the target of genesis.'),
      table(`If each witness is bad with probability ${w.p} and offline with ${w.offline}`, ['What', 'Probability'], [
        ['Two conflicting certificates', percent(w.fork)], ['A certificate without honest help', percent(w.forge)], ['No certificate', percent(w.stall)],
        ...(w.group ? [['Two conflicting certificates, when the largest group falls as a whole', percent(w.group.fork)]] : [])])) : null,
    section('This node', facts([['Name', s.name], ['Version', s.version], ['Roles', s.roles.join(', ')], ['Chain', h('code', {}, s.chain)], ['Key', h('code', {}, s.key)], ['Up for', `${number(BigInt(s.uptime_ms) / 1000n)} s`]])),
  ];
}

// --- search -------------------------------------------------------------------------------------

async function search(text) {
  const q = text.trim().replace(/^#/, '');
  const digits = q.replaceAll(',', '');
  if (/^[0-9]{1,20}$/.test(digits)) return `block/${BigInt(digits)}`;
  if (/^poa1/i.test(q)) return `account/${q.toLowerCase()}`;
  if (/^[0-9a-f]{64}$/i.test(q)) {
    const id = q.toLowerCase();
    const [block, tx, device] = await batch([['poa_block_get', { hash: id }], ['poa_tx_get', { id }], ['poa_device_get', { device: id }]]);
    if (block.result) return `block/${id}`;
    if (tx.result) return `tx/${id}`;
    if (device.result) return `device/${id}`;
    throw new Refused('No block, transaction or device has this hash.');
  }
  throw new Refused('Search takes a height, a hash of 64 hex digits, or an address that starts with poa1.');
}
document.getElementById('search').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    location.hash = `#/${await search(document.getElementById('q').value)}`;
  } catch (e) {
    quiet();
    show([h('h1', {}, 'Nothing found'), h('p', { id: 'error', role: 'alert' }, e.message)]);
  }
});
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});

// --- pages ---------------------------------------------------------------------------------------

const pages = { '': chainPage, block: blockPage, tx: txPage, account: accountPage, device: devicePage, fleet: fleetPage, network: networkPage };
let turn = 0;

function show(content) {
  main.replaceChildren(...content.flat(9).filter(Boolean));
  document.title = `${main.querySelector('h1')?.textContent ?? ''} · poa explorer`;
}
async function route() {
  const mine = ++turn;
  const [name = '', ...rest] = location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
  quiet();
  for (const a of document.querySelectorAll('nav a'))
    if (a.getAttribute('href') === `#/${name}`) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  let content;
  try {
    if (!pages[name]) throw new Refused('There is no such page.');
    content = await pages[name](...rest);
  } catch (e) {
    content = [h('h1', {}, 'Nothing here'), h('p', { id: 'error', role: 'alert' }, e.message)];
  }
  if (mine !== turn) return;
  show(content);
  if (mine > 1) {
    scrollTo(0, 0);
    main.focus();
  }
}
addEventListener('hashchange', route);
route();
