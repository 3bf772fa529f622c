/** @file One row of bench:webgpu, in a process of its own: `rowProcess.js ROW`. */
import { fileURLToPath } from 'node:url';
import type { MethodName } from '../../src/adaption/method.js';
import { initialTaskState, type TaskState } from '../../src/adaption/parameters.js';
import type { TrainingPlan } from '../../src/engines/engine.js';
import {
  adapterFacts,
  describeMatrix,
  type Gpu,
  type Precision,
  requestAdapter,
} from '../../src/engines/webgpu/device.js';
import type { KernelUse } from '../../src/engines/webgpu/plan.js';
import { openCheckedGpu } from '../../src/engines/webgpu/selfCheck.js';
import { buildNetwork } from '../../src/model/networks.js';
import { randomPlan, tinyMethod } from '../../test/engines/fixtures.js';

export interface Row {
  readonly network: string;
  readonly imageSize: number;
  readonly batchSize: number;
  readonly method: MethodName | 'evaluation';
  readonly precision: Precision;
}

const CLASSES = 102;

/** The step or, for `evaluation`, the network that a row measures; with random weights. */
export function rowProblem({ network, imageSize, batchSize, method: name }: Row): {
  plan: TrainingPlan;
  state: TaskState;
} {
  const method = tinyMethod(name === 'evaluation' ? 'xbm' : name, { rows: 72 });
  const plan = randomPlan(buildNetwork(network, CLASSES), CLASSES, { method, batchSize, imageSize });
  return { plan, state: initialTaskState(plan.graph, plan.backbone, method, plan.optimizer, 0) };
}

export interface RowReport {
  /** Of all buffers on the GPU. */
  readonly bytes: number;
  /** Null where the GPU has no time stamps. */
  readonly uses: KernelUse[] | null;
}

export const rowCommand = (row: Row): string[] => [
  process.execPath,
  fileURLToPath(new URL('./rowProcess.js', import.meta.url)),
  JSON.stringify(row),
];

/**
 * @param wanted what else would be measured under a wrong name
 * @throws Error when there is no such GPU
 */
export async function openBenchmarkGpu(
  precision: Row['precision'],
  wanted: { readonly software?: boolean; readonly matrixUnits?: boolean } = {},
): Promise<{ gpu: Gpu; description: string }> {
  const adapter = await requestAdapter();
  if (!adapter) throw new Error('Dawn finds no GPU: see `xbm engines`');
  const { name, software } = adapterFacts(adapter);
  if (software && !wanted.software)
    throw new Error(`${name} is a software GPU (see \`xbm engines\`); --software measures it all the same`);
  const gpu = await openCheckedGpu(adapter, precision);
  const { matrix } = gpu;
  if (wanted.matrixUnits && !matrix.units) throw new Error(`${name}: no matrix units: ${matrix.reason}`);
  return { gpu, description: `${name}${software ? ', a software GPU' : ''}, ${describeMatrix(matrix)}` };
}
