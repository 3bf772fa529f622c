// npm run test:native — builds the kernels of the native engine and runs its tests; says so and passes where there is no C
// compiler.
import { spawnSync } from 'node:child_process';
import { canCompile } from './setup-native.mjs';

if (!canCompile()) {
  console.log(
    'test:native: skipped. There is no C compiler that finds its headers (Debian: apt-get install gcc libc6-dev), or this is Windows.',
  );
  process.exit(0);
}
run('scripts/setup-native.mjs');
run('scripts/test.mjs', 'engines/native', 'engines/agreement.test.ts', ...process.argv.slice(2));

function run(...args) {
  const env = { ...process.env, XBM_TEST_ENGINE: 'native' };
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', env });
  if (status !== 0) process.exit(status ?? 1);
}
