/**
 * @file One measured process of ours: `engineProcess.js ENGINE train|evaluate CONFIGURATION THREADS [PROFILE FOLDER]`, the
 * configuration as JSON. Answers like bench/peer/peer.py, and to `profile` with the time by kernel (native engine).
 */
import { createInterface } from 'node:readline';
import type { Engine } from '../../src/engines/engine.js';
import { NativeTrainingSession } from '../../src/engines/native/trainingSession.js';
import { createOnnxEngine } from '../../src/engines/onnx/index.js';
import { openEngine } from '../../src/engines/registry.js';
import { folded, learningRates } from '../../test/engines/fixtures.js';
import { buildProblem, type Problem } from './problem.js';

const [name, task, configuration, threads, profile] = process.argv.slice(2);
const problem = buildProblem(JSON.parse(configuration));
const engine = await open(Number(threads));
const answer = (message: object) => console.log(JSON.stringify(message));

const { run, close, profileKernels } = task === 'train' ? await training(problem) : await evaluation(problem);
await run();
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'profile') {
    answer((await profileKernels?.()) ?? []);
    continue;
  }
  const milliseconds: number[] = [];
  const end = performance.now() + 1000 * Number(line);
  do {
    const started = performance.now();
    await run();
    milliseconds.push(performance.now() - started);
  } while (performance.now() < end);
  answer({ milliseconds, peakMegabytes: process.resourceUsage().maxRSS / 1024 });
}
await close();

async function open(threads: number): Promise<Engine> {
  if (name === 'native') return (await openEngine('native', { threads })).engine;
  return createOnnxEngine({ threads, ...(profile ? { profile } : {}) });
}

interface Measured {
  readonly run: () => Promise<unknown>;
  readonly close: () => Promise<void>;
  readonly profileKernels?: () => Promise<object[]>;
}

async function training({ plan, state, batch }: Problem): Promise<Measured> {
  const session = await engine.openTraining(plan, state);
  let step = 0;
  const run = async () =>
    (await (await session.trainStep(batch, { step: step++, learningRates })).metrics).loss;
  answer({ losses: [await run(), await run()] });
  const profileKernels = async () =>
    session instanceof NativeTrainingSession ? session.profile({ step: step++, learningRates }) : [];
  return { run, profileKernels, close: () => session.close() };
}

async function evaluation({ plan, state, batch }: Problem): Promise<Measured> {
  const { batchSize, imageSize } = plan;
  const session = await engine.openInference({ network: folded(plan, state), batchSize, imageSize });
  const run = async () => (await session.predict(batch)).logits;
  answer({ logits: [...(await run())] });
  return { run, close: () => session.close() };
}
