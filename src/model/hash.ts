import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Backbone } from './backbone.js';

/**
 * SHA-256 (hex) of what a backbone computes with: its layer graph but for the head, levels or values, scales, batch
 * norm, clips, normalisation. The head is left out, because every task brings its own. Takes 0.1 s for ResNet-50.
 */
export function backboneSha256(backbone: Omit<Backbone, 'sha256'>): string {
  const hash = createHash('sha256');
  const { graph, convs, batchNorms, clips, weightBits, activationBits, normalization } = backbone;
  const layers = graph.layers.filter((layer) => layer.kind !== 'linear');
  hash.update(JSON.stringify({ layers, weightBits, activationBits, normalization }));
  const add = (name: string, ...arrays: (Int8Array | Float32Array)[]) => {
    hash.update(`\0${name}\0${arrays.map((array) => array.length)}\0`);
    for (const array of arrays) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  };
  for (const name of Object.keys(convs).sort()) {
    const weights = convs[name];
    if (weights.kind === 'levels') add(`${name} ${weights.bits}`, weights.levels, weights.scales);
    else add(name, weights.values);
  }
  for (const name of Object.keys(batchNorms).sort()) add(name, batchNorms[name]);
  for (const name of Object.keys(clips).sort()) add(name, Float32Array.of(clips[name]));
  return hash.digest('hex');
}

/** A backbone with its {@link backboneSha256} filled in. */
export function sealBackbone(backbone: Omit<Backbone, 'sha256'>): Backbone {
  return { ...backbone, sha256: backboneSha256(backbone) };
}

/** Names an image by its content: the first 16 hex digits of its file's SHA-256. */
export async function imageId(path: string): Promise<string> {
  return (await fileSha256(path)).slice(0, 16);
}

/** SHA-256 (hex) of a file's bytes. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
