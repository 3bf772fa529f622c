/** @file report.html in a real browser: Chromium without a window. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { experimentFigures } from '../../../src/report/experiment/figures.js';
import { groupRuns } from '../../../src/report/experiment/groups.js';
import { experimentPage } from '../../../src/report/experiment/html/page.js';
import { Browser, findChromium } from './browser.js';
import { syntheticReport } from './syntheticReport.js';

const program = findChromium();
const skip = program === null && 'no chromium here: apt-get install chromium, or name one in $CHROMIUM';

describe('report.html in Chromium', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'xbm-page-'));
  const file = join(folder, 'report.html');
  let browser: Browser;

  before(async () => {
    const report = await syntheticReport({ network: 'resnet50', fullPrecision: true, pictures: true });
    writeFileSync(file, experimentPage(report, await experimentFigures(report, groupRuns(report))));
    browser = await Browser.start(program!);
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const visible = (selector: string) =>
    browser.evaluate<number>(
      `[...document.querySelectorAll(${JSON.stringify(selector)})].filter((e) => e.getClientRects().length > 0).length`,
    );

  /** Presses Tab until an element matches; fails after as many stops as a patient reader would take. */
  async function tabTo(selector: string): Promise<void> {
    for (let stops = 0; stops < 60; stops++) {
      await browser.press('Tab');
      if (await browser.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)) return;
    }
    assert.fail(`${selector} cannot be reached with Tab`);
  }

  test('opens from disk at phone and desktop width: nothing sticks out, nothing complains', async () => {
    for (const scheme of ['light', 'dark'] as const) {
      for (const [width, height] of [
        [360, 740],
        [1280, 900],
      ]) {
        await browser.colourScheme(scheme);
        await browser.resize(width, height);
        await browser.open(pathToFileURL(file).href);
        assert.equal(await browser.evaluate('document.documentElement.scrollWidth'), width);
        assert.ok((await visible('figure svg')) >= 8);
        assert.ok((await browser.screenshot()).length > 10_000);
      }
    }
    assert.deepEqual(browser.complaints, []);
  });

  test('text has the contrast of WCAG AA in light and dark', async () => {
    for (const scheme of ['light', 'dark'] as const) {
      await browser.colourScheme(scheme);
      const contrasts = await browser.evaluate<Record<string, number>>(`(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
          const hex = style.getPropertyValue(name).trim();
          const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
        return Object.fromEntries(['--ink', '--quiet', '--link'].flatMap((text) =>
          ['--page', '--soft'].map((ground) => [text + ' on ' + ground, ratio(text, ground)])));
      })()`);
      for (const [pair, ratio] of Object.entries(contrasts)) {
        assert.ok(ratio >= 4.5, `${scheme}: ${pair} has a contrast of ${ratio.toFixed(1)}`);
      }
    }
  });

  test('filters work with the keyboard alone', async () => {
    await browser.resize(360, 740);
    await browser.open(pathToFileURL(file).href);
    const rows = await visible('#accuracy tbody tr');
    assert.equal(rows, 15);
    await tabTo('input[name=task][value=cubs]');
    await browser.press(' ');
    assert.equal(await visible('#accuracy tbody tr'), 10);
    assert.equal(await visible('[data-task=cubs]'), 0, 'rows, bars, figures and runs of cubs are gone');
    assert.ok((await visible('figure a[data-task=flowers] path')) > 0);
    await tabTo('input[name=method][value=piggyback]');
    await browser.press(' ');
    assert.equal(await visible('#accuracy tbody tr'), 6);
    assert.equal(await visible('[data-method=piggyback]'), 0);
    assert.equal(
      await browser.evaluate(`document.querySelector('output').textContent`),
      '6 of 15 results shown',
    );
    await tabTo('button[type=reset]');
    await browser.press('Enter');
    await browser.evaluate('new Promise((done) => setTimeout(done, 20))');
    assert.equal(await visible('#accuracy tbody tr'), rows);
    assert.deepEqual(browser.complaints, []);
  });

  test('a number leads to its run with the keyboard', async () => {
    await browser.resize(1280, 900);
    await browser.open(pathToFileURL(file).href);
    await tabTo('#accuracy tbody tr[data-task=cubs][data-method=xbm] a');
    await browser.press('Enter');
    assert.equal(await browser.evaluate('location.hash'), '#run-cubs-xbm-4-bit');
    const top = await browser.evaluate<number>(
      `document.querySelector(':target').getBoundingClientRect().top`,
    );
    const bar = await browser.evaluate<number>(
      `document.querySelector('#filters').getBoundingClientRect().bottom`,
    );
    assert.ok(top >= bar && top < 450, `the run stands at ${top}, below the filters at ${bar}`);
  });

  test('what scrolls can be scrolled with the keyboard, what does not is no stop', async () => {
    for (const width of [360, 1280]) {
      await browser.resize(width, 740);
      await browser.open(pathToFileURL(file).href);
      const wrong = await browser.evaluate<string[]>(
        `[...document.querySelectorAll('.scroll, pre')].filter((e) => (e.scrollWidth > e.clientWidth) !== (e.tabIndex === 0)).map((e) => e.outerHTML.slice(0, 80))`,
      );
      assert.deepEqual(wrong, []);
    }
  });

  test('every table has a caption and headers, every checkbox a label', async () => {
    const bare = await browser.evaluate<string[]>(`[
      ...[...document.querySelectorAll('table')].filter((t) => !t.caption || !t.caption.textContent || !t.querySelector('thead th[scope=col]')),
      ...[...document.querySelectorAll('tbody tr')].filter((r) => !r.querySelector('th[scope=row]')),
      ...[...document.querySelectorAll('input')].filter((i) => i.labels.length === 0 || !i.labels[0].textContent.trim()),
      ...[...document.querySelectorAll('figure')].filter((f) => !f.querySelector('figcaption')),
    ].map((e) => e.outerHTML.slice(0, 80))`);
    assert.deepEqual(bare, []);
  });

  test('prints', async () => {
    const { data } = await browser.send('Page.printToPDF', { printBackground: false });
    const pdf = Buffer.from(data as string, 'base64');
    assert.equal(pdf.subarray(0, 5).toString(), '%PDF-');
  });
});
