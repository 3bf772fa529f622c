/** @file The frozen backbone that an experiment names: a file, or a name in the backbone store. */
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { backbonePath, isStoredBackbone, listBackbones, loadBackbone } from '../model/store.js';

/**
 * Loads the backbone and checks that it is the one the experiment describes.
 * @throws UserError when it is missing, damaged, or of another network or width
 */
export async function openBackbone(settings: Experiment['backbone']): Promise<Backbone> {
  const path = isAbsolute(settings.weights) ? settings.weights : backbonePath(settings.weights);
  if (!existsSync(path)) throw await missing(settings.weights, path);
  if (!(await isStoredBackbone(path))) {
    throw new UserError(
      `${path}: float weights, not a quantised backbone`,
      `Import them once: xbm backbone import ${path}, then name what it printed in backbone.weights.`,
    );
  }
  const { backbone } = await loadBackbone(path);
  const { network } = backbone.graph;
  if (network !== settings.network) {
    throw new UserError(
      `${path}: a backbone of ${network}, but backbone.network is ${settings.network}`,
      `Set backbone.network=${network}, or name another backbone.`,
    );
  }
  for (const key of ['weightBits', 'activationBits'] as const) {
    if (backbone[key] === settings[key]) continue;
    throw new UserError(
      `${path}: its ${key} is ${backbone[key]}, but backbone.${key} is ${settings[key]}`,
      `Set backbone.${key}=${backbone[key]}, or import the weights again at ${settings[key]} bits.`,
    );
  }
  return backbone;
}

async function missing(weights: string, path: string): Promise<UserError> {
  if (isAbsolute(weights)) return new UserError(`${path}: no such file`, 'Check backbone.weights.');
  const names = await listBackbones();
  const known = names.length > 0 ? `it has ${names.join(', ')}` : 'it is empty';
  return new UserError(
    `no backbone named "${weights}" in the store; ${known}`,
    'Import one with `xbm backbone import FILE.safetensors`, or set backbone.weights to a file.',
  );
}
