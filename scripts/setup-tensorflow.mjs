// npm run setup:tensorflow — TensorFlow's native library for the tfjs engine; docs/tensorflow.md.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError } from './tensorflow/failure.mjs';
import { parseOptions, usage } from './tensorflow/options.mjs';
import { lastLines, run } from './tensorflow/process.mjs';
import { bindingsIn, chooseSources } from './tensorflow/source.mjs';
import { stage } from './tensorflow/stage.mjs';
import {
  openStaging,
  removeNative,
  sweepStaging,
  takeOver,
  verifyInstallation,
  writeManifest,
} from './tensorflow/staging.mjs';

const say = (text) => console.log(text);
let staging = null;
process.on('exit', () => staging && rmSync(staging, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

try {
  await setup(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup:tensorflow: ${error.message}${error.wayOut ? `\n${error.wayOut}` : ''}`);
  process.exitCode = 3;
}

async function setup(options) {
  if (options.help) return say(usage);
  const name = `@tensorflow/tfjs-node${options.gpu ? '-gpu' : ''}`;
  const packageFolder = findPackage(name);
  if (options.remove) {
    sweepStaging(packageFolder);
    removeNative(packageFolder);
    return say(`Removed the native library of ${name}.`);
  }
  const named = options.from !== undefined || options.wheel !== undefined;
  if (!named && !options.force && (await isComplete(name, packageFolder))) return;
  const sources = chooseSources(options, { platform: process.platform, arch: process.arch });
  const failures = [];
  for (const source of sources) {
    try {
      return await install(source, { name, packageFolder, gpu: options.gpu });
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      failures.push(error);
      if (failures.length < sources.length) say(`  ${error.message}\n  Taking the next source.`);
    } finally {
      if (staging) rmSync(staging, { recursive: true, force: true });
    }
  }
  throw combined(failures);
}

async function install(source, { name, packageFolder, gpu }) {
  staging = openStaging(packageFolder);
  const staged = join(staging, 'package');
  mkdirSync(staged);
  const from = await stage(source, { packageFolder, staged, gpu, say });
  const bindings = bindingsIn(staged);
  say('Trying it: loading the library, multiplying two matrices …');
  const { tensorflow, usesGpu } = await tryBinding(bindings[0]);
  await writeManifest(staged, { tensorflow, from });
  takeOver(staged, packageFolder);
  say(`Installed TensorFlow ${tensorflow} (${from}) for ${name}, ${usesGpu ? 'CUDA' : 'CPU'}.`);
  if (gpu && !usesGpu)
    say('It found no CUDA device here: docs/tensorflow.md says which CUDA and cuDNN it looks for.');
  say(
    '`xbm engines` shows it; `npm run test:tensorflow` checks it against the tests, `npm run bench:tfjs` times it.',
  );
}

/** In a process of its own: a library that does not fit may end the process. */
async function tryBinding(binding) {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'tensorflow', 'probeBinding.mjs');
  const { ok, output } = await run(process.execPath, [script, binding]);
  const answer = output.split('\n').find((line) => line.startsWith('{"tensorflow"'));
  if (ok && answer) return JSON.parse(answer);
  throw new SetupError(
    `the library does not run on this machine:\n${lastLines(output, 5)}`,
    'It was built for another system or processor, or a library that it needs is missing. Take another source (--help).',
  );
}

async function isComplete(name, packageFolder) {
  if (bindingsIn(packageFolder).length === 0) return false;
  const { manifest, problem } = await verifyInstallation(packageFolder);
  if (problem) {
    say(`${name} has a damaged native library (${problem}); installing it again.`);
    return false;
  }
  const version = manifest ? `TensorFlow ${manifest.tensorflow} (${manifest.from})` : 'a native library';
  say(`${name} has ${version} already${manifest ? ', every file as it was installed' : ''}.`);
  say('-- --force installs it again, -- --remove takes it out.');
  return true;
}

function findPackage(name) {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
    if (existsSync(join(folder, 'binding'))) return folder;
  } catch {
    // not there
  }
  throw new SetupError(`${name} is not installed`, 'It is an optional dependency: npm ci --include=optional');
}

/** The last failure is about the last resort, the earlier ones say why it came to that. */
function combined(failures) {
  const last = failures.at(-1);
  const earlier = failures.slice(0, -1).map(({ message }) => `\n(before that: ${message})`);
  const wayOut = last.wayOut ?? 'npm run setup:tensorflow -- --help lists the other sources.';
  return new SetupError(`${last.message}${earlier.join('')}`, wayOut);
}
