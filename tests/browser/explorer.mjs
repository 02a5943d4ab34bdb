// The explorer against a live network, in a headless Chromium.
// usage: node explorer.mjs URL SCREENSHOT_DIR GATEWAY_URL DEVICE DIR
// tests/browser/run.sh starts the network; DIR has packs, lie and grant of DEVICE.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [url, shots, gateway, device, files] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const failures = [];
const check = (ok, what) => {
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}`);
  if (!ok) failures.push(what);
};

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
async function open(options) {
  // Playwright waits by evaluating text, which the explorer's own policy refuses.
  const context = await browser.newContext({ bypassCSP: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  page.on('console', (m) => m.type() === 'error' && failures.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => failures.push(`page: ${e.message}`));
  page.on('request', (r) => [url, gateway].some((u) => new URL(r.url()).origin === new URL(u).origin) || r.url().startsWith('data:') || failures.push(`foreign request: ${r.url()}`));
  return page;
}
const go = async (page, to) => {
  await page.goto(`${url}/#/${to}`);
  await page.waitForSelector('main h1');
};
async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter((v) => ['serious', 'critical'].includes(v.impact));
  for (const v of serious) console.log(`  ${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join(' ')}`);
  check(serious.length === 0, `axe: ${what}`);
}
const narrow = (page) => page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);

// With the policy in force: every page comes up, and the console stays silent.
const strict = await open({ bypassCSP: false });
for (const to of ['', 'block/1', 'fleet', 'network', `device/${device}`]) {
  await go(strict, to);
  await strict.waitForTimeout(500);
}
await strict.setInputFiles('#packs', `${files}/packs`);
await strict.locator('section:has(#packs) canvas').first().waitFor();
await strict.context().close();

const page = await open({ viewport: { width: 1280, height: 900 } });
await page.goto(url);
await page.waitForSelector('tbody tr[data-height]');
const first = Number(await page.getAttribute('tbody tr', 'data-height'));
await page.evaluate(() => { window.stayed = true; });
await page.waitForFunction((h) => Number(document.querySelector('tbody tr').dataset.height) > h + 2, first);
check(await page.evaluate(() => window.stayed), 'a block appears without a reload');
const paths = [];
page.on('request', (r) => paths.push(r.url()));
await page.waitForTimeout(3000);
check(paths.length === 0, `no polling: ${paths.length} requests in three seconds`);
await page.waitForTimeout(9000);
await page.screenshot({ path: `${shots}/explorer-chain.png` });
await page.click('#pause');
const held = await page.getAttribute('tbody tr', 'data-height');
await page.waitForTimeout(1000);
check(held === await page.getAttribute('tbody tr', 'data-height'), 'pause holds the list');
await page.click('#pause');

// block -> transaction -> account
const blockHref = await page.waitForFunction(() => [...document.querySelectorAll('tbody tr')].find((r) => Number(r.cells[4].textContent) > 0)?.querySelector('a').getAttribute('href'));
const block = await blockHref.jsonValue();
await go(page, block.slice(2));
await page.waitForSelector('a[href^="#/tx/"]');
check((await page.textContent('main')).includes('witnesses signed'), 'a block shows its certificate');
await page.click('a[href^="#/tx/"]');
await page.waitForFunction(() => document.querySelector('h1').textContent === 'Transaction');
check((await page.textContent('main')).includes('Operations'), 'a transaction shows its operations');
await page.screenshot({ path: `${shots}/explorer-transaction.png` });
await page.click('main a[href^="#/account/"]');
await page.waitForFunction(() => document.querySelector('h1').textContent === 'Account');
await page.click('#back');
await page.waitForSelector('tbody tr');
check(true, 'an account lists its transactions');
await page.click('#prove');
await page.waitForSelector('main pre');
check((await page.textContent('main pre')).includes('"certificate"'), 'an account comes with its proof');
await accessible(page, 'account');

// fleet -> device
await go(page, 'fleet');
await page.waitForSelector('a[href^="#/device/"]');
await page.waitForFunction(() => document.querySelectorAll('main canvas').length >= 4);
check(true, 'seals, anchors and rewards are drawn as they come');
await page.waitForTimeout(8000);
await page.screenshot({ path: `${shots}/explorer-fleet.png`, fullPage: true });
await accessible(page, 'fleet');
await page.click('a[href^="#/device/"]');
await page.waitForFunction(() => document.querySelector('h1').textContent === 'Device');
check(/may be drawn|suspended|too late/.test(await page.textContent('#why')), 'a device says why it is drawn or not');
await page.waitForSelector('table a[href^="#/block/"]');
check(true, 'a seal of the device appears without a reload');
await page.waitForTimeout(4000);
check(/[1-9][0-9]* seals? by it/.test(await page.textContent('#looked')), `what the chain has of it: ${await page.textContent('#looked')}`);
await page.screenshot({ path: `${shots}/explorer-device.png`, fullPage: true });
await accessible(page, 'device');

