import type { Batch } from '../../data/batch.js';
import { headOf, layersOfKind } from '../../model/graph.js';
import { checkPixels } from '../checkBatch.js';
import { fuseGraph } from '../compiled/fusion.js';
import { windowOf } from '../compiled/layers.js';
import type { InferencePlan, InferenceSession, Prediction } from '../engine.js';
import type { Gpu } from './device.js';
import { frozenWeights } from './deviceWeights.js';
import { channelUnits, type FeatureMap, mapShapes, unpadMap } from './features.js';
import { emitForward } from './forward.js';
import { readValues } from './kernels/formats.js';
import { FrozenNorms } from './normalization.js';
import type { KernelUse, Plan, Tensor } from './plan.js';
import { PlanBuilder } from './planBuilder.js';
import { Products, type Weights } from './products.js';

/** Runs a folded network: no masks, no statistics, no buffers for gradients. */
export class WebGpuInferenceSession implements InferenceSession {
  private constructor(
    private readonly inference: InferencePlan,
    private readonly plan: Plan,
    private readonly pixels: Tensor,
    private readonly logits: FeatureMap,
    /** By layer name. */
    private readonly taps: ReadonlyMap<string, FeatureMap>,
  ) {}

  static async open(gpu: Gpu, inference: InferencePlan): Promise<WebGpuInferenceSession> {
    const builder = new PlanBuilder(gpu);
    const { pixels, logits, taps } = emitInference(builder, inference);
    const plan = await builder.finish(
      gpu,
      [logits, ...taps.values()].map(({ tensor }) => tensor),
    );
    return new WebGpuInferenceSession(inference, plan, pixels, logits, taps);
  }

  async predict(batch: Batch): Promise<Prediction> {
    checkPixels(batch, this.inference);
    this.plan.write(this.pixels, batch.pixels as Uint8Array<ArrayBuffer>);
    const read = [this.logits, ...this.taps.values()];
    const [logits, ...taps] = await this.plan.run(read.map(({ tensor }) => tensor));
    const names = [...this.taps.keys()];
    return {
      logits: valuesOf(logits, this.logits),
      taps: Object.fromEntries(names.map((name, i) => [name, valuesOf(taps[i], this.taps.get(name)!)])),
    };
  }

  /** Runs the last batch again, and says what each kind of kernel took. */
  profile(): Promise<KernelUse[]> {
    return this.plan.profile();
  }

  /** Of all buffers on the GPU. */
  get bytes(): number {
    return this.plan.bytes;
  }

  async close(): Promise<void> {
    this.plan.close();
  }
}

interface EmittedInference {
  /** RGB bytes [batch, height, width, 3] */
  readonly pixels: Tensor;
  readonly logits: FeatureMap;
  /** By layer name. */
  readonly taps: ReadonlyMap<string, FeatureMap>;
}

/** Emits the forward pass of a folded network. */
export function emitInference(builder: PlanBuilder, inference: InferencePlan): EmittedInference {
  const { network, batchSize, imageSize, taps = [] } = inference;
  const { graph, convs, tensors, clips, activationBits, normalization } = network;
  const fused = fuseGraph(graph, activationBits, taps);
  const norms = new FrozenNorms(builder, graph, tensors);
  const head = headOf(graph);
  const bias = tensors[`${head.name}.bias`].slice();
  const products = new Products(builder.gpu);
  const weights = new Map<string, Weights>();
  for (const conv of layersOfKind(graph, 'conv')) {
    const onMatrixUnits = products.usesMatrixUnits(fused, conv, convs[conv.name].kind);
    const window = products.windowOf(conv, onMatrixUnits);
    weights.set(conv.name, frozenWeights(builder, window, convs[conv.name], onMatrixUnits));
  }
  const headValues = { kind: 'float', values: tensors[`${head.name}.weight`] } as const;
  weights.set(head.name, frozenWeights(builder, { ...windowOf(head), copies: 1 }, headValues, false));
  const biasTensor = builder.persistent('bias', bias.byteLength, bias);
  const pixels = builder.persistent('pixels', batchSize * imageSize * imageSize * 3);
  const { maps } = emitForward({
    builder,
    fused,
    shapes: mapShapes(graph, batchSize, imageSize),
    clips,
    activationBits,
    normalization,
    pixels,
    products,
    weights: ({ name }) => weights.get(name)!,
    coefficients: norms.coefficients,
    normOffsets: norms.offsets,
    usesBatchStatistics: false,
    isTransient: ({ name }) => !taps.includes(name),
    statistics: (layer, input) => norms.add(layer, input),
    bias: { tensors: biasTensor, offset: 0 },
  });
  const tapped = new Map(taps.map((name) => [name, maps.get(fused.aliases.get(name) ?? name)!]));
  const logits = maps.get(head.name)!;
  return { pixels, logits, taps: tapped };
}

/** [batch, channels, height, width] */
const valuesOf = (bytes: ArrayBuffer, map: FeatureMap): Float32Array =>
  unpadMap(readValues(bytes, map.format), map.shape, channelUnits(map));
