// npm run setup:native — compiles the kernels of the `native` engine for this machine's processor, into native/build.
// $CC names another compiler. Node's headers come with the package node-api-headers.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sources = join(root, 'native');
const onDebian = 'On Debian: apt-get install gcc libc6-dev.';

/** Flags that compile for this very processor, and for others of its architecture. */
export const targets =
  process.arch === 'x64'
    ? { native: '-march=native', avx2: '-march=x86-64-v3', portable: '-march=x86-64-v2' }
    : { native: process.arch === 'arm64' ? '-mcpu=native' : '-march=native', portable: '' };

/**
 * @param compiler as findCompiler gives it
 * @returns the compiler's own words when it fails, else null
 */
export function compile(compiler, output, target) {
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const args = [
    ...['-std=gnu11', '-O3', target, '-fPIC', '-shared', '-pthread', '-Wall', '-Wextra'],
    // GCC's partial redundancy elimination copies every accumulator of a product in every iteration.
    compiler.isClang ? '' : '-fno-tree-pre',
    ...(process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []),
    ...['-I', headers, '-DNODE_GYP_MODULE_NAME=xbm', '-o', output],
    ...files.map((name) => join(sources, name)),
    '-lm',
  ].filter((argument) => argument !== '');
  const { status, stderr, error } = spawnSync(compiler.name, args, { encoding: 'utf8' });
  return status === 0 ? null : (error?.message ?? stderr);
}

/** The first compiler there is, with its name and version; null: none. */
export function findCompiler() {
  for (const name of process.env.CC ? [process.env.CC] : ['cc', 'gcc', 'clang']) {
    const { status, stdout } = spawnSync(name, ['--version'], { encoding: 'utf8' });
    const [version] = (stdout ?? '').split('\n');
    if (status === 0) return { name, version: version.trim(), isClang: /clang/i.test(version) };
  }
  return null;
}

/** Whether kernels can be built here: a compiler that finds the C library's headers. */
export function canCompile() {
  const compiler = process.platform === 'win32' ? null : findCompiler();
  if (!compiler) return false;
  const input = '#include <pthread.h>\n';
  return spawnSync(compiler.name, ['-fsyntax-only', '-x', 'c', '-'], { input }).status === 0;
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
    fail(named, `${onDebian} The onnx engine needs none.`);
  }
  // In a checkout the code that says what belongs together may be missing or older than the sources.
  if (existsSync(join(root, 'tsconfig.build.json'))) {
    const { status } = spawnSync('npm', ['run', '-s', 'build'], { cwd: root, stdio: 'inherit' });
    if (status !== 0) fail('`npm run build` failed.', 'Run `npm ci` first.');
  }
  const { addonStatus, processorName, sourcesHash } = await import('../dist/engines/native/addon.js');
  const folder = join(sources, 'build');
  const [output, factsPath] = [join(folder, 'xbm.node'), join(folder, 'xbm.json')];
  const temporary = join(folder, `xbm-${process.pid}.node`);
  try {
    mkdirSync(folder, { recursive: true });
    const error = compile(compiler, temporary, targets.native);
    if (error !== null) {
      rmSync(temporary, { force: true });
      const isHeader = /fatal error: \S+\.h: No such file|file not found/.test(error);
      fail(
        `${compiler.version} cannot compile the kernels:\n${error}`,
        isHeader
          ? `The C library's headers are missing. ${onDebian}`
          : '$CC names another compiler: GCC 12 is known to do.',
      );
    }
    // Never new kernels beside the facts of others. A program that has the old ones loaded keeps them.
    rmSync(factsPath, { force: true });
    renameSync(temporary, output);
    const facts = { compiler: compiler.version, processor: processorName(), sources: sourcesHash() };
    writeFileSync(factsPath, `${JSON.stringify(facts, null, 2)}\n`);
  } catch (error) {
    fail(`${folder}: cannot be written: ${error.message}`, 'Run it as a user who may write there.');
  } finally {
    rmSync(temporary, { force: true });
  }
  const status = addonStatus();
  if (!status.available) fail(status.reason, 'This is a bug in scripts/setup-native.mjs.');
  console.log(`setup:native: kernels built with ${compiler.version}; \`xbm engines\` lists the engine.`);
}

function fail(message, hint) {
  console.error(`setup:native: ${message}\n${hint}`);
  process.exit(3);
}
