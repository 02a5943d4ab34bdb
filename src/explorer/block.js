// A block: who certified it, what it carries, and the draw of its slot, recomputed here.
import { publicDraws, ticketSeats, unhex, vrfOutput } from './draw.js';
import { accountLink, batch, blockLink, call, count, deviceLink, epoch, facts, genesis, h, hashLink, json, number, section, short, table, time, txLink, witnesses, zero } from './lib.js';

const RANDOM_DRAWS = 64, WEIGHTED = 2, VRF = 0;
const BATCH = 50, BLOCKS_BACK = 600;

async function certificate(cert) {
  const [{ committee }, names] = await Promise.all([epoch(cert.epoch), witnesses()]);
  const mask = unhex(cert.signers);
  const rows = committee.members.map((m, i) => [
    names.get(m.key)?.name || short(m.key), `maker ${m.maker}`, `region ${m.region}`, `provider ${m.provider}`,
    (mask[i >> 3] >> (i & 7)) & 1 ? h('span', { class: 'good' }, 'signed') : h('span', { class: 'dim' }, 'not in it'),
  ]);
  return [h('p', {}, `${cert.sigs.length} of ${committee.members.length} witnesses signed; ${committee.quorum} are enough.`),
    table(`Witnesses of epoch ${cert.epoch}`, ['Witness', 'Maker', 'Region', 'Provider', 'Signature'], rows)];
}

// --- the draw ---------------------------------------------------------------------------------

const same = (a, b) => a.length === b.length && a.every((s, i) => s.device === b[i].device && s.rank === b[i].rank);
const byRank = (a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : a.device < b.device ? -1 : 1);

// Keys of the devices that may be drawn, by index.
async function registry(count) {
  const keys = [];
  for (let from = 0; from < count; from += 1000) {
    const page = await call('poa_devices_list', { from, limit: 1000 });
    for (const d of page.items) keys[d.index] = d;
  }
  return keys;
}

async function publicSeats(g, e, slot) {
  const devices = await registry(e.eligible);
  const seats = [], steps = [];
  for (const d of publicDraws(g.chain, e.seed, slot, e.eligible, RANDOM_DRAWS)) {
    if (seats.length === g.genesis.seats_per_slot) break;
    const device = devices[d.index];
    const again = seats.some((s) => s.device === device.device);
    const fits = device.status === 0 && !again;
    if (fits) seats.push({ device: device.device, rank: d.rank });
    steps.push([`Draw ${d.j}: BLAKE2b = `, h('code', {}, `${d.hash.slice(0, 48)}…`), ` gives index ${d.index}, device `,
      deviceLink(device.device), `, rank ${d.rank}: `, fits ? 'seated' : again ? 'has a seat already' : 'suspended']);
  }
  return { seats: seats.sort(byRank), steps };
}

// The tickets that blocks of the window before carried.
async function ticketsOf(g, e, height, window) {
  const start = BigInt(g.genesis.time_ms) + (BigInt(e.first_slot) + BigInt((window - 1) * g.genesis.window_slots)) * BigInt(g.genesis.slot_ms);
  const found = new Map();
  for (let top = height, read = 0; top > 0n && read < BLOCKS_BACK; top -= BigInt(BATCH), read += BATCH) {
    const heights = Array.from({ length: BATCH }, (_, i) => top - BigInt(i)).filter((x) => x > 0n);
    const blocks = await batch(heights.map((x) => ['poa_block_get', { height: String(x) }]));
    for (const { result: b } of blocks)
      for (const t of b?.body?.tickets ?? [])
        if (t.epoch === e.epoch && t.window === window && !found.has(t.device)) found.set(t.device, t);
    const oldest = blocks.at(-1).result;
    if (!oldest || BigInt(oldest.header.time_ms) < start) return { tickets: [...found.values()], whole: !!oldest };
  }
  return { tickets: [...found.values()], whole: false };
}

