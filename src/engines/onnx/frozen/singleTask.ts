import type { FoldedNetwork } from '../../../adaption/fold.js';
import { dequantize } from '../../../model/backbone.js';
import { type ConvLayer, headOf } from '../../../model/graph.js';
import type { GraphBuilder } from '../graphBuilder.js';
import { arrangeLevels, type WeightOrder, type WeightSource, weightDims } from './weights.js';

/** The weights of one task, masks folded in: all constants. */
export class SingleTask implements WeightSource {
  constructor(
    private readonly builder: GraphBuilder,
    private readonly network: FoldedNetwork,
  ) {}

  vector([values]: readonly (Float32Array | Int32Array)[]): string {
    return this.builder.constant(values, [values.length]);
  }

  levels(conv: ConvLayer, order: WeightOrder, multiplier: number, offset: boolean): string {
    const weights = this.network.convs[conv.name];
    if (weights.kind === 'float') throw new Error(`${conv.name} has no levels`);
    const levels = arrangeLevels(weights.levels, conv, order, multiplier);
    const data = offset ? Uint8Array.from(levels, (level) => level + 128) : levels;
    return this.builder.constant(data, weightDims(conv, order));
  }

  floats(conv: ConvLayer, [gains]: readonly Float32Array[]): string {
    const values = dequantize(this.network.convs[conv.name]);
    const rows = values.length / conv.outChannels;
    const scaled = values.map((value, i) => value * gains[Math.floor(i / rows)]);
    return this.builder.constant(scaled, weightDims(conv, 'filters'));
  }

  head(name: string): { weight: string; bias: string } {
    const { tensors, graph } = this.network;
    const { outFeatures, inFeatures } = headOf(graph);
    return {
      weight: this.builder.constant(tensors[`${name}.weight`], [outFeatures, inFeatures]),
      bias: this.builder.constant(tensors[`${name}.bias`], [outFeatures]),
    };
  }
}
