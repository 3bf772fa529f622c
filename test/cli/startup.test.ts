import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const mainModule = new URL('../../src/cli/main.js', import.meta.url).href;

/** Writes every module that Node resolves to stderr. */
const hook = `
  import { writeSync } from 'node:fs';
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    writeSync(2, 'loaded ' + found.url + '\\n');
    return found;
  }`;

test('xbm --help loads commander and no other package, so that it starts fast', () => {
  const register = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hook))});`;
  const script = `import { main } from ${JSON.stringify(mainModule)}; process.exitCode = await main(['--help']);`;
  const argv = ['--import', dataUrl(register), '--input-type=module', '-e', script];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /Usage: xbm/);
  const packages = [...stderr.matchAll(/^loaded .*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)].map(
    (m) => m[1],
  );
  assert.deepEqual([...new Set(packages)], ['commander']);
});

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`;
}
