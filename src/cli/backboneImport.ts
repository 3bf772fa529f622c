import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { fileSha256 } from '../model/hash.js';
import { openFloatBackbone } from '../model/resolve.js';
import { backbonePath, isStoredBackbone, loadBackbone, makeFolderOf, saveBackbone } from '../model/store.js';
import type { Provenance } from '../model/storeMetadata.js';
import type { QuantizeArguments } from './backbone.js';
import { type Agreement, compareWithFloat } from './backboneAgreement.js';
import {
  calibrateOn,
  drawImages,
  noteFewImages,
  openNamedEngine,
  refuseIdle,
} from './backboneCalibration.js';
import { findImages } from './backboneImages.js';
import { describeBackbone, printDescription } from './backboneInfo.js';
import type { Io } from './io.js';

export interface ImportArguments extends QuantizeArguments {
  readonly calibrate?: string;
  readonly name?: string;
  readonly out?: string;
  readonly force?: boolean;
}

const TAKEN = 'Choose another --name or --out, or add --force.';

/** `xbm backbone import`. */
export async function importBackbone(file: string, args: ImportArguments, io: Io): Promise<void> {
  const source = resolve(io.cwd, file);
  const target = targetPath(source, args, io);
  const { backbone, provenance, agreement } =
    (await finished(source, args)) ??
    (await quantize(source, target, await openFloatBackbone(source, args.network), args, io));
  await saveBackbone(target, backbone, provenance, args.force ? undefined : TAKEN);
  printDescription({ ...(await describeBackbone(target)), agreement }, args.json === true, io);
}

type Imported = { backbone: Backbone; provenance: Provenance; agreement?: Agreement };

/** A backbone that xbm has quantised before, when nothing asks for more: it is kept, with its provenance. */
async function finished(source: string, args: ImportArguments): Promise<Imported | null> {
  if (args.calibrate !== undefined || args.named.length > 0) return null;
  if (!(await isStoredBackbone(source))) return null;
  const stored = await loadBackbone(source);
  const { weightBits, activationBits } = stored.backbone;
  return weightBits === 32 && activationBits === 32 ? null : stored;
}

/** @param target where the result will go: found out to be writable before minutes of calibration */
async function quantize(
  source: string,
  target: string,
  float: Backbone,
  args: ImportArguments,
  io: Io,
): Promise<Imported> {
  refuseIdle(args, args.calibrate);
  const sourceSha256 = await fileSha256(source);
  if (args.weightBits === 32 && args.activationBits === 32)
    return { backbone: float, provenance: { sourceSha256, calibration: '' } };
  if (args.calibrate === undefined) {
    throw new UserError(
      'below 32 bits a backbone is calibrated on images, and none are named',
      'Add --calibrate FOLDER: some hundred images like those it was trained on.',
    );
  }
  const samples = findImages(resolve(io.cwd, args.calibrate));
  makeFolderOf(target);
  const { drawn } = drawImages(samples, args.calibrationImages, args.seed, 'calibration images');
  if (drawn.length < args.calibrationImages)
    io.stderr(`calibrating on all ${drawn.length} images of ${args.calibrate}: it has no more\n`);
  noteFewImages(drawn.length, io);
  const engine = await openNamedEngine(args, io);
  const { backbone, provenance } = await calibrateOn(float, drawn, engine, args, io);
  const agreement = await compareWithFloat(float, backbone, drawn, engine, args, io);
  return { backbone, provenance: { ...provenance, sourceSha256 }, agreement };
}

function targetPath(source: string, args: ImportArguments, io: Io): string {
  if (args.out !== undefined && args.name !== undefined)
    throw new UserError('--out names a file, --name a place in the store', 'Give one of them.');
  const name = args.name ?? basename(source).replace(/(\.safetensors)?(\.gz)?$/, '');
  const path = args.out === undefined ? backbonePath(name) : resolve(io.cwd, args.out);
  if (existsSync(path) && !args.force) throw new UserError(`${path}: exists already`, TAKEN);
  return path;
}
