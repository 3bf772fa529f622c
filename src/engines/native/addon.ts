/** @file The compiled kernels (native/), found, checked and loaded. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../paths.js';
import { processorModel } from '../../processor.js';

/** What native/addon.c exports. */
export interface Addon {
  /** Channels of feature maps are padded to a multiple of this. */
  readonly lanes: number;
  /** Limits: pixels along a kernel's side, layers of a group with its inputs, channels of a weight gradient's piece. */
  readonly maxKernel: number;
  readonly maxValues: number;
  readonly gradientChannels: number;
  /** Vectors of a batch norm's coefficient tensor, in order. */
  readonly coefficients: readonly string[];
  /** Whether products take uint8 levels × int8 weights, bfloat16 × bfloat16, and where there are none of these int16 × int16. */
  readonly hasInt8: number;
  /**
   * The instructions that int8 products take, and up to where they are exact: levels of the input, products with a weight;
   * and for the gradients of mask bits the sum of one product for every four rows of a bit.
   */
  readonly int8Name: string;
  readonly int8LevelLimit: number;
  readonly int8ProductLimit: number;
  readonly int8SumLimit: number;
  readonly hasBfloat16: number;
  readonly hasFixed16: number;
  /** In fixed point as many channels of a pixel share one scale, a float. */
  readonly fixed16Channels: number;
  /** In the order of their numbers. */
  readonly kernels: readonly string[];
  /** Names of arguments by kernel, of fields by record, of the settings of a step; each in order. */
  readonly arguments: Readonly<Record<string, readonly string[]>>;
  readonly records: Readonly<Record<string, readonly string[]>>;
  readonly stepValues: readonly string[];
  /** Of arguments and fields that take one of a few values: their names, in the order of their numbers. */
  readonly enums: Readonly<Record<string, readonly string[]>>;
  /**
   * Zeros; null where there is not that much memory.
   * @param visible how many of the bytes the buffer shows; kernels that are given it reach all of them
   */
  allocate(bytes: number, visible: number): ArrayBuffer | null;
  createPool(threads: number): Pool;
  closePool(pool: Pool): void;
  run(
    pool: Pool,
    arena: ArrayBuffer,
    program: Float64Array,
    step: Float64Array,
    times: Float64Array | null,
  ): Promise<void>;
}

export type Pool = object & { readonly __brand: 'pool' };

/** Written beside the addon by scripts/setup-native.mjs. */
export interface BuildFacts {
  readonly compiler: string;
  readonly processor: string;
  readonly sources: string;
}

export const nativeFolder = join(packageRoot(), 'native');
const buildFolder = join(nativeFolder, 'build');
export const HOW_TO_BUILD = `run \`npm run setup:native\` in ${packageRoot()} (it needs a C compiler: Debian's gcc and libc6-dev)`;

/** The compiled kernels, or why there are none that can run here. */
export type AddonStatus =
  | { readonly available: true; readonly path: string; readonly facts: BuildFacts }
  | { readonly available: false; readonly reason: string };

/** @param folder of the build */
export function addonStatus(folder: string = buildFolder): AddonStatus {
  const missing = (reason: string): AddonStatus => ({ available: false, reason });
  if (platform() === 'win32') return missing('its kernels are built on Linux and macOS only');
  const path = join(folder, 'xbm.node');
  const factsPath = join(folder, 'xbm.json');
  if (!existsSync(path) || !existsSync(factsPath))
    return missing(`its kernels are not built; ${HOW_TO_BUILD}`);
  let facts: BuildFacts;
  try {
    facts = JSON.parse(readFileSync(factsPath, 'utf8'));
    for (const name of ['compiler', 'processor', 'sources'] as const)
      if (typeof facts[name] !== 'string') throw new TypeError(name);
  } catch {
    return missing(`${factsPath} is damaged; ${HOW_TO_BUILD}`);
  }
  if (facts.sources !== sourcesHash()) {
    return missing(`its kernels were built from other sources; ${HOW_TO_BUILD}`);
  }
  // Built for this very processor's instructions: on another one a kernel may die of an unknown one.
  if (facts.processor !== processorName()) {
    return missing(`its kernels were built for another processor (${facts.processor}); ${HOW_TO_BUILD}`);
  }
  return { available: true, path, facts };
}

/** @throws Error with the loader's words */
export const loadAddon = (path: string): Addon => createRequire(import.meta.url)(path);

/** The processor's name and a hash of the instructions it has. */
export function processorName(): string {
  // Where the system does not say, a model has one set of instructions.
  const instructions = (processorInstructions() ?? []).join(' ');
  return `${processorModel()}, ${arch()}, ${createHash('sha256').update(instructions).digest('hex').slice(0, 8)}`;
}

/** As {@link instructionSets}, of this processor; null where the system does not say: only Linux does. */
export function processorInstructions(): string[] | null {
  try {
    return instructionSets(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return null;
  }
}

/** Of x86: what compilers use. Other flags say what the system makes of the processor, and come and go with its releases. */
const compiledFlags =
  /^(pni|s?sse\w*|avx\w*|amx_\w*|fma4?|f16c|xop|bmi[12]|tbm|popcnt|abm|lzcnt|movbe|adx|v?aes|v?pclmulqdq|gfni|sha_ni|sha512|sm[34])$/;

/** What a program compiled for this very processor may use, sorted. @param cpuinfo Linux's /proc/cpuinfo */
export function instructionSets(cpuinfo: string): string[] {
  const [, title, list] = /^(flags|Features)\s*:(.*)$/m.exec(cpuinfo) ?? ['', '', ''];
  const names = list.split(' ').filter((name) => name !== '');
  return names.filter((name) => title === 'Features' || compiledFlags.test(name)).sort();
}

/** SHA-256 of all sources of the kernels and of the script that compiles them. */
export function sourcesHash(folder: string = nativeFolder): string {
  const hash = createHash('sha256');
  const names = readdirSync(folder).filter((name) => /\.[ch]$/.test(name));
  for (const name of names.sort()) hash.update(name).update(readFileSync(join(folder, name)));
  hash.update(readFileSync(join(packageRoot(), 'scripts', 'setup-native.mjs')));
  return hash.digest('hex');
}
