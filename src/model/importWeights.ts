/** @file Float weights of torchvision, timm or Hugging Face files → a full-precision backbone. */
import { UserError } from '../errors.js';
import { type Backbone, IMAGENET_NORMALIZATION, type Normalization } from './backbone.js';
import { headOf, type LayerGraph } from './graph.js';
import { sealBackbone } from './hash.js';
import { buildNetwork, networkNames } from './networks.js';
import type { Safetensors } from './safetensors.js';
import { nearNames, torchvisionName } from './weightNames.js';

export interface ImportOptions {
  /** Class names of the head, when known. */
  readonly classes?: readonly string[];
  /** ImageNet's when left out. */
  readonly normalization?: Normalization;
}

/**
 * Builds the full-precision backbone of a network from a file's tensors; every tensor must fit, none may be left.
 * @throws UserError naming the tensors that are missing, extra, misshapen or not finite
 */
export function importWeights(file: Safetensors, network: string, options: ImportOptions = {}): Backbone {
  const names = canonicalNames(file);
  const graph = buildNetwork(network, classCount(file, names, network));
  const differences = compare(file, names, network);
  if (differences.unfit.length + differences.extra.length > 0) {
    throw new UserError(
      `${file.path}: does not hold the weights of ${network}: ${describeDifferences(file, names, differences)}`,
      'Check that the network is the right one (--network, backbone.network).',
    );
  }

  const read = (name: string) => readChecked(file, names.get(name)!, differences.expected.get(name)!);
  const backbone = {
    convs: {} as Record<string, Backbone['convs'][string]>,
    batchNorms: {} as Record<string, Float32Array>,
  };
  for (const layer of graph.layers) {
    if (layer.kind === 'conv') {
      backbone.convs[layer.name] = { kind: 'float', values: read(`${layer.name}.weight`) };
    } else if (layer.kind === 'batchNorm') {
      for (const suffix of batchNormSuffixes)
        backbone.batchNorms[`${layer.name}.${suffix}`] = read(`${layer.name}.${suffix}`);
    }
  }
  const head = headOf(graph);
  return sealBackbone({
    ...backbone,
    graph,
    clips: {},
    weightBits: 32,
    activationBits: 32,
    head: { weight: read(`${head.name}.weight`), bias: read(`${head.name}.bias`) },
    classes: checkClasses(file, options.classes ?? [], head.outFeatures),
    normalization: options.normalization ?? IMAGENET_NORMALIZATION,
  });
}

/**
 * The network whose tensors a file holds.
 * @throws UserError when it is none of those xbm knows
 */
export function detectNetwork(file: Safetensors): string {
  const names = canonicalNames(file);
  if (names.size === 0)
    throw new UserError(`${file.path}: holds no tensors`, 'Name the file of the weights.');
  const found = networkNames.map((network) => compare(file, names, network));
  const count = ({ unfit, extra }: Differences) => unfit.length + extra.length;
  const closest = found.reduce((best, other) => (count(other) < count(best) ? other : best));
  if (count(closest) === 0) return closest.network;
  const isAlike = closest.unfit.length < closest.expected.size / 2;
  const some = [...file.tensors.keys()].slice(0, SHOWN).map((name) => `"${name}"`);
  throw new UserError(
    `${file.path}: its ${names.size} tensors are those of no network that xbm knows; ` +
      (isAlike
        ? `most like ${closest.network}, but ${describeDifferences(file, names, closest)}`
        : `the first are ${some.join(', ')}`),
    `Check the file; --network ${networkNames.join('|')} compares it with another network.`,
  );
}

const batchNormSuffixes = ['weight', 'bias', 'running_mean', 'running_var'];

/** Torchvision name → name in the file. */
function canonicalNames(file: Safetensors): Map<string, string> {
  const names = new Map<string, string>();
  for (const name of file.tensors.keys()) {
    const canonical = torchvisionName(name);
    if (canonical.endsWith('.num_batches_tracked')) continue;
    const other = names.get(canonical);
    if (other !== undefined)
      throw new UserError(`${file.path}: tensors "${other}" and "${name}" are both ${canonical}`);
    names.set(canonical, name);
  }
  return names;
}

