// Runs the compiled tests below .build/test: `node scripts/test.mjs [--long] [folder or file …]`.
// --long makes every fuzz test draw 1,000 mutations instead of 100 (XBM_FUZZ_RUNS sets another number).
// A list of files, because `node --test` expands neither globs (before Node 21) nor folders (from Node 22).
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = '.build/test';
const isLong = process.argv.includes('--long');
const wanted = process.argv
  .slice(2)
  .filter((name) => name !== '--long')
  .map((name) => join(root, name.replace(/^test\//, '').replace(/\.ts$/, '.js')));
const files = (wanted.length > 0 ? wanted : [root]).flatMap((path) => {
  if (!existsSync(path)) throw new Error(`${path} does not exist: npm run build:test first`);
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true }).map((name) => join(path, name));
});
const tests = files.filter((name) => name.endsWith('.test.js') && existsSync(sourceOf(name))).sort();
if (tests.length === 0) throw new Error('no test files found');
const env = isLong ? { XBM_FUZZ_RUNS: '1000', ...process.env } : process.env;
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...tests], {
  env,
  stdio: 'inherit',
});
process.exit(status ?? 1);

/** Compiled tests whose source is gone are left-overs of an earlier build. */
function sourceOf(compiled) {
  return compiled.replace(/^\.build\//, '').replace(/\.js$/, '.ts');
}
