/**
 * @file `npm run bench:cpu`: our engines beside PyTorch on the same XBM step of ResNet-50, in alternating rounds of one
 * run; then where the engines' time goes, and how far that is from what the machine can do.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KernelTime } from '../src/engines/native/program.js';
import { listEngines } from '../src/engines/registry.js';
import { benchOptions } from './arguments.js';
import {
  type Comparison,
  compare,
  compareLosses,
  engineCommand,
  type OwnEngine,
  type Task,
} from './cpu/comparison.js';
import { Contender } from './cpu/contender.js';
import { measurePeaks, type Peaks } from './cpu/peaks.js';
import { buildProblem, type Configuration, writeProblem } from './cpu/problem.js';
import { operatorUses } from './cpu/profile.js';
import { pythonWithTorch } from './cpu/python.js';

const values = benchOptions(
  `npm run bench:cpu -- [--only 224] [--batch 16] [--task train|evaluate] [--rounds 5] [--seconds 3] [--threads n]
  --engine native|onnx  one of ours only; both where the native kernels are built (npm run setup:native)
  --compile  torch.compile too (needs a C++ compiler; minutes per row)   --no-peer  the engine alone
  PyTorch: the interpreter $XBM_BENCH_PYTHON, else installed from PyPI into .cache/torch on first use`,
  {
    only: { type: 'string' },
    batch: { type: 'string' },
    task: { type: 'string' },
    engine: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(cpus().length) },
    compile: { type: 'boolean', default: false },
    'no-peer': { type: 'boolean', default: false },
  },
);

const all: Configuration[] = [
  { imageSize: 224, batchSize: 8, activationBits: 4 },
  { imageSize: 96, batchSize: 32, activationBits: 4 },
  { imageSize: 64, batchSize: 32, activationBits: 4 },
];
const configurations = all
  .filter(({ imageSize }) => !values.only || values.only.split(',').includes(String(imageSize)))
  .map((one) => ({ ...one, batchSize: Number(values.batch ?? one.batchSize) }));
const tasks = (['train', 'evaluate'] as const).filter((task) => !values.task || values.task === task);
const threads = Number(values.threads);
const trainers = await ownEngines();
const scratch = mkdtempSync(join(tmpdir(), 'xbm-bench-'));
try {
  await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @throws Error when the one asked for cannot run */
async function ownEngines(): Promise<OwnEngine[]> {
  const all = ['native', 'onnx'] as const;
  if (values.engine) {
    const one = all.find((name) => name === values.engine);
    if (!one) throw new Error(`--engine is ${values.engine}, expected native or onnx`);
    return [one];
  }
  const native = (await listEngines()).find(({ name }) => name === 'native')!;
  if (!native.available) console.log(`without the native engine: ${native.detail}`);
  return all.filter((name) => name !== 'native' || native.available);
}

async function main(): Promise<void> {
  console.log(
    `ResNet-50, XBM, 4-bit weights and activations, trained batch norm, Adam; ${threads} threads, ${cpus()[0].model}`,
  );
  const python = values['no-peer'] ? null : findPython();
  const peaks = await measurePeaks(threads);
  console.log(
    `peaks in ONNX Runtime: f32 matrix product ${peaks.gigaflops.toFixed(0)} GFLOPS, element-wise ${peaks.gigabytes.toFixed(1)} GB/s`,
  );
  const problemFile = join(scratch, 'problem.safetensors');
  if (python) await checkAgreement(python, problemFile);
  for (const configuration of configurations) {
    if (python) await writeProblem(problemFile, buildProblem(configuration));
    for (const task of tasks) {
      const results = await compare({
        ...configuration,
        task,
        engines: task === 'train' ? trainers : ['onnx'], // the native engine's inference is the onnx engine's
        threads,
        rounds: Number(values.rounds),
        seconds: Number(values.seconds),
        python,
        problemFile,
        compile: values.compile,
      });
      printComparison(task, configuration, results);
      for (const { kernels } of results) if (kernels) printKernels(kernels);
      if (task === 'train' && trainers.includes('onnx')) await printOperators(configuration, peaks, results);
    }
  }
}

function findPython(): string | null {
  try {
    const { python, version } = pythonWithTorch();
    console.log(`PyTorch ${version}, channels-last`);
    return python;
  } catch (error) {
    console.log(`no PyTorch beside it: ${(error as Error).message}`);
    return null;
  }
}

