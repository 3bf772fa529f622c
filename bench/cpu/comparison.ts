/** @file The engine and its PyTorch peers on one task: alternating rounds, medians, and whether they compute the same. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../src/paths.js';
import { Contender, type Outcome } from './contender.js';
import type { Configuration } from './problem.js';

export type Task = 'train' | 'evaluate';

export interface Comparison {
  readonly name: string;
  readonly rate: number;
  readonly peakMegabytes: number;
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
  /** Null: no peers. */
  readonly python: string | null;
  readonly problemFile: string;
  readonly compile: boolean;
}

/** Files of this folder and of bench/peer, which is not compiled. */
const engineProcess = fileURLToPath(new URL('./engineProcess.js', import.meta.url));
const peerProcess = join(packageRoot(), 'bench', 'peer', 'peer.py');

export function engineCommand(
  task: Task,
  { imageSize, batchSize, activationBits }: Configuration,
  threads: number,
  profileFolder?: string,
): string[] {
  const parameters = [
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
  { threads, python, problemFile }: { threads: number; python: string; problemFile: string },
): Promise<{ ours: readonly number[]; theirs: readonly number[] }> {
  const losses = async (name: string, command: readonly string[]) => {
    const { contender, outcome } = await Contender.start(name, command);
    contender.stop();
    return outcome.losses!;
  };
  return {
    ours: await losses('onnx engine', engineCommand('train', configuration, threads)),
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
  const { task, threads, rounds, seconds } = options;
  const ours = await Contender.start('onnx engine', engineCommand(task, options, threads));
  const entries = [ours];
  try {
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
        agreement: describe(outcome, ours.outcome),
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
  return modes.flatMap((mode) =>
    ['f32', 'bf16'].map((precision) => ({
      name: `PyTorch ${precision}${mode === 'compile' ? ', torch.compile' : ''}`,
      command: [python, peerProcess, problemFile, task, precision, mode, String(threads)],
    })),
  );
}

function describe(outcome: Outcome, ours: Outcome): string {
  if (outcome.losses) return `losses ${outcome.losses.map((loss) => loss.toFixed(4)).join(', ')}`;
  if (outcome === ours) return '';
  const [theirs, own] = [outcome.logits!, ours.logits!];
  const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const difference = own.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i])), 0);
  return `logits differ by ${((100 * difference) / largest).toFixed(2)} % of the largest`;
}
