/** @file What calibration asks of an engine: run a backbone on images and show what some layers put out. */
import type { Batch } from '../data/batch.js';
import type { Backbone } from './backbone.js';
import { headOf, type Layer } from './graph.js';
import type { ImageForm } from './storeMetadata.js';

/** One opened backbone. */
export interface Probe {
  /** Outputs of the tapped layers by name, [batch, channels, height, width]. */
  predict(batch: Batch): Promise<{ readonly taps: Readonly<Record<string, Float32Array>> }>;
  close(): Promise<void>;
}

/** Calibration images and the engine that runs them. */
export interface CalibrationSource {
  /** The same batches at every call; rows with label −1 are padding. */
  batches(): AsyncIterable<Batch>;
  openProbe(backbone: Backbone, taps: readonly string[]): Promise<Probe>;
  /** In words, for the backbone's file: which images, how many, at which size. */
  readonly description: string;
  /** Of the images, when they come from files: `imageId` of each. */
  readonly imageIds?: readonly string[];
  /** How these became batches. */
  readonly form?: ImageForm;
}

/**
 * The part of a backbone that the given layers need, as a backbone of its own: pool and a one-class head on top.
 * Running it instead of the whole network saves the time of what comes after.
 */
export function prefixOf(backbone: Backbone, taps: readonly string[]): Backbone {
  const { graph } = backbone;
  const needed = new Set(taps);
  const layers: Layer[] = [];
  for (const layer of [...graph.layers].reverse()) {
    if (!needed.has(layer.name)) continue;
    for (const input of layer.inputs) needed.add(input);
    layers.unshift(layer);
  }
  const last = layers[layers.length - 1];
  const head = headOf(graph);
  if (layers.some((layer) => layer.kind === 'linear' || layer.kind === 'globalAveragePool')) return backbone;
  const channels = channelsOf(graph.layers, last.name, graph.inputChannels);
  layers.push({ kind: 'globalAveragePool', name: 'prefix.pool', inputs: [last.name] });
  layers.push({ ...head, inputs: ['prefix.pool'], inFeatures: channels, outFeatures: 1 });
  return {
    ...backbone,
    graph: { ...graph, layers },
    head: { weight: new Float32Array(channels), bias: new Float32Array(1) },
    classes: [],
  };
}

function channelsOf(layers: readonly Layer[], name: string, inputChannels: number): number {
  const layer = layers.find((candidate) => candidate.name === name);
  if (!layer) return inputChannels;
  if (layer.kind === 'conv') return layer.outChannels;
  return layer.kind === 'batchNorm' ? layer.channels : channelsOf(layers, layer.inputs[0], inputChannels);
}

/** Images of a batch that are no padding; padding comes last. */
export function imagesIn(batch: Batch): number {
  const padding = batch.labels.indexOf(-1);
  return padding < 0 ? batch.labels.length : padding;
}

/**
 * Runs every calibration batch through one or more variants of a backbone.
 * @param visit gets, for one batch, each variant's taps without padding rows
 */
export async function visitTaps(
  source: CalibrationSource,
  variants: readonly Backbone[],
  taps: readonly string[],
  visit: (taps: readonly Readonly<Record<string, Float32Array>>[], images: number) => void,
): Promise<void> {
  const probes: Probe[] = [];
  try {
    for (const variant of variants) probes.push(await source.openProbe(prefixOf(variant, taps), taps));
    for await (const batch of source.batches()) {
      const images = imagesIn(batch);
      if (images === 0) continue;
      const found: Record<string, Float32Array>[] = [];
      for (const probe of probes) {
        const prediction = await probe.predict(batch);
        const valid = (values: Float32Array) =>
          values.subarray(0, (values.length / batch.labels.length) * images);
        found.push(Object.fromEntries(taps.map((tap) => [tap, valid(prediction.taps[tap])])));
      }
      visit(found, images);
    }
  } finally {
    for (const probe of probes) await probe.close();
  }
}