/** Without quantisers, whose levels flip by rounding and drown what is to be seen. */
async function checkAgreement(python: string, problemFile: string): Promise<void> {
  const configuration: Configuration = { imageSize: 64, batchSize: 8, activationBits: 32 };
  await writeProblem(problemFile, buildProblem(configuration));
  const { ours, theirs } = await compareLosses(configuration, {
    engine: trainers[0],
    threads,
    python,
    problemFile,
  });
  const differences = ours.map((loss, i) => Math.abs(loss - theirs[i]) / loss);
  const print = (losses: readonly number[]) => losses.map((loss) => loss.toFixed(5)).join(', ');
  console.log(
    `losses of two steps at full-precision activations: ours ${print(ours)}, PyTorch ${print(theirs)}`,
  );
  if (Math.max(...differences) > 0.01) throw new Error('the two do not compute the same step');
}

function printComparison(
  task: Task,
  { imageSize, batchSize }: Configuration,
  results: readonly Comparison[],
): void {
  const what = task === 'train' ? 'training' : 'evaluation';
  console.log(
    `\n${imageSize} px, batch ${batchSize}, ${what}`.padEnd(34),
    ' images/s   ours÷it   peak memory',
  );
  for (const { name, rate, peakMegabytes, agreement } of results) {
    const ratio = name === results[0].name ? '' : `${(results[0].rate / rate).toFixed(2)}×`;
    console.log(
      `  ${name.padEnd(32)}${rate.toFixed(1).padStart(8)}${ratio.padStart(10)}${(peakMegabytes / 1000).toFixed(2).padStart(11)} GB   ${agreement}`,
    );
  }
}

/** Time by kernel of one step of the native engine. */
function printKernels(kernels: readonly KernelTime[]): void {
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  console.log(`  native engine by kernel, ms per step${''.padEnd(4)}%   GFLOPS`);
  for (const { kernel, milliseconds, flop } of kernels) {
    if (milliseconds < 0.01 * total) continue;
    const share = ((100 * milliseconds) / total).toFixed(1);
    const rate = flop > 0 ? (flop / milliseconds / 1e6).toFixed(0) : '';
    console.log(
      `    ${kernel.padEnd(28)}${milliseconds.toFixed(1).padStart(8)}${share.padStart(6)}${rate.padStart(9)}`,
    );
  }
}

/** Time by operator of a profiled run of a few steps, with what a machine at its peaks would need. */
async function printOperators(
  configuration: Configuration,
  peaks: Peaks,
  results: readonly Comparison[],
): Promise<void> {
  const folder = mkdtempSync(join(scratch, 'profile-'));
  const { contender } = await Contender.start(
    'profile',
    engineCommand('onnx', 'train', configuration, threads, folder),
  );
  await contender.round(Number(values.seconds));
  await contender.finish();
  const uses = operatorUses(folder);
  const sum = (key: 'milliseconds' | 'gigaflop' | 'gigabytes') =>
    uses.reduce((total, use) => total + use[key], 0);
  console.log(`  onnx engine by operator, ms per step${''.padEnd(10)}  ms     %   GFLOPS (of peak)   GB/s`);
  const shown = uses.filter(({ milliseconds }) => milliseconds > 0.01 * sum('milliseconds'));
  for (const { operator, milliseconds, gigaflop, gigabytes } of shown) {
    const share = (100 * milliseconds) / sum('milliseconds');
    const flops = (1000 * gigaflop) / milliseconds;
    const arithmetic =
      gigaflop > 0 ? `${flops.toFixed(0)} (${((100 * flops) / peaks.gigaflops).toFixed(0)} %)` : '';
    const traffic = ((1000 * gigabytes) / milliseconds).toFixed(1);
    console.log(
      `    ${operator.padEnd(28)}${milliseconds.toFixed(1).padStart(8)}${share.toFixed(1).padStart(6)}${arithmetic.padStart(19)}${traffic.padStart(7)}`,
    );
  }
  const ceiling = (gigaflops: number) => ((configuration.batchSize * gigaflops) / sum('gigaflop')).toFixed(1);
  console.log(
    `    ${sum('gigaflop').toFixed(0)} GFLOP per step: at the peak of f32 ${ceiling(peaks.gigaflops)} images/s`,
  );
  for (const { name, peerPeak } of results)
    if (peerPeak)
      console.log(
        `    at the ${peerPeak.toFixed(0)} GFLOPS of a matrix product in ${name}: ${ceiling(peerPeak)} images/s`,
      );
}
