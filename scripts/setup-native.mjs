// npm run setup:native — compiles the kernels of the `native` engine for this machine's processor, into native/build.
// $CC names another compiler, with arguments if need be. Node's headers come with the package node-api-headers.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sources = join(root, 'native');
const onDebian = 'On Debian: apt-get install gcc libc6-dev.';
const anotherCompiler = '$CC names another compiler: GCC 12 is known to do.';

/** Flags that compile for this very processor, and for others of its architecture. */
export const targets =
  process.arch === 'x64'
    ? {
        native: '-march=native',
        avx512: '-march=x86-64-v4',
        avxvnni: '-march=x86-64-v3 -mavxvnni',
        avx2: '-march=x86-64-v3',
        portable: '-march=x86-64-v2',
      }
    : process.arch === 'arm64'
      ? { native: '-mcpu=native', dotprod: '-march=armv8.2-a+dotprod', portable: '' }
      : { native: '-march=native', portable: '' };

/**
 * @param compiler as findCompiler gives it
 * @returns the compiler's own words when it fails, else null
 */
export function compile(compiler, output, target) {
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const args = [
    ...['-std=gnu11', '-O3', ...target.split(' '), '-fPIC', '-shared', '-pthread', '-Wall', '-Wextra'],
    // What keeps loops with square roots or conditions from being vectorised, and changes no value.
    ...['-fno-math-errno', '-fno-trapping-math'],
    // GCC's partial redundancy elimination copies every accumulator of a product in every iteration.
    compiler.isClang ? '' : '-fno-tree-pre',
    ...(process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []),
    ...['-I', headers, '-DNODE_GYP_MODULE_NAME=xbm', '-o', output],
    ...files.map((name) => join(sources, name)),
    '-lm',
  ].filter((argument) => argument !== '');
  const { status, stderr, error } = run(compiler.command, args);
  return status === 0 ? null : (error?.message ?? stderr);
}

/** @param command program and its first arguments: 'ccache gcc' is two */
function run([program, ...first], args, options = {}) {
  return spawnSync(program, [...first, ...args], { encoding: 'utf8', ...options });
}

/** The first compiler there is, with its command and version; null: none. */
export function findCompiler() {
  const wanted = process.env.CC?.trim();
  for (const name of wanted ? [wanted] : ['cc', 'gcc', 'clang']) {
    const command = name.split(/\s+/);
    const { status, stdout } = run(command, ['--version']);
    const [version] = (stdout ?? '').split('\n');
    if (status === 0) return { command, version: version.trim(), isClang: /clang/i.test(version) };
  }
  return null;
}

/** Whether kernels can be built here: a compiler that finds the C library's headers. */
export function canCompile() {
  const compiler = process.platform === 'win32' ? null : findCompiler();
  if (!compiler) return false;
  const input = '#include <pthread.h>\n';
  return run(compiler.command, ['-fsyntax-only', '-x', 'c', '-'], { input }).status === 0;
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
  writing(folder, () => {
    mkdirSync(folder, { recursive: true });
    removeLeftOvers(folder);
  });
  // Of the sources as they are before the compiler reads them: whoever changes one meanwhile is told to build anew.
  const facts = { compiler: compiler.version, processor: processorName(), sources: sourcesHash() };
  process.on('exit', () => rmSync(temporary, { force: true }));
  const compilerError = compile(compiler, temporary, targets.native);
  if (compilerError !== null)
    fail(`${compiler.version} cannot compile the kernels:\n${compilerError}`, wayOut(compilerError));
  const loaderError = load(temporary);
  if (loaderError !== null)
    fail(
      `Node cannot load the kernels that ${compiler.version} compiled:\n${loaderError}`,
      `It may be for another system or C library. ${anotherCompiler}`,
    );
  writing(folder, () => {
    // Never new kernels beside the facts of others. A program that has the old ones loaded keeps them.
    rmSync(factsPath, { force: true });
    renameSync(temporary, output);
    writeFileSync(factsPath, `${JSON.stringify(facts, null, 2)}\n`);
  });
  const status = addonStatus();
  if (!status.available) fail(status.reason, 'This is a bug in scripts/setup-native.mjs.');
  console.log(`setup:native: kernels built with ${compiler.version}; \`xbm engines\` lists the engine.`);
}

/** What to do about a compiler's error. */
function wayOut(error) {
  if (/No space left/i.test(error)) return 'The disk of native/build or of $TMPDIR is full.';
  if (/fatal error: \S+\.h: No such file|file not found/.test(error))
    return `The C library's headers are missing. ${onDebian}`;
  return anotherCompiler;
}

/** Loads kernels in a process of their own; the loader's words when it fails, else null. */
function load(path) {
  const program =
    'try { require(process.argv[1]) } catch (error) { console.error(error.message); process.exit(1) }';
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', program, path], { encoding: 'utf8' });
  return status === 0 ? null : stderr.trim() || `it ended with ${signal ?? status}`;
}

/** Removes what builds that were killed left behind. */
function removeLeftOvers(folder) {
  for (const name of readdirSync(folder)) {
    const [, pid] = /^xbm-(\d+)\.node$/.exec(name) ?? [];
    if (pid && !isAlive(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM'; // somebody else's
  }
}

function writing(folder, action) {
  try {
    action();
  } catch (error) {
    fail(
      `${folder}: cannot be written: ${error.message}`,
      'It takes a user who may write there, and room on its disk.',
    );
  }
}

function fail(message, hint) {
  console.error(`setup:native: ${message}\n${hint}`);
  process.exit(3);
}
