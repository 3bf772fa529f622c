/**
 * @file One measured process of ours: `engineProcess.js train|evaluate CONFIGURATION THREADS [PROFILE
 * FOLDER]`, the configuration as JSON. Answers like bench/peer/peer.py.
 */
import { createInterface } from 'node:readline';
import { createOnnxEngine } from '../../src/engines/onnx/index.js';
import { folded, learningRates } from '../../test/engines/fixtures.js';
import { buildProblem, type Problem } from './problem.js';

const [task, configuration, threads, profile] = process.argv.slice(2);
const problem = buildProblem(JSON.parse(configuration));
const engine = createOnnxEngine({ threads: Number(threads), ...(profile ? { profile } : {}) });
const answer = (message: object) => console.log(JSON.stringify(message));

const { run, close } = task === 'train' ? await training(problem) : await evaluation(problem);
await run();
for await (const line of createInterface({ input: process.stdin })) {
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

async function training({ plan, state, batch }: Problem) {
  const session = await engine.openTraining(plan, state);
  let step = 0;
  const run = async () =>
    (await (await session.trainStep(batch, { step: step++, learningRates })).metrics).loss;
  answer({ losses: [await run(), await run()] });
  return { run, close: () => session.close() };
}

async function evaluation({ plan, state, batch }: Problem) {
  const { batchSize, imageSize } = plan;
  const session = await engine.openInference({ network: folded(plan, state), batchSize, imageSize });
  const run = async () => (await session.predict(batch)).logits;
  answer({ logits: [...(await run())] });
  return { run, close: () => session.close() };
}
