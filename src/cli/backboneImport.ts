import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { fileSha256 } from '../model/hash.js';
import { backbonePath, saveBackbone } from '../model/store.js';
import type { QuantizeArguments } from './backbone.js';
import { calibrateOn, drawCalibration, openNamedEngine, readFloatWeights } from './backboneCalibration.js';
import { findImages } from './backboneImages.js';
import { describeBackbone, printDescription } from './backboneInfo.js';
import type { Io } from './io.js';

export interface ImportArguments extends QuantizeArguments {
  readonly calibrate?: string;
  readonly name?: string;
  readonly out?: string;
  readonly force?: boolean;
}

/** `xbm backbone import`. */
export async function importBackbone(file: string, args: ImportArguments, io: Io): Promise<void> {
  const source = resolve(io.cwd, file);
  const target = targetPath(source, args, io);
  const float = await readFloatWeights(source, args.network);
  const { backbone, provenance } = await quantize(float, args, io);
  await saveBackbone(target, backbone, { ...provenance, sourceSha256: await fileSha256(source) });
  printDescription(await describeBackbone(target), args.json === true, io);
}

async function quantize(float: Backbone, args: ImportArguments, io: Io) {
  if (args.weightBits === 32 && args.activationBits === 32)
    return { backbone: float, provenance: { calibration: '' } };
  if (args.calibrate === undefined) {
    throw new UserError(
      'below 32 bits a backbone is calibrated on images, and none are named',
      'Add --calibrate FOLDER: some hundred images like those it was trained on.',
    );
  }
  const samples = findImages(resolve(io.cwd, args.calibrate));
  const { drawn } = drawCalibration(samples, args.calibrationImages, args.seed);
  return calibrateOn(float, drawn, await openNamedEngine(args, io), args, io);
}

function targetPath(source: string, args: ImportArguments, io: Io): string {
  if (args.out !== undefined && args.name !== undefined)
    throw new UserError('--out names a file, --name a place in the store', 'Give one of them.');
  const name = args.name ?? basename(source).replace(/(\.safetensors)?(\.gz)?$/, '');
  const path = args.out === undefined ? backbonePath(name) : resolve(io.cwd, args.out);
  if (existsSync(path) && !args.force)
    throw new UserError(`${path}: exists already`, 'Choose another --name or --out, or add --force.');
  return path;
}