async function ticketDraw(g, e, slot, height, window) {
  const { tickets, whole } = await ticketsOf(g, e, height, window);
  const first = BigInt(e.first_slot) + BigInt(window * g.genesis.window_slots);
  const rules = { eligible: e.eligible, window_slots: g.genesis.window_slots, seats_per_slot: g.genesis.seats_per_slot };
  const seats = [], steps = [[`Blocks of window ${window - 1} carry ${count(tickets.length, 'ticket')} for window ${window}${whole ? '' : ' (not all of these blocks are kept here)'}.`]];
  for (const t of tickets) {
    const beta = await vrfOutput(unhex(t.proof));
    const mine = ticketSeats(beta, rules).filter((s) => first + BigInt(s.slot) === BigInt(slot));
    for (const s of mine) seats.push({ device: t.device, rank: s.rank });
    steps.push([deviceLink(t.device), ': the proof of its ticket gives beta = ', h('code', {}, short(Array.from(beta, (x) => x.toString(16).padStart(2, '0')).join(''))),
      mine.length ? `; draw ${mine[0].j} wins this slot with rank ${mine[0].rank}` : '; no draw wins this slot']);
  }
  return { seats: seats.sort(byRank).slice(0, 32), steps };
}

async function recompute(out, slot, entry) {
  const g = await genesis(), e = await epoch(entry.epoch);
  const window = Number((BigInt(slot) - BigInt(e.first_slot)) / BigInt(g.genesis.window_slots));
  const policy = g.genesis.policy;
  if (policy === WEIGHTED) {
    out.replaceChildren(h('p', {}, 'Policy weighted depends on balances at that height: poa why recomputes it with proofs.'));
    return;
  }
  const open = policy !== VRF || window === 0;
  const { seats, steps } = open ? await publicSeats(g, e, slot) : await ticketDraw(g, e, slot, BigInt(entry.height), window);
  const told = entry.seats.map((s) => ({ device: s.device, rank: BigInt(s.rank) }));
  const agree = same(seats, told);
  out.replaceChildren(
    h('ol', { class: 'steps' },
      h('li', {}, 'Seed of epoch ', String(entry.epoch), ': ', h('code', {}, e.seed)),
      h('li', {}, `Slot ${slot} is in window ${window} of the epoch, drawn ${open ? 'in public from the seed' : 'by tickets'}; ${e.eligible} devices may be drawn.`),
      steps.map((s) => h('li', {}, s)),
      h('li', {}, 'Lowest rank first: ', seats.map((s, i) => [i ? ', ' : '', deviceLink(s.device)]), seats.length ? '' : 'nobody')),
    h('p', { id: 'verdict', role: 'status', class: agree ? 'good' : 'bad' },
      agree ? 'The draw recomputed in this page gives the seats that the chain has.' : 'The draw recomputed in this page differs from the seats above.'));
}

async function draw(block) {
  const g = await genesis();
  const slot = (BigInt(block.header.time_ms) - BigInt(g.genesis.time_ms)) / BigInt(g.genesis.slot_ms);
  const [answer] = await batch([['poa_slot_get', { slot: String(slot) }]]);
  const entry = answer.result;
  if (!entry) return h('p', {}, `The seats of slot ${number(slot)} are settled and no longer in the state.`);
  const sealing = entry.height === block.header.height;
  const out = h('div', {});
  const button = h('button', { type: 'button', id: 'recompute' }, 'Recompute the draw');
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      await recompute(out, slot, entry);
    } catch (e) {
      out.replaceChildren(h('p', { class: 'bad', role: 'status' }, `It could not be recomputed: ${e.message}`));
    }
    button.disabled = false;
  });
  return [
    h('p', {}, sealing ? `This is the sealing block of slot ${number(slot)}.` : ['The sealing block of its slot ', number(slot), ' is ', blockLink(entry.height), '.']),
    table(`Seats of slot ${slot}`, ['Device', 'Rank', 'Its seal is in block'], entry.seats.map((s) => [
      deviceLink(s.device), number(s.rank), s.sealed === '0' ? h('span', { class: 'dim' }, 'none yet') : blockLink(s.sealed)])),
    entry.settled ? h('p', {}, 'Settled. Miner: ', zero(entry.miner) ? 'nobody' : deviceLink(entry.miner)) : null,
    button, out];
}