// readings: a file of packs, a lie, a grant that names no reader
const asked = [];
page.on('request', (r) => r.method() === 'POST' && asked.push(r.postData()));
await go(page, `device/${device}`);
const read = async (page, name) => {
  await page.setInputFiles('#packs', `${files}/${name}`);
  await page.waitForFunction(() => { const e = document.getElementById('read'); return / in .*packs?\.$/.test(e.textContent) || e.className === 'bad'; });
  return [await page.textContent('#read'), await page.evaluate(() => document.getElementById('checks')?.textContent ?? '')];
};
asked.length = 0;
const [told, checks] = await read(page, 'packs');
check(/^[1-9][0-9,]* readings in [0-9,]+ packs?\.$/.test(told), `readings of a file: ${told}`);
check(/signed by this device/.test(checks) && /path to a root that this node’s chain has/.test(checks), 'packs are checked against signature and anchor');
check(/Not verified: that this node shows the chain/.test(checks) && !/Refused/.test(checks), 'what was not checked is said');
await page.waitForSelector('section:has(#packs) canvas');
check((await page.textContent('section:has(#packs) table')).includes('Lowest'), 'readings are drawn, and in words');
check(asked.every((b) => b === null || !b.includes('"pack"')) && asked.some((b) => b?.includes('poa_anchor_get')), 'the readings stay in the page');
await page.locator('section:has(#packs)').screenshot({ path: `${shots}/explorer-readings.png` });
await accessible(page, 'readings');
const [, lies] = await read(page, 'lie');
check(/Refused, and not drawn: 1 pack\. *pack [0-9]+: its signature/.test(lies), `a changed pack is refused: ${lies.slice(-120)}`);
for (const [text, says] of [
  ['kettle', /no file of poa data get/],
  ['{"packs":[null,{"pack":"zz"},{"pack":"00"},{}]}', /^0 readings in 0 of 4 packs/],
  [readFileSync(`${files}/packs`, 'utf8').replaceAll(device, '00'.repeat(32)).replaceAll(/"pack":"[0-9a-f]{64}/g, `"pack":"${'11'.repeat(32)}`), /^0 readings/],
]) {
  await page.setInputFiles('#packs', { name: 'junk', mimeType: 'text/plain', buffer: Buffer.from(text) });
  await page.waitForFunction(() => { const e = document.getElementById('read'); return / in .*packs?\.$/.test(e.textContent) || e.className === 'bad'; });
  check(says.test(await page.textContent('#read')), `what is no file of packs: ${await page.textContent('#read')}`);
  check(!/undefined|TypeError|Cannot read/.test(await page.textContent('section:has(#packs)')), 'and why, in words');
}
// A time that is no date keeps nobody from the other readings; without Ed25519 nothing need be signed.
const odd = Buffer.from(JSON.stringify([{ bt: 1.7e9, n: 'a', v: 1 }, { n: 'b', v: 2, t: 1e300 }]));
const le = (v, n) => Buffer.from(Uint8Array.from({ length: n }, (_, at) => v >> (8 * at)));
const bytes = Buffer.concat([Buffer.from(device, 'hex'), le(1, 2), Buffer.alloc(22), le(2, 2), le(odd.length, 2), odd, Buffer.alloc(64)]);
await page.evaluate(() => { crypto.subtle.importKey = () => Promise.reject(new Error('no Ed25519')); });
await page.setInputFiles('#packs', { name: 'odd', mimeType: 'text/plain', buffer: Buffer.from(JSON.stringify({ packs: [{ pack: bytes.toString('hex'), receipt: null }] })) });
await page.waitForFunction(() => /^1 reading|Invalid/.test(document.getElementById('read').textContent));
check(await page.textContent('#read') === '1 reading in 1 pack.', `a time that is no date: ${await page.textContent('#read')}`);
await page.evaluate(() => { delete crypto.subtle.importKey; });

const open_to_all = readFileSync(`${files}/grant`, 'utf8').trim();
await page.goto(`${gateway}/#/device/${device}/${open_to_all}`);
await page.waitForSelector('#checks');
check(/signed by this device/.test(await page.textContent('#checks')), 'a link with a grant shows what its gateway keeps');
await page.goto(`${url}/#/device/${device}/${open_to_all}`);
await page.waitForSelector('#read.bad');
check(/gateway/.test(await page.textContent('#read')), `elsewhere: ${await page.textContent('#read')}`);

// The draw of a slot: the seats leave the state some slots after they are settled, so take the
// latest block, and another one when that has no seats.
let drawn = false;
for (let i = 0; i < 20 && !drawn; i++) {
  await go(page, 'fleet');
  await go(page, 'block/latest');
  const button = await page.$('#recompute');
  if (button && await page.$('section:has(#recompute) tbody tr')) {
    await button.click();
    await page.waitForSelector('#verdict, section:has(#recompute) p.bad');
    const text = await page.textContent('section:has(#recompute)');
    drawn = text.includes('gives the seats that the chain has');
    if (!drawn) console.log(text.slice(-400));
  } else {
    await page.waitForTimeout(300);
  }
}
check(drawn, 'the draw of a slot is recomputed');
await page.screenshot({ path: `${shots}/explorer-block.png`, fullPage: true });
await accessible(page, 'block');

// search
const find = async (text, heading) => {
  await page.fill('#q', text);
  await page.keyboard.press('Enter');
  await page.waitForFunction((h) => document.querySelector('h1').textContent.startsWith(h), heading);
  check(true, `search: ${text.slice(0, 20)} finds ${heading}`);
};
await find('1', 'Block 1');
await find(await page.textContent('dl.facts code'), 'Block 1');
await find('kettle', 'Nothing found');
check((await page.textContent('#error')).includes('Search takes'), 'search says what it takes');
await find('0'.repeat(64), 'Nothing found');

// keyboard alone: skip link, navigation
await go(page, 'network');
await page.waitForSelector('table');
await accessible(page, 'network');
await page.screenshot({ path: `${shots}/explorer-network.png` });
await page.reload();
await page.waitForSelector('table');
await page.keyboard.press('Tab');
check(await page.evaluate(() => document.activeElement.id) === 'skip', 'the first stop of the keyboard is the skip link');
await page.keyboard.press('Enter');
check(await page.evaluate(() => document.activeElement.id) === 'main', 'it leads to the content');

// dark, and a phone
const dark = await open({ viewport: { width: 1280, height: 900 }, colorScheme: 'dark' });
await dark.goto(url);
await dark.waitForSelector('tbody tr[data-height]');
check(await dark.evaluate(() => { const [r] = getComputedStyle(document.body).backgroundColor.match(/\d+/g); return Number(r) < 60; }), 'dark mode is dark');
await dark.waitForTimeout(6000);
await dark.screenshot({ path: `${shots}/explorer-dark.png` });
await accessible(dark, 'chain, dark');
await go(dark, `device/${device}`);
await read(dark, 'packs');
await dark.waitForSelector('section:has(#packs) canvas');
await accessible(dark, 'readings, dark');
await dark.locator('.charts figure').first().hover();
await dark.waitForFunction(() => [...document.querySelectorAll('.charts .dygraph-legend')].some((e) => e.textContent.includes(':')));
check(true, 'the pointer reads a value');
await dark.screenshot({ path: `${shots}/explorer-readings-dark.png` });
const phone = await open({ viewport: { width: 375, height: 800 }, isMobile: true, hasTouch: true });
for (const to of ['', 'block/1', 'fleet', 'network']) {
  await go(phone, to);
  await phone.waitForTimeout(500);
  check(await narrow(phone), `375 px: #/${to} does not scroll sideways`);
}
await go(phone, `device/${device}`);
await read(phone, 'packs');
await phone.waitForSelector('section:has(#packs) canvas');
check(await narrow(phone), '375 px: readings do not scroll sideways');
await phone.evaluate(() => document.getElementById('checks').scrollIntoView());
await phone.screenshot({ path: `${shots}/explorer-readings-phone.png` });
await go(phone, '');
await phone.waitForSelector('tbody tr[data-height]');
await phone.screenshot({ path: `${shots}/explorer-phone.png` });
await accessible(phone, 'chain, 375 px');

await browser.close();
for (const f of failures) console.log(`FAIL ${f}`);
console.log(failures.length ? `${failures.length} failed` : 'all passed');
process.exit(failures.length ? 1 : 0);