function expectedShapes(graph: LayerGraph): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const layer of graph.layers) {
    if (layer.kind === 'conv') {
      shapes.set(`${layer.name}.weight`, [layer.outChannels, layer.inChannels, layer.kernel, layer.kernel]);
    } else if (layer.kind === 'batchNorm') {
      for (const suffix of batchNormSuffixes) shapes.set(`${layer.name}.${suffix}`, [layer.channels]);
    } else if (layer.kind === 'linear') {
      shapes.set(`${layer.name}.weight`, [layer.outFeatures, layer.inFeatures]);
      shapes.set(`${layer.name}.bias`, [layer.outFeatures]);
    }
  }
  return shapes;
}

function classCount(file: Safetensors, names: Map<string, string>, network: string): number {
  const head = headOf(buildNetwork(network, 1)).name;
  return file.tensors.get(names.get(`${head}.weight`) ?? '')?.shape[0] ?? 1;
}

/** What keeps a file's tensors from being a network's. */
interface Differences {
  readonly network: string;
  readonly expected: ReadonlyMap<string, readonly number[]>;
  /** Names of the network whose tensors are missing or misshapen. */
  readonly unfit: readonly string[];
  /** Names in the file, as torchvision writes them, that are none of the network's. */
  readonly extra: readonly string[];
}

function compare(file: Safetensors, names: Map<string, string>, network: string): Differences {
  const expected = expectedShapes(buildNetwork(network, classCount(file, names, network)));
  const fits = (name: string) =>
    String(file.tensors.get(names.get(name) ?? '')?.shape) === String(expected.get(name));
  return {
    network,
    expected,
    unfit: [...expected.keys()].filter((name) => !fits(name)),
    extra: [...names.keys()].filter((name) => !expected.has(name)),
  };
}

const SHOWN = 5;
/** Of these, kept for tensors that are none of the network's: they show how the file names its tensors. */
const SHOWN_EXTRA = 2;

function describeDifferences(file: Safetensors, names: Map<string, string>, found: Differences): string {
  const { network, expected, unfit, extra } = found;
  const near = (name: string, candidates: Iterable<string>) => {
    const likely = nearNames(name, candidates).map((candidate) => names.get(candidate) ?? candidate);
    return likely.length > 0 ? ` (near: ${likely.join(', ')})` : '';
  };
  const describeUnfit = (name: string) => {
    const tensor = file.tensors.get(names.get(name) ?? '');
    if (!tensor) return `tensor "${name}" is missing${near(name, extra)}`;
    return `tensor "${names.get(name)}" has shape [${tensor.shape.join(', ')}], not [${expected.get(name)!.join(', ')}]`;
  };
  const describeExtra = (name: string) =>
    `tensor "${names.get(name)}" is no part of ${network}${near(name, expected.keys())}`;
  const unfitShown = unfit.slice(0, SHOWN - Math.min(SHOWN_EXTRA, extra.length));
  const extraShown = extra.slice(0, SHOWN - unfitShown.length);
  const more = unfit.length + extra.length - unfitShown.length - extraShown.length;
  const shown = [...unfitShown.map(describeUnfit), ...extraShown.map(describeExtra)];
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

function readChecked(file: Safetensors, name: string, shape: readonly number[]): Float32Array {
  const values = file.floats(name);
  const lowest = name.endsWith('running_var') ? 0 : -Infinity;
  const bad = values.findIndex((value) => !Number.isFinite(value) || value < lowest);
  if (bad >= 0) {
    const what = Number.isFinite(values[bad]) ? 'a negative variance' : 'not finite';
    throw new UserError(`${file.path}: tensor "${name}" [${shape.join(', ')}], element ${bad}: ${what}`);
  }
  return values;
}

function checkClasses(file: Safetensors, classes: readonly string[], outputs: number): readonly string[] {
  if (classes.length === 0 || classes.length === outputs) return classes;
  throw new UserError(
    `${file.path}: its head has ${outputs} outputs, but ${classes.length} class names were given`,
  );
}
