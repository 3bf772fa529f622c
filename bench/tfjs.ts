/**
 * @file `npm run bench:tfjs`: the reference training step in pure JavaScript and on native TensorFlow, and the onnx
 * engine's beside them: a ResNet-8 at 32 px, xbm, 4 bits, random weights. Each row runs in a process of its own.
 */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { TrainingPlan } from '../src/engines/engine.js';
import { openEngine } from '../src/engines/registry.js';
import { findBackend } from '../src/engines/tfjs/backend.js';
import { withClasses } from '../src/model/graph.js';
import { buildNetwork } from '../src/model/networks.js';
import {
  adam,
  learningRates,
  randomBackbone,
  tinyBatch,
  tinyMethod,
  tinyState,
} from '../test/engines/fixtures.js';
import { benchArguments } from './arguments.js';

const IMAGE_SIZE = 32;
const SECONDS = 5;

interface Row {
  readonly engine: 'tfjs' | 'onnx';
  readonly backend: 'cpu' | 'tensorflow';
  readonly batchSize: number;
}

benchArguments('npm run bench:tfjs', 0);
const row = process.env.XBM_BENCH_ROW;
if (row) console.log(JSON.stringify(await measure(JSON.parse(row))));
else compare();

function compare(): void {
  const native = isNativeInstalled();
  const rows: Row[] = [
    { engine: 'tfjs', backend: 'cpu', batchSize: 4 },
    ...(native
      ? ([
          { engine: 'tfjs', backend: 'tensorflow', batchSize: 4 },
          { engine: 'tfjs', backend: 'tensorflow', batchSize: 32 },
        ] as const)
      : []),
    { engine: 'onnx', backend: 'cpu', batchSize: 4 },
    { engine: 'onnx', backend: 'cpu', batchSize: 32 },
  ];
  console.log(`Training step of cifar-resnet8, ${IMAGE_SIZE} px, xbm, 4 bits; ${cpus().length} cores`);
  let pureJavaScript = Number.NaN;
  for (const row of rows) {
    const output = execFileSync(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...process.env, XBM_BENCH_ROW: JSON.stringify(row), XBM_TFJS_BACKEND: row.backend },
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    });
    const { rate, device } = JSON.parse(output.trim().split('\n').at(-1)!);
    if (Number.isNaN(pureJavaScript)) pureJavaScript = rate;
    const factor = (rate / pureJavaScript).toPrecision(3);
    console.log(
      `batch ${row.batchSize}: ${rate.toPrecision(3)} images/s (×${factor}), ${row.engine}: ${device}`,
    );
  }
  if (!native) console.log('Native TensorFlow is not installed: npm run setup:tensorflow');
}

/** Images a second, after steps that fill caches and compile code. */
async function measure({ engine: name, batchSize }: Row): Promise<{ rate: number; device: string }> {
  const { engine } = await openEngine(name, { threads: 0 });
  const backbone = randomBackbone(buildNetwork('cifar-resnet8', 10));
  const plan: TrainingPlan = {
    graph: withClasses(backbone.graph, 5),
    backbone,
    method: tinyMethod('xbm', { rows: 72 }),
    optimizer: adam,
    batchSize,
    imageSize: IMAGE_SIZE,
    seed: 7,
  };
  const session = await engine.openTraining(plan, tinyState(plan));
  const batch = tinyBatch(plan);
  const step = async (at: number) => (await session.trainStep(batch, { step: at, learningRates })).metrics;
  for (let warmUp = 0; warmUp < 2; warmUp++) await step(warmUp);
  const start = performance.now();
  let steps = 0;
  while (performance.now() - start < SECONDS * 1000 || steps < 2) await step(2 + steps++);
  const rate = (steps * batchSize) / ((performance.now() - start) / 1000);
  await session.close();
  return { rate, device: engine.device };
}

function isNativeInstalled(): boolean {
  try {
    findBackend('tensorflow');
    return true;
  } catch {
    return false;
  }
}