export async function blockPage(which) {
  const block = await call('poa_block_get', which === 'latest' ? {} : /^[0-9]+$/.test(which) && which.length < 21 ? { height: which } : { hash: which });
  const { header, body, transactions } = block;
  const [g, e, names] = await Promise.all([genesis(), epoch(header.epoch), witnesses()]);
  const leader = e.committee?.members[header.leader];
  const kinds = ['normal', 'closing block of its epoch', 'filler'];
  return [
    h('h1', {}, `Block ${number(header.height)}`),
    h('p', {}, header.height === '1' ? null : [h('a', { href: `#/block/${BigInt(header.height) - 1n}` }, 'Parent'), ' · '],
      h('a', { href: `#/block/${BigInt(header.height) + 1n}` }, 'Next')),
    facts([
      ['Hash', h('code', {}, block.hash)],
      ['Parent', header.height === '1' ? 'genesis' : hashLink(header.parent)],
      ['Time', `${time(header.time_ms)} UTC`],
      ['Epoch and view', `${header.epoch}, ${number(header.view)}`],
      ['Kind', kinds[header.kind] ?? String(header.kind)],
      ['Leader', leader ? `${names.get(leader.key)?.name || short(leader.key)} (maker ${leader.maker}, region ${leader.region})` : String(header.leader)],
      ['State after its parent', h('code', {}, header.state)],
      body && ['Carries', [[transactions, 'transaction'], [body.seals, 'seal'], [body.tickets, 'ticket'], [body.evidence, 'conviction']].map(([v, w]) => count(v.length, w)).join(', ')],
    ]),
    section('Finality', block.certificate ? await certificate(block.certificate)
      : h('p', {}, 'It has no certificate of its own: that of a later block covers it.')),
    transactions.length ? section('Transactions', table('In the order of execution', ['Transaction', 'Result'],
      transactions.map((t) => [txLink(t.id), t.code ? h('span', { class: 'bad' }, `${t.result}: ${t.why}`) : h('span', { class: 'good' }, 'done')]))) : null,
    body?.seals.length ? section('Seals in this block', table('Devices that sealed earlier blocks', ['Device', 'Slot', 'Sealed block'],
      body.seals.map((s) => [deviceLink(s.device), number(s.slot), blockLink(s.height)]))) : null,
    section('Assignment of its slot', await draw(block)),
    h('details', {}, h('summary', {}, 'The block as JSON'), json(block)),
    h('p', { class: 'dim' }, `Chain ${short(g.chain)}`),
  ];
}

// --- transactions ---------------------------------------------------------------------------

const value = (k, v) => (typeof v === 'string' && v.startsWith('poa1') ? accountLink(v)
  : Array.isArray(v) || (v && typeof v === 'object') ? JSON.stringify(v) : k === 'device' ? deviceLink(v) : String(v));

function grade(t) {
  const g = t.grade2;
  const of = (what) => [what, `${g[what]} of ${g.needs[what]} needed`];
  return [h('p', {}, t.grade === 2 ? 'Grade 2: a quorum of witnesses, and seals of independent devices over the slots that follow.'
    : 'Grade 1: a quorum of witnesses signed the block.'),
  g?.needs ? facts([['Slots', `${number(g.first_slot)} to ${number(g.last_slot)}${g.closed ? ', passed' : ''}`], of('devices'), of('makers'), of('regions')]) : null];
}

export async function txPage(id) {
  const t = await call('poa_tx_get', { id });
  const tx = t.tx;
  return [
    h('h1', {}, 'Transaction'),
    facts([
      ['Id', h('code', {}, t.id)],
      ['State', t.state === 'final' ? 'final' : 'waiting for a block'],
      t.height && ['Block', blockLink(t.height), ` at ${t.index}`],
      t.result && ['Result', t.code ? h('span', { class: 'bad' }, `${t.result}: ${t.why}`) : h('span', { class: 'good' }, 'executed')],
      tx && ['Sender', accountLink(tx.sender)],
      tx && ['Nonce', number(tx.nonce)],
      tx && ['Fee', number(tx.fee)],
    ]),
    t.grade !== undefined ? section('Grade', ...grade(t)) : null,
    tx ? section('Operations', (tx.ops ?? []).map((op) => [h('h3', {}, op.operation ?? String(op.kind)),
      facts(Object.entries(op).filter(([k, v]) => !['operation', 'kind'].includes(k) && v !== '').map(([k, v]) => [k, value(k, v)]))])) : null,
    t.height ? section('Proof', h('p', {}, 'The block that carries it is certified: ', blockLink(t.height), ' shows by whom. Check it on your own machine with ', h('code', {}, 'poa chain'), '.')) : null,
    h('details', {}, h('summary', {}, 'The transaction as JSON'), json(t)),
  ];
}
