/** @file Finds the backbone that a task was trained on, by its SHA-256; makes nothing. */
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { readSafetensorsMetadata } from '../model/safetensors.js';
import { backbonePath, listBackbones, loadBackbone } from '../model/store.js';

/**
 * Looks where the experiment says, then through the store.
 * @param weights `backbone.weights` of the experiment
 * @returns null when no stored backbone has this SHA-256
 * @throws UserError when the file that has it is damaged
 */
export async function findBackbone(weights: string, sha256: string): Promise<Backbone | null> {
  const path = await findStored(weights, sha256);
  return path === null ? null : (await loadBackbone(path)).backbone;
}

/** The path of the backbone that {@link findBackbone} finds. */
export async function findStored(weights: string, sha256: string): Promise<string | null> {
  const named = isAbsolute(weights) ? [weights] : [];
  const stored = (await listBackbones()).map(backbonePath);
  for (const path of [...named, ...stored]) {
    if ((await storedSha256(path)) === sha256) return path;
  }
  return null;
}

/** As {@link findBackbone}. @throws UserError when there is none */
export async function requireBackbone(weights: string, sha256: string): Promise<Backbone> {
  return (await loadBackbone(await requireStored(weights, sha256))).backbone;
}

/** As {@link findStored}. @throws UserError when there is none */
export async function requireStored(weights: string, sha256: string): Promise<string> {
  const path = await findStored(weights, sha256);
  if (path !== null) return path;
  throw new UserError(
    `no backbone with SHA-256 ${sha256} in ${isAbsolute(weights) ? `${weights} or ` : ''}the store`,
    'Import or make it again, or name its file.',
  );
}

/** What the metadata claim; undefined for files that are no backbone. */
async function storedSha256(path: string): Promise<string | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    return (await readSafetensorsMetadata(path)).sha256;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
