/** @file What every run must keep: finite losses and parameters, an untouched backbone, binary masks. */
import type { FoldedNetwork } from '../adaption/fold.js';
import type { MethodSpec } from '../adaption/method.js';
import type { TaskState } from '../adaption/parameters.js';
import { ExitCode, UserError } from '../errors.js';
import { type Backbone, type ConvWeights, dequantize } from '../model/backbone.js';

/** A guard that tripped: the run stops, what it wrote before stays intact. */
export function guardError(message: string, hint: string): UserError {
  return new UserError(message, hint, ExitCode.failed);
}

/** A checkpoint may have been taken before. */
const ANEW = '--force starts anew in the same folder';

/** @throws UserError when the loss of a step is not finite */
export function requireFiniteLoss(loss: number, step: number, learningRate: number): void {
  if (Number.isFinite(loss)) return;
  throw guardError(
    `training diverged: the loss of step ${step + 1} is ${loss}`,
    `Lower training.learningRate (at most ${learningRate.toPrecision(3)} in this step) and train again; ${ANEW}.`,
  );
}

/** @throws UserError naming the first tensor with a value that is not finite */
export function requireFiniteState(state: TaskState): void {
  for (const [name, values] of [...Object.entries(state.tensors), ...Object.entries(state.moments)]) {
    const bad = firstNotFinite(values);
    if (bad < 0) continue;
    throw guardError(
      `training diverged: after step ${state.step} ${name}[${bad}] is ${values[bad]}`,
      `Lower training.learningRate and train again; ${ANEW}.`,
    );
  }
}

/** Index of the first NaN or infinity, −1 without one; a plain loop, for tens of millions of values. */
function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/**
 * Every weight of a mask method's folded network is the backbone's or 0, as its binary masks say; methods that
 * train no weights keep them all.
 * @param masks bits by convolution name
 */
export function requireFrozenWeights(
  network: FoldedNetwork,
  backbone: Backbone,
  method: MethodSpec,
  masks: Readonly<Record<string, Uint8Array>>,
): void {
  if (method.trainWeights) return;
  for (const [name, weights] of Object.entries(network.convs)) {
    if (method.mask && masks[name]?.some((bit) => bit > 1)) {
      throw guardError(`the masks of ${name} are not binary`, 'This is a bug in xbm: please report it.');
    }
    const frozen = numbers(backbone.convs[name]);
    const used = numbers(weights);
    const changed = used.findIndex((w, i) => w !== frozen[i] && !(method.mask && w === 0));
    if (changed >= 0) {
      throw guardError(
        `weight ${changed} of ${name} is ${used[changed]}, but the frozen backbone has ${frozen[changed]}`,
        'This is a bug in xbm: please report it.',
      );
    }
  }
}

const numbers = (weights: ConvWeights) => (weights.kind === 'levels' ? weights.levels : dequantize(weights));
