/**
 * @file Which TensorFlow computes: native with CUDA, native on the CPU, else pure JavaScript. The native packages are
 * installed by `npm ci`, but without their library, which their install scripts download and which `.npmrc` leaves off.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const nativePackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;
type NativePackage = (typeof nativePackages)[number];

export interface TfjsBackend {
  readonly package: NativePackage | '@tensorflow/tfjs';
  readonly version: string;
  /** Why the native library is not used; absent when it is. */
  readonly reason?: string;
}

function packageFolder(name: string): string | null {
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    return null;
  }
}

/** Node finds the binding in lib/napi-v<version of the Node API>/. */
function hasNativeLibrary(folder: string): boolean {
  const lib = join(folder, 'lib');
  return (
    existsSync(lib) && readdirSync(lib).some((version) => existsSync(join(lib, version, 'tfjs_binding.node')))
  );
}

function packageVersion(folder: string): string {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}

/** The pure JavaScript backend, for the given reason. */
export function javaScriptBackend(reason: string): TfjsBackend {
  return { package: '@tensorflow/tfjs', version: packageVersion(packageFolder('@tensorflow/tfjs')!), reason };
}

/** The best backend whose files are present; loads nothing. */
export function findBackend(): TfjsBackend {
  for (const name of nativePackages) {
    const folder = packageFolder(name);
    if (folder && hasNativeLibrary(folder)) return { package: name, version: packageVersion(folder) };
  }
  return javaScriptBackend(
    "TensorFlow's native library is not installed; `npm rebuild @tensorflow/tfjs-node --ignore-scripts=false` downloads it",
  );
}

/** One line for `xbm engines` and environment.json. */
export function describeBackend(backend: TfjsBackend): string {
  switch (backend.package) {
    case '@tensorflow/tfjs-node-gpu':
      return `TensorFlow.js ${backend.version}, native TensorFlow, CUDA`;
    case '@tensorflow/tfjs-node':
      return `TensorFlow.js ${backend.version}, native TensorFlow, CPU`;
    default:
      return `TensorFlow.js ${backend.version}, pure JavaScript, 1 thread (${backend.reason})`;
  }
}

/**
 * Loads the best backend and makes it TensorFlow.js's current one.
 * @param threads of native TensorFlow on the CPU; 0: its own choice. Pure JavaScript has one.
 * @returns the backend in use: pure JavaScript with the reason when the native library does not load
 */
export async function startBackend(threads: number): Promise<TfjsBackend> {
  const tf = await import('@tensorflow/tfjs');
  tf.enableProdMode();
  let backend = findBackend();
  if (backend.package !== '@tensorflow/tfjs') {
    if (threads > 0) process.env.TF_NUM_INTRAOP_THREADS = String(threads);
    try {
      require(backend.package);
    } catch (error) {
      const [firstLine] = (error instanceof Error ? error.message : String(error)).split('\n');
      backend = javaScriptBackend(`${backend.package} does not load: ${firstLine}`);
    }
  }
  await tf.setBackend(backend.package === '@tensorflow/tfjs' ? 'cpu' : 'tensorflow');
  await tf.ready();
  return backend;
}
