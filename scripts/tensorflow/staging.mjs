// What is built or downloaded goes to a staging folder inside the package first. Taking it over is a list of renames whose
// last one, of the binding, switches from the old library to the new: a setup killed anywhere leaves one that works.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { bindingsIn } from './source.mjs';
import { sha256OfFile } from './wheel.mjs';

const prefix = '.setup-';
export const manifestName = 'setup.json';

/** A new staging folder, after clearing those of setups that were killed. */
export function openStaging(packageFolder) {
  sweepStaging(packageFolder);
  const folder = join(packageFolder, `${prefix}${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  return folder;
}

/** Removes staging folders whose process is gone. */
export function sweepStaging(packageFolder) {
  for (const name of readdirSync(packageFolder).filter((entry) => entry.startsWith(prefix))) {
    if (!isRunning(Number(name.slice(prefix.length))))
      rmSync(join(packageFolder, name), { recursive: true, force: true });
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Writes what was staged to setup.json beside the binding: TensorFlow's version, the source, each file's size and SHA-256.
 * @param {string} staged holds lib/napi-v…/tfjs_binding.node and deps/, as in the package
 */
export async function writeManifest(staged, facts) {
  const files = {};
  for (const path of filesBelow(staged)) {
    files[relative(staged, path).replaceAll('\\', '/')] = {
      bytes: statSync(path).size,
      sha256: await sha256OfFile(path),
    };
  }
  const [binding] = bindingsIn(staged);
  writeFileSync(join(dirname(binding), manifestName), `${JSON.stringify({ ...facts, files }, null, 2)}\n`);
}

/**
 * The renames that install what is staged, in order; the binding comes last.
 * @returns {{ from: string, to: string }[]}
 */
export function takeoverSteps(staged, packageFolder) {
  const steps = [];
  const deps = join(staged, 'deps');
  const trash = join(staged, 'replaced');
  for (const name of existsSync(deps) ? readdirSync(deps) : []) {
    const to = join(packageFolder, 'deps', name);
    // Never the folder that the old binding uses, unless the official download replaces itself: its name is fixed.
    if (existsSync(to)) {
      for (const binding of bindingsIn(packageFolder)) {
        steps.push({ from: binding, to: join(trash, basename(dirname(binding)), basename(binding)) });
      }
      steps.push({ from: to, to: join(trash, 'deps', name) });
    }
    steps.push({ from: join(deps, name), to });
  }
  const files = filesBelow(join(staged, 'lib'));
  const isBinding = (path) => path.endsWith('tfjs_binding.node');
  for (const path of [...files.filter((file) => !isBinding(file)), ...files.filter(isBinding)]) {
    steps.push({ from: path, to: join(packageFolder, relative(staged, path)) });
  }
  return steps;
}

/** Carries out the steps, then removes libraries that no binding uses any more. */
export function takeOver(staged, packageFolder) {
  const kept = new Set(existsSync(join(staged, 'deps')) ? readdirSync(join(staged, 'deps')) : []);
  for (const { from, to } of takeoverSteps(staged, packageFolder)) {
    mkdirSync(dirname(to), { recursive: true });
    renameSync(from, to);
  }
  const deps = join(packageFolder, 'deps');
  for (const name of existsSync(deps) ? readdirSync(deps) : []) {
    if (!kept.has(name)) rmSync(join(deps, name), { recursive: true, force: true });
  }
}

/** Removes the native library: the binding first, so that nothing loads half of it. */
export function removeNative(packageFolder) {
  for (const binding of bindingsIn(packageFolder)) rmSync(binding);
  for (const name of ['lib', 'deps']) rmSync(join(packageFolder, name), { recursive: true, force: true });
}

/**
 * Whether what setup.json lists is all there, unchanged.
 * @returns {Promise<{ manifest: object | null, problem: string | null }>} no manifest: not installed by this script
 */
export async function verifyInstallation(packageFolder) {
  const [binding] = bindingsIn(packageFolder);
  const path = binding && join(dirname(binding), manifestName);
  if (!path || !existsSync(path)) return { manifest: null, problem: null };
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const file = join(packageFolder, name);
    if (!existsSync(file)) return { manifest, problem: `${name} is missing` };
    if (statSync(file).size !== bytes || (await sha256OfFile(file)) !== sha256)
      return { manifest, problem: `${name} has changed` };
  }
  return { manifest, problem: null };
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}
