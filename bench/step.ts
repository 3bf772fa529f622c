/**
 * @file `npm run bench:step [seconds per row [engine]]`: images/s of an engine, training and evaluation, random 4-bit
 * weights. Each row runs in a process of its own; medians over the steps, the first (warm-up) left out.
 */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { foldBackbone } from '../src/adaption/fold.js';
import type { MethodName } from '../src/adaption/method.js';
import { initialTaskState } from '../src/adaption/parameters.js';
import type { EngineName, InferencePlan, TrainingPlan } from '../src/engines/engine.js';
import { openEngine } from '../src/engines/registry.js';
import { withClasses } from '../src/model/graph.js';
import { buildNetwork } from '../src/model/networks.js';
import { adam, learningRates, randomBackbone, tinyBatch, tinyMethod } from '../test/engines/fixtures.js';
import { benchArguments } from './arguments.js';

interface Row {
  readonly network: string;
  readonly imageSize: number;
  readonly batchSize: number;
  readonly method: MethodName | 'evaluation';
}

const rows: Row[] = [
  { network: 'resnet50', imageSize: 64, batchSize: 32, method: 'xbm' },
  { network: 'resnet50', imageSize: 96, batchSize: 32, method: 'xbm' },
  { network: 'resnet50', imageSize: 224, batchSize: 8, method: 'xbm' },
  { network: 'resnet50', imageSize: 224, batchSize: 8, method: 'piggyback' },
  { network: 'resnet50', imageSize: 224, batchSize: 8, method: 'finetune' },
  { network: 'resnet50', imageSize: 224, batchSize: 8, method: 'classifier' },
  { network: 'resnet50', imageSize: 224, batchSize: 8, method: 'evaluation' },
  { network: 'cifar-resnet20', imageSize: 32, batchSize: 32, method: 'xbm' },
];

const [secondsPerRow, engineName = 'onnx'] = benchArguments(
  'npm run bench:step -- [SECONDS PER ROW [native|onnx|webgpu|tfjs]]',
  2,
);
const seconds = Number(secondsPerRow ?? 10);
if (process.env.XBM_BENCH_ROW)
  console.log(JSON.stringify(await measure(JSON.parse(process.env.XBM_BENCH_ROW))));
else printAll();

function printAll(): void {
  console.log(`${engineName} engine, ${cpus().length} cores, ${cpus()[0].model}; median images/s`);
  for (const row of rows) {
    const output = execFileSync(
      process.execPath,
      [fileURLToPath(import.meta.url), String(seconds), engineName],
      {
        env: { ...process.env, XBM_BENCH_ROW: JSON.stringify(row) },
        encoding: 'utf8',
      },
    );
    const { rate, gigabytes } = JSON.parse(output);
    const { network, imageSize, batchSize, method } = row;
    const what = `${network}, ${imageSize} px, batch ${batchSize}, ${method}`;
    console.log(`${what.padEnd(48)} ${rate.toPrecision(3).padStart(6)} images/s, ${gigabytes.toFixed(1)} GB`);
  }
}

async function measure({
  network,
  imageSize,
  batchSize,
  method,
}: Row): Promise<{ rate: number; gigabytes: number }> {
  const { engine } = await openEngine(engineName as EngineName, { threads: 0 });
  const backbone = randomBackbone(buildNetwork(network, 102));
  const batch = tinyBatch({ batchSize, imageSize });
  const step =
    method === 'evaluation'
      ? await evaluation({ network: foldBackbone(backbone), batchSize, imageSize })
      : await training({
          graph: withClasses(backbone.graph, 102),
          backbone,
          method: tinyMethod(method, { rows: 72 }),
          optimizer: adam,
          batchSize,
          imageSize,
          seed: 0,
        });
  const milliseconds: number[] = [];
  const end = performance.now() + 1000 * seconds;
  await step.run(0);
  for (let i = 1; performance.now() < end || milliseconds.length < 3; i++) {
    const started = performance.now();
    await step.run(i);
    milliseconds.push(performance.now() - started);
  }
  await step.close();
  milliseconds.sort((a, b) => a - b);
  const median = milliseconds[milliseconds.length >> 1];
  return { rate: (1000 * batchSize) / median, gigabytes: process.resourceUsage().maxRSS / 1e6 };

  async function training(plan: TrainingPlan) {
    const state = initialTaskState(plan.graph, backbone, plan.method, adam, 0);
    const session = await engine.openTraining(plan, state);
    const run = async (index: number) =>
      (await session.trainStep(batch, { step: index, learningRates })).metrics.then(() => {});
    return { run, close: () => session.close() };
  }

  async function evaluation(plan: InferencePlan) {
    const session = await engine.openInference(plan);
    return { run: async () => void (await session.predict(batch)), close: () => session.close() };
  }
}
