/** @file Tensor names of other libraries → torchvision's names, which are the layer graph's. */

/** Wrappers that training scripts and checkpoints put around a network. */
const wrapper = /^(?:module|model|state_dict|backbone)\./;

const rules: readonly [pattern: RegExp, replacement: (...parts: string[]) => string][] = [
  // Hugging Face transformers, e.g. microsoft/resnet-50
  [/^(?:resnet\.)?embedder\.embedder\.convolution\.(.*)$/, (_, rest) => `conv1.${rest}`],
  [/^(?:resnet\.)?embedder\.embedder\.normalization\.(.*)$/, (_, rest) => `bn1.${rest}`],
  [
    /^(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.(convolution|normalization)\.(.*)$/,
    (_, stage, block, index, kind, rest) =>
      `layer${+stage + 1}.${block}.${kind === 'convolution' ? 'conv' : 'bn'}${+index + 1}.${rest}`,
  ],
  [
    /^(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.(convolution|normalization)\.(.*)$/,
    (_, stage, block, kind, rest) =>
      `layer${+stage + 1}.${block}.downsample.${kind === 'convolution' ? 0 : 1}.${rest}`,
  ],
  [/^classifier\.1\.(weight|bias)$/, (_, rest) => `fc.${rest}`],
  // CIFAR networks in the manner of kuangliu/pytorch-cifar
  [
    /^(layer\d+\.\d+)\.shortcut\.([01])\.(.*)$/,
    (_, block, index, rest) => `${block}.downsample.${index}.${rest}`,
  ],
  [/^linear\.(weight|bias)$/, (_, rest) => `fc.${rest}`],
];

/** The torchvision name of a tensor; names of unknown schemes come back as they are, without wrappers. */
export function torchvisionName(name: string): string {
  let bare = name;
  while (wrapper.test(bare)) bare = bare.replace(wrapper, '');
  for (const [pattern, replacement] of rules) {
    if (pattern.test(bare)) return bare.replace(pattern, replacement);
  }
  return bare;
}

/**
 * The names most like `wanted`, best first: those that differ by a prefix, and those within a third of its length in
 * single-letter edits.
 */
export function nearNames(wanted: string, names: Iterable<string>, count = 3): string[] {
  return [...names]
    .map((name) => ({ name, distance: isPrefixed(wanted, name) ? 0 : editDistance(wanted, name) }))
    .filter(({ distance }) => distance <= Math.max(2, wanted.length / 3))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, count)
    .map(({ name }) => name);
}

/** One is the other below a wrapper of one word. */
function isPrefixed(a: string, b: string): boolean {
  const bare = (name: string) => name.slice(name.indexOf('.') + 1);
  return bare(a) === b || bare(b) === a;
}

/** Levenshtein's. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1]));
    row = next;
  }
  return row[b.length];
}
