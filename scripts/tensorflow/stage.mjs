// Each source, to a complete native library in the staging folder: lib/napi-v8/tfjs_binding.node and deps/.
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { buildBinding, NAPI_VERSION, requireTools } from './build.mjs';
import { SetupError } from './failure.mjs';
import { downloadOfficial } from './official.mjs';
import { lastLines, run, works } from './process.mjs';
import { bindingsIn } from './source.mjs';
import { manifestName, verifyInstallation } from './staging.mjs';
import { pipArguments, release, sha256OfFile, unpackWheel } from './wheel.mjs';

/**
 * @param {import('./source.mjs').Source} source
 * @param {{ packageFolder: string, staged: string, gpu: boolean, say: (text: string) => void }} setup
 * @returns {Promise<string>} the source in words, for setup.json
 */
export async function stage(source, setup) {
  await requireSpace(setup.staged);
  if (['pip', 'wheel', 'libraries'].includes(source.kind)) requireTools(); // before a long download
  switch (source.kind) {
    case 'official':
      setup.say("Downloading TensorFlow's C library and the binding (tfjs-node's own install script) …");
      await downloadOfficial(setup);
      return 'official download';
    case 'pip':
      return stageWheel(await downloadWheel(source.wheel, setup), setup);
    case 'wheel':
      return stageWheel(source.file, setup);
    case 'libraries':
      setup.say(`Copying ${source.libraries.join(', ')} …`);
      return stageLibraries(source, setup);
    case 'package':
      setup.say(`Copying lib/ and deps/ of ${source.folder} …`);
      await copyPackage(source.folder, setup.staged);
      return 'another tfjs-node package';
  }
}

async function copyPackage(folder, staged) {
  const { problem } = await verifyInstallation(folder);
  if (problem) throw new SetupError(`${folder} is damaged: ${problem}`, 'Run the setup there again.');
  for (const name of ['lib', 'deps'])
    cpSync(join(folder, name), join(staged, name), { recursive: true, verbatimSymlinks: true });
  for (const binding of bindingsIn(staged)) rmSync(join(dirname(binding), manifestName), { force: true });
}

async function downloadWheel(wheel, { staged, say }) {
  const folder = join(staged, 'wheel');
  mkdirSync(folder);
  const python = ['python3', 'python'].find((command) => works(command, ['-m', 'pip', '--version']));
  if (!python)
    throw new SetupError(
      'the TensorFlow wheel is downloaded with pip, and no Python with pip was found',
      `Install it (Debian, Ubuntu: apt install python3-pip), or fetch ${wheel.name} ${release.version} for ` +
        `${wheel.platform} elsewhere and give it: npm run setup:tensorflow -- --wheel FILE`,
    );
  say(`Downloading ${wheel.name} ${release.version} with pip (${wheel.megabytes} MB) …`);
  const { ok, output } = await run(python, pipArguments(wheel, folder));
  const [name] = readdirSync(folder);
  if (!ok || !name)
    throw new SetupError(
      `pip could not download ${wheel.name} ${release.version}:\n${lastLines(output, 5)}`,
      'With network access run this again; without, fetch that wheel elsewhere and give it: npm run setup:tensorflow -- --wheel FILE',
    );
  const path = join(folder, name);
  say('Checking its SHA-256 …');
  const sha256 = await sha256OfFile(path);
  if (sha256 !== wheel.sha256)
    throw new SetupError(
      `${name} has SHA-256 ${sha256}, expected ${wheel.sha256}`,
      'The package index served another file than the published one. Empty pip’s cache (pip cache purge) and run this again.',
    );
  return path;
}

async function stageWheel(path, setup) {
  const folder = join(setup.staged, 'unpacked');
  setup.say(`Unpacking the C library of ${basename(path)}, checking every file …`);
  const { version } = await unpackWheel(path, folder);
  rmSync(join(setup.staged, 'wheel'), { recursive: true, force: true });
  const libraries = readdirSync(join(folder, 'lib')).sort();
  await stageLibraries(
    {
      include: join(folder, 'include'),
      libraries: libraries.map((name) => join(folder, 'lib', name)),
      version,
    },
    setup,
  );
  rmSync(folder, { recursive: true });
  return `wheel ${basename(path)}`;
}

/** Copies the libraries under their run-time names and builds the binding against them. */
async function stageLibraries({ include, libraries, version = 'given' }, { packageFolder, staged, say }) {
  // A new name each time: the libraries of the installed binding are never touched.
  const name = `tensorflow-${version}-${Date.now().toString(36)}`;
  const libraryFolder = join(staged, 'deps', name);
  mkdirSync(libraryFolder, { recursive: true });
  for (const path of libraries) {
    const target = join(libraryFolder, basename(path));
    if (path.startsWith(staged)) renameSync(path, target);
    else copyFileSync(realpathSync(path), target);
  }
  say('Building the binding with node-gyp (about a minute) …');
  const workFolder = join(staged, 'build');
  const built = await buildBinding({
    packageFolder,
    include,
    libraryFolder,
    libraries: libraries.map((path) => basename(path)),
    runtimePath: `../../deps/${name}`,
    workFolder,
  });
  const target = join(staged, 'lib', `napi-v${NAPI_VERSION}`);
  mkdirSync(target, { recursive: true });
  copyFileSync(built, join(target, 'tfjs_binding.node'));
  rmSync(workFolder, { recursive: true });
  return 'a given library';
}

const NEEDED_BYTES = 2.5e9;

async function requireSpace(folder) {
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= NEEDED_BYTES) return;
  const free = (bavail * bsize) / 1e9;
  throw new SetupError(
    `${free.toFixed(1)} GB free at ${folder}, the setup needs ${NEEDED_BYTES / 1e9} GB while it runs`,
    'Free some space and run this again.',
  );
}
