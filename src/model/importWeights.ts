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
  const expected = expectedShapes(graph);
  checkNames(file, names, expected, network);

  const read = (name: string) => readChecked(file, names.get(name)!, expected.get(name)!);
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
  for (const network of networkNames) {
    const expected = expectedShapes(buildNetwork(network, 1));
    const head = headOf(buildNetwork(network, 1)).name;
    const fits = ([name, shape]: [string, readonly number[]]) => {
      const found = file.tensors.get(names.get(name) ?? '')?.shape;
      return found && (name.startsWith(`${head}.`) || String(found) === String(shape));
    };
    if (names.size === expected.size && [...expected].every(fits)) return network;
  }
  throw new UserError(
    `${file.path}: its ${names.size} tensors are those of no network that xbm knows`,
    `Name the network, to see what differs: --network ${networkNames.join('|')}.`,
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

function checkNames(
  file: Safetensors,
  names: Map<string, string>,
  expected: Map<string, readonly number[]>,
  network: string,
): void {
  const extra = [...names.keys()].filter((name) => !expected.has(name));
  const problems: string[] = [];
  for (const [name, shape] of expected) {
    const found = names.get(name);
    if (found === undefined) {
      const near = nearNames(name, extra);
      problems.push(`tensor "${name}" is missing${near.length > 0 ? ` (near: ${near.join(', ')})` : ''}`);
    } else if (String(file.tensors.get(found)!.shape) !== String(shape)) {
      const actual = file.tensors.get(found)!.shape.join(', ');
      problems.push(`tensor "${found}" has shape [${actual}], not [${shape.join(', ')}]`);
    }
    if (problems.length > 5) break;
  }
  for (const name of extra.slice(0, 5)) {
    const near = nearNames(name, expected.keys());
    const hint = near.length > 0 ? ` (near: ${near.join(', ')})` : '';
    problems.push(`tensor "${names.get(name)}" is no part of ${network}${hint}`);
  }
  if (problems.length === 0) return;
  const more = problems.length > 5 ? '; and more' : '';
  throw new UserError(
    `${file.path}: does not hold the weights of ${network}: ${problems.slice(0, 5).join('; ')}${more}`,
    'Check that the network is the right one (--network, backbone.network).',
  );
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
