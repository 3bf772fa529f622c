/** @file Backbones on disk: one safetensors file each, in `$XBM_HOME/backbones` or anywhere else. */
import { accessSync, constants } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../errors.js';
import { makeFolder } from '../folders.js';
import { packageVersion, xbmHome } from '../paths.js';
import type { Backbone, ConvWeights } from './backbone.js';
import type { Tensor, TensorData } from './dtype.js';
import { type ConvLayer, headOf, layersOfKind } from './graph.js';
import { backboneSha256 } from './hash.js';
import { buildNetwork } from './networks.js';
import { packLevels, unpackLevels } from './packing.js';
import { createFile, replaceFile } from './replaceFile.js';
import {
  encodeSafetensors,
  readSafetensors,
  readSafetensorsMetadata,
  type Safetensors,
} from './safetensors.js';
import {
  type Provenance,
  parseStoreMetadata,
  STORE_FORMAT,
  type StoreMetadata,
  storeMetadata,
} from './storeMetadata.js';

export interface StoredBackbone {
  readonly backbone: Backbone;
  readonly provenance: Provenance;
  readonly programVersion: string;
}

/** The folder of the backbone store. */
export function backboneFolder(): string {
  return join(xbmHome(), 'backbones');
}

/** Path of a named backbone in the store. @throws UserError when the name is no file name */
export function backbonePath(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) {
    throw new UserError(
      `"${name}" is no name for a backbone`,
      'Use letters, digits, ".", "_" and "-", starting with a letter or digit.',
    );
  }
  return join(backboneFolder(), `${name}.safetensors`);
}

/** Names in the store, sorted. */
export async function listBackbones(): Promise<string[]> {
  try {
    const files = await readdir(backboneFolder());
    return files
      .filter((file) => file.endsWith('.safetensors'))
      .map((file) => file.slice(0, -'.safetensors'.length))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Whether a file is a stored backbone (else, e.g., float weights). */
export async function isStoredBackbone(path: string): Promise<boolean> {
  return (await readSafetensorsMetadata(path)).format === STORE_FORMAT;
}

/** Makes the folder of a backbone that is to be written. @throws UserError when nothing can be written there */
export function makeFolderOf(path: string): void {
  const folder = dirname(path);
  const isStore = folder === backboneFolder();
  const hint = isStore ? 'Set XBM_HOME to a folder that you may write.' : 'Choose another folder.';
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const message = error instanceof UserError ? error.message : `${folder}: no permission to write here`;
    throw new UserError(message, hint);
  }
}

/**
 * Writes a backbone; creates the folder when it is missing.
 * @param hintIfThere given: a file that is there is not replaced, and this is what to do then
 * @throws UserError when it cannot be written
 */
export async function saveBackbone(
  path: string,
  backbone: Backbone,
  provenance: Provenance,
  hintIfThere?: string,
): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const conv of layersOfKind(backbone.graph, 'conv')) {
    const weights = backbone.convs[conv.name];
    if (weights.kind === 'float') {
      tensors[`${conv.name}.weight`] = { dtype: 'F32', shape: convShape(conv), data: weights.values };
      continue;
    }
    tensors[`${conv.name}.levels`] =
      weights.bits <= 4
        ? vector('U8', packLevels(weights.levels))
        : { dtype: 'I8', shape: convShape(conv), data: weights.levels };
    tensors[`${conv.name}.scales`] = vector('F32', weights.scales);
  }
  for (const [name, values] of Object.entries(backbone.batchNorms)) tensors[name] = vector('F32', values);
  for (const [layer, clip] of Object.entries(backbone.clips))
    tensors[`${layer}.clip`] = vector('F32', Float32Array.of(clip));
  const head = headOf(backbone.graph);
  const shape = [head.outFeatures, head.inFeatures];
  tensors[`${head.name}.weight`] = { dtype: 'F32', shape, data: backbone.head.weight };
  tensors[`${head.name}.bias`] = vector('F32', backbone.head.bias);
  makeFolderOf(path);
  const chunks = encodeSafetensors(tensors, storeMetadata(backbone, provenance, packageVersion()));
  await (hintIfThere === undefined ? replaceFile(path, chunks) : createFile(path, chunks, hintIfThere));
}

