/** @file The native engine in every precision that its kernels have, and built for lesser processors than this one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../../../src/engines/engine.js';
import {
  type Addon,
  addonStatus,
  type BuildFacts,
  loadAddon,
  processorInstructions,
} from '../../../src/engines/native/addon.js';
import { bestPrecision, createNativeEngine } from '../../../src/engines/native/index.js';
import type { Precision } from '../../../src/engines/native/taskWeights.js';
import { packageRoot } from '../../../src/paths.js';

export const float32: Precision = { forward: 'float32', backward: 'float32' };

/** The addon as it is installed, or null. */
export function installedAddon(): { addon: Addon; facts: BuildFacts } | null {
  const status = addonStatus();
  return status.available ? { addon: loadAddon(status.path), facts: status.facts } : null;
}

const setupScript = join(packageRoot(), 'scripts', 'setup-native.mjs');
const canCompile = async (): Promise<boolean> => (await import(setupScript)).canCompile();

/** The kernels as another processor of this architecture gets them. */
async function otherAddon(target: string): Promise<{ addon: Addon; facts: BuildFacts }> {
  const { compile, findCompiler, targets } = await import(setupScript);
  const compiler = findCompiler();
  const folder = mkdtempSync(join(tmpdir(), 'xbm-portable-'));
  try {
    const path = join(folder, 'xbm.node');
    const error = compile(compiler, path, targets[target]);
    if (error !== null) throw new Error(error);
    const facts = { compiler: `${compiler.version}, ${target}`, processor: 'any', sources: '' };
    return { addon: loadAddon(path), facts };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a processor must have for kernels built for a target, by Linux's names. */
const needs: Readonly<Record<string, readonly string[]>> = {
  avx512: ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
  avxvnni: ['avx2', 'fma', 'avx_vnni'],
  avx2: ['avx2', 'fma'],
  dotprod: ['asimddp'],
  portable: [],
};

/** What this processor can run besides what it was built for. */
async function otherTargets(): Promise<string[]> {
  const features = processorInstructions() ?? [];
  const { targets } = await import(setupScript);
  return Object.keys(targets).filter((target) => needs[target]?.every((name) => features.includes(name)));
}

/** The kernels by kind of build, or why there are none. */
export async function testAddons(): Promise<{ addons: Record<string, Addon>; skip: false | string }> {
  const installed = installedAddon();
  if (!installed) return { addons: {}, skip: 'the native kernels are not built: npm run setup:native' };
  const addons: Record<string, Addon> = { installed: installed.addon };
  if (await canCompile())
    for (const target of await otherTargets()) addons[target] = (await otherAddon(target)).addon;
  return { addons, skip: false };
}

/** All but the one that users get, which is opened by name. */
export async function nativeVariants(): Promise<{ engine: Engine; precision: Precision }[]> {
  const installed = installedAddon();
  if (!installed || !(await canCompile())) return [];
  const others = (await otherTargets()).filter((target) => ['avx2', 'dotprod', 'portable'].includes(target));
  const { forward, backward } = bestPrecision(installed.addon);
  const variants: { addon: Addon; facts: BuildFacts; precision: Precision }[] = [
    ...(backward === 'float32'
      ? []
      : [{ ...installed, precision: { forward, backward: 'float32' } as const }]),
    ...(forward === 'float32' ? [] : [{ ...installed, precision: float32 }]),
  ];
  for (const target of others) {
    const other = await otherAddon(target);
    variants.push({ ...other, precision: bestPrecision(other.addon) });
  }
  return variants.map(({ addon, facts, precision }) => ({
    engine: createNativeEngine(addon, facts, { threads: 2, precision }),
    precision,
  }));
}
