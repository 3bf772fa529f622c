/** @file The engine and its PyTorch peers on one task: alternating rounds, medians, and whether they compute the same. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { processorInstructions } from '../../src/engines/native/addon.js';
import type { KernelTime } from '../../src/engines/native/program.js';
import { packageRoot } from '../../src/paths.js';
import { Contender, type Outcome } from './contender.js';
import type { Configuration } from './problem.js';

export type Task = 'train' | 'evaluate';
export type OwnEngine = 'native' | 'onnx';

export interface Comparison {
  readonly name: string;
  readonly rate: number;
  readonly peakMegabytes: number;
  /** Time by kernel of one step: the native engine's. */
  readonly kernels?: readonly KernelTime[];
  /** Against the engine: losses of two steps, or the largest difference of logits. */
  readonly agreement: string;
  /** GFLOPS of a matrix product in PyTorch's bf16; absent at other precisions. */
  readonly peerPeak?: number;
}

export interface ComparisonOptions extends Configuration {
  readonly task: Task;
  readonly threads: number;
  readonly rounds: number;
  readonly seconds: number;
  /** Ours, the first one is compared with all others. */
  readonly engines: readonly OwnEngine[];
  /** Null: no peers. */
  readonly python: string | null;
  readonly problemFile: string;
  readonly compile: boolean;
}

/** Files of this folder and of bench/peer, which is not compiled. */
const engineProcess = fileURLToPath(new URL('./engineProcess.js', import.meta.url));
const peerProcess = join(packageRoot(), 'bench', 'peer', 'peer.py');

export function engineCommand(
  engine: OwnEngine,
  task: Task,
  { imageSize, batchSize, activationBits }: Configuration,
  threads: number,
  profileFolder?: string,
): string[] {
  const parameters = [
    engine,
    task,
    JSON.stringify({ imageSize, batchSize, activationBits }),
    threads,
    ...(profileFolder ? [profileFolder] : []),
  ];
  return [process.execPath, engineProcess, ...parameters.map(String)];
}

/** Losses of two training steps, ours and PyTorch's: the same step, if they agree to rounding. */
export async function compareLosses(
  configuration: Configuration,
  {
    engine,
    threads,
    python,
    problemFile,
  }: { engine: OwnEngine; threads: number; python: string; problemFile: string },
): Promise<{ ours: readonly number[]; theirs: readonly number[] }> {
  const losses = async (name: string, command: readonly string[]) => {
    const { contender, outcome } = await Contender.start(name, command);
    contender.stop();
    return outcome.losses!;
  };
  return {
    ours: await losses(`${engine} engine`, engineCommand(engine, 'train', configuration, threads)),
    theirs: await losses('PyTorch', [
      python,
      peerProcess,
      problemFile,
      'train',
      'f32',
      'eager',
      String(threads),
    ]),
  };
}

/** Ours first. A peer that fails to start is left out with its reason. */
export async function compare(options: ComparisonOptions): Promise<Comparison[]> {
  const { task, threads, rounds, seconds, engines } = options;
  const entries: Awaited<ReturnType<typeof Contender.start>>[] = [];
  try {
    for (const engine of engines) {
      const name = `${engine} engine`;
      entries.push(await Contender.start(name, engineCommand(engine, task, options, threads)));
    }
    for (const { name, command } of peers(options)) {
      try {
        entries.push(await Contender.start(name, command));
      } catch (error) {
        console.log(`left out: ${(error as Error).message}`);
      }
    }
    for (let round = 0; round < rounds; round++)
      for (const { contender } of entries) await contender.round(seconds);
    const results: Comparison[] = [];
    for (const { contender, outcome } of entries) {
      const { name, median, peakMegabytes } = contender;
      // PyTorch's float32 products are slower than its float32 convolutions: no ceiling. In bf16 they are the fastest.
      const isCeiling = name.includes('bf16');
      results.push({
        name,
        rate: (1000 * options.batchSize) / median,
        peakMegabytes,
        agreement: describe(outcome, entries[0].outcome),
        ...(name === 'native engine' && task === 'train'
          ? { kernels: await contender.ask<KernelTime[]>('profile') }
          : {}),
        ...(isCeiling ? { peerPeak: (await contender.ask<{ gigaflops: number }>('peak')).gigaflops } : {}),
      });
    }
    return results;
  } finally {
    for (const { contender } of entries) contender.stop();
  }
}

function peers({ task, python, problemFile, threads, compile }: ComparisonOptions) {
  if (!python) return [];
  const modes = compile ? ['eager', 'compile'] : ['eager'];
  const precisions = multipliesBfloat16() ? ['f32', 'bf16'] : ['f32'];
  if (precisions.length === 1)
    console.log('left out: PyTorch bf16, which takes minutes a step on a processor without such products');
  return modes.flatMap((mode) =>
    precisions.map((precision) => ({
      name: `PyTorch ${precision}${mode === 'compile' ? ', torch.compile' : ''}`,
      command: [python, peerProcess, problemFile, task, precision, mode, String(threads)],
    })),
  );
}

/** Only Linux says which processors do not. */
function multipliesBfloat16(): boolean {
  const names = processorInstructions();
  return names === null || names.some((name) => ['avx512_bf16', 'amx_bf16', 'bf16'].includes(name));
}

function describe(outcome: Outcome, ours: Outcome): string {
  if (outcome.losses) return `losses ${outcome.losses.map((loss) => loss.toFixed(4)).join(', ')}`;
  if (outcome === ours) return '';
  const [theirs, own] = [outcome.logits!, ours.logits!];
  const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const difference = own.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i])), 0);
  return `logits differ by ${((100 * difference) / largest).toFixed(2)} % of the largest`;
}
