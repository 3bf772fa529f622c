// npm run setup:native — compiles the kernels of the `native` engine for this machine's processor, into native/build.
// $CC names another compiler. Node's headers come with the package node-api-headers.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sources = join(root, 'native');

/** Flags that compile for this very processor, and for others of its architecture. */
export const targets =
  process.arch === 'x64'
    ? { native: '-march=native', avx2: '-march=x86-64-v3', portable: '-march=x86-64-v2' }
    : { native: process.arch === 'arm64' ? '-mcpu=native' : '-march=native', portable: '' };

/** @returns the compiler's own words when it fails, else null */
export function compile(compiler, output, target) {
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const args = [
    ...['-std=gnu11', '-O3', target, '-fPIC', '-shared', '-pthread', '-Wall', '-Wextra'],
    // GCC's partial redundancy elimination copies every accumulator of a product in every iteration.
    '-fno-tree-pre',
    ...(process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []),
    ...['-I', headers, '-DNODE_GYP_MODULE_NAME=xbm', '-o', output],
    ...files.map((name) => join(sources, name)),
    '-lm',
  ].filter((argument) => argument !== '');
  const { status, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' });
  return status === 0 ? null : (error?.message ?? stderr);
}

/** The first compiler there is, with its name and version; null: none. */
export function findCompiler() {
  for (const name of process.env.CC ? [process.env.CC] : ['cc', 'gcc', 'clang']) {
    const { status, stdout } = spawnSync(name, ['--version'], { encoding: 'utf8' });
    if (status === 0) return { name, version: stdout.split('\n')[0].trim() };
  }
  return null;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();

async function main() {
  if (process.platform === 'win32')
    fail('The native engine is built on Linux and macOS only.', 'Use engine onnx.');
  const compiler = findCompiler();
  if (!compiler) {
    const named = process.env.CC
      ? `$CC names ${process.env.CC}, which does not run.`
      : 'There is no C compiler (cc, gcc, clang).';
    fail(named, 'On Debian: apt-get install gcc libc6-dev. The onnx engine needs none.');
  }
  const { addonStatus, processorName, sourcesHash } = await import('../dist/engines/native/addon.js');
  const folder = join(sources, 'build');
  mkdirSync(folder, { recursive: true });
  // A program that has the old one loaded keeps it.
  const [output, temporary] = [join(folder, 'xbm.node'), join(folder, `xbm-${process.pid}.node`)];
  const error = compile(compiler.name, temporary, targets.native);
  if (error !== null) {
    rmSync(temporary, { force: true });
    fail(
      `${compiler.version} cannot compile the kernels:\n${error}`,
      'GCC 11 or Clang 14 and newer can; $CC names another one.',
    );
  }
  renameSync(temporary, output);
  const facts = { compiler: compiler.version, processor: processorName(), sources: sourcesHash() };
  writeFileSync(join(folder, 'xbm.json'), `${JSON.stringify(facts, null, 2)}\n`);
  const status = addonStatus();
  if (!status.available) fail(status.reason, 'This is a bug in scripts/setup-native.mjs.');
  console.log(`setup:native: kernels built with ${compiler.version}; \`xbm engines\` lists the engine.`);
}

function fail(message, hint) {
  console.error(`setup:native: ${message}\n${hint}`);
  process.exit(3);
}
