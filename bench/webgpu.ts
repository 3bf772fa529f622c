/**
 * @file `npm run bench:webgpu`: the webgpu engine on this machine's GPU: images/s of training and evaluation, time by
 * kind of kernel against the ceilings measured in the same run, and, where PyTorch with CUDA is found, the same step in
 * it, in alternating rounds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchOptions } from './arguments.js';
import { Contender } from './cpu/contender.js';
import { buildProblem, type Configuration, writeProblem } from './cpu/problem.js';
import { type Ceilings, measureCeilings } from './gpu/ceilings.js';
import { printCounts } from './gpu/count.js';
import { cudaPython, peerCommand } from './gpu/peer.js';
import { openBenchmarkGpu, type Row, type RowReport, rowCommand } from './gpu/row.js';

const values = benchOptions(
  `npm run bench:webgpu -- [--network resnet50] [--size 224] [--batch 128] [--rounds 5] [--seconds 3]
  --methods xbm,piggyback,finetune,classifier,evaluation   which rows
  --float32   without matrix units                         --no-peer   without PyTorch
  --software  a software GPU will do                       --require-matrix   fail where there are no matrix units
  --float32-maps  matrix units, but 32 bits in memory
  --compile   torch.compile beside eager PyTorch           $XBM_BENCH_PYTHON: a Python with PyTorch and CUDA
  --count [--tflops 100 --gbs 2400]   no GPU: what each row computes and moves, and how long that takes at these rates`,
  {
    network: { type: 'string', default: 'resnet50' },
    size: { type: 'string', default: '224' },
    batch: { type: 'string', default: '128' },
    methods: { type: 'string', default: 'xbm,piggyback,finetune,evaluation' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    float32: { type: 'boolean', default: false },
    'float32-maps': { type: 'boolean', default: false },
    count: { type: 'boolean', default: false },
    tflops: { type: 'string' },
    gbs: { type: 'string' },
    software: { type: 'boolean', default: false },
    'require-matrix': { type: 'boolean', default: false },
    compile: { type: 'boolean', default: false },
    'no-peer': { type: 'boolean', default: false },
  },
);

const precision = values.float32 ? 'float32' : values['float32-maps'] ? 'products' : 'mixed';
const rows = values.methods.split(',').map((method): Row => {
  return {
    network: values.network,
    imageSize: Number(values.size),
    batchSize: Number(values.batch),
    method: method as Row['method'],
    precision,
  };
});
if (values.count) {
  const { tflops, gbs } = values;
  const rate = tflops && gbs ? { flops: 1e12 * Number(tflops), bytesPerSecond: 1e9 * Number(gbs) } : null;
  for (const row of rows) printCounts(row, rate);
  process.exit(0);
}
const gpu = await openBenchmarkGpu(precision, {
  software: values.software,
  matrixUnits: values['require-matrix'],
}).catch((error: Error) => {
  console.error(`bench:webgpu: ${error.message}`);
  process.exit(3);
});
console.log(gpu.description);
const ceilings = await measureCeilings(gpu.gpu, values.software ? 'small' : 'large');
printCeilings(ceilings);
gpu.gpu.device.destroy();

const python = values['no-peer'] ? null : cudaPython();
const scratch = mkdtempSync(join(tmpdir(), 'xbm-bench-'));
try {
  for (const row of rows) await measure(row);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function measure(row: Row): Promise<void> {
  const ours = await Contender.start('webgpu engine', rowCommand(row));
  const contenders = [ours.contender];
  try {
    contenders.push(...(await startPeers(row)));
    for (let round = 0; round < Number(values.rounds); round++)
      for (const contender of contenders) await contender.round(Number(values.seconds));
    console.log(`\n${row.network}, ${row.imageSize} px, batch ${row.batchSize}, ${row.method}`);
    const rate = (contender: Contender) => (1000 * row.batchSize) / contender.median;
    for (const contender of contenders) {
      const ratio =
        contender === ours.contender ? '' : ` (ours ${(rate(ours.contender) / rate(contender)).toFixed(2)}×)`;
      console.log(
        `  ${contender.name.padEnd(32)} ${rate(contender).toPrecision(4).padStart(8)} images/s${ratio}`,
      );
    }
    printReport(await ours.contender.ask<RowReport>('report'), row.batchSize);
  } finally {
    for (const contender of contenders) contender.stop();
  }
}

/** Only the XBM step and evaluation of ResNet-50 exist in PyTorch here. */
async function startPeers({ network, imageSize, batchSize, method }: Row): Promise<Contender[]> {
  if (!python || network !== 'resnet50' || (method !== 'xbm' && method !== 'evaluation')) return [];
  const configuration: Configuration = { imageSize, batchSize, activationBits: 4 };
  const problem = join(scratch, 'problem.safetensors');
  await writeProblem(problem, buildProblem(configuration));
  const peers: Contender[] = [];
  for (const mode of values.compile ? (['eager', 'compile'] as const) : (['eager'] as const)) {
    const task = method === 'evaluation' ? 'evaluate' : 'train';
    try {
      const { contender } = await Contender.start(
        `PyTorch bf16, ${mode}`,
        peerCommand(python, problem, task, mode),
      );
      peers.push(contender);
    } catch (error) {
      console.log(`left out: ${(error as Error).message}`);
    }
  }
  return peers;
}

function printCeilings({ products, gigabytes }: Ceilings): void {
  console.log(
    `measured ceilings: copying ${gigabytes.toPrecision(3)} GB/s; products of 4-bit levels, TFLOPS by tile:`,
  );
  for (const kind of ['float32', 'float16', 'int8'] as const) {
    const tiles = products
      .filter(({ path }) => (path.kind === 'matrix' ? path.numbers : 'float32') === kind)
      .map(({ path, flops }) => `${path.tile.rows}×${path.tile.columns} ${(flops / 1e12).toPrecision(3)}`);
    if (tiles.length > 0)
      console.log(`  ${kind === 'float32' ? kind : `matrix units, ${kind}`}: ${tiles.join(', ')}`);
  }
}

function printReport({ bytes, uses }: RowReport, batchSize: number): void {
  console.log(`  ${(bytes / 1e9).toPrecision(3)} GB on the GPU`);
  if (!uses) {
    console.log('  no time by kernel: this GPU has no time stamps');
    return;
  }
  const total = uses.reduce((sum, { microseconds }) => sum + microseconds, 0);
  console.log('  kernel                          ms      %    TFLOPS    GB/s');
  for (const { label, microseconds, flop, bytes } of uses) {
    const teraflops = flop > 0 ? (flop / microseconds / 1e6).toPrecision(3) : '';
    console.log(
      `  ${label.padEnd(26)}${(microseconds / 1000).toFixed(3).padStart(8)}${((100 * microseconds) / total).toFixed(1).padStart(7)}${teraflops.padStart(10)}${(bytes / microseconds / 1000).toPrecision(3).padStart(8)}`,
    );
  }
  console.log(`  sum of kernels: ${((batchSize * 1e6) / total).toPrecision(4)} images/s`);
}
