/** @file When the kernels may be loaded, and what is said when not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { addonStatus, nativeFolder, processorName, sourcesHash } from '../../../src/engines/native/addon.js';
import { packageRoot } from '../../../src/paths.js';

const folder = mkdtempSync(join(tmpdir(), 'xbm-addon-'));
after(() => rmSync(folder, { recursive: true }));
const facts = { compiler: 'cc 1.0', processor: processorName(), sources: sourcesHash() };

/** A build folder with these files; the kernels themselves are not loaded. */
function build(name: string, json: string | null): string {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, 'xbm.node'), '');
  if (json !== null) writeFileSync(join(path, 'xbm.json'), json);
  return path;
}

describe('compiled kernels', () => {
  test('of these sources and this processor are taken', () => {
    const status = addonStatus(build('good', JSON.stringify(facts)));
    assert.deepEqual(status, { available: true, path: join(folder, 'good', 'xbm.node'), facts });
  });

  for (const [name, json, reason] of [
    [
      'not built',
      null,
      /^its kernels are not built; run `npm run setup:native` in \S+ \(it needs a C compiler/,
    ],
    ['of nothing', 'null', /xbm\.json is damaged; run/],
    ['damaged', '{"compiler": ', /xbm\.json is damaged; run/],
    ['other sources', JSON.stringify({ ...facts, sources: 'abc' }), /built from other sources; run/],
    ['other processor', JSON.stringify({ ...facts, processor: 'Z80' }), /another processor \(Z80\); run/],
  ] as const) {
    test(`${name}: refused with the way out`, () => {
      const status = addonStatus(build(name, json));
      assert.ok(!status.available);
      assert.match(status.reason, reason);
    });
  }

  test('the hash of the sources depends on every one of them', () => {
    const copy = join(folder, 'sources');
    cpSync(nativeFolder, copy, { recursive: true, filter: (path) => !path.endsWith('build') });
    assert.equal(sourcesHash(copy), sourcesHash());
    const path = join(copy, 'optimizer.h');
    writeFileSync(path, readFileSync(path, 'utf8').replace('beta1', 'beta9'));
    assert.notEqual(sourcesHash(copy), sourcesHash());
  });

  test('setup:native says what is missing, and exits with 3', () => {
    const script = join(packageRoot(), 'scripts', 'setup-native.mjs');
    const env = { ...process.env, CC: join(folder, 'no-compiler') };
    const { status, stderr } = spawnSync(process.execPath, [script], { env, encoding: 'utf8' });
    assert.equal(status, 3, stderr);
    assert.match(
      stderr,
      /setup:native: \$CC names .*no-compiler, which does not run\.\nOn Debian: apt-get install gcc/,
    );
  });
});
