/** @file Backbone and tasks as one ONNX model that ONNX Runtime runs without xbm. */
import type { FoldedNetwork } from '../adaption/fold.js';
import type { MaskSpec } from '../adaption/method.js';
import { foldIntoBackbone, type Task } from '../adaption/task.js';
import type { FrozenContext } from '../engines/onnx/frozen/emit.js';
import { FROZEN_OPSET } from '../engines/onnx/frozen/opset.js';
import type { Requantizations } from '../engines/onnx/frozen/quantizedConv.js';
import { emitQuantizedGraph } from '../engines/onnx/frozen/quantizedGraph.js';
import { SingleTask } from '../engines/onnx/frozen/singleTask.js';
import type { WeightSource } from '../engines/onnx/frozen/weights.js';
import { GraphBuilder } from '../engines/onnx/graphBuilder.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { emitFloatGraph } from './floatGraph.js';
import { exportMetadata } from './metadata.js';
import type { ImagePreparation } from './preparation.js';
import { SharedTasks } from './sharedTasks.js';

export type ExportPrecision = 'int8' | 'float';

export interface NamedTask {
  readonly name: string;
  readonly task: Task;
  /** null when it is not known: a task file alone does not say. */
  readonly preparation: ImagePreparation | null;
}

export interface ExportRequest {
  readonly backbone: Backbone;
  /** One, or several that the model's input `task` selects from by their position. */
  readonly tasks: readonly NamedTask[];
  readonly precision: ExportPrecision;
}

export interface ExportedModel {
  /** An ONNX model `pixels` (and `task`) → `logits`. */
  readonly bytes: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
  /** null for float models. */
  readonly requantizations: Requantizations | null;
}

/** int8 where the backbone has levels for weights and activations. */
export function defaultPrecision({ weightBits, activationBits }: Backbone): ExportPrecision {
  return weightBits <= 8 && activationBits <= 8 ? 'int8' : 'float';
}

/** @throws UserError when the tasks do not fit the backbone or each other, or the precision does not fit the backbone */
export function exportModel(request: ExportRequest): ExportedModel {
  const { backbone, tasks, precision } = request;
  if (precision === 'int8' && defaultPrecision(backbone) === 'float') {
    throw new UserError(
      `int8 needs weights and activations of at most 8 bits; this backbone has ${backbone.weightBits} and ${backbone.activationBits}`,
      'Export it with --precision float.',
    );
  }
  if (tasks.length > 1) requireCompatible(tasks);
  const builder = new GraphBuilder({ opset: FROZEN_OPSET });
  const networks = tasks.map(({ task }) => foldIntoBackbone(task, backbone));
  const { imageSize } = tasks[0].task;
  const weights = weightSource(builder, request, networks);
  const context: FrozenContext = { builder, networks, weights, imageSize };
  const requantizations = precision === 'int8' ? emitQuantizedGraph(context) : null;
  if (precision === 'float') emitFloatGraph(context);
  const metadata = exportMetadata(request);
  return { bytes: builder.encode(metadata), metadata, requantizations };
}

function weightSource(
  builder: GraphBuilder,
  { backbone, tasks }: ExportRequest,
  networks: readonly FoldedNetwork[],
): WeightSource {
  if (networks.length === 1) return new SingleTask(builder, networks[0]);
  return new SharedTasks(
    builder,
    backbone,
    tasks.map(({ task }) => task),
    networks,
  );
}

/** Tasks in one model share the backbone's weights, the image size and the mask geometry. */
function requireCompatible(tasks: readonly NamedTask[]): void {
  const hint = 'Export it as a model of its own.';
  const [first] = tasks;
  const masked = tasks.find(({ task }) => task.method.mask);
  for (const { name, task } of tasks) {
    const { mask, trainWeights } = task.method;
    if (trainWeights) {
      throw new UserError(
        `${name}: method ${task.method.name} has weights of its own, there is nothing to share`,
        hint,
      );
    }
    if (task.imageSize !== first.task.imageSize) {
      throw new UserError(
        `${name} takes images of ${task.imageSize} pixels, but ${first.name} of ${first.task.imageSize}`,
        hint,
      );
    }
    const other = masked?.task.method.mask;
    if (mask && other && geometry(mask) !== geometry(other)) {
      throw new UserError(
        `${name} has one mask bit per ${geometry(mask)}, but ${masked.name} one per ${geometry(other)}`,
        hint,
      );
    }
  }
}

/** What one mask bit switches, in words. */
function geometry({ granularity, rows }: MaskSpec): string {
  return granularity === 'column' ? `column of ${rows} rows` : granularity;
}
