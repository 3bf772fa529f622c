import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Backbone } from '../model/backbone.js';
import { layersOfKind } from '../model/graph.js';
import { findWeights } from '../model/resolve.js';
import { backbonePath, listBackbones, loadBackbone } from '../model/store.js';
import type { Agreement } from './backboneAgreement.js';
import { formatBytes } from './format.js';
import type { Io } from './io.js';
import { type Cell, formatTable } from './table.js';

/**
 * A name in the store, or a file from the working folder on.
 * @param option the one that names it, for the hint
 */
export function resolveName(name: string, io: Io, option?: string): Promise<string> {
  const file = resolve(io.cwd, name);
  return findWeights(/[/\\]|\.safetensors/.test(name) || existsSync(file) ? file : name, option);
}

/** What `backbone info` prints. */
export async function describeBackbone(path: string) {
  const { backbone, provenance, programVersion } = await loadBackbone(path);
  const weights = layersOfKind(backbone.graph, 'conv');
  return {
    file: path,
    bytes: (await stat(path)).size,
    network: backbone.graph.network,
    convolutions: weights.length,
    weights: weights.reduce(
      (sum, { inChannels, outChannels, kernel }) => sum + inChannels * outChannels * kernel ** 2,
      0,
    ),
    weightBits: backbone.weightBits,
    /** Median over output channels of what one level of their weights is worth; null in full precision. */
    levelWidth: medianLevelWidth(backbone),
    activationBits: backbone.activationBits,
    classes: backbone.head.bias.length,
    normalization: backbone.normalization,
    sha256: backbone.sha256,
    sourceSha256: provenance.sourceSha256,
    calibration: provenance.calibration,
    programVersion,
  };
}

function medianLevelWidth({ convs }: Backbone): number | null {
  const widths = Object.values(convs).flatMap((weights) =>
    weights.kind === 'levels' ? [...weights.scales] : [],
  );
  const used = widths.filter((width) => width > 0).sort((a, b) => a - b);
  return used[Math.floor(used.length / 2)] ?? null;
}

export type BackboneDescription = Awaited<ReturnType<typeof describeBackbone>> & {
  /** Of a backbone that was just quantised. */
  readonly agreement?: Agreement;
};

export function printDescription(description: BackboneDescription, json: boolean, io: Io): void {
  if (json) {
    io.stdout(`${JSON.stringify(description)}\n`);
    return;
  }
  const {
    bytes,
    weightBits,
    levelWidth,
    activationBits,
    normalization,
    sourceSha256,
    calibration,
    agreement,
    ...rest
  } = description;
  const width = (bits: number) => (bits === 32 ? 'full precision' : `${bits} bits`);
  const rows = {
    file: `${rest.file} (${formatBytes(bytes)})`,
    network: `${rest.network}, ${rest.convolutions} convolutions with ${rest.weights} weights, ${rest.classes} classes`,
    weights:
      width(weightBits) + (levelWidth === null ? '' : `, levels ${levelWidth.toPrecision(2)} wide (median)`),
    activations: width(activationBits),
    normalization: `mean ${normalization.mean.join(', ')}; deviation ${normalization.std.join(', ')}`,
    calibration: calibration || 'none',
    ...(agreement && { agreement: describeAgreement(agreement) }),
    sha256: `${rest.sha256} (verified)`,
    source: sourceSha256 === '' ? 'trained by xbm' : `file with SHA-256 ${sourceSha256}`,
    written: `by xbm ${rest.programVersion}`,
  };
  for (const [key, value] of Object.entries(rows)) io.stdout(`${key.padEnd(14)}${value}\n`);
}

function describeAgreement({ agreeing, images }: Agreement): string {
  const percent = ((100 * agreeing) / images).toFixed(1);
  return `same class as in full precision on ${agreeing} of ${images} calibration images (${percent} %)`;
}

/** `xbm backbone info`. */
export async function printBackbone(name: string, args: { json?: boolean }, io: Io): Promise<void> {
  printDescription(await describeBackbone(await resolveName(name, io)), args.json === true, io);
}

/** `xbm backbone list`: a damaged file is listed with its reason, and does not hide the others. */
export async function printBackbones(args: { json?: boolean }, io: Io): Promise<void> {
  const found = [];
  for (const name of await listBackbones()) {
    try {
      found.push({ name, backbone: await describeBackbone(backbonePath(name)), error: null });
    } catch (error) {
      found.push({ name, backbone: null, error: (error as Error).message });
    }
  }
  if (args.json) {
    io.stdout(`${JSON.stringify({ backbones: found })}\n`);
  } else if (found.length === 0) {
    io.stdout('the store is empty; see `xbm backbone import --help`\n');
  } else {
    const rows = found.map(({ name, backbone, error }): Cell[] => {
      if (!backbone) return [name, error, null, null, null];
      const { network, weightBits, activationBits, bytes, sha256 } = backbone;
      return [name, network, `${weightBits}/${activationBits}`, formatBytes(bytes), sha256.slice(0, 12)];
    });
    io.stdout(formatTable(['name', 'network', 'bits', 'size', 'sha256'], rows));
  }
}
