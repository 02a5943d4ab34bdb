// A device: what the chain says of it, and its readings for whoever may have them.
import { accountLink, batch, blockLink, call, chart, count, facts, genesis, h, live, lookBack, number, proofButton, section, set, table, tiles, txLink } from './lib.js';
import { readings } from './readings.js';

const SHOWN = 25, POINTS = 120, LOOK_BACK = 200;

function history(bits) {
  const seats = Array.from({ length: 32 }, (_, i) => (bits >>> (31 - i)) & 1);
  const good = seats.filter(Boolean).length;
  return [h('p', {}, `${good} of the last 32 settled seats sealed in time (a newcomer starts with 16).`),
    h('ul', { class: 'seats', 'aria-label': `${good} of 32 sealed` }, seats.map((s) => h('li', { class: s ? '' : 'miss' })))];
}

// What keeps a device from being drawn, as far as the state says.
async function whyNot(d) {
  const status = await call('poa_status');
  const e = await call('poa_epoch_get', { epoch: status.consensus.epoch });
  const g = (await genesis()).genesis;
  if (d.status !== 0) return `It is suspended${d.convicted !== '0' ? ` on the evidence in block ${number(d.convicted)}` : ''}, and suspended devices are not drawn.`;
  if (d.index >= e.eligible) return `It was registered too late for epoch ${e.epoch}: only devices from before the previous epoch began may be drawn, so that nobody picks a key that likes a seed.`;
  const share = g.seats_per_slot / e.eligible;
  const text = `It may be drawn. With ${e.eligible} devices and ${g.seats_per_slot} seats per slot it expects a seat in ${(100 * Math.min(1, share)).toPrecision(3)} % of the slots, one in ${number(Math.max(1, Math.round(1 / share)))}.`;
  return g.policy === 0 ? `${text} It must have sent a ticket for the window; its last one was for window ${number(BigInt(d.ticket) & 0xffffffffn)} of epoch ${BigInt(d.ticket) >> 32n}.` : text;
}

// Its seals, and the anchors that name it: those of the last blocks, and as they come.
function onChain(key, index, tip) {
  const marks = [], points = [], senders = new Set(), seen = new Set();
  const graph = chart('Seals by this device and anchors that name it, summed up over the blocks below', ['time', 'seals', 'anchors'], points, { stepPlot: true });
  const events = table('Seals and anchors, latest first', ['Block', 'What', 'Of'], []);
  const body = events.querySelector('tbody');
  const note = h('p', { class: 'dim', id: 'looked' });
  const more = h('button', { type: 'button', id: 'back' }, `Look ${LOOK_BACK} blocks back`);
  const row = (cells) => h('tr', {}, cells.map((c) => h('td', {}, c)));
  const seal = (height, s) => [blockLink(height), `seal of slot ${number(s.slot)}`, blockLink(s.sealed)];
  const ours = (t) => (t.code ? [] : t.tx?.ops ?? []).filter((o) => o.operation === 'ANCHOR' && o.devices.some((m) => m.id === index));
  const anchor = (t, o) => [blockLink(t.height), `anchor over ${count(o.packs, 'pack')}, of ${count(o.devices.length, 'device')}`, txLink(t.id)];
  let below = BigInt(tip) + 1n;

  function redraw() {
    let seals = 0, anchors = 0;
    marks.sort((a, b) => a[0] - b[0]);
    points.length = 0;
    for (const [ms, s, a] of marks) points.push([new Date(ms), seals += s, anchors += a]);
    note.textContent = `Since block ${number(below)}: ${count(seals, 'seal')} by it, ${count(anchors, 'anchor')} with packs of it.`;
    graph.update();
  }
  // The stream begins with a block that was looked at.
  function fresh(id, cells, ms, seals, anchors) {
    if (seen.has(id)) return;
    seen.add(id);
    marks.push([ms, seals, anchors]);
    body.prepend(row(cells));
    while (body.rows.length > SHOWN) body.lastChild.remove();
    redraw();
  }
  // What of a block concerns it, the latest first.
  async function look() {
    more.disabled = true;
    const { blocks, txs, next } = await lookBack(below, LOOK_BACK);
    const at = new Map();
    for (const t of txs) for (const o of t.tx?.ops ?? []) if (o.operation === 'ANCHOR') senders.add(t.tx.sender);
    for (const t of txs) for (const o of ours(t)) {
      at.set(t.height, [...at.get(t.height) ?? [], anchor(t, o)]);
      seen.add(t.id);
    }
    for (const { header, body: b } of blocks) {
      const mine = (b?.seals ?? []).filter((s) => s.device === key);
      const seals = mine.map((s) => seal(header.height, { slot: s.slot, sealed: s.height }));
      mine.forEach((s) => seen.add(s.slot));
      const anchors = at.get(header.height) ?? [];
      marks.push([Number(header.time_ms), seals.length, anchors.length]);
      for (const cells of [...anchors, ...seals]) if (body.rows.length < SHOWN) body.append(row(cells));
    }
    below = next;
    redraw();
    more.disabled = below <= 1n;
  }
  more.addEventListener('click', look);
  return {
    look, senders, seal: (s) => fresh(s.slot, seal(s.height, s), Date.now(), 1, 0),
    tx: (t) => { for (const o of ours(t)) fresh(t.id, anchor(t, o), Date.now(), 0, 1); },
    section: section('Seals and anchors', h('p', {}, h('span', { class: 'key' }, 'Seals'), ' and ', h('span', { class: 'key' }, 'anchors'), ', as the chain has them for everybody to see: that it measured and when, not what.'), graph, note, more, events),
  };
}

export async function devicePage(name, grant) {
  const key = name.toLowerCase();
  const d = await call('poa_device_get', { device: key });
  const [maker, status] = (await batch([['poa_maker_get', { maker: d.maker }], ['poa_status']])).map((a) => a.result);
  const points = [[new Date(), 0]];
  const graph = chart('What the device has earned, since this page was opened', ['time', 'earned'], points);
  const chain = onChain(key, d.index, status.height);
  await chain.look();
  live(['topics=seal', ...[...chain.senders].slice(0, 16)].join('&account='), {
    tx: chain.tx,
    async seal(s) {
      if (s.device !== key) return;
      chain.seal(s);
      const now = await call('poa_device_get', { device: key });
      set('earned', number(now.earned));
      set('sealed', number(now.sealed));
      set('assigned', number(now.assigned));
      points.push([new Date(), Number(BigInt(now.earned) - BigInt(d.earned))]);
      if (points.length > POINTS) points.shift();
      graph.update();
    },
  });
  return [
    h('h1', {}, 'Device'), h('p', { class: 'mono' }, key),
    tiles([['Earned', number(d.earned), 'earned'], ['Seals in time', number(d.sealed), 'sealed'], ['Seats', number(d.assigned), 'assigned'], ['State', d.status ? 'suspended' : 'active']]),
    section('Registration', facts([
      ['Maker', maker?.name ? `${maker.name} (${d.maker})` : String(d.maker)], ['Region', String(d.region)],
      ['Owner', accountLink(d.owner)], ['Rewards go to', accountLink(d.payout)], ['Registered', d.height === '0' ? 'in genesis' : blockLink(d.height)], ['Registry index', number(d.index)]])),
    section('Readings', readings(key, grant)),
    section('Reliability', history(d.history)),
    section('Why it is drawn, or not', h('p', { id: 'why' }, await whyNot(d))),
    chain.section,
    section('Rewards', h('p', {}, 'Earned since this page was opened, in the smallest unit.'), graph),
    proofButton('device', key),
  ];
}
