/**
 * @file `npm run bench:kernels`: what a GPU's compiler makes of the products' kernels: registers, occupancy, instructions.
 * Nothing runs, so a GPU that is not there will do (scripts/lavapipe.sh). Mesa's AMD driver says it; others only compile.
 */
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { adapterFacts, describeMatrix, Gpu, requestAdapter } from '../src/engines/webgpu/device.js';
import type { Kernel } from '../src/engines/webgpu/kernel.js';
import {
  forwardKernel,
  inputGradientKernel,
  narrowFormats,
  type ProductPath,
  weightGradientKernel,
  wideFormats,
} from '../src/engines/webgpu/kernels/convolution.js';
import { floatTiles } from '../src/engines/webgpu/kernels/gemm.js';
import { matrixTiles } from '../src/engines/webgpu/kernels/matrixGemm.js';
import { benchOptions } from './arguments.js';

const values = benchOptions(
  'npm run bench:kernels -- [--only TEXT]   kernels whose title has the text, "128×128 dense" for example',
  { only: { type: 'string', default: '' }, child: { type: 'boolean', default: false } },
);

const marker = '@@ kernel';
/** As Mesa's AMD driver names what it says of a kernel, and the heading here. */
const statistics = [
  ['VGPRs', 'registers'],
  ['Spilled VGPRs', 'spilled'],
  ['LDS size', 'LDS bytes'],
  ['Subgroups per SIMD', 'waves/SIMD'],
  ['Instructions', 'instructions'],
  ['Latency', 'latency'],
  ['Inverse Throughput', 'inv. throughput'],
] as const;

if (values.child) await compileAll();
else report();

/** Compiles every kernel; the driver writes to stderr, where the titles go too. */
async function compileAll(): Promise<void> {
  const adapter = await requestAdapter();
  if (!adapter) throw new Error('Dawn finds no GPU: see `xbm engines`');
  const gpu = await Gpu.open(adapter); // not checked: that would compute something
  console.log(`${adapterFacts(adapter).name}, ${describeMatrix(gpu.matrix)}`);
  for (const [title, kernel] of kernels(gpu)) {
    if (!title.includes(values.only)) continue;
    writeSync(2, `\n${marker} ${title}\n`);
    await gpu.pipeline(kernel);
  }
  process.exit(0); // a fake device does not close
}

function* kernels({ units, limits }: Gpu): Generator<[title: string, kernel: Kernel]> {
  const formats = units ? narrowFormats : wideFormats;
  const paths: ProductPath[] = units
    ? matrixTiles(units, limits).map((tile) => ({ kind: 'matrix', tile, units, numbers: 'float16' }))
    : floatTiles.map((tile) => ({ kind: 'float', tile }));
  for (const path of paths) {
    for (const dense of [true, false]) {
      const variant = { path, dense, inRun: 16, outRun: 16, input: 'levels', ...formats } as const;
      const where = `${path.tile.rows}×${path.tile.columns} ${dense ? 'dense' : 'gathered'}`;
      yield [`forward, ${where}`, forwardKernel({ ...variant, statistics: units !== null })];
      if (path.kind === 'matrix' && units?.integers) {
        const int8 = { ...variant, path: { ...path, numbers: 'int8' }, statistics: true } as const;
        yield [`forward in int8, ${where}`, forwardKernel(int8)];
      }
      yield [`input gradient, ${where}`, inputGradientKernel(variant)];
      yield [`weight gradient, ${where}`, weightGradientKernel(variant)];
    }
  }
}

function report(): void {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--child', '--only', values.only],
    { encoding: 'utf8', maxBuffer: 2 ** 30, env: { ...process.env, RADV_DEBUG: 'shaderstats,nocache' } },
  );
  if (status !== 0) {
    console.error(stderr.trim().split('\n').slice(-20).join('\n'));
    process.exit(status ?? 1);
  }
  console.log(stdout.trim());
  const row = (title: string, cells: readonly string[]) =>
    console.log(
      title.padEnd(38) + cells.map((cell, i) => cell.padStart(statistics[i][1].length + 2)).join(''),
    );
  row(
    '',
    statistics.map(([, heading]) => heading),
  );
  for (const part of stderr.split(`${marker} `).slice(1)) {
    const [title] = part.split('\n', 1);
    row(
      title,
      statistics.map(([name]) => new RegExp(`^${name}: (\\d+)`, 'm').exec(part)?.[1] ?? '–'),
    );
  }
}
