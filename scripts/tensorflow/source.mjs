// Where the library can come from, and in what order.
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './failure.mjs';
import { wheelFor } from './wheel.mjs';

/**
 * The ways to try, best first. A source that was named is the only one.
 * @typedef {{ kind: 'official' } | { kind: 'pip', wheel: object } | { kind: 'wheel', file: string }
 *   | { kind: 'libraries', include: string, libraries: string[] } | { kind: 'package', folder: string }} Source
 * @param {{ from?: string, wheel?: string, gpu: boolean }} options
 * @param {{ platform: string, arch: string }} machine
 * @returns {Source[]}
 */
export function chooseSources({ from, wheel, gpu }, { platform, arch }) {
  if (wheel !== undefined) {
    if (!isFile(wheel))
      throw new SetupError(`--wheel ${wheel}: there is no such file`, 'Give the path of a .whl.');
    return [{ kind: 'wheel', file: wheel }];
  }
  if (from !== undefined) return [sourceInFolder(from)];
  const fromPip = wheelFor({ platform, arch, gpu });
  return [{ kind: 'official' }, ...(fromPip ? [{ kind: 'pip', wheel: fromPip }] : [])];
}

/**
 * What a folder holds, by what lies in it.
 * @param {string} folder
 * @returns {Source}
 */
export function sourceInFolder(folder) {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new SetupError(
      `--from ${folder}: there is no such folder`,
      'Give a folder that holds the library.',
    );
  if (bindingsIn(folder).length > 0 && existsSync(join(folder, 'deps'))) return { kind: 'package', folder };
  for (const root of [folder, join(folder, 'tensorflow')]) {
    for (const libraryFolder of [join(root, 'lib'), root]) {
      const libraries = librariesIn(libraryFolder);
      const include = join(root, 'include');
      if (libraries && existsSync(join(include, 'tensorflow', 'c', 'c_api.h')))
        return { kind: 'libraries', include, libraries };
    }
  }
  const [wheel] = readdirSync(folder).filter((name) => /^tensorflow.*\.whl$/.test(name));
  if (wheel) return { kind: 'wheel', file: join(folder, wheel) };
  throw new SetupError(
    `--from ${folder}: found no TensorFlow library in it`,
    'Expected one of: lib/libtensorflow.so.2 with include/ (an unpacked libtensorflow), libtensorflow_cc.so.2 with include/ ' +
      '(an unpacked wheel), a tensorflow*.whl, or lib/napi-v*/tfjs_binding.node with deps/ (a tfjs-node that works).',
  );
}

/** The compiled bindings of a tfjs-node package, one per version of the Node API. */
export function bindingsIn(packageFolder) {
  const lib = join(packageFolder, 'lib');
  if (!existsSync(lib)) return [];
  return readdirSync(lib)
    .map((version) => join(lib, version, 'tfjs_binding.node'))
    .filter((path) => existsSync(path));
}

const libraryNames = [
  ['libtensorflow.so.2', 'libtensorflow_framework.so.2'],
  ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'],
];

/** Both libraries by their run-time names; they are often links to files with the full version. */
function librariesIn(folder) {
  const names = libraryNames.find((pair) => pair.every((name) => isFile(join(folder, name))));
  return names ? names.map((name) => join(folder, name)) : null;
}

function isFile(path) {
  return existsSync(path) && statSync(realpathSync(path)).isFile();
}
