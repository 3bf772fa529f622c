// npm run test:tensorflow — the engine tests with the reference on native TensorFlow; skips where it is not installed.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const { findBackend } = await import('../.build/src/engines/tfjs/backend.js');
try {
  findBackend('tensorflow');
} catch (error) {
  console.log(`test:tensorflow: skipped. ${error.message}. ${error.hint}`);
  process.exit(0);
}
const tests = readdirSync('test/engines').filter((name) => name.endsWith('.test.ts'));
const { status } = spawnSync(
  process.execPath,
  ['scripts/test.mjs', ...tests.map((name) => `engines/${name}`)],
  { stdio: 'inherit', env: { ...process.env, XBM_TFJS_BACKEND: 'tensorflow' } },
);
process.exit(status ?? 1);
