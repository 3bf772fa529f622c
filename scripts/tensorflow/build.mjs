// Builds tfjs-node's binding against a TensorFlow library, with npm's own node-gyp.
import { cpSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { SetupError } from './failure.mjs';
import { lastLines, run, works } from './process.mjs';

/** tfjs-node looks for its binding under this version of the Node API in every Node that xbm runs on. */
export const NAPI_VERSION = 8;

/**
 * @param {{ packageFolder: string, include: string, libraryFolder: string, libraries: string[], runtimePath: string,
 *   workFolder: string }} build
 *   libraries: file names in libraryFolder; runtimePath: where the binding will find them, from its own folder
 * @returns {Promise<string>} the built tfjs_binding.node
 */
export async function buildBinding({
  packageFolder,
  include,
  libraryFolder,
  libraries,
  runtimePath,
  workFolder,
}) {
  const nodeGyp = requireTools();
  mkdirSync(workFolder, { recursive: true });
  cpSync(join(packageFolder, 'binding'), join(workFolder, 'binding'), { recursive: true });
  writeFileSync(
    join(workFolder, 'binding.gyp'),
    JSON.stringify(gypFile({ include, libraryFolder, libraries, runtimePath }), null, 2),
  );
  const headers = headerFolder(process.env, process.execPath);
  const { ok, output } = await run(
    process.execPath,
    [nodeGyp, 'rebuild', '--jobs', '1', ...(headers ? ['--nodedir', headers] : [])],
    { cwd: workFolder },
  );
  const built = join(workFolder, 'build', 'Release', 'tfjs_binding.node');
  if (ok && existsSync(built)) return built;
  const wayOut = /ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|getaddrinfo|bad status/i.test(output)
    ? "node-gyp could not download Node's headers. Give a folder that has include/node/node_api.h: npm_config_nodedir=FOLDER npm run setup:tensorflow"
    : 'The lines above say why; docs/tensorflow.md lists what the build needs.';
  throw new SetupError(`node-gyp could not build the binding:\n${lastLines(output, 25)}`, wayOut);
}

/** @returns {object} binding.gyp: the package's own, for libraries of any name */
export function gypFile({ include, libraryFolder, libraries, runtimePath }) {
  return {
    targets: [
      {
        target_name: 'tfjs_binding',
        sources: ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'],
        include_dirs: ['.', include],
        library_dirs: [libraryFolder],
        // $$ is make's $, and the shell must not see $ORIGIN as a variable of its own.
        libraries: [`-Wl,-rpath,'$$ORIGIN/${runtimePath}'`, ...libraries.map((name) => `-l:${name}`)],
        defines: [`NAPI_VERSION=${NAPI_VERSION}`],
        cflags_cc: ['-std=c++17'],
      },
    ],
  };
}

/** Where node-gyp may be: named by npm, inside the npm that runs this, beside node, inside any npm on the PATH. */
export function nodeGypCandidates(env, execPath) {
  const script = join('node-gyp', 'bin', 'node-gyp.js');
  const inNpm = (npmFolder) => join(npmFolder, 'node_modules', script);
  const prefix = dirname(dirname(execPath));
  return [
    env.npm_config_node_gyp,
    env.npm_execpath && inNpm(dirname(dirname(env.npm_execpath))),
    inNpm(join(prefix, 'lib', 'node_modules', 'npm')),
    inNpm(join(dirname(execPath), 'node_modules', 'npm')), // Windows
    join(prefix, 'share', 'nodejs', script), // Debian's own package
    ...(env.PATH ?? '').split(delimiter).map((folder) => {
      const npm = join(folder, 'npm');
      return existsSync(npm) ? inNpm(dirname(dirname(realpathSync(npm)))) : null;
    }),
  ].filter(Boolean);
}

/** The folder whose include/node holds Node's headers, or null: node-gyp downloads them. */
export function headerFolder(env, execPath) {
  const folders = [env.npm_config_nodedir, dirname(dirname(execPath))].filter(Boolean);
  return folders.find((folder) => existsSync(join(folder, 'include', 'node', 'node_api.h'))) ?? null;
}

/**
 * @returns {string} node-gyp's script
 * @throws SetupError naming what the build needs and this machine lacks
 */
export function requireTools() {
  const nodeGyp = nodeGypCandidates(process.env, process.execPath).find((path) => existsSync(path));
  if (!nodeGyp)
    throw new SetupError(
      'node-gyp was not found (npm brings it)',
      'Run this by npm: npm run setup:tensorflow',
    );
  const missing = missingTools((command) => works(command), process.env);
  if (missing.length === 0) return nodeGyp;
  throw new SetupError(
    `building the binding needs ${missing.join(', ')}, not found here`,
    'Install them (Debian, Ubuntu: apt install g++ make python3; Fedora: dnf install gcc-c++ make python3), or build on ' +
      'another machine of this kind and give its folder: --from …/node_modules/@tensorflow/tfjs-node',
  );
}

/** What node-gyp needs on Linux and this machine lacks. */
export function missingTools(isThere, env) {
  return [
    ['a C++ compiler (g++)', [env.CXX, 'g++', 'c++', 'clang++']],
    ['make', ['make', 'gmake']],
    ['Python 3 (node-gyp is written in it)', [env.npm_config_python, env.PYTHON, 'python3', 'python']],
  ]
    .filter(([, commands]) => !commands.filter(Boolean).some(isThere))
    .map(([name]) => name);
}
