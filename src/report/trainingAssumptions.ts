/** @file What the paper leaves open about training, and how the runs of a report decided it. */
import type { MethodName, MethodSpec } from '../adaption/method.js';

/** One line per open choice; each names its config key where it has one. Sources: the slides and KSM's code. */
export function trainingAssumptions(methods: readonly MethodSpec[]): string[] {
  const found = [
    `Batch norm, of which the paper says nothing: ${choices(methods, (method) => `method.trainBatchNorm=${method.trainBatchNorm}`)}.`,
    'The classifier head is new per task, full precision and never masked; the paper does not say.',
    'Accuracies are those of exact sums: the resolution of the ADC takes no part in them. Activations of every convolution but the first are quantised.',
  ];
  const masked = methods.filter(({ mask }) => mask !== null);
  if (masked.length === 0) return found;
  const binarisation = choices(masked, ({ mask }) => {
    const { binarizer, threshold, slope, noise } = mask!;
    const sigmoid = binarizer === 'sigmoid' ? `, method.slope=${slope}` : '';
    return `method.binarizer=${binarizer}, method.threshold=${threshold}${sigmoid}, method.noise=${noise}`;
  });
  return [
    ...found,
    `Binarisation, as in the authors’ KSM and in Piggyback, the paper’s own being unpublished: ${binarisation}.`,
    'Every convolution is masked, the first and the downsampling ones too; the last segment of a filter may have fewer rows.',
  ];
}

/** "xbm, piggyback a=1; classifier a=0". */
function choices(methods: readonly MethodSpec[], choice: (method: MethodSpec) => string): string {
  const names = new Map<string, Set<MethodName>>();
  for (const method of methods) {
    const text = choice(method);
    names.set(text, (names.get(text) ?? new Set()).add(method.name));
  }
  return [...names].map(([text, group]) => `${[...group].join(', ')} ${text}`).join('; ');
}
