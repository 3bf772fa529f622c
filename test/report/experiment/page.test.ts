import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experimentFigures } from '../../../src/report/experiment/figures.js';
import { groupRuns } from '../../../src/report/experiment/groups.js';
import { experimentPage } from '../../../src/report/experiment/html/page.js';
import { remarksOf } from '../../../src/report/experiment/remarks.js';
import type { ExperimentReport } from '../../../src/report/experiment/types.js';
import { syntheticReport } from './syntheticReport.js';

const HOSTILE = `<img src=x onerror=alert(1)> & "quoted" 'too' </script></style>`;

async function pageOf(report: ExperimentReport): Promise<string> {
  return experimentPage(report, await experimentFigures(report, groupRuns(report)));
}

const small = await syntheticReport({ fullPrecision: true, pictures: true });
const page = await pageOf(small);

test('the page loads nothing', () => {
  const addresses = [...page.matchAll(/\b(?:src|href|xlink:href)="([^"]*)"/g)].map(([, address]) => address);
  const outside = addresses.filter((address) => !/^(#|data:|runs\/)/.test(address));
  assert.deepEqual(outside, []);
  assert.doesNotMatch(page, /@import|url\(/);
  assert.match(page, /Content-Security-Policy" content="default-src 'none';/);
});

test('every link inside the page has its target, and no id stands twice', () => {
  const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length, `twice: ${ids.filter((id, i) => ids.indexOf(id) !== i)}`);
  const targets = [...page.matchAll(/href="#([^"]*)"/g)].map(([, id]) => id);
  const known = new Set(ids);
  assert.ok(targets.length > 100);
  assert.deepEqual(
    targets.filter((id) => !known.has(id)),
    [],
  );
  const labels = [...page.matchAll(/aria-labelledby="([^"]*)"/g)].map(([, id]) => id);
  assert.deepEqual(
    labels.filter((id) => !known.has(id)),
    [],
  );
});

test('every run is there with folder, config, command and hash', () => {
  for (const run of small.runs) {
    assert.ok(page.includes(`<a href="${run.folder}">${run.folder}</a>`));
    assert.ok(page.includes(run.command));
    assert.ok(page.includes(run.summary.configHash.slice(0, 8)));
    assert.ok(page.includes(run.configText.trim()));
  }
});

test('measured numbers and bars lead to their runs', () => {
  const xbm = groupRuns(small).find(({ task, method }) => task === 'cubs' && method === 'xbm')!;
  assert.equal(xbm.id, 'run-cubs-xbm-4-bit');
  const row = /<tr[^>]*data-task="cubs" data-method="xbm">.*?<\/tr>/.exec(page)![0];
  assert.match(row, /<td class="n"><a href="#run-cubs-xbm-4-bit">\d\d\.\d\d<span/);
  assert.match(
    page,
    /<a href="#run-cubs-xbm-4-bit" tabindex="-1" data-task="cubs" data-method="xbm"><path aria-label="cubs, xbm: [\d.]+ ± [\d.]+ %"/,
  );
});

test('names and texts of users stay text', async () => {
  const report = await syntheticReport({ tasks: ['flowers'], methods: ['xbm'], seeds: [0], pictures: true });
  const run = {
    ...report.runs[0],
    task: HOSTILE,
    folder: `javascript:alert(1)/../${HOSTILE}`,
    command: HOSTILE,
    configText: HOSTILE,
  };
  const missing = {
    task: HOSTILE,
    method: 'xbm' as const,
    variant: HOSTILE,
    seed: 1,
    reason: HOSTILE,
    command: HOSTILE,
  };
  const hostile = await pageOf({
    ...report,
    name: HOSTILE,
    description: HOSTILE,
    command: HOSTILE,
    configText: HOSTILE,
    notes: [HOSTILE],
    runs: [run],
    missing: [missing],
  });
  assert.ok(!hostile.includes('<img'));
  assert.equal(hostile.match(/<\/script>/g)!.length, 1);
  assert.equal(hostile.match(/<\/style>/g)!.length, 1);
  assert.doesNotMatch(hostile, /href="javascript:/);
  assert.match(hostile, /<h1>&lt;img src=x onerror=alert\(1\)&gt; &amp; &quot;quoted&quot; &#39;too&#39;/);
});

test('an experiment without any result says so', async () => {
  const missing = [
    {
      task: 'cubs',
      method: 'xbm' as const,
      variant: null,
      seed: 0,
      reason: 'no such data',
      command: 'xbm train',
    },
  ];
  const empty = await pageOf({ ...small, runs: [], chips: [], missing });
  assert.match(empty, /1 planned run has no result/);
  assert.match(empty, /no such data/);
  assert.doesNotMatch(empty, /NaN|undefined|Infinity/);
});

test('no number is missing', () => {
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
});

test('curves that are not there are said', () => {
  const [first] = small.runs;
  const bare = { ...small, runs: [{ ...first, curve: [] }] };
  assert.deepEqual(remarksOf(bare), [
    `Without training curves, because their metrics.jsonl holds no epoch: ${first.task} xbm 4-bit.`,
  ]);
});
