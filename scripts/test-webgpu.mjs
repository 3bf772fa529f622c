// npm run test:webgpu — the tests of the webgpu engine: on this machine's GPU, else on the software GPU that comes with
// Chromium, else says what is missing and skips. `-- --require-gpu` fails where there is only a software GPU, or none.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

const isRequired = process.argv.includes('--require-gpu');
const others = process.argv.slice(2).filter((argument) => argument !== '--require-gpu');
const env = { ...process.env, XBM_TEST_ENGINE: 'webgpu' };
let device = describe(env);
if (isRequired && (device === null || /a software GPU/.test(device))) {
  console.error(
    `test:webgpu: there is no GPU that Dawn can use${device === null ? '' : `, only ${device}`}.`,
  );
  console.error('`xbm engines` says why; docs/webgpu.md says what its driver needs.');
  process.exit(3);
}
if (device === null && existsSync(swiftShader)) {
  env.VK_ICD_FILENAMES = swiftShader;
  device = describe(env);
}
if (device === null) {
  console.log(
    'test:webgpu: skipped. There is neither a GPU that Dawn can use nor the software GPU of Chromium.',
  );
  console.log('On Debian: apt-get install libvulkan1 chromium');
  process.exit(0);
}
console.log(`test:webgpu: on ${device}`);
const { status } = spawnSync(
  process.execPath,
  ['scripts/test.mjs', 'engines/webgpu', 'engines/agreement.test.ts', ...others],
  { stdio: 'inherit', env },
);
process.exit(status ?? 1);

/** The device in words, or null; a driver that crashes takes only the child with it. */
function describe(env) {
  const script = `
    const { engineEntry } = await import('./.build/src/engines/webgpu/index.js');
    const status = await engineEntry.probe();
    if (status.available) console.log(status.device);
    process.exit(status.available ? 0 : 1);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
  return child.status === 0 ? child.stdout.trim() : null;
}
