import type { Layer } from './layer.js';

/**
 * Another method than a file's, with that method's own granularity, binariser and batch-norm training.
 * @param place who asks for it, as error messages say it
 */
export function methodLayer(name: string, place: string): Layer {
  return {
    values: { method: { name, granularity: null, binarizer: null, trainBatchNorm: null } },
    places: new Map([['method.name', { key: place, value: place }]]),
  };
}
