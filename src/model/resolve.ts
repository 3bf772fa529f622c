/** @file The backbone that an experiment names: in the store, in a file, or made from a file of float weights. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { UserError } from '../errors.js';
import type { Backbone } from './backbone.js';
import { bestCalibration, calibrateBackbone, type QuantizationOptions } from './calibrate.js';
import { fileSha256 } from './hash.js';
import { detectNetwork, importWeights } from './importWeights.js';
import type { CalibrationSource } from './probe.js';
import type { WeightScale } from './quantize.js';
import { readSafetensors } from './safetensors.js';
import {
  backbonePath,
  isStoredBackbone,
  listBackbones,
  loadBackbone,
  type StoredBackbone,
  saveBackbone,
} from './store.js';
import type { Provenance } from './storeMetadata.js';

export interface BackboneRequest {
  readonly network: string;
  /** A name in the store, or an absolute path: a stored backbone, or float weights. */
  readonly weights: string;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly weightScale: WeightScale;
}

/** Calibration images on demand: opened only when a backbone has to be made. */
export interface CalibrationRequest {
  /** Says which images, how many, at which size and in which batches: another key makes another backbone. */
  key(): Promise<string>;
  open(): Promise<CalibrationSource & { close(): Promise<void> }>;
}

/**
 * Finds or makes a backbone. One made from float weights is kept in the store, so that the next call only reads it.
 * @throws UserError when it is missing, damaged, or of another network or width
 */
export async function resolveBackbone(
  request: BackboneRequest,
  calibration: CalibrationRequest,
  onProgress?: (done: number, total: number) => void,
): Promise<StoredBackbone> {
  const path = await findWeights(request.weights);
  if (!(await isStoredBackbone(path))) return makeOnce(path, request, calibration, onProgress);
  const stored = await loadBackbone(path);
  const { weightBits, activationBits } = stored.backbone;
  requireNetwork(path, stored.backbone, request.network, 'backbone.network');
  if (weightBits === request.weightBits && activationBits === request.activationBits) return stored;
  if (weightBits === 32 && activationBits === 32) return makeOnce(path, request, calibration, onProgress);
  throw new UserError(
    `${path}: has ${weightBits}-bit weights and ${activationBits}-bit activations; ` +
      `${request.weightBits} and ${request.activationBits} were asked for`,
    `Set backbone.weightBits=${weightBits} and backbone.activationBits=${activationBits}, or name the float weights.`,
  );
}

/**
 * The path of a name in the store, or of a file.
 * @param saidBy what names the weights, for the hint
 * @throws UserError when there is none
 */
export async function findWeights(weights: string, saidBy = 'backbone.weights'): Promise<string> {
  const isPath = /[/\\]/.test(weights);
  const path = isPath ? weights : backbonePath(weights);
  if (existsSync(path)) return path;
  if (isPath) throw new UserError(`${path}: no such file`, `Check ${saidBy}.`);
  const names = await listBackbones();
  throw new UserError(
    `no backbone named "${weights}" in the store; ${names.length > 0 ? `it has ${names.join(', ')}` : 'it is empty'}`,
    `Import one with \`xbm backbone import FILE.safetensors\`, or set ${saidBy} to a file.`,
  );
}

/**
 * A full-precision backbone from float weights, in a foreign file or in a stored one.
 * @param network left out: recognised by the tensors
 * @param saidBy what says the network, for the message
 * @throws UserError also when the file is a quantised backbone
 */
export async function openFloatBackbone(
  path: string,
  network?: string,
  saidBy = '--network',
): Promise<Backbone> {
  if (!(await isStoredBackbone(path))) {
    const file = await readSafetensors(path);
    return importWeights(file, network ?? detectNetwork(file));
  }
  const { backbone } = await loadBackbone(path);
  if (network !== undefined) requireNetwork(path, backbone, network, saidBy);
  if (backbone.weightBits === 32 && backbone.activationBits === 32) return backbone;
  throw new UserError(`${path}: is quantised already`, 'Name the float weights it was made from.');
}

async function makeOnce(
  path: string,
  request: BackboneRequest,
  calibration: CalibrationRequest,
  onProgress?: (done: number, total: number) => void,
): Promise<StoredBackbone> {
  const { network, weightBits, activationBits, weightScale } = request;
  const options: QuantizationOptions = { weightBits, activationBits, weightScale, ...bestCalibration };
  const sourceSha256 = await fileSha256(path);
  const isFloat = weightBits === 32 && activationBits === 32;
  const key = createHash('sha256')
    .update(
      JSON.stringify({ sourceSha256, network, options, images: isFloat ? null : await calibration.key() }),
    )
    .digest('hex');
  const stem = basename(path)
    .replace(/\.gz$/, '')
    .replace(/\.safetensors$/, '')
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 80);
  const cached = backbonePath(`${stem || 'backbone'}-${key.slice(0, 12)}`);
  if (!existsSync(cached)) {
    const float = await openFloatBackbone(path, network);
    if (isFloat) {
      await saveBackbone(cached, float, { sourceSha256, calibration: '' });
    } else {
      const source = await calibration.open();
      try {
        const backbone = await calibrateBackbone(float, options, source, onProgress);
        await saveBackbone(cached, backbone, { sourceSha256, ...describeCalibration(options, source) });
      } finally {
        await source.close();
      }
    }
  }
  return loadBackbone(cached);
}

/** How a backbone was calibrated, and on what, for its file. */
export function describeCalibration(
  options: QuantizationOptions,
  { description, imageIds: calibrationImages, form: calibrationForm }: CalibrationSource,
): Omit<Provenance, 'sourceSha256'> {
  const clips = options.activationBits === 32 ? '' : `${options.clips} clips, `;
  const rounding = options.weightBits === 32 ? '' : `rounding ${options.rounding}, `;
  const calibration = `${rounding}${clips}batch norm ${options.batchNorm}, weight scale per ${options.weightScale}; ${description}`;
  return { calibration, calibrationImages, calibrationForm };
}

function requireNetwork(path: string, backbone: Backbone, network: string, saidBy: string): void {
  if (backbone.graph.network === network) return;
  throw new UserError(
    `${path}: a backbone of ${backbone.graph.network}, but ${saidBy} is ${network}`,
    `Give weights of ${network}, or change ${saidBy}.`,
  );
}