/**
 * Reads a backbone and checks its content against the SHA-256 in its metadata.
 * @throws UserError when the file is missing, damaged, of another kind or changed
 */
export async function loadBackbone(path: string): Promise<StoredBackbone> {
  const file = await readSafetensors(path);
  const metadata = parseStoreMetadata(path, file.metadata);
  const backbone = assemble(file, metadata);
  if (backboneSha256(backbone) !== metadata.sha256) {
    throw new UserError(
      `${path}: its content does not match its SHA-256 ${metadata.sha256.slice(0, 12)}…: it was damaged or edited`,
      'Import the original weights again with `xbm backbone import`.',
    );
  }
  const { sourceSha256, calibration, calibrationImages, calibrationForm, programVersion } = metadata;
  const provenance = {
    ...{ sourceSha256, calibration, calibrationImages },
    ...(calibrationForm && { calibrationForm }),
  };
  return { backbone, provenance, programVersion };
}

/** What a stored backbone says of itself; its content is not checked. @throws UserError when it is no backbone */
export async function readBackboneMetadata(path: string): Promise<StoreMetadata> {
  return parseStoreMetadata(path, await readSafetensorsMetadata(path));
}

function assemble(file: Safetensors, metadata: StoreMetadata): Backbone {
  const { network, weightBits, activationBits, normalization, classes, sha256 } = metadata;
  const graph = buildNetwork(network, metadata.classCount);
  const read = new StoredTensors(file);
  const convs: Record<string, ConvWeights> = {};
  const batchNorms: Record<string, Float32Array> = {};
  const clips: Record<string, number> = {};
  for (const layer of graph.layers) {
    if (layer.kind === 'conv') {
      convs[layer.name] = readConv(read, layer, weightBits);
    } else if (layer.kind === 'batchNorm') {
      for (const suffix of ['weight', 'bias', 'running_mean', 'running_var'])
        batchNorms[`${layer.name}.${suffix}`] = read.floats(`${layer.name}.${suffix}`, layer.channels);
    } else if (layer.kind === 'quantize' && activationBits < 32) {
      clips[layer.name] = read.floats(`${layer.name}.clip`, 1)[0];
    }
  }
  const { name, inFeatures, outFeatures } = headOf(graph);
  const head = {
    weight: read.floats(`${name}.weight`, inFeatures * outFeatures),
    bias: read.floats(`${name}.bias`, outFeatures),
  };
  return {
    graph,
    convs,
    batchNorms,
    clips,
    weightBits,
    activationBits,
    head,
    classes,
    normalization,
    sha256,
  };
}

function readConv(read: StoredTensors, conv: ConvLayer, bits: number): ConvWeights {
  const count = convShape(conv).reduce((a, b) => a * b, 1);
  if (bits === 32) return { kind: 'float', values: read.floats(`${conv.name}.weight`, count) };
  const levels =
    bits <= 4
      ? unpackLevels(read.array(`${conv.name}.levels`, 'U8', Math.ceil(count / 2)) as Uint8Array, count)
      : (read.array(`${conv.name}.levels`, 'I8', count) as Int8Array);
  return { kind: 'levels', levels, scales: read.floats(`${conv.name}.scales`, conv.outChannels), bits };
}

/** Tensors of a stored file, checked for presence, type and length. */
class StoredTensors {
  constructor(readonly file: Safetensors) {}

  floats(name: string, length: number): Float32Array {
    return this.array(name, 'F32', length) as Float32Array;
  }

  array(name: string, dtype: Tensor['dtype'], length: number): TensorData {
    const tensor = this.file.tensors.get(name);
    if (tensor?.dtype === dtype && tensor.data.length === length) return tensor.data;
    const found = tensor ? `${tensor.dtype} [${tensor.shape}]` : 'nothing';
    throw new UserError(
      `${this.file.path}: tensor "${name}" should be ${dtype} of ${length} elements; found ${found}`,
      'Import the original weights again with `xbm backbone import`.',
    );
  }
}

const convShape = (conv: ConvLayer) => [conv.outChannels, conv.inChannels, conv.kernel, conv.kernel];
const vector = (dtype: Tensor['dtype'], data: TensorData): Tensor => ({ dtype, shape: [data.length], data });
