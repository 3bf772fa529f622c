/**
 * @file Which TensorFlow computes: native with CUDA, native on the CPU, else pure JavaScript. `npm ci` installs the
 * native packages without their library, which is a download of its own: `npm run setup:tensorflow`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ExitCode, UserError } from '../../errors.js';
import { restoreLegacyUtil } from './legacyUtil.js';

const require = createRequire(import.meta.url);
const nativePackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;
type NativePackage = (typeof nativePackages)[number];

export interface TfjsBackend {
  readonly package: NativePackage | '@tensorflow/tfjs';
  readonly version: string;
  /** Why the native library is not used; absent when it is. */
  readonly reason?: string;
  /** What the native library says once it is loaded. */
  readonly native?: { readonly tensorflow: string; readonly usesGpu: boolean };
}

/** What `XBM_TFJS_BACKEND` may ask for; without it: native where it is installed. */
export type BackendChoice = 'cpu' | 'tensorflow';

/** @throws UserError for an unknown name in `XBM_TFJS_BACKEND` */
export function chosenBackend(env: NodeJS.ProcessEnv = process.env): BackendChoice | null {
  const choice = env.XBM_TFJS_BACKEND || null;
  if (choice === null || choice === 'cpu' || choice === 'tensorflow') return choice;
  throw new UserError(
    `XBM_TFJS_BACKEND is "${choice}", expected cpu (pure JavaScript) or tensorflow (native)`,
    'Unset it to take native TensorFlow where it is installed.',
  );
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

/**
 * The backend asked for, else the best one whose files are present; loads nothing.
 * @throws UserError when native TensorFlow is asked for and not installed
 */
export function findBackend(choice: BackendChoice | null = chosenBackend()): TfjsBackend {
  if (choice === 'cpu') return javaScriptBackend('XBM_TFJS_BACKEND=cpu');
  for (const name of nativePackages) {
    const folder = packageFolder(name);
    if (folder && hasNativeLibrary(folder)) return { package: name, version: packageVersion(folder) };
  }
  const reason = "TensorFlow's native library is not installed";
  if (choice === 'tensorflow') throw nativeMissing(reason);
  return javaScriptBackend(`${reason}; \`npm run setup:tensorflow\` installs it`);
}

function nativeMissing(reason: string): UserError {
  return new UserError(
    `XBM_TFJS_BACKEND=tensorflow, but ${reason}`,
    'Run `npm run setup:tensorflow` (docs/tensorflow.md).',
    ExitCode.unavailable,
  );
}

/** One line for `xbm engines` and environment.json. */
export function describeBackend({ package: name, version, reason, native }: TfjsBackend): string {
  const label = `TensorFlow.js ${version}`;
  if (name === '@tensorflow/tfjs') return `${label}, pure JavaScript, 1 thread (${reason})`;
  const tensorflow = `${label}, native TensorFlow${native ? ` ${native.tensorflow}` : ''}`;
  if (name === '@tensorflow/tfjs-node') return `${tensorflow}, CPU`;
  if (!native) return `${tensorflow}, CUDA if it finds a device`;
  return native.usesGpu ? `${tensorflow}, CUDA` : `${tensorflow}, CPU (it found no CUDA device)`;
}

/**
 * Loads the chosen backend, else the best, and makes it TensorFlow.js's current one.
 * @param threads of native TensorFlow on the CPU; 0: its own choice. Pure JavaScript has one.
 * @returns the backend in use: pure JavaScript with the reason when the native library does not load
 * @throws UserError when native TensorFlow is asked for by name and cannot run
 */
export async function startBackend(threads: number): Promise<TfjsBackend> {
  const tf = await import('@tensorflow/tfjs');
  tf.enableProdMode();
  const choice = chosenBackend();
  const found = findBackend(choice);
  const loadError = found.package === '@tensorflow/tfjs' ? null : loadNative(found.package, threads);
  if (loadError && choice === 'tensorflow') throw nativeMissing(loadError);
  const backend = loadError ? javaScriptBackend(loadError) : found;
  await tf.setBackend(backend.package === '@tensorflow/tfjs' ? 'cpu' : 'tensorflow');
  await tf.ready();
  return backend.package === '@tensorflow/tfjs' ? backend : { ...backend, native: nativeFacts(tf.backend()) };
}

/** @returns why the package does not load, or null */
function loadNative(name: NativePackage, threads: number): string | null {
  if (threads > 0) process.env.TF_NUM_INTRAOP_THREADS = String(threads);
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1'; // warnings (a CUDA library not found), no greetings
  restoreLegacyUtil();
  try {
    require(name);
    return null;
  } catch (error) {
    const [firstLine] = (error instanceof Error ? error.message : String(error)).split('\n');
    return `${name} does not load: ${firstLine}`;
  }
}

/** tfjs-node's backend has both, without declaring them in its types. */
function nativeFacts(backend: object): TfjsBackend['native'] {
  const { binding, isUsingGpuDevice } = backend as {
    binding: { TF_Version: string };
    isUsingGpuDevice: boolean;
  };
  return { tensorflow: binding.TF_Version, usesGpu: isUsingGpuDevice };
}
