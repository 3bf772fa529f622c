/** @file When the kernels may be loaded, and what is said when not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  addonStatus,
  instructionSets,
  nativeFolder,
  processorName,
  sourcesHash,
} from '../../../src/engines/native/addon.js';
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
    const hashes = new Set([sourcesHash()]);
    const sources = readdirSync(copy);
    for (const name of sources) {
      appendFileSync(join(copy, name), '\n');
      hashes.add(sourcesHash(copy));
    }
    assert.ok(sources.length > 5);
    assert.equal(hashes.size, 1 + sources.length);
  });

  test('a processor is known by what compilers use: not by the flags of a newer system, nor by their order', () => {
    const x86 = 'processor : 0\nflags\t\t: fpu sse4_1 avx512_vnni abm\nbugs : none\nflags : avx\n';
    assert.deepEqual(instructionSets(x86), ['abm', 'avx512_vnni', 'sse4_1']);
    assert.deepEqual(
      instructionSets('flags : abm user_shstk sse4_1 md_clear avx512_vnni'),
      instructionSets(x86),
    );
    assert.deepEqual(instructionSets('Features\t: fp asimd bf16\n'), ['asimd', 'bf16', 'fp']);
    assert.deepEqual(instructionSets(''), []);
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

describe('setup:native, with a compiler that is a script', { skip: process.platform === 'win32' }, () => {
  // An installed package of its own: nothing is built anew but the kernels, and the real ones stay out of it.
  const root = join(folder, 'package');
  const buildFolder = join(root, 'native', 'build');
  const old = { 'xbm.node': 'old kernels', 'xbm.json': '{}' };
  mkdirSync(root);
  cpSync(join(packageRoot(), '.build', 'src'), join(root, 'dist'), { recursive: true });
  cpSync(join(packageRoot(), 'package.json'), join(root, 'package.json'));
  cpSync(nativeFolder, join(root, 'native'), { recursive: true, filter: (path) => !path.endsWith('build') });
  mkdirSync(join(root, 'scripts'));
  cpSync(join(packageRoot(), 'scripts', 'setup-native.mjs'), join(root, 'scripts', 'setup-native.mjs'));
  symlinkSync(join(packageRoot(), 'node_modules'), join(root, 'node_modules'));

  /** @param body JavaScript of the compiler; `output` is the file it is to write */
  function setup(body: string) {
    rmSync(buildFolder, { recursive: true, force: true });
    mkdirSync(buildFolder);
    for (const [name, text] of Object.entries(old)) writeFileSync(join(buildFolder, name), text);
    const compiler = join(folder, 'compiler.cjs');
    writeFileSync(
      compiler,
      `const fs = require('node:fs');
const output = process.argv[process.argv.indexOf('-o') + 1];
if (process.argv.includes('--version')) console.log('fake 1.0');
else { ${body} }`,
    );
    const env = { ...process.env, CC: `${process.execPath} ${compiler}` };
    return () =>
      spawnSync(process.execPath, [join(root, 'scripts', 'setup-native.mjs')], { env, encoding: 'utf8' });
  }
  const built = () =>
    Object.fromEntries(
      readdirSync(buildFolder).map((name) => [name, readFileSync(join(buildFolder, name), 'utf8')]),
    );

  test('kernels that Node cannot load are refused, and the old build stays', () => {
    const { status, stderr } = setup(`fs.writeFileSync(output, 'for another system')`)();
    assert.equal(status, 3, stderr);
    assert.match(
      stderr,
      /^setup:native: Node cannot load the kernels that fake 1\.0 compiled:\n.+\n.*\$CC names another/s,
    );
    assert.deepEqual(built(), old);
  });

  test('a full disk is told from a compiler that cannot', () => {
    const { status, stderr } = setup(
      `console.error('cannot write /tmp/x.s: No space left on device'); process.exit(1)`,
    )();
    assert.equal(status, 3, stderr);
    assert.match(stderr, /fake 1\.0 cannot compile.*No space left on device\n+The disk of .* is full\./s);
    assert.deepEqual(built(), old);
  });

  test('what killed builds left behind is removed, not what a build that runs is writing', () => {
    const { pid: ended } = spawnSync(process.execPath, ['-e', '']);
    const running = `xbm-${process.pid}.node`;
    const run = setup('process.exit(1)');
    for (const name of [`xbm-${ended}.node`, running]) writeFileSync(join(buildFolder, name), '');
    assert.equal(run().status, 3);
    assert.deepEqual(built(), { ...old, [running]: '' });
  });

  const installed = addonStatus();
  const skip = installed.available ? false : 'the native kernels are not built: npm run setup:native';
  test('kernels that load take the place of the old ones', { skip }, () => {
    const path = installed.available ? installed.path : '';
    const { status, stdout, stderr } = setup(`fs.copyFileSync(${JSON.stringify(path)}, output)`)();
    assert.equal(status, 0, stderr);
    assert.match(stdout, /kernels built with fake 1\.0/);
    assert.deepEqual(readdirSync(buildFolder).sort(), ['xbm.json', 'xbm.node']);
    assert.equal(JSON.parse(built()['xbm.json']).compiler, 'fake 1.0');
  });
});
