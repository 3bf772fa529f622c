import { ActivationHistogram } from './activationHistogram.js';
import type { Backbone } from './backbone.js';
import { layersOfKind } from './graph.js';
import { type CalibrationSource, visitTaps } from './probe.js';

/**
 * `percentile`: 0.9 × the mean over batches of the 99.95th percentile of the positive inputs.
 * `mse`: the smallest squared error over all calibration images.
 */
export type ClipRule = 'percentile' | 'mse';

/**
 * Clips of some (default: all) quantize layers, measured where each reads its input in the backbone as it is:
 * a full-precision backbone shows what the layer should see, a quantised one what it will see.
 */
export async function calibrateClips(
  backbone: Backbone,
  bits: number,
  rule: ClipRule,
  source: CalibrationSource,
  layers = layersOfKind(backbone.graph, 'quantize'),
): Promise<Record<string, number>> {
  const inputs = layers.map((layer) => layer.inputs[0]);
  const whole = new Map(inputs.map((input) => [input, new ActivationHistogram()]));
  const percentiles = new Map(inputs.map((input) => [input, [] as number[]]));
  await visitTaps(source, [backbone], inputs, ([taps]) => {
    for (const input of inputs) {
      if (rule === 'mse') {
        whole.get(input)!.add(taps[input]);
      } else {
        const batch = new ActivationHistogram();
        batch.add(taps[input]);
        percentiles.get(input)!.push(batch.percentile(99.95));
      }
    }
  });
  const clip = (input: string) => {
    if (rule === 'mse') return whole.get(input)!.bestClip(bits);
    const values = percentiles.get(input)!;
    return (0.9 * values.reduce((sum, value) => sum + value, 0)) / values.length;
  };
  // A layer that puts out nothing but zeros may have any clip above 0. Clips are kept as float32.
  return Object.fromEntries(layers.map((layer) => [layer.name, Math.fround(clip(layer.inputs[0]) || 1)]));
}
